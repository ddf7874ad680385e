/* The monitor: a thread that watches the others.
 *
 * What    It has no processor. It keeps the coarse clock, wakes a thread for work that has waited
 *         while a processor is idle, moves what waits behind a goroutine that computes for long to
 *         the global queue when none is, polls when nobody has, answers SIGQUIT, prints schedtrace,
 *         and finds that all goroutines are asleep. Taking processors from blocked threads and
 *         preemption belong here too.
 * States  watching (a futex with a limit), deep asleep (a futex without one, when all is idle for
 *         some rounds; sched.monitor_deep is then 1 and the next thread that takes a processor
 *         raises the futex), done (the root function has returned).
 * Cost    While processors are both busy and idle it wakes every 200 us, while all are busy every
 *         millisecond (that is how late a timer may be seen there), else every 10 ms; in a process
 *         that does nothing, never. A thread that stood still since the last round gets a second
 *         look after 50 us, and once one was found in a call that blocks, the rounds are 20 us
 *         apart for half a millisecond, then ever longer: such calls come in flocks. A round costs
 *         some 4 us.
 * Not     The thread that called weir_run, which has nothing else to do: it is where the kernel
 *         runs the process's signal handlers first, and one that lingers would let no timer be seen
 *         and no loop be stopped. This one has all signals blocked. */
#include "sched/state.h"
#include "mem/mem.h"
#include <stdlib.h>
#include <unistd.h>

enum {
        PERIOD_MIXED = 200 * 1000,
        PERIOD_BUSY = 1000 * 1000,
        PERIOD_HELD = 200 * 1000,       /* after a goroutine that computed for long: so many rounds */
        HELD_ROUNDS = 500,
        PERIOD_PERHAPS = 50 * 1000,
        PERIOD_BLOCKED = 20 * 1000,     /* after one that blocked: so many rounds, then doubled */
        BLOCKED_ROUNDS = 25,
        PERIOD = 10 * 1000 * 1000,
        DEEP_AFTER = 20,                /* idle rounds */
        POLL_LATE = 10 * 1000 * 1000,
        STUCK = 10 * 1000 * 1000,
};

void weir__monitor_raise(void)
{
        fetch_add_seq(&sched.monitor, 1);
        weir__os_futex_wake(&sched.monitor, 1);
}

/* ---- all goroutines are asleep ---- */

static bool nothing_can_wake(void)
{
        bool nothing;

        lock_take(&sched.lock);
        nothing = weir__all_idle() && !sched.global.count && load_seq(&sched.poller) != POLLER_WORKING &&
                  !load_seq(&sched.blocked) && !load_seq(&sched.root_done);
        for (uint32_t i = 0; nothing && i < load_acquire(&sched.nall); i++)
                nothing = load_seq(&sched.procs[i]->timer_when) == INT64_MAX &&
                          weir__runq_empty(sched.procs[i]);
        lock_drop(&sched.lock);
        if (!nothing || (weir__sched_hooks.poll_parked && weir__sched_hooks.poll_parked()))
                return false;
        /* Other threads of the process may send on a channel; TSan keeps one of its own. */
        return weir__os_thread_count() <=
               (int)(load_seq(&sched.nthreads) + load_relaxed(&sched.own_threads) +
                     weir__mem_threads()) + WEIR_TSAN;
}

static void report_deadlock(void)
{
        struct out o = { .fd = STDERR_FILENO };

        weir__out_print(&o, "fatal: all goroutines are asleep: deadlock%s\n\n",
                        load_seq(&sched.root_exited) ? " (the root called weir_go_exit)" : "");
        weir__dump_all(&o);
        weir__dump_waits(&o);
        weir__order_tell(&o);
        _exit(2);
}

/* ---- rounds ---- */

static void dump_and_exit(void)
{
        struct out o = { .fd = STDERR_FILENO };

        weir__out_print(&o, "SIGQUIT: %llu goroutines on %u processors, %u threads\n\n",
                        (unsigned long long)(weir__counter_sum(COUNTER_goroutines_started) -
                                             weir__counter_sum(COUNTER_goroutines_finished)),
                        load_relaxed(&sched.nprocs),
                        load_relaxed(&sched.nthreads) + load_relaxed(&sched.own_threads));
        weir__dump_all(&o);
        weir__order_tell(&o);
        _exit(2);
}

