/* The last cycles: what each was like, for programs and for the trace of the pacer.
 *
 * What    A ring of 256 records, written at the end of each cycle by whoever ran it, read by
 *         weir_gc_history.
 * Locks   history: the ring. A record is copied under it.
 * Not     Quantiles kept as they come: who wants some has the stops of the last 256. */
#include "base/debug.h"
#include "base/lock.h"
#include "gc/gc.h"
#include <unistd.h>

enum { HISTORY = 256 };

static struct lock   lock = LOCK_INIT(history);
static weir_gc_cycle ring[HISTORY];     /* lock: history */
static uint64_t      count;             /* lock: history; records ever */

/* One line: the goal and where the cycle began, where it ended and how far beyond the goal that
 * was, what was allocated while it ran, and the share of all processors that marking took
 * meanwhile. */
static void trace(const weir_gc_cycle *c)
{
        struct out o = { .fd = STDERR_FILENO };
        uint64_t   goal = c->goal ? c->goal : 1, over;
        int64_t    took = c->ended - c->began;

        over = c->before > goal ? (c->before - goal) * 1000 / goal : 0;
        weir__out_print(&o, "gcpacer %llu (%s): goal %llu KiB, began at %llu KiB, ended at %llu KiB, "
                        "over by %llu.%llu %%; %llu KiB born, %s; marking took %llu %% of %u "
                        "processors; next goal %llu KiB\n",
                        (unsigned long long)c->number, c->why, (unsigned long long)goal / 1024,
                        (unsigned long long)c->at_start / 1024,
                        (unsigned long long)c->before / 1024, (unsigned long long)over / 10,
                        (unsigned long long)over % 10, (unsigned long long)c->born / 1024,
                        c->slowed ? "slowed" : "not slowed",
                        (unsigned long long)(c->cpu_ns * 100 /
                                             (uint64_t)MAX(took * weir__sched_procs(), INT64_C(1))),
                        weir__sched_procs(), (unsigned long long)c->next_goal / 1024);
        weir__out_flush(&o);
}

void weir__history_add(const weir_gc_cycle *c)
{
        lock_take(&lock);
        ring[count++ % HISTORY] = *c;
        lock_drop(&lock);
        if (unlikely(weir__debug.gcpacertrace))
                trace(c);
}

void weir__history_forked(void)
{
        lock_init(&lock, history);
}

size_t weir_gc_history(weir_gc_cycle *ret, size_t n)
{
        size_t have = 0;

        lock_take(&lock);
        for (; have < n && have < count && have < HISTORY; have++)
                ret[have] = ring[(count - 1 - have) % HISTORY];
        lock_drop(&lock);
        return have;
}
