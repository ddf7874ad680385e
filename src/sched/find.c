/* Finding work: what a thread does when its processor has nothing local to run.
 *
 * What    In order: the local queues, the global queue, due timers, the poller, other processors.
 *         Then the thread gives its processor up and sleeps: one thread in the poller, with the
 *         earliest timer as its limit, the others on a futex.
 * States  A thread that looks for work is *spinning*; at most half as many spin as processors are
 *         busy. Who makes work and sees an idle processor and nobody spinning wakes a thread, which
 *         spins in turn; it wakes the next when it finds something. So work spreads one thread at
 *         a time, and a burst of a thousand readies makes one wake.
 * Order   "Put work, then look for spinners" against "stop spinning, then look for work": the put
 *         side is a locked exchange for runnext and for the global queue's count; for the ring and
 *         the deque it is a plain store, so the load of `spinning` may pass it, and a thread may go
 *         to sleep over that work. Its owner still has it, and the monitor looks at every queue
 *         while a processor is idle (sysmon.c): it is then late by some microseconds, not lost. The
 *         last look in go_idle() is ordered by the locked decrement of `spinning`.
 * Shy     A thread whose last steals of started goroutines were not worth their cost, for all that
 *         came of each was over within TINY_NS, takes no more of those for SHY_NS: it makes stacks
 *         for who starts them, or sleeps. Such goroutines run best where they were started: taken
 *         one by one they drag their stacks, and what they share, from core to core. While the last
 *         thread that went to sleep was shy, a crowd waits for credit too. The monitor wakes it.
 * Cost    Waking a thread costs the waker 8 us and the goroutine 20. So a few runnable goroutines
 *         do not wake one each time, only when the monitor's credit allows it, which it renews some
 *         thousand times a second: who readies a goroutine most often parks at once (ping-pong,
 *         mutex hand-over, producer and consumer). Where that was wrong the monitor wakes one late.
 *         A crowd does not wait for credit, nor does a thread that found more than it can run.
 * Not     A separate thread for the poller: every event would cross threads. Waking for every ready
 *         as Go does: on two cores a ping-pong then spends more in futexes than in channels. */
#include "sched/state.h"
#include "sched/san.h"

struct sched_hooks weir__sched_hooks;

enum {
        EVENTS = 128,
        GLOBAL_BATCH = 64,
        CROWD = 16,
        GRACE_NS = 10 * 1000 * 1000,
        TINY_NS = 1000,                 /* a steal that keeps a thread busy for less costs more */
        VAIN = 4,                       /* so many of them in a row make it shy, ... */
        SHY_NS = 100 * 1000,            /* ... for so long, after which one more does */
};

/* ---- the poller ---- */

/* Those that stay on a thread are in no queue. */
static slowpath void take_locked(struct glist *ready)
{
        struct glist rest = { 0 };

        for (struct g *g = ready->first, *next; g; g = next) {
                next = g->next;
                if (load_relaxed(&g->locks))
                        weir__bound_add(g->thread, false);
                else
                        weir__glist_push(&rest, g);
        }
        *ready = rest;
}

/* Looks at the poller, waiting at most ns. Appends what became runnable, state RUNNABLE. */
bool weir__sched_poll(int64_t ns, struct glist *ready)
{
        struct os_event ev[EVENTS];
        struct m       *m = self();
        int             n = weir__os_poll_wait(ev, EVENTS, ns);
        unsigned        locked = 0;

        if (ns != 0)
                store_seq(&sched.poller, POLLER_WORKING);
        for (int i = 0; i < n; i++)
                weir__sched_hooks.poll_event(ev[i].data, ev[i].what, ready);
        for (struct g *g = ready->first; g; g = g->next) {
                store_relaxed(&g->state, G_RUNNABLE);
                locked |= load_relaxed(&g->locks);
        }
        if (m && m->p) {
                count_in(&m->p->counters, poll_calls, 1);
                count_in(&m->p->counters, poll_events, n);
                count_in(&m->p->counters, readies, ready->count);
        } else {
                weir__counter_shared(COUNTER_poll_calls, 1);
                weir__counter_shared(COUNTER_poll_events, (uint64_t)n);
                weir__counter_shared(COUNTER_readies, ready->count);
        }
        if (unlikely(locked))
                take_locked(ready);
        if (unlikely(weir__debug.netpolltrace) && (n || ns)) {
                struct out o = { .fd = 2 };

                weir__out_print(&o, "netpoll: waited %lld ns, %d events, %u readied\n",
                                (long long)ns, n, ready->count);
                weir__out_flush(&o);
        }
        return ready->first != NULL;
}

