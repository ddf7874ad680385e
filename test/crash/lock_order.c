/* run: WEIR_PROCS=1 WEIR_DEBUG=lockcheck=1 */
/* Two locks in two orders are told of once, though nobody ever waited; a circle of three as
 * well. */
#include <weir.h>

static weir_mutex   a, b, c;
static weir_rwmutex rw;

static __attribute__((noinline)) void a_then_b(void)
{
        weir_mutex_lock(&a);
        weir_mutex_lock(&b);
        weir_mutex_unlock(&b);
        weir_mutex_unlock(&a);
}

weir_task(b_then_a, my, { int unused; })
{
        (void)my;
        weir_mutex_lock(&b);
        weir_mutex_lock(&a);
        weir_mutex_unlock(&a);
        weir_mutex_unlock(&b);
}

/* Who does not wait is in no circle. */
static __attribute__((noinline)) void try_c_after_b(void)
{
        weir_mutex_lock(&b);
        if (weir_mutex_try_lock(&c))
                weir_mutex_unlock(&c);
        weir_mutex_unlock(&b);
}

static __attribute__((noinline)) void c_then_read_then_b(void)
{
        weir_mutex_lock(&c);
        weir_rwmutex_rlock(&rw);
        weir_mutex_lock(&b);
        weir_mutex_unlock(&b);
        weir_rwmutex_runlock(&rw);
        weir_mutex_unlock(&c);
}

static __attribute__((noinline)) void a_then_c(void)
{
        weir_mutex_lock(&a);
        weir_mutex_lock(&c);
        weir_mutex_unlock(&c);
        weir_mutex_unlock(&a);
}

static __attribute__((noinline)) void b_then_write(void)
{
        weir_mutex_lock(&b);
        weir_rwmutex_lock(&rw);
        weir_rwmutex_unlock(&rw);
        weir_mutex_unlock(&b);
}

WEIR_MAIN(argc, argv)
{
        weir_wg wg = { 0 };

        a_then_b();
        for (int i = 0; i < 3; i++)
                weir_wg_go(&wg, b_then_a);
        weir_wg_wait(&wg);
        try_c_after_b();
        fprintf(stderr, "then\n");
        c_then_read_then_b();
        b_then_write();
        fprintf(stderr, "and\n");
        a_then_c();             /* c, rw, b, a */
        return 3;
}
