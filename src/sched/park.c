/* Park, ready, yield: how a goroutine leaves its thread and comes back.
 *
 * What    A goroutine that waits goes straight to the next one of its processor: one switch, not
 *         two through a scheduler stack. Only when there is nothing local, or its slice is over,
 *         does it switch to g0, the thread's own stack, where find.c looks wider.
 * Order   A goroutine is readied, queued and dequeued while it may still be on its way out. The
 *         switch clears context.on_cpu last (release); weir__sched_switch waits for that (acquire)
 *         before it enters a stack. The wait is some instructions long unless the other thread has
 *         just lost its core; then this one gives its own away.
 *         So no lock is held across a switch, and a waker needs no word from the goroutine.
 * Cost    park + ready through runnext: two locked instructions and one switch. A switch of
 *         goroutines is 1.25 times that of stacks and registers alone (test/soak/switch.c).
 * Not     Unlocking "on behalf of" the one that left, from the next stack (Go's mcall): each
 *         waiting place then needs a callback, and the lock is held longer. */
#include "sched/state.h"
#include "sched/san.h"
#include <weir/go.h>

int64_t weir__sched_coarse;

/* What enters a stack: it is a goroutine's, and counts. */
static inline void enter(struct m *m, struct g *to)
{
        check(load_relaxed(&to->state) == G_RUNNABLE);
        store_relaxed(&to->state, G_RUNNING);
        owner_add(&to->switches, 1);
        count_in(&m->p->counters, switches, 1);
}

/* How long one in some goroutines waits between ready and running: its flag sends the switch that
 * enters it the long way, so the others pay one test where they are readied. */
void weir__sched_time(struct g *g)
{
        store_relaxed(&g->since, weir__os_now());
        fetch_or_seq(&g->ctx.flags, (uint32_t)CTX_TIMED);   /* the monitor may set another */
}

static slowpath void timed(struct p *p, struct g *g)
{
        fetch_and_relaxed(&g->ctx.flags, ~(uint32_t)CTX_TIMED);
        weir__histogram_add(&p->counters, HISTOGRAM_sched_latency,
                            weir__os_now() - load_relaxed(&g->since));
}

/* The last steps. On return the goroutine has come back, perhaps on another thread. */
static inline void leave(struct m *m, struct g *from, struct g *to)
{
        m->g = to;
        san_leave(from, to);
        weir__arch_switch(&from->ctx, &to->ctx);
        san_arrived(from);
        /* By way of m: then nothing need be kept over the switch, and nothing be saved for it. */
        m = self();
        *m->err = m->g->saved_errno;
}

/* A switch with a flag on one side. This and leave_when_free are whole switches of their own, lest
 * the usual one keep anything over a call: they are jumped to, not called. Where the compiler
 * cannot do that they are a part of the usual one, so that the stack of who waits is the same in
 * each case, and a dump finds it equal to others. */
#if WEIR_TSAN || WEIR_ASAN || !defined __OPTIMIZE__
#define apart inline __attribute__((__always_inline__))
#else
#define apart noinline
#endif

/* Of the collector nothing is modelled. */
static inline uint32_t is_scanning(void)
{
#ifdef WEIR_MODEL
        return 0;
#else
        return load_relaxed(&sched.scanning);
#endif
}

static apart void leave_flagged(struct m *m, struct g *from, struct g *to)
{
        if (load_relaxed(&from->ctx.flags) & CTX_CANARY && weir__stack_canary_broken(&from->stack))
                weir__fault_canary(from);
        /* acquire: pairs with the release in trim.c, the memory is gone or it stays */
        for (unsigned i = 0; load_acquire(&to->ctx.flags) & CTX_TRIM; i++) {
                if (i < 200)
                        weir__spin_pause();
                else
                        weir__os_yield();
        }
        if (!(load_relaxed(&to->ctx.flags) & CTX_G0)) {
                if (load_relaxed(&to->ctx.flags) & CTX_TIMED)
                        timed(m->p, to);
                if (unlikely(is_scanning()))
                        weir__scan_enter(to);
                if (load_relaxed(&to->ctx.flags) & CTX_SCANNED)
                        weir__scan_touch(to);
                enter(m, to);
        }
        leave(m, from, to);
}

static inline void leave_free(struct m *m, struct g *from, struct g *to)
{
        store_relaxed(&to->ctx.on_cpu, 1);
        store_relaxed(&from->m, NULL);
        store_release(&to->m, m);                       /* pairs with the acquire in dump.c */
        /* on_cpu is stored before the flag of a trim is read; the processor may still turn them
         * around, trim.c makes up for that with a fence for all. */
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        if (unlikely(load_relaxed(&from->ctx.flags) | load_relaxed(&to->ctx.flags) |
                     is_scanning())) {
                leave_flagged(m, from, to);
                return;
        }
        enter(m, to);
        leave(m, from, to);
}

