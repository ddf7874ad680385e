/* Goroutines that hold their processor: in a call that blocks or lasts, or computing on and on.
 *
 * What    The monitor compares what each processor has switched and what its thread has used of a
 *         core. No switch and no core used since its last round: the thread is blocked. No switch
 *         for a whole slice: it computes. When others wait for that processor, the monitor asks by
 *         a signal, and the handler, which alone knows where the thread stands, decides:
 *
 *           in the program's own text, called by nothing but that   stop: it waits in the handler,
 *                                                                   on its thread, its registers in
 *                                                                   the kernel's frame, until it
 *                                                                   gets a processor again
 *           in libc or another library, below the program           hand off: it goes on without a
 *                                                                   processor until it next calls
 *                                                                   the runtime
 *           in the runtime, or in libc called from there            neither; asked again next round
 *           in a signal handler of the program's                    as where that one interrupted,
 *                                                                   but it is never stopped
 *
 *         Either way the thread gives its processor up and the monitor hands it to another one.
 * Slices  A goroutine that computes is stopped after WEIR_DEBUG=slice where only such goroutines
 *         wait. Where others do, those that compute one after the other share that time, and each
 *         gets a quarter of it at least. (When each had all of it, a queue with four of them kept a
 *         timer waiting for 40 ms.)
 * States  ask: 0 -> ASK_* (monitor, release) -> 0 (handler). given: NULL -> p (handler, release) ->
 *         NULL (by exchange: the monitor, or the thread itself when it needs one before that).
 *         m->lost from the hand-off until weir__sched_regain; m->stopped while in the handler.
 *         The goroutine is BLOCKED while it goes on without a processor, RUNNABLE while stopped.
 * Order   The handler reads and writes what its own thread owns. It is on that thread, which is not
 *         in the runtime, so nothing is half done: no lock of the runtime is held, no processor's
 *         queue half changed. It takes no lock; the list of answers is pushed by compare-exchange.
 * Cost    A round costs 0.4 us for each processor that others wait for; a signal with its handler
 *         some 10 us, and only for a goroutine that held its processor for a round.
 * Where   The runtime's own text is told from the program's by a section (CMakeLists.txt); a frame
 *         is found by the compiler's tables, as in a dump. The linker's stubs and the
 *         compiler's library are in the program's text, so the runtime calls neither (stubs.sh). A
 *         library without tables, a program linked statically with libc, libweir.a built with
 *         -flto: the handler cannot tell, and leaves the thread alone.
 * Not     The thread's state in /proc: ten times as dear as its CPU clock. Taking the processor
 *         without the thread's knowledge, as Go can: Go's compiler tells it of each system call.
 *         Under the address and thread sanitizers: the one defers signals, the other has its own
 *         locks inside the program's text; there weir_blocking alone hands off. */
#include "sched/state.h"
#include <unistd.h>
#include <weir/go.h>

enum ask { ASK_NOTHING, ASK_BLOCKED, ASK_COMPUTING };
enum {
        WALK_MAX = 256,
        KEEP = 64,
        SLICE_PART = 4,
        UNANSWERED = 1000 * 1000 * 1000,
        UNANSWERED_CPU = 200 * 1000 * 1000,
};

static bool usable;                     /* const after init */

/* What the monitor knows of each processor. */
static struct seen {
        uint64_t switches;
        int64_t  since, cpu;
        int64_t  looked;                /* the last round in which it ran */
        int64_t  debt;                  /* what computing goroutines had of it lately */
        int      tid;
} seen[PROCS_MAX];                      /* only the monitor */

static struct lock holds_lock = LOCK_INIT(hold);
static struct hold holds[KEEP];         /* lock: holds_lock: the last ones, by number */
static uint64_t    nholds;              /* lock: holds_lock */

/* ---- the record ---- */

static void print_hold(struct out *o, const struct hold *h)
{
        static const char *const did[] = { "was in a call for", "computed for" };
        char   name[128];
        size_t offset;

        if (h->fn == weir__sched_run_root)
                memcpy(name, "WEIR_MAIN", sizeof "WEIR_MAIN");
        else if (!weir__os_symbol_find((const void *)(uintptr_t)h->fn, name, sizeof name, &offset))
                memcpy(name, "?", 2);
        weir__dump_clean_name(name);
        weir__out_print(o, "goroutine %llu %s %lld us, entry %s\n", (unsigned long long)h->id,
                        did[h->computed], (long long)(h->ns / 1000), name);
        for (unsigned i = 0; i < h->frames; i++) {
                if (weir__os_symbol_find(h->pc[i], name, sizeof name, &offset)) {
                        weir__dump_clean_name(name);
                        if (strncmp(name, "weir__", 6) != 0)
                                weir__out_print(o, "        %s+0x%zx\n", name, offset);
                } else {
                        weir__out_print(o, "        %p\n", h->pc[i]);
                }
        }
}

