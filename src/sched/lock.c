/* Goroutines that stay on one thread, and threads of the program that become goroutines.
 *
 * What    weir_thread_lock binds the calling goroutine to its thread until the matching unlock: for
 *         libraries that keep state in thread-local variables, for a thread's own scheduling class,
 *         mask of signals or name. Its thread runs nothing else meanwhile. weir_thread_attach makes
 *         a thread of the program a goroutine that is bound so, on the stack that it has.
 * States  g->locks counts the calls that are open; g->thread is the thread while it is not 0. Such
 *         a goroutine never leaves its stack: where another one switches away, it gives its
 *         processor on and lets its thread sleep (weir__lock_wait), and who readies it puts the
 *         thread in the list of bound ones (bound.c). So it is in no queue of goroutines, ever.
 * Order   As for others a waker may come before the goroutine sleeps: its thread is then handed a
 *         processor, or stands in the list, while it still has one; it gives that one on first, and
 *         does not sleep.
 * End     A goroutine that ends while it is locked takes its thread along: nobody can know in which
 *         state the thread is. A thread of the program that ends attached is detached.
 * Cost    A park and ready cost two wakes of threads, some 30 us in place of 50 ns.
 * Not     A switch to g0 and back around the sleep, as Go has it: there is nothing to run there. */
#include "sched/state.h"
#include "sched/san.h"
#include <errno.h>
#include <weir/go.h>

/* Gives a processor on: to a thread that waits for one, to another if there is work, else it
 * idles. */
void weir__p_release(struct p *p)
{
        struct m *m;
        bool      work;

        lock_take(&sched.lock);
        m = weir__bound_get(true);
        work = !m && (sched.global.count || !weir__runq_empty(p) || sched.order == ORDER_SEEDED ||
                      load_seq(&sched.poller) == POLLER_NONE);
        if (!m && !work)
                weir__p_idle_put(p);
        lock_drop(&sched.lock);
        if (m)
                weir__m_hand(m, p);
        else if (work)
                (void)weir__m_give(p, false);
        else if (load_seq(&sched.poller) == POLLER_NONE)
                weir__sched_wake();             /* it left the poller while this one went idle */
}

/* In place of a switch. */
void weir__lock_wait(struct m *m, struct g *g)
{
        fetch_add_seq(&sched.locked_waiting, 1);
        weir__p_release(weir__m_drop_p(m));
        weir__m_sleep(m);
        fetch_sub_seq(&sched.locked_waiting, 1);
        weir__slice_start(m->p);
        store_relaxed(&g->state, G_RUNNING);
        count_in(&m->p->counters, switches, 1);
}

/* Lets others run for a slice, if there are any. */
void weir__lock_yield(struct m *m, struct g *g)
{
        struct p *p = m->p;

        if (weir__runq_empty(p) && !load_relaxed(&sched.nglobal) &&
            !load_relaxed(&sched.bound.count) && !weir__order_count())
                return;
        store_relaxed(&g->state, G_RUNNABLE);
        store_relaxed(&p->stopped_for, weir__debug.slice * 1000000);
        store_relaxed(&p->stopped_at, load_relaxed(&weir__sched_coarse));
        fetch_add_seq(&sched.locked_waiting, 1);
        if (unlikely(sched.order == ORDER_SEEDED)) {
                weir__bound_add(m, true);       /* first: it takes part in the next draw */
                (void)weir__m_give(weir__m_drop_p(m), false);
        } else {
                (void)weir__m_give(weir__m_drop_p(m), false);
                weir__bound_add(m, true);
        }
        weir__m_sleep(m);
        fetch_sub_seq(&sched.locked_waiting, 1);
        weir__slice_start(m->p);
        store_relaxed(&g->state, G_RUNNING);
        count_in(&m->p->counters, switches, 1);
}

void weir_thread_lock(void)
{
        struct g *g = weir__sched_need_g("weir_thread_lock");

        if (g->locks == LOCKS_MAX)
                weir__panic("weir_thread_lock: called %u times without weir_thread_unlock",
                            (unsigned)LOCKS_MAX);
        if (!g->locks) {
                g->thread = self();
                weir__count(threads_locked, 1);
        }
        store_relaxed(&g->locks, (uint16_t)(g->locks + 1));
}