static bool net_open(void)
{
        return weir__sched_hooks.poll_open && weir__sched_hooks.poll_open();
}

static void poll_now(struct p *p)
{
        struct glist l = { 0 };

        if (net_open() && load_relaxed(&sched.poller) == POLLER_NONE && weir__sched_poll(0, &l))
                weir__runq_put_list(p, &l);
}

void weir__sched_timer_earlier(int64_t when)
{
        if (load_seq(&sched.poller) == POLLER_BLOCKED && when < load_seq(&sched.poll_until))
                weir__os_poll_interrupt();
}

static int64_t earliest_timer(void)
{
        int64_t when = INT64_MAX;

        for (uint32_t i = 0; i < load_acquire(&sched.nall); i++)
                when = MIN(when, load_seq(&sched.procs[i]->timer_when));
        return when;
}

static unsigned run_timers(struct p *of)
{
        int64_t when = load_relaxed(&of->timer_when), now;

        if (when == INT64_MAX || (now = weir__sched_clock()) < when)
                return 0;
        return weir__sched_hooks.timers_run(of, now);
}

/* ---- waking ---- */

void weir__sched_wake(void)
{
        struct p *p = NULL;
        uint32_t  none = 0;
        bool      poller = false;

        if (!load_seq(&sched.nidle) || load_seq(&sched.spinning) ||
            !cas_seq(&sched.spinning, &none, 1))
                return;
        lock_take(&sched.lock);
        if (sched.idle_m ||
            (load_relaxed(&sched.nthreads) - weir__threads_held() < load_relaxed(&sched.nprocs) &&
             weir__os_now() >= sched.start_again))
                p = weir__p_idle_get();
        else
                /* The thread to spare is in the poller, or on its way there: then it looks at the
                 * queues once more after it has raised POLLER_BLOCKED. */
                poller = load_seq(&sched.poller) == POLLER_BLOCKED;
        lock_drop(&sched.lock);
        if (p) {
                (void)weir__m_give(p, true);
                return;
        }
        fetch_sub_seq(&sched.spinning, 1);
        /* Who put work in the meantime took this thread for one that looks. (Test model/sleep found
         * the last thread in the poller and the work in the global queue.) */
        if (poller || (load_seq(&sched.nglobal) && load_seq(&sched.poller) == POLLER_BLOCKED)) {
                weir__os_poll_interrupt();
                weir__counter_shared(COUNTER_thread_wakes, 1);
        }
}

/* After something was made runnable on p, whose owner goes on running. */
void weir__sched_wake_for(struct p *p)
{
        if (likely(!load_relaxed(&sched.nidle)) || load_relaxed(&sched.spinning))
                return;
        if ((weir__runq_size(p) < CROWD || load_relaxed(&sched.shy)) &&
            !(load_relaxed(&sched.wake_credit) && exchange_acquire(&sched.wake_credit, 0)))
                return;
        weir__sched_wake();
}

/* ---- looking ---- */

/* What a thief has seen of each processor's runnext: it takes one only when the same goroutine
 * stood there for some microseconds, for most are run by their own processor at once. */
struct seen {
        int64_t   since;
        struct g *next;
        uint64_t  ticks;
};

static uint64_t switches_of(const struct p *p)
{
        return load_relaxed(&p->counters.value[COUNTER_switches]);
}

static bool stale_next(struct p *p, struct seen *s, int64_t now)
{
        struct g *next = load_relaxed(&p->runnext);
        uint64_t  ticks = switches_of(p);

        if (!next || next != s->next || ticks != s->ticks) {
                *s = (struct seen){ .since = now, .next = next, .ticks = ticks };
                return false;
        }
        return now - s->since > 5000;
}

static struct g *steal(struct m *m, struct seen *seen, int64_t now)
{
        struct p *p = m->p;
        uint32_t  n = load_acquire(&sched.nall), first = weir__rand_below(&p->rand, n);