/* From: the thread itself, back from its call, or the monitor for one that is stopped. */
static void file_hold(const struct hold *h)
{
        lock_take(&holds_lock);
        holds[nholds++ % KEEP] = *h;
        lock_drop(&holds_lock);
        if (unlikely(weir__debug.holdtrace)) {
                struct out o = { .fd = STDERR_FILENO };

                weir__out_print(&o, "hold: ");
                print_hold(&o, h);
                weir__out_flush(&o);
        }
}

void weir__hold_print(struct out *o)
{
        struct hold h;
        uint64_t    n, first;

        lock_take(&holds_lock);
        n = nholds;
        lock_drop(&holds_lock);
        first = n > KEEP ? n - KEEP : 0;
        if (n)
                weir__out_print(o, "goroutines that held a processor while others waited, %llu "
                                   "times in all; the last:\n\n", (unsigned long long)n);
        for (uint64_t i = first; i < n; i++) {
                lock_take(&holds_lock);
                h = holds[i % KEEP];
                lock_drop(&holds_lock);
                print_hold(o, &h);
        }
}

void weir__hold_forked(void)
{
        lock_init(&holds_lock, hold);
}

/* ---- the handler ---- */

enum place { IN_RUNTIME, ELSEWHERE, PREEMPTIBLE };

/* Where the interrupted code stands, and by whom it was called. */
static enum place look(struct hold *h, const struct regs *r)
{
        struct walk w;
        bool        user = false, others = false, own = false;
        int         n = 0;

        h->frames = 0;
        weir__arch_walk_start(&w, r, false);
        do {
                const void  *pc = weir__arch_walk_pc(&w);
                enum os_text text = weir__os_text_of(pc);

                if (n && !w.after_call) {
                        user = false;           /* so far it was a handler of the program's */
                        others = true;
                }
                if (text == OS_TEXT_RUNTIME && !user)
                        return IN_RUNTIME;
                if (h->frames < COUNT(h->pc))
                        h->pc[h->frames++] = pc;
                own |= n == 0 && text == OS_TEXT_PROGRAM;
                user |= text == OS_TEXT_PROGRAM || text == OS_TEXT_OTHER;
                others |= text == OS_TEXT_SYSTEM || text == OS_TEXT_OTHER;
        } while (++n < WALK_MAX && weir__arch_walk_next(&w));
        if (!user)
                return IN_RUNTIME;              /* the tables end before a frame of the program */
        return own && !others ? PREEMPTIBLE : ELSEWHERE;
}

/* Gives the processor up, to the monitor. */
static void give(struct m *m, struct p *p)
{
        struct m *head = load_relaxed(&sched.answers);

        (void)weir__m_drop_p(m);
        store_release(&m->given, p);            /* pairs with the acquire of who takes it */
        if (!exchange_seq(&m->answer, 1)) {
                do
                        m->answer_next = head;
                while (!cas_seq(&sched.answers, &head, m));
        }
        weir__monitor_raise();
}

/* Waits here, on the alternate stack, until the thread has a processor again. */
static void stop(struct m *m, struct g *g, struct p *p, const void *ucontext,
                 const struct regs *r)
{
        m->stop_regs = *r;
        weir__world_note(m, ucontext, r);
        store_release(&g->stopped, m);          /* pairs with the acquire in dump.c */
        store_relaxed(&g->state, G_RUNNABLE);
        m->stopped = true;
        give(m, p);
        weir__m_sleep(m);
        weir__slice_start(m->p);
        m->stopped = false;
        store_release(&g->stopped, NULL);
        store_relaxed(&g->state, G_RUNNING);
        count_in(&m->p->counters, switches, 1); /* the next slice begins */
}

bool weir__hold_asked(struct m *m, const void *ucontext)
{
        enum ask    ask = load_acquire(&m->ask);        /* pairs with the release in ask_for */
        struct g   *g = m->g;
        struct p   *p = m->p;
        struct regs r;
        enum place  place;
        int         keep;

        if (ask == ASK_NOTHING)
                return false;
        store_relaxed(&m->ask, ASK_NOTHING);
        if (g == &m->g0 || !p || load_relaxed(&g->state) != G_RUNNING ||
            load_relaxed(&p->counters.value[COUNTER_switches]) != m->ask_at)
                return true;                    /* it has moved on */
        keep = weir__os_errno_get();
        weir__arch_signal_regs(ucontext, &r);
        place = look(&m->hold, &r);
        m->hold.id = g->id;
        m->hold.fn = g->fn;
        m->hold.computed = place == PREEMPTIBLE;
        if (place == ELSEWHERE) {
                store_relaxed(&g->state, G_BLOCKED);
                store_relaxed(&g->since, load_relaxed(&weir__sched_coarse));
                fetch_add_seq(&sched.blocked, 1);
                m->lost = true;
                count_in(&p->counters, handoffs, 1);
                give(m, p);
        } else if (place == PREEMPTIBLE && ask == ASK_COMPUTING && !load_relaxed(&g->no_preempt)) {
                count_in(&p->counters, preemptions, 1);
                stop(m, g, p, ucontext, &r);
        } else {
                count_in(&p->counters, preempt_refused, 1);
        }
        weir__os_errno_set(keep);
        return true;
}