static void wake_late(void)
{
        bool late = load_relaxed(&sched.nglobal) != 0;

        if (!load_relaxed(&sched.nidle) || load_relaxed(&sched.spinning))
                return;
        for (uint32_t i = 0; !late && i < load_acquire(&sched.nall); i++) {
                struct p *p = sched.procs[i];

                late = load_relaxed(&p->state) == P_RUNNING && !weir__runq_empty(p);
        }
        if (!late)
                return;
        weir__counter_shared(COUNTER_late_wakes, 1);
        weir__sched_wake();
}

/* Who computes for long without a call keeps its processor's queue waiting, and while all
 * processors are busy nobody steals. So the queue goes to the global one, at which each processor
 * looks. */
static void relieve_stuck(int64_t now)
{
        static struct {
                uint64_t switches;
                int64_t  since;
        } seen[PROCS_MAX];                              /* only the monitor */
        struct glist l = { 0 };

        for (uint32_t i = 0; load_relaxed(&sched.nprocs) > 1 && i < load_acquire(&sched.nall); i++) {
                struct p *p = sched.procs[i];
                uint64_t  switches = load_relaxed(&p->counters.value[COUNTER_switches]);

                if (switches != seen[i].switches || weir__runq_empty(p)) {
                        seen[i].switches = switches;
                        seen[i].since = now;
                } else if (now - seen[i].since >= STUCK) {
                        weir__runq_drain(p, &l);
                }
        }
        weir__global_put_list(&l);
}

/* Overdue timers of a processor that is busy: let an idle one take them. */
static void wake_for_timers(int64_t now)
{
        for (uint32_t i = 0; i < load_acquire(&sched.nall); i++)
                if (load_relaxed(&sched.procs[i]->timer_when) < now) {
                        weir__sched_wake();
                        return;
                }
}

/* Nobody is in the poller: its thread found work, and the others were asleep already. An idle
 * processor means that one of them can be woken to take the post; else the monitor looks itself. */
static void poll_late(int64_t now)
{
        struct glist l = { 0 };

        if (load_relaxed(&sched.poller) != POLLER_NONE || !weir__sched_hooks.poll_open ||
            !weir__sched_hooks.poll_open())
                return;
        weir__sched_wake();
        if (now - load_relaxed(&sched.last_poll) < POLL_LATE)
                return;
        store_relaxed(&sched.last_poll, now);
        if (weir__sched_poll(0, &l)) {
                weir__global_put_list(&l);
                weir__sched_wake();
        }
}

static void print_trace(int64_t now)
{
        struct out o = { .fd = STDERR_FILENO };

        weir__out_print(
                &o, "SCHED %lldms: procs=%u idle=%u threads=%u spinning=%u blocked=%u runq=%u [",
                (long long)((now - sched.started_at) / 1000000), load_relaxed(&sched.nprocs),
                load_relaxed(&sched.nidle),
                load_relaxed(&sched.nthreads) + load_relaxed(&sched.own_threads),
                load_relaxed(&sched.spinning), load_relaxed(&sched.blocked),
                load_relaxed(&sched.nglobal) + weir__order_count());
        for (uint32_t i = 0; i < load_acquire(&sched.nall); i++)
                weir__out_print(&o, "%s%u", i ? " " : "", weir__runq_size(sched.procs[i]));
        weir__out_print(&o, "] goroutines=%llu\n",
                        (unsigned long long)(weir__counter_sum(COUNTER_goroutines_started) -
                                             weir__counter_sum(COUNTER_goroutines_finished)));
        weir__out_flush(&o);
}

static struct {
        enum held held;                 /* by the last round */
        unsigned  held_rounds;          /* left of those after a goroutine that computed */
        unsigned  blocked_rounds;       /* since one blocked */
        int64_t   blocked_period;
} pace = { .blocked_period = PERIOD };  /* only the monitor */

