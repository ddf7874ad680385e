/* run: WEIR_PROCS=2 WEIR_DEBUG=lockcheck=1 */
/* skip: address,thread,undefined because their own calls come before those of a preloaded library, or there is none */
/* With libweir-lockcheck.so preloaded, a goroutine that parks while it has a lock of pthread is
 * told of, also when it parks for a lock of weir; so are an unlock on another thread after a yield,
 * and two orders. What a thread of the program does with its locks is its own business, and waiting
 * on a condition variable is none. */
#include <pthread.h>
#include <threads.h>
#include <unistd.h>
#include <weir.h>

static pthread_mutex_t  m = PTHREAD_MUTEX_INITIALIZER, other = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t   c = PTHREAD_COND_INITIALIZER;
static mtx_t            c11;
static weir_mutex       ours;
static int              ready;          /* lock: m */

#define here __attribute__((noinline))
#define no_jump() __asm__ volatile("")  /* or the call before it is a jump */

static void *outside(void *arg)
{
        (void)arg;
        pthread_mutex_lock(&m);
        usleep(1000);
        ready = 1;
        pthread_cond_signal(&c);
        pthread_mutex_unlock(&m);
        return NULL;
}

static here void wait_for_thread(void)
{
        pthread_t t;

        pthread_mutex_lock(&m);
        pthread_create(&t, NULL, outside, NULL);
        while (!ready)
                pthread_cond_wait(&c, &m);
        pthread_mutex_unlock(&m);
        pthread_join(t, NULL);
}

static here void lock_it(void)
{
        pthread_mutex_lock(&m);
        no_jump();
}

static here void sleep_with_it(void)
{
        weir_sleep(WEIR_MICROSECOND);
        no_jump();
}

static here void read_it(void)
{
        pthread_rwlock_rdlock(&rw);
        no_jump();
}

weir_task(take_ours, my, { weir_wg *wg; })
{
        weir_mutex_lock(&ours);
        weir_wg_done(my->wg);
}

static here void wait_for_ours(void)
{
        weir_mutex_lock_until(&ours, weir_now() + 50 * WEIR_MILLISECOND);
        no_jump();
}

static here void try_it(void)
{
        mtx_trylock(&c11);
        no_jump();
}

static here void unlock_elsewhere(void)
{
        mtx_unlock(&c11);
        no_jump();
}

weir_task(yielder, my, { int times; })
{
        for (int i = 0; i < my->times; i++)
                weir_yield();
}

/* Until this goroutine is among what the other processor steals. */
static here void move(void)
{
        pid_t thread = gettid();

        for (int times = 1; gettid() == thread; times = times % 100 + 1) {
                weir_go(yielder, .times = times);
                weir_yield();
        }
}

static here void lock_both(pthread_mutex_t *a, pthread_mutex_t *b)
{
        pthread_mutex_lock(a);
        pthread_mutex_lock(b);
        pthread_mutex_unlock(b);
        pthread_mutex_unlock(a);
}

WEIR_MAIN(argc, argv)
{
        weir_wg wg = { 0 };

        wait_for_thread();
        fprintf(stderr, "so far\n");
        for (int i = 0; i < 3; i++) {
                lock_it();
                sleep_with_it();
                pthread_mutex_unlock(&m);
        }
        weir_wg_add(&wg, 1);
        weir_go(take_ours, .wg = &wg);
        weir_wg_wait(&wg);
        read_it();
        wait_for_ours();
        pthread_rwlock_unlock(&rw);
        mtx_init(&c11, mtx_plain);
        try_it();
        move();
        unlock_elsewhere();
        lock_both(&m, &other);
        lock_both(&other, &m);
        weir_sleep(WEIR_MICROSECOND);
        return 3;
}