/* ---- coming back ---- */

struct g *weir__sched_regain(const char *call)
{
        struct m *m = self();

        if (m && m->lost) {
                int         keep = weir__os_errno_get();
                struct hold h = m->hold;        /* from here on the handler may use it again */
                struct p   *p;

                h.ns = weir__os_now() - h.since;
                p = exchange_acquire(&m->given, NULL);  /* before the monitor took it? */
                if (p)
                        weir__m_take_p(m, p);
                else
                        weir__bound_wait(m);
                m->lost = false;
                fetch_sub_seq(&sched.blocked, 1);
                store_relaxed(&m->g->state, G_RUNNING);
                count_in(&m->p->counters, held, h.ns);
                file_hold(&h);
                weir__os_errno_set(keep);       /* the wait for a processor was not the program's */
                return m->g;
        }
        weir__sched_need_runtime(call);
        if (m && m->g != &m->g0)
                weir__panic("%s: called inside weir_blocking, where only calls for any thread work",
                            call);
        weir__panic("%s: not on a goroutine; call it below weir_run", call);
}

void weir_preempt_disable(void)
{
        struct g *g = weir__sched_need_g("weir_preempt_disable");

        owner_add(&g->no_preempt, 1);
}

void weir_preempt_enable(void)
{
        struct g *g = weir__sched_need_g("weir_preempt_enable");

        if (!g->no_preempt)
                weir__panic("weir_preempt_enable: no weir_preempt_disable came before it");
        owner_add(&g->no_preempt, -1);
}

/* ---- the monitor ---- */

static int64_t slice_ns(void)
{
        return weir__debug.slice * 1000000;
}

void weir__hold_collect(void)
{
        struct m *m = load_relaxed(&sched.answers) ? exchange_acquire(&sched.answers, NULL) : NULL;

        while (m) {
                struct m *next = m->answer_next;
                struct p *p;

                store_seq(&m->answer, 0);       /* from here on it may be pushed again */
                p = exchange_acquire(&m->given, NULL);
                if (p && m->stopped) {
                        m->hold.ns = weir__os_now() - m->hold.since;
                        file_hold(&m->hold);
                        store_relaxed(&p->stopped_for, MIN(m->hold.ns, slice_ns()));
                        store_relaxed(&p->stopped_at, weir__os_now());
                        /* In two steps, or it could get its own processor back before the others
                         * had a look at it: this one goes to a thread that serves them first. */
                        (void)weir__m_give(p, false);
                        weir__bound_add(m, true);
                } else if (p) {
                        (void)weir__m_give(p, false);
                }
                m = next;
        }
}

/* The program has a handler of its own for the signal, or blocks it in a thread. Said once: what
 * was asked stays unanswered, and the goroutine keeps its processor while it likes. */
static slowpath void say_unanswered(const char *why)
{
        static bool told;               /* only the monitor */
        struct out  o = { .fd = STDERR_FILENO };

        if (told)
                return;
        told = true;
        weir__out_print(&o, "weir: signal %d, which asks goroutines that hold a processor for it, is "
                            "not answered: %s; WEIR_DEBUG=preemptsignal=N takes another one\n",
                        sched.signal, why);
        weir__out_flush(&o);
}

/* An answer that does not come: a thread that only waits for a core is given time. */
static void look_at_unanswered(struct m *m, int64_t now, int64_t cpu)
{
        struct sigaction is;

        if (now - m->asked < UNANSWERED)
                return;
        if (sigaction(sched.signal, NULL, &is) == 0 && is.sa_sigaction != sched.on_signal)
                say_unanswered("the program has installed a handler of its own");
        else if (cpu - m->asked_cpu >= UNANSWERED_CPU)
                say_unanswered("the program blocks it in a thread");
}

static void ask_for(struct m *m, const struct seen *s, enum ask ask, int64_t now, int64_t cpu)
{
        if (load_relaxed(&m->ask)) {
                look_at_unanswered(m, now, cpu);        /* it has not come to answer yet */
                return;
        }
        m->asked = now;
        m->asked_cpu = cpu;
        m->ask_at = s->switches;
        m->hold.since = s->since;
        store_release(&m->ask, ask);            /* pairs with the acquire in the handler */
        (void)weir__os_thread_signal(m->tid, sched.signal);
}