        for (uint32_t i = 0; i < n; i++) {
                uint32_t  at = first + i < n ? first + i : first + i - n;
                struct p *from = sched.procs[at];
                struct g *g;

                if (from == p)
                        continue;
                if (!m->shy && (g = weir__runq_steal_spawned(p, from))) {
                        m->stole_from = from;
                        m->stole_when = switches_of(from);
                        m->stole_at = now;
                        return g;
                }
                if ((g = weir__runq_steal(p, from, stale_next(from, &seen[at % 64], now))))
                        return g;
                if (run_timers(from) && (g = weir__runq_get(p)))
                        return g;
        }
        return NULL;
}

/* What came of the last steal of a started goroutine, and whether to take another one. From who has
 * not switched since, and so would not have run it, no steal is in vain. */
static void weigh_steal(struct m *m, int64_t now)
{
        if (m->stole_from && now - m->stole_at >= TINY_NS) {
                m->vain = 0;
                if (load_relaxed(&sched.shy))
                        store_relaxed(&sched.shy, 0);
        } else if (m->stole_from && switches_of(m->stole_from) != m->stole_when &&
                   ++m->vain >= VAIN) {
                m->vain = VAIN - 1;
                m->shy = true;
                m->shy_until = now + SHY_NS;
                count_in(&m->p->counters, shy_thieves, 1);
        }
        m->stole_from = NULL;
        if (m->shy && now >= m->shy_until)
                m->shy = false;
}

/* Whether another processor runs: only its goroutines could make work for this one to find. Events
 * and timers make some too, and for those a thread waits in the poller. */
static bool others_run(void)
{
        return load_relaxed(&sched.nidle) + 1 < load_relaxed(&sched.nprocs);
}

/* Looks everywhere for a while. Comes back spinning or not, as m->spinning says. */
static struct g *look_around(struct m *m)
{
        struct seen seen[64] = { 0 };
        int64_t     start, now;
        bool        ahead;
        struct g   *g;

        if (load_relaxed(&sched.nall) == 1)
                return NULL;
        if (!m->spinning) {
                uint32_t busy = load_relaxed(&sched.nprocs) - load_relaxed(&sched.nidle);

                if (2 * load_relaxed(&sched.spinning) >= busy)
                        return NULL;
                m->spinning = true;
                fetch_add_seq(&sched.spinning, 1);
        }
        start = now = weir__os_now();
        weigh_steal(m, now);
        do {
                if ((g = steal(m, seen, now)) || (g = weir__global_get(m->p, GLOBAL_BATCH)))
                        return g;
                if (run_timers(m->p) && (g = weir__runq_get(m->p)))
                        return g;
                ahead = weir__sched_spawn_ahead(m->p);
                for (unsigned i = 0; !ahead && i < 16; i++)
                        weir__spin_pause();
                poll_now(m->p);
                if ((g = weir__runq_get(m->p)))
                        return g;
                now = weir__os_now();
                if (ahead)
                        start = now;
        } while (now - start < sched.spin_ns && others_run() && !load_relaxed(&sched.stopping));
        return NULL;
}

static void stop_spinning(struct m *m)
{
        m->spinning = false;
        if (fetch_sub_seq(&sched.spinning, 1) == 0)
                weir__throw("negative count of spinning threads");
}

/* Whether there is work that m would take. */
static bool work_somewhere(const struct m *m)
{
        for (uint32_t i = 0; i < load_acquire(&sched.nall); i++)
                if (m->shy ? !weir__runq_ring_empty(sched.procs[i])
                           : !weir__runq_lone(sched.procs[i]))
                        return true;
        return load_seq(&sched.nglobal) != 0;
}

static bool take_idle_p(struct m *m)
{
        struct p *p;

        if (!load_seq(&sched.nidle))
                return false;
        lock_take(&sched.lock);
        p = weir__p_idle_get();
        lock_drop(&sched.lock);
        if (p)
                weir__m_take_p(m, p);
        return p != NULL;
}

/* Gives the processor up; takes one again when there is work after all. */
static void go_idle(struct m *m)
{
        lock_take(&sched.lock);
        if (sched.global.count || sched.bound.count || sched.hogs.count) {
                lock_drop(&sched.lock);
                return;
        }
        weir__p_idle_put(weir__m_drop_p(m));
        if (load_relaxed(&sched.shy) != m->shy)
                store_relaxed(&sched.shy, m->shy);
        lock_drop(&sched.lock);
        if (!m->spinning)
                return;
        stop_spinning(m);               /* locked: ordered before the last look */
        if (work_somewhere(m))
                take_idle_p(m);
}

