/* Threads that wait for a processor, each with a goroutine that may run nowhere else.
 *
 * What    Such a thread sleeps in weir__m_sleep and stands in one of two lists. `bound`: it came
 *         back from a call in which its processor was taken (hold.c). `hogs`: it was stopped
 *         because it computed while others waited.
 * States  A processor is never idle while a thread stands in a list: who puts one on the idle list
 *         looks at these first, who joins looks at the idle list first, both under sched.lock.
 * Cost    A hand-over wakes a thread, 8 us, and takes 20 to 50 until that one runs; so it happens
 *         at wide looks, and after the local queues when these are empty.
 * Fair    A wide look serves `bound` first. A hog gets a processor only when that one has served
 *         others for as long as the last hog had kept it: so with any number of hogs, what waits in
 *         the queues has half of the time, and waits for one slice between two of its own.
 * Not     Saving all registers and running the goroutine on any thread: compiled code may hold the
 *         address of a thread-local variable in a register. Running others on its thread meanwhile:
 *         one of those may block there for ever. */
#include "sched/state.h"

void weir__slice_start(struct p *p)
{
        p->budget = unlikely(sched.order) ? weir__order_budget(p) : SLICE;
        p->wide_due = load_relaxed(&weir__sched_coarse) + WIDE_NS;
}

static void append(struct m_list *l, struct m *m)
{
        m->bound_next = NULL;
        if (l->last)
                l->last->bound_next = m;
        else
                l->first = m;
        l->last = m;
        store_relaxed(&l->count, l->count + 1);
}

static struct m *remove_first(struct m_list *l)
{
        struct m *m = l->first;

        if (!m)
                return NULL;
        l->first = m->bound_next;
        if (!l->first)
                l->last = NULL;
        store_relaxed(&l->count, l->count - 1);
        return m;
}

struct m *weir__bound_get(bool hogs)
{
        struct m *m = remove_first(&sched.bound);

        return m || !hogs ? m : remove_first(&sched.hogs);
}

void weir__bound_add(struct m *m, bool hog)
{
        struct p *p;

        lock_take(&sched.lock);
        p = weir__p_idle_get();
        if (!p)
                append(hog ? &sched.hogs : &sched.bound, m);
        lock_drop(&sched.lock);
        if (p)
                weir__m_hand(m, p);
}

void weir__bound_wait(struct m *m)
{
        struct p *p;

        lock_take(&sched.lock);
        p = weir__p_idle_get();
        if (!p)
                append(&sched.bound, m);
        lock_drop(&sched.lock);
        if (p)
                weir__m_take_p(m, p);
        else
                weir__m_sleep(m);
        weir__slice_start(m->p);
}

bool weir__bound_serve(struct m *m, bool hogs)
{
        struct m *to;

        if (!load_relaxed(&sched.bound.count) && !(hogs && load_relaxed(&sched.hogs.count)))
                return false;
        lock_take(&sched.lock);
        to = weir__bound_get(hogs);
        lock_drop(&sched.lock);
        if (!to)
                return false;
        if (m->spinning) {
                m->spinning = false;
                fetch_sub_seq(&sched.spinning, 1);
        }
        weir__m_hand(to, weir__m_drop_p(m));
        return true;
}
