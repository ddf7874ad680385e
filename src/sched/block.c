/* Calls that hold their thread.
 *
 * What    Before such a call the goroutine gives its processor to another thread; after it, it
 *         takes an idle one, or else queues up and lets its thread sleep.
 * States  RUNNING -> BLOCKED -> RUNNING, or BLOCKED -> RUNNABLE when no processor is free.
 * Cost    A thread is woken (8 us): right for calls that last.
 * Order   Under WEIR_DEBUG=sched nobody gets the processor meanwhile: when the call ends is the
 *         system's to say, and what ran until then would be too. */
#include "sched/state.h"
#include <weir/go.h>

void weir__sched_block_enter(void)
{
        struct m *m = self();

        check(m->g != &m->g0);
        count_in(&m->p->counters, blocking_calls, 1);
        store_relaxed(&m->g->since, load_relaxed(&weir__sched_coarse));
        store_relaxed(&m->g->state, G_BLOCKED);
        fetch_add_seq(&sched.blocked, 1);
        if (unlikely(sched.order == ORDER_SEEDED))
                (void)weir__m_drop_p(m);                /* to nobody: it is there after the call */
        else
                (void)weir__m_give(weir__m_drop_p(m), false);
}

void weir__sched_block_exit(void)
{
        struct m    *m = self();
        struct g    *g = m->g;
        struct glist l = { 0 };
        struct p    *p;

        if (unlikely(sched.order == ORDER_SEEDED)) {
                p = sched.procs[0];
        } else {
                lock_take(&sched.lock);
                p = weir__p_idle_get();
                lock_drop(&sched.lock);
        }
        if (p) {
                fetch_sub_seq(&sched.blocked, 1);
                weir__m_take_p(m, p);
                weir__slice_start(p);           /* it may have gone idle at the end of one */
                store_relaxed(&g->state, G_RUNNING);
                if (unlikely(load_seq(&sched.stopping)))
                        weir__sched_switch(m, g, &m->g0);       /* for good: it is in no queue */
                return;
        }
        if (unlikely(g->locks)) {
                weir__bound_wait(m);
                fetch_sub_seq(&sched.blocked, 1);
                store_relaxed(&g->state, G_RUNNING);
                return;
        }
        store_relaxed(&g->state, G_RUNNABLE);
        weir__glist_push(&l, g);
        weir__global_put_list(&l);
        fetch_sub_seq(&sched.blocked, 1);
        weir__sched_wake();                     /* a processor may have gone idle meanwhile */
        weir__sched_switch(m, g, &m->g0);
}

void weir_blocking(void (*fn)(void *arg), void *arg)
{
        weir__sched_need_g("weir_blocking");
        if (!fn)
                weir__panic("weir_blocking: the function is NULL");
        weir__sched_block_enter();
        fn(arg);
        weir__sched_block_exit();
}