static void pace_set(enum held held)
{
        pace.held = held;
        if (held == HELD_COMPUTING || held == HELD_BLOCKED)
                pace.held_rounds = HELD_ROUNDS;
        else if (pace.held_rounds)
                pace.held_rounds--;
        if (held == HELD_BLOCKED) {
                pace.blocked_rounds = 0;
                pace.blocked_period = PERIOD_BLOCKED;
        } else if (pace.blocked_period < PERIOD && ++pace.blocked_rounds > BLOCKED_ROUNDS) {
                pace.blocked_period *= 2;
        }
}

static int64_t period(void)
{
        int64_t ordinary = PERIOD_BUSY;

        if (weir__all_idle())
                ordinary = PERIOD;
        else if (load_relaxed(&sched.nidle))
                ordinary = PERIOD_MIXED;
        if (pace.held_rounds)
                ordinary = PERIOD_HELD;
        if (pace.held == HELD_PERHAPS)
                ordinary = MIN(ordinary, (int64_t)PERIOD_PERHAPS);
        return MIN(ordinary, pace.blocked_period);
}

void weir__monitor_run(void)
{
        int64_t  trace_every = weir__debug.schedtrace * 1000000, traced = weir__os_now();
        int64_t  watch_every = weir__debug.memwatch * 1000000, watched = traced;
        unsigned idle_rounds = 0;
        bool     seeded = sched.order == ORDER_SEEDED;
        bool     trimming = !seeded;    /* stacks have memory that may go */
        uint64_t switches = 0;

        while (!load_acquire(&sched.root_done)) {
                uint32_t seen = load_seq(&sched.monitor);
                bool     deep = idle_rounds >= DEEP_AFTER && !trace_every && !watch_every && !trimming;
                int64_t  now;

                if (deep) {
                        store_seq(&sched.monitor_deep, 1);
                        deep = weir__all_idle();              /* after the store: see weir__m_take_p */
                }
                if (!load_seq(&sched.dump_wanted) && !load_seq(&sched.root_done))
                        weir__os_futex_wait(&sched.monitor, seen, deep ? -1 : period());
                if (load_relaxed(&sched.monitor_deep)) {
                        store_seq(&sched.monitor_deep, 0);
                        idle_rounds = 0;
                }
                now = weir__os_now();
                if (load_seq(&sched.dump_wanted))
                        dump_and_exit();
                if (trace_every && now - traced >= trace_every) {
                        traced = now;
                        print_trace(now);
                }
                if (watch_every && now - watched >= watch_every) {
                        struct out o = { .fd = STDERR_FILENO };

                        watched = now;
                        (void)weir__growth_look(&o);
                }
                if (likely(!seeded)) {          /* else nothing may depend on real time */
                        store_relaxed(&weir__sched_coarse, now);
                        store_relaxed(&sched.wake_credit, 1);
                        weir__hold_collect();
                        pace_set(load_seq(&sched.world) & 1 ? HELD_NOT : weir__hold_watch(now));
                        wake_late();
                        relieve_stuck(now);
                        wake_for_timers(now);
                        poll_late(now);
                        /* Either this sees a stop of the world, or who makes one sees this. */
                        store_seq(&sched.monitor_reads, 1);
                        if (!(load_seq(&sched.world) & 1))
                                weir__procs_follow(now);
                        store_seq(&sched.monitor_reads, 0);
                        if (weir__sched_hooks.tick)
                                weir__sched_hooks.tick(now);
                        if (unlikely(weir__debug.growth > 0))
                                weir__growth_watch(now);
                        trimming = weir__trim_round(now, weir__all_idle());
                }
                if (!weir__all_idle() ||
                    (!seeded && weir__counter_sum(COUNTER_switches) != switches)) {
                        switches = weir__counter_sum(COUNTER_switches);
                        idle_rounds = 0;
                        continue;
                }
                if (++idle_rounds >= (seeded ? 1 : 2) && weir__debug.deadlock && nothing_can_wake())
                        report_deadlock();
        }
}