/* Whether a timer is due that was set on a processor which is one too many now. */
static bool retired_timer_due(int64_t now)
{
        for (uint32_t i = load_relaxed(&sched.nprocs); i < load_acquire(&sched.nall); i++)
                if (load_relaxed(&sched.procs[i]->timer_when) < now)
                        return true;
        return false;
}

enum wanted { BY_NOBODY, BY_HOGS, BY_OTHERS };

/* Whether anything waits for this very processor, or for any. */
static enum wanted wanted(struct p *p, int64_t now, bool blocked)
{
        if (p->id >= load_relaxed(&sched.nprocs) || !weir__runq_empty(p) ||
            load_relaxed(&p->timer_when) < now)
                return BY_OTHERS;
        if (load_relaxed(&sched.nidle))
                return BY_NOBODY;
        if (load_relaxed(&sched.nglobal) || load_relaxed(&sched.bound.count) ||
            retired_timer_due(now))
                return BY_OTHERS;
        /* The last one, blocked: in its place another thread waits for timers and the network. */
        if (blocked && (load_relaxed(&p->timer_when) != INT64_MAX ||
                        (weir__sched_hooks.poll_open && weir__sched_hooks.poll_open())))
                return BY_OTHERS;
        return load_relaxed(&sched.hogs.count) ? BY_HOGS : BY_NOBODY;
}

/* How long a goroutine may compute. Those that follow one another on a processor share one slice as
 * long as others wait for it, but for a part that each gets: a queue with some of them in a row
 * would keep the others waiting for as many slices. What others had of the processor counts against
 * what the computing had. */
static int64_t allowed(const struct seen *s, enum wanted by)
{
        int64_t slice = slice_ns();

        return by == BY_HOGS ? slice : MAX(slice - s->debt, slice / SLICE_PART);
}

/* A processor has switched since the last round. */
static void settle(struct seen *s, int64_t now)
{
        int64_t held = s->looked - s->since;

        if (held >= slice_ns() / SLICE_PART)
                s->debt = MIN(s->debt + held, slice_ns());
        else
                s->debt = MAX(s->debt - (now - s->looked), (int64_t)0);
}

static void meet(enum held *most, enum held now)
{
        if (now > *most)
                *most = now;
}

enum held weir__hold_watch(int64_t now)
{
        enum held held = HELD_NOT;

        for (uint32_t i = 0; usable && i < load_acquire(&sched.nall); i++) {
                struct p    *p = sched.procs[i];
                struct seen *s = &seen[i];
                struct m    *m = load_relaxed(&p->m);
                uint64_t     switches = load_relaxed(&p->counters.value[COUNTER_switches]);
                int64_t      cpu;
                enum wanted  by;
                bool         blocked;

                if (!m || load_relaxed(&p->state) != P_RUNNING)
                        continue;
                if (switches != s->switches || m->tid != s->tid) {
                        int64_t before = m->tid == s->tid ? s->cpu : -1, elapsed = now - s->since;

                        settle(s, now);
                        s->switches = switches;
                        s->tid = m->tid;
                        s->since = s->looked = now;
                        s->cpu = -1;
                        if (load_relaxed(&sched.nidle) && weir__runq_empty(p))
                                continue;       /* not wanted; do not pay for its clock */
                        s->cpu = weir__os_thread_cpu(m->tid);
                        /* It stood still for a part of the time: perhaps it does now. */
                        if (before >= 0 && (s->cpu - before) * 4 < elapsed * 3)
                                meet(&held, HELD_PERHAPS);
                        continue;
                }
                s->looked = now;
                cpu = weir__os_thread_cpu(m->tid);
                if (s->cpu < 0) {
                        s->cpu = cpu;
                        s->since = now;
                        meet(&held, HELD_PERHAPS);
                        continue;
                }
                blocked = (cpu - s->cpu) * 4 < now - s->since;
                by = wanted(p, now, blocked);
                if (by == BY_NOBODY)
                        continue;
                /* A slice of time has passed whether or not the system gave the thread a core. */
                if (now - s->since >= allowed(s, by))
                        ask_for(m, s, ASK_COMPUTING, now, cpu);
                else if (blocked)
                        ask_for(m, s, ASK_BLOCKED, now, cpu);
                meet(&held, blocked ? HELD_BLOCKED : HELD_COMPUTING);
        }
        return held;
}

void weir__hold_init(void)
{
        sched.signal = weir__debug.preemptsignal ? (int)weir__debug.preemptsignal : SIGURG;
        sched.can_ask = !WEIR_ASAN && !WEIR_TSAN && weir__os_text_init();
        usable = sched.can_ask && !weir__debug.asyncpreemptoff &&
                 sched.order != ORDER_SEEDED;
}
