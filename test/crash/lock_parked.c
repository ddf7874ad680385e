/* run: WEIR_PROCS=1 WEIR_DEBUG=lockcheck=1 */
/* A goroutine that parks while it has a lock is told of, with where it locked and where it parked;
 * waiting for another lock, or by a cond, is no such thing. */
#include <weir.h>

static weir_mutex m, other;
static weir_cond  c;
static bool       ready;        /* lock: m */

weir_task(signal_it, my, { int unused; })
{
        (void)my;
        weir_mutex_lock(&m);
        ready = true;
        weir_cond_signal(&c);
        weir_mutex_unlock(&m);
}

static __attribute__((noinline)) void lock_it(void)
{
        weir_mutex_lock(&m);
        __asm__ volatile("");           /* or the call is a jump */
}

static __attribute__((noinline)) void sleep_with_it(void)
{
        weir_sleep(WEIR_MICROSECOND);
        __asm__ volatile("");
}

WEIR_MAIN(argc, argv)
{
        weir_go(signal_it);
        weir_mutex_lock(&m);
        while (!ready)
                weir_cond_wait(&c, &m);
        weir_mutex_unlock(&m);
        fprintf(stderr, "so far\n");
        for (int i = 0; i < 3; i++) {
                lock_it();
                sleep_with_it();
                weir_mutex_unlock(&m);
        }
        weir_mutex_lock(&other);
        weir_mutex_unlock(&other);
        return 3;
}
