/* Goroutines that are parked for ever: nobody who could wake them can name what they wait for.
 *
 * What    With the world stopped the stacks of all goroutines are visited but of those that wait
 *         for an object: a channel, several of them in a select, a mutex, a wait group and the
 *         like. What is found so is followed. Whoever waits for an object that was reached may be
 *         woken by who reaches it: its stack is visited too, and that may reach more. When that
 *         brings nothing new, the rest is stuck: the objects they wait for are reachable from their
 *         own stacks alone. Their stacks are visited last, so that what they hold lives on; they
 *         are not ended, for what they hold may have finalizers, locks, and cleanup code that
 *         expects to be run.
 * Who is not looked at
 *         Who waits with a deadline, for a descriptor or a time; who is bound to a thread. An
 *         object in a variable on some stack or in a global, or in a block of malloc, counts as
 *         reached.
 * Not     Looking in each cycle beside the program: stacks would have to be read in a certain
 *         order, and a goroutine that was taken for stuck may be woken meanwhile. */
#include "sched/state.h"
#include <weir/chan.h>

static const struct stuck_ops *ops;     /* whoever stopped the world; the rest too */
static struct g               *waiting; /* by scan_next */

static bool may_be_stuck(const struct g *g)
{
        if (load_acquire(&g->state) != G_PARKED || load_acquire(&g->ctx.on_cpu) || g->wait_timed ||
            load_relaxed(&g->locks))
                return false;
        switch (load_relaxed(&g->why)) {
        case WHY_SEND:
        case WHY_RECV:
        case WHY_SELECT:
        case WHY_MUTEX:
        case WHY_RLOCK:
        case WHY_WLOCK:
        case WHY_COND:
        case WHY_SEMA:
        case WHY_WG:
        case WHY_ONCE:
                return true;
        case WHY_SEND_NIL:
        case WHY_RECV_NIL:
        case WHY_SELECT_EMPTY:
                /* The root may stand so on purpose, to leave the work to others. */
                return load_relaxed(&g->fn) != weir__sched_run_root;
        default:
                return false;
        }
}

static void range(uintptr_t low, uintptr_t high)
{
        if (low < high)
                ops->visit((struct world_range){ ALIGN_UP(low, (uintptr_t)8), high }, ops->arg);
}

static void visit(struct g *g)
{
        range((uintptr_t)g, (uintptr_t)(g + 1));
        if (!load_acquire(&g->ctx.on_cpu))      /* else it is visited with its thread */
                range((uintptr_t)load_relaxed(&g->ctx.sp), (uintptr_t)g->stack.high);
}

static bool sort(void *head, void *arg)
{
        struct g *g = head;

        (void)arg;
        if (!load_relaxed(&g->id))
                return true;
        if (may_be_stuck(g)) {
                g->scan_next = waiting;
                waiting = g;
        } else {
                visit(g);
        }
        return true;
}

static bool may_be_woken(const struct g *g)
{
        if (load_relaxed(&g->why) == WHY_SELECT) {
                for (size_t i = 0; i < g->wait_ncases; i++) {
                        const struct weir_case *k = &g->wait_cases[i];

                        if ((k->chan && ops->reached(k->chan, ops->arg)) ||
                            (k->ctx && ops->reached(k->ctx, ops->arg)))
                                return true;
                }
                return false;
        }
        return load_relaxed(&g->wait_on) && ops->reached(load_relaxed(&g->wait_on), ops->arg);
}

/* Visits those that may be woken by what was reached so far. */
static bool wake_some(void)
{
        struct g **at = &waiting, *g;
        bool       some = false;

        while ((g = *at)) {
                if (may_be_woken(g)) {
                        *at = g->scan_next;
                        visit(g);
                        some = true;
                } else {
                        at = &g->scan_next;
                }
        }
        return some;
}

size_t weir__stuck_find(const struct stuck_ops *o)
{
        size_t n = 0;

        ops = o;
        waiting = NULL;
        weir__stack_each(sort, NULL);
        do
                ops->follow(ops->arg);
        while (wake_some());
        for (struct g *g = waiting; g; g = g->scan_next, n++) {
                ops->stuck(g, ops->arg);
                visit(g);
        }
        ops->follow(ops->arg);
        waiting = NULL;
        return n;
}