static apart void leave_when_free(struct m *m, struct g *from, struct g *to)
{
        for (unsigned i = 0; load_acquire(&to->ctx.on_cpu); i++) {
                if (i < 200)
                        weir__spin_pause();
                else
                        weir__os_yield();
        }
        leave_free(m, from, to);
}

/* Leaves from for to, both the caller's. Comes back when somebody switches to from again, perhaps
 * on another thread: whoever needs the current m after this asks for it anew. */
void weir__sched_switch(struct m *m, struct g *from, struct g *to)
{
        check(m->g == from);
        from->saved_errno = *m->err;
        if (unlikely(load_acquire(&to->ctx.on_cpu)))    /* pairs with the release in the switch */
                leave_when_free(m, from, to);
        else
                leave_free(m, from, to);
}

struct g *weir__sched_pick(struct m *m)
{
        struct p *p = m->p;
        int64_t   now = load_relaxed(&weir__sched_coarse);

        if (unlikely(!--p->budget || load_relaxed(&sched.attention)))
                return NULL;
        if (unlikely(now >= p->wide_due)) {
                p->budget = 0;
                return NULL;
        }
        if (unlikely(now >= load_relaxed(&p->timer_when)))
                return NULL;                            /* find.c runs it, and what it readies */
        return weir__runq_get(p);
}

void weir__sched_park_begin(struct g *g, enum why why, const void *on)
{
        check(load_relaxed(&g->state) == G_RUNNING);
        store_relaxed(&g->why, (uint16_t)why);
        store_relaxed(&g->wait_on, on);
        store_relaxed(&g->since, load_relaxed(&weir__sched_coarse));
        weir__sched_own(g, NULL, 0);
        if (unlikely(weir__debug.migrate)) {
                g->parked_on = self()->id + 1;
                g->refused = 0;
        }
        store_release(&g->state, G_PARKED);
}

void weir__sched_park_cancel(struct g *g)
{
        store_relaxed(&g->state, G_RUNNING);
}

bool weir__sched_may_spin(void)
{
        struct p *p = self()->p;

        return load_relaxed(&sched.nprocs) > 1 &&
               load_relaxed(&sched.nidle) + 1 < load_relaxed(&sched.nprocs) &&
               !load_relaxed(&p->runnext) && weir__runq_lone(p);
}

void weir__sched_park(struct g *g)
{
        struct m *m = self();
        struct g *next;

        check(m->p);
        count_in(&m->p->counters, parks, 1);
        if (unlikely(weir__debug.lockcheck))
                weir__watch_parks(g);
        if (unlikely(g->locks)) {
                weir__lock_wait(m, g);
                return;
        }
        if (unlikely(weir__debug.migrate)) {
                weir__sched_switch(m, g, &m->g0);       /* the loop looks at who it is */
                return;
        }
        next = weir__sched_pick(m);
        if (unlikely(next == g)) {                      /* readied before it left */
                if (load_relaxed(&g->ctx.flags) & CTX_TIMED)
                        timed(m->p, g);
                store_relaxed(&g->state, G_RUNNING);
                return;
        }
        weir__sched_switch(m, g, next ? next : &m->g0);
}

void weir__sched_ready(struct g *g)
{
        struct m    *m = self();
        struct glist l = { 0 };

        check(load_acquire(&g->state) == G_PARKED);
        if (unlikely(load_relaxed(&g->ctx.flags) & CTX_SCANNED))
                weir__scan_touch(g);
        store_relaxed(&g->state, G_RUNNABLE);
        if (unlikely(load_relaxed(&g->locks))) {
                weir__count(readies, 1);
                weir__bound_add(g->thread, false);
                return;
        }
        if (likely(m && m->p && !weir__debug.migrate)) {
                count_in(&m->p->counters, readies, 1);
                if (unlikely(!(m->p->counters.value[COUNTER_readies] % TIMED_EVERY)))
                        weir__sched_time(g);
                weir__runq_next(m->p, g);
                weir__sched_wake_for(m->p);
                return;
        }
        weir__counter_shared(COUNTER_readies, 1);
        weir__glist_push(&l, g);
        weir__global_put_list(&l);
        weir__sched_wake();
}

void weir_yield(void)
{
        struct g *g = weir__sched_need_g("weir_yield"), *next;
        struct m *m = self();
        struct p *p = m->p;

        if (likely(p->budget > 1) && !load_relaxed(&p->runnext) && weir__runq_lone(p)) {
                p->budget--;                            /* nobody else here */
                return;
        }
        count_in(&p->counters, yields, 1);
        if (unlikely(g->locks)) {
                weir__lock_yield(m, g);
                return;
        }
        store_relaxed(&g->state, G_RUNNABLE);
        weir__runq_put(p, g);
        next = weir__sched_pick(m);
        if (next == g) {
                store_relaxed(&g->state, G_RUNNING);
                return;
        }
        weir__sched_switch(m, g, next ? next : &m->g0);
}

uint64_t weir_go_id(void)
{
        struct g *g = weir__sched_g();

        return g ? g->id : 0;
}