/* By the clock of WEIR_DEBUG=sched no thread can sleep: who has the processor moves it. */
static int64_t poll_limit(void)
{
        return sched.order == ORDER_SEEDED ? INT64_MAX : earliest_timer();
}

/* In the poller until an event, a timer or an interrupt; the caller has raised POLLER_BLOCKED.
 * On return m may have a processor. */
static void wait_in_poller(struct m *m)
{
        int64_t      when = poll_limit();
        struct glist l = { 0 };

        store_seq(&sched.poll_until, when);
        /* Once more, for a timer that was set between the look and the store, whose owner saw a
         * later limit or no blocked poller; and for work that was put while this thread was
         * leaving. */
        when = MIN(when, poll_limit());
        if (load_seq(&sched.stopping) || (load_seq(&sched.nidle) && work_somewhere(m)))
                when = 0;
        if (when == INT64_MAX || when > weir__os_now() || net_open())
                weir__sched_poll(when == INT64_MAX ? -1 : MAX(when - weir__os_now(), (int64_t)0),
                                 &l);
        store_relaxed(&weir__sched_coarse, weir__sched_clock());
        store_seq(&sched.poller, POLLER_NONE); /* another idle thread may take the post now */
        if (take_idle_p(m))
                weir__runq_put_list(m->p, &l);
        else
                weir__global_put_list(&l);
}

/* The end of a thread's work: the root function has returned. */
static _Noreturn void stop(struct m *m)
{
        if (m->spinning)
                stop_spinning(m);
        if (m->p) {
                lock_take(&sched.lock);
                weir__p_idle_put(weir__m_drop_p(m));
                lock_drop(&sched.lock);
        }
        for (;;)
                weir__os_sleep(INT64_C(1) << 50);
}

/* Sleeps until there may be work. On return m has a processor, or the program is stopping. */
static void wait_for_work(struct m *m)
{
        while (!m->p && !load_seq(&sched.stopping)) {
                uint32_t none = POLLER_NONE;

                if (cas_seq(&sched.poller, &none, POLLER_BLOCKED)) {
                        wait_in_poller(m);
                        continue;
                }
                lock_take(&sched.lock);
                if (sched.idle_p && (sched.global.count || work_somewhere(m))) {
                        struct p *p = weir__p_idle_get();

                        lock_drop(&sched.lock);
                        weir__m_take_p(m, p);
                        return;
                }
                m->idle_next = sched.idle_m;
                sched.idle_m = m;
                lock_drop(&sched.lock);
                weir__m_sleep(m);
        }
}

/* The wide look, due when the budget is used up. All that waits elsewhere queues up behind what
 * waits in the ring, and the head of the ring runs: so no source of work, however rich, keeps
 * another waiting. (Once the global queue went first: goroutines that came back from blocking calls
 * kept it filled, and those started early waited for ever.) */
static struct g *look_wide(struct p *p)
{
        struct g *g;

        /* Somebody else's timers, each in its turn: he may compute for long. */
        run_timers(sched.procs[weir__rand_below(&p->rand, load_acquire(&sched.nall))]);
        poll_now(p);
        if (weir__runq_room(p)) {
                weir__global_fetch(p, MIN(weir__runq_room(p), (uint32_t)GLOBAL_BATCH));
        } else {
                p->turn = !p->turn;
                if (p->turn && (g = weir__global_get(p, 1)))
                        return g;
        }
        return weir__runq_get_fair(p, load_relaxed(&weir__sched_coarse));
}

/* Timers stay with the processor on which they were set. */
static void run_retired_timers(void)
{
        for (uint32_t i = load_relaxed(&sched.nprocs); i < load_acquire(&sched.nall); i++)
                run_timers(sched.procs[i]);
}

/* At a wide look, threads that wait for a processor have their turn: those that were stopped
 * because they compute only when this processor served others for as long. */
static bool serve_bound(struct m *m)
{
        int64_t stopped = load_relaxed(&m->p->stopped_at);

        return weir__bound_serve(m, load_relaxed(&weir__sched_coarse) - stopped >=
                                            load_relaxed(&m->p->stopped_for));
}