void weir_thread_unlock(void)
{
        struct g *g = weir__sched_need_g("weir_thread_unlock");

        if (!g->locks || (g->thread->guest && g->locks == 1))
                weir__panic("weir_thread_unlock: no weir_thread_lock came before it");
        store_relaxed(&g->locks, (uint16_t)(g->locks - 1));
        if (!g->locks)
                weir__count(threads_unlocked, 1);
}

/* ---- threads of the program ---- */

static void list_guest(struct m *m)
{
        lock_take(&sched.lock);
        if (!m->listed) {
                m->listed = true;
                m->guest_next = sched.guest_list;
                store_release(&sched.guest_list, m);    /* pairs with the acquire below */
        }
        lock_drop(&sched.lock);
}

/* Those that are attached now, as far as one can know of threads that come and go. */
void weir__guest_each(bool (*fn)(void *g, void *arg), void *arg)
{
        for (struct m *m = load_acquire(&sched.guest_list); m; m = m->guest_next)
                if (load_relaxed(&m->guest) && load_relaxed(&m->own.id) && !fn(&m->own, arg))
                        return;
}

static void detach(struct m *m)
{
        count_in(&m->p->counters, goroutines_finished, 1);
        store_relaxed(&m->own.id, 0);
        store_relaxed(&m->own.state, G_DEAD);
        /* First: from here on this is a thread of the program, which may do anything. */
        fetch_add_relaxed(&sched.nthreads, (uint32_t)-1);
        fetch_sub_seq(&sched.guests, 1);
        weir__p_release(weir__m_drop_p(m));
        weir__arch_set_self(NULL);
        weir__os_sigstack_remove();
        store_seq(&m->alive, 0);
        weir__m_free(m);
}

/* The end of a thread that did not detach. */
static void at_exit(void)
{
        struct m *m = self();

        if (!m || !m->guest)
                return;
        if (!m->p)
                weir__sched_regain("the end of an attached thread");
        detach(m);
}

int weir_thread_attach(void)
{
        struct m *m = self();
        struct g *g;
        int       r;

        if (m)
                return m->guest && ++m->attached ? 0 : -EALREADY;
        if (!load_acquire(&sched.running) || load_seq(&sched.stopping))
                return -ESRCH;
        r = weir__os_at_thread_exit(at_exit);
        if (r < 0)
                return r;
        m = weir__m_new();
        if (!m)
                return -ENOMEM;
        store_relaxed(&m->guest, true);
        list_guest(m);
        m->attached = 1;
        g = &m->own;
        weir__m_begin(m);
        g->thread = m;
        g->locks = 1;
        g->protect = NULL;
        g->no_preempt = 0;
        store_relaxed(&g->reading[0], NULL);
        store_relaxed(&g->reading[1], NULL);
        store_relaxed(&g->fn, NULL);
        store_relaxed(&g->name, NULL);
        g->ctx.on_cpu = 1;
        store_relaxed(&g->starter_id, 0);
        for (size_t i = 0; i < COUNT(g->trace); i++)
                store_relaxed(&g->trace[i], UINT64_C(0));
        store_release(&g->m, m);
#if WEIR_TSAN
        g->fiber = __tsan_get_current_fiber();
#endif
        m->g = g;
        store_relaxed(&g->state, G_RUNNABLE);
        weir__bound_wait(m);
        fetch_add_relaxed(&sched.nthreads, 1);
        fetch_add_seq(&sched.guests, 1);
        store_relaxed(&g->id, weir__sched_new_id(m->p));
        store_relaxed(&g->state, G_RUNNING);
        count_in(&m->p->counters, goroutines_started, 1);
        count_in(&m->p->counters, switches, 1);
        return 0;
}

void weir_thread_detach(void)
{
        struct m *m = self();

        if (!m || !m->guest)
                weir__panic("weir_thread_detach: this thread is not attached");
        if (--m->attached)
                return;
        if (!m->p)
                weir__sched_regain("weir_thread_detach");
        if (m->own.locks != 1)
                weir__panic("weir_thread_detach: %u calls of weir_thread_lock are open",
                            m->own.locks - 1u);
        detach(m);
}
