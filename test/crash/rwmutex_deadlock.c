/* run: WEIR_PROCS=1 */
/* A deadlock of an rwmutex, a cond and a semaphore: the report says what each goroutine waits
 * for. */
#include <weir.h>

/* In this order: the report goes by their addresses. */
static struct {
        weir_rwmutex rw;
        weir_mutex   m;
        weir_cond    c;
        weir_sema    s;
} all;

weir_task(write_it, my, { int unused; })
{
        (void)my;
        weir_rwmutex_lock(&all.rw);
}

weir_task(wait_for_it, my, { int unused; })
{
        (void)my;
        weir_mutex_lock(&all.m);
        weir_cond_wait(&all.c, &all.m);
}

weir_task(take_it, my, { int unused; })
{
        (void)my;
        weir_sema_acquire(&all.s, 1);
}

weir_task(read_it, my, { int unused; })
{
        (void)my;
        weir_rwmutex_rlock(&all.rw);
}

WEIR_MAIN(argc, argv)
{
        weir_rwmutex_rlock(&all.rw);
        weir_go(write_it);
        weir_go(wait_for_it);
        weir_go(take_it);
        while (weir_rwmutex_try_rlock(&all.rw)) {
                weir_rwmutex_runlock(&all.rw);
                weir_yield();
        }
        weir_go(read_it);
        weir_sema_acquire(&all.s, 1);
        return 0;
}
