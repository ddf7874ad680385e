/* run: WEIR_PROCS=1 */
/* A deadlock of an rwmutex, a cond and a semaphore: the report says what each goroutine waits for. */
#include <weir.h>

static weir_rwmutex rw;
static weir_mutex   m;
static weir_cond    c;
static weir_sema    s;

weir_task(write_it, my, { int unused; })
{
        (void)my;
        weir_rwmutex_lock(&rw);
}

weir_task(wait_for_it, my, { int unused; })
{
        (void)my;
        weir_mutex_lock(&m);
        weir_cond_wait(&c, &m);
}

weir_task(take_it, my, { int unused; })
{
        (void)my;
        weir_sema_acquire(&s, 1);
}

weir_task(read_it, my, { int unused; })
{
        (void)my;
        weir_rwmutex_rlock(&rw);
}

WEIR_MAIN(argc, argv)
{
        weir_rwmutex_rlock(&rw);
        weir_go(write_it);
        weir_go(wait_for_it);
        weir_go(take_it);
        while (weir_rwmutex_try_rlock(&rw)) {
                weir_rwmutex_runlock(&rw);
                weir_yield();
        }
        weir_go(read_it);
        weir_sema_acquire(&s, 1);
        return 0;
}