/* ---- in the order of a seed ---- */

/* What has happened to descriptors. While a goroutine waits for one, the clock does not jump over a
 * wait at once: the other end may be a thread or process that needs real time. */
static bool poll_seeded(struct p *p, bool wait)
{
        struct glist l = { 0 };
        uint32_t     none = POLLER_NONE;
        bool         got;

        if (!net_open() || !cas_seq(&sched.poller, &none, POLLER_WORKING))
                return false;
        got = weir__sched_poll(0, &l) ||
              (wait && weir__sched_hooks.poll_parked() && weir__sched_poll(GRACE_NS, &l));
        store_seq(&sched.poller, POLLER_NONE);
        weir__runq_put_list(p, &l);
        return got;
}

/* The same as find(), in place of it. */
static struct g *find_seeded(struct m *m)
{
        struct p *p = m->p;

        weir__order_step();
        for (;;) {
                uint32_t n, others;
                int64_t  when;

                run_timers(p);
                n = weir__order_gather(p);
                others = load_relaxed(&sched.bound.count) + load_relaxed(&sched.hogs.count);
                if (n + others) {
                        uint32_t i = weir__order_draw(n + others);

                        if (i < n)
                                return weir__order_take(i);
                        if (weir__bound_serve(m, true))
                                return NULL;
                        continue;
                }
                when = earliest_timer();
                if (poll_seeded(p, when != INT64_MAX))
                        continue;
                if (when == INT64_MAX)
                        break;
                weir__order_jump(p, when);
        }
        go_idle(m);
        weir__monitor_raise();                          /* is it a deadlock? */
        return NULL;
}

/* ---- the loop ---- */

/* A goroutine to run; NULL when there is none and m has given its processor up. */
static struct g *find(struct m *m)
{
        struct p *p = m->p;
        struct g *g;

        if (unlikely(sched.order == ORDER_SEEDED))
                return find_seeded(m);
        if (unlikely(weir__p_retired(p))) {
                if (m->spinning)
                        stop_spinning(m);
                return NULL;
        }
        run_timers(p);
        if (unlikely(load_relaxed(&sched.nretired)))
                run_retired_timers();
        if (!p->budget) {
                if (serve_bound(m))
                        return NULL;
                if (unlikely(sched.order == ORDER_SHUFFLED))
                        weir__order_shuffle(p);
                if ((g = look_wide(p)))
                        return g;
        }
        if ((g = weir__runq_get(p)) || (g = weir__global_get(p, GLOBAL_BATCH)))
                return g;
        if (weir__bound_serve(m, true))
                return NULL;
        if ((g = look_around(m)))
                return g;
        go_idle(m);
        return NULL;
}

/* WEIR_DEBUG=migrate: a goroutine that parked on this thread is left to another one, for some
 * milliseconds at most: the others may all be in blocking calls. */
static slowpath bool leave_to_others(struct m *m, struct g *g)
{
        struct glist l = { 0 };

        if (sched.nprocs == 1 || g->parked_on != m->id + 1 || g->refused++ == 500) {
                g->parked_on = 0;
                return false;
        }
        if (m->spinning)
                stop_spinning(m);
        weir__glist_push(&l, g);
        weir__global_put_list(&l);
        weir__sched_wake();
        weir__os_sleep(10 * 1000);
        return true;
}

void weir__sched_loop(struct m *m)
{
        struct g *g;

        for (;;) {
                if (load_relaxed(&sched.stopping))
                        stop(m);
                if (unlikely(load_seq(&sched.world) & 1) && m->p)
                        weir__world_stand();
                if (unlikely(m->ending))
                        return;
                if (!m->p) {
                        wait_for_work(m);
                        continue;
                }
                g = find(m);
                if (!g || (unlikely(weir__debug.migrate) && leave_to_others(m, g)))
                        continue;
                if (m->spinning) {
                        stop_spinning(m);
                        if (!weir__runq_lone(m->p))
                                weir__sched_wake();     /* more than this thread can run */
                }
                if (!m->p->budget)                      /* only a wide look earns a new one */
                        weir__slice_start(m->p);
                weir__sched_switch(m, &m->g0, g);
        }
}
