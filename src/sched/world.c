/* Stopping the world: no code of the program runs until it is started again.
 *
 * What    The collector's two short stops need every thread to stand still outside of the runtime,
 *         with its registers in memory. A stop takes the idle processors away, so that nobody gets
 *         one; waits until each thread that has a processor stands; then until each thread that
 *         runs code of the program without one stands: those in calls that block or last, and those
 *         that the runtime does not know.
 * Where a thread stands
 *         at a poll        in the scheduler's loop, before it takes another goroutine, and where
 *         the
 *                          runtime itself asks (weir__world_poll)
 *         in the handler   in the program's text or in a library below it: the signal of hold.c
 *                          finds it, and it waits on its alternate stack
 *         asleep           without a processor in weir__m_sleep, whose caller's registers are on
 *         the
 *                          stack; it can be woken only with a processor, and there is none
 *         in the scheduler without a processor: it holds nothing of the program's
 *         A thread inside the runtime, or in libc called from there, does not stop: it would keep
 *         locks that the collector needs, or a cache that is half changed. It is asked again some
 *         microseconds later; no call of the runtime lasts without coming by a poll. Nor does one
 *         in fork, between the handlers that take the allocator's locks and those that drop them;
 *         a thread of the program's asks itself when they have (weir__world_forked). Nor one in a
 *         signal handler of the program's that interrupted any of this.
 * States  sched.world counts: even the world runs, odd it is stopped or on its way. Who makes it
 *         odd owns the stop. m->halted: 0 -> 1 (itself, when its stack and registers may be read)
 *         -> 0 (itself, when world has moved on); then it looks at world again before it goes on,
 *         so one that is seen halted runs no code of the program in that stop.
 *         Processors that are idle, or go idle, stand on sched.held until the world is started.
 * Order   The stopper makes world odd and then looks at each thread; a thread publishes where it
 *         stands (halted, release) after its stack is as it will stay. m->g, m->p of a thread that
 *         stands are read after the acquire of halted; of one without a processor they do not
 *         change.
 * Threads that block the signal
 *         cannot be asked. One that is in a system call is read as it stands, by what /proc tells
 *         of its stack pointer; registers that the call saved are then not seen. The runtime's own
 *         such threads hold nothing of the program's and are known.
 * Where no signal tells
 *         where a thread is (the sanitizers, a static program): goroutines stop where they call the
 *         runtime, and the others do not stop; their stacks are read from where they left it.
 * Cost    The list of threads from /proc is 15 us and one more per thread; a signal with its
 *         handler 10 us per thread that runs; see docs/design/collector.md for the whole.
 * Not     Waiting until each goroutine comes to a call: a loop would stall the stop. Stopping by
 *         ptrace: another process. Leaving threads in blocking calls alone, as Go does: they run C,
 *         which writes pointers. */
#include "sched/state.h"
#include "sched/world.h"
#include "mem/mem.h"
#include <errno.h>
#include <unistd.h>

enum {
        WALK_MAX = 256,
        RED_ZONE = 128,
        SOON_NS = 10 * 1000,            /* between two looks at processors */
        AGAIN_NS = 50 * 1000,           /* and at other threads */
        ASK_EVERY = 4,                  /* looks between two signals to the same thread, then */
        GIVE_UP_NS = 2 * 1000 * 1000,   /* of a core that a thread which blocks the signal takes */
        FOREIGN_MAX = 1 << 20,
};

/* A thread that the runtime does not know. Entries are made and removed by the stopper; the thread
 * itself finds its own by its number. */
struct foreign {
        int       tid;
        uint32_t  halted;               /* atomic: as m->halted; its own handler's */
        uint32_t  looks;                /* the stopper's */
        uint32_t  asked;                /* the stopper's: signals sent */
        int64_t   cpu;                  /* the stopper's: its clock when it was seen to block them */
        uint32_t  refused;              /* atomic: as often the handler could not stop; its own */
        bool      mute;                 /* the stopper's: it blocks the signal, and is in a call */
        struct halt at;                 /* before halted; of a mute one: the stopper's */
};

static struct foreign *foreign;         /* atomic; const once set, before nforeign */
static uint32_t nforeign;               /* atomic: entries that handlers may look at */
static struct m *stopper;               /* whoever made world odd */
static struct halt own;                 /* the stopper's */

struct world_stats weir__world_stats;

static inline bool stopped(void)
{
        return load_seq(&sched.world) & 1;
}

/* ---- standing ---- */

static void tell(void)
{
        fetch_add_seq(&sched.halts, 1);
        weir__os_futex_wake(&sched.halts, 1);
}

static void stand(struct m *m)
{
        uint32_t now;

        do {
                store_seq(&m->halted, 1);
                tell();
                while ((now = load_acquire(&sched.world)) & 1)
                        weir__os_futex_wait(&sched.world, now, -1);
                store_seq(&m->halted, 0);
        } while (stopped());
}

/* What the caller's frame and those above it hold: from its stack pointer up, the registers being
 * in *r, which is in its frame. */
static void halt_here(struct halt *h, const struct regs *r)
{
        *h = (struct halt){ .sp = r->r[ARCH_SP] };
}

noinline void weir__world_stand(void)
{
        struct m   *m = self();
        struct regs r;

        weir__arch_capture(&r);
        halt_here(&m->halt, &r);
        stand(m);
        __asm__ volatile("" : : "r"(&r) : "memory");    /* r is needed until here */
}

void weir__world_poll(void)
{
        if (unlikely(stopped()))
                weir__world_stand();
}

/* Where a handler's caller was, and what its frame saved. */
static void halt_signal(struct halt *h, const struct os_frame *f, const struct regs *r)
{
        uintptr_t sp = r->r[ARCH_SP];

        *h = (struct halt){ .sp = sp - RED_ZONE, .extra_low = f->low, .extra_high = f->high };
        if (sp >= f->alt_low && sp < f->alt_high) {
                struct walk w;

                /* It interrupted another handler: what that one interrupted has its stack
                 * elsewhere. */
                weir__arch_walk_start(&w, r, false);
                for (int n = 0; n < WALK_MAX && weir__arch_walk_next(&w); n++) {
                        sp = w.regs.r[ARCH_SP];
                        if (sp < f->alt_low || sp >= f->alt_high)
                                break;
                }
                h->sp = sp - RED_ZONE;
                h->extra_low = r->r[ARCH_SP] - RED_ZONE;
                h->extra_high = f->alt_high;
        } else if (!f->alt_high) {
                h->sp = f->low;                 /* on the stack that it interrupted */
                h->extra_low = h->extra_high = 0;
        }
}

/* Whether the interrupted code may wait: it is not in the runtime, nor in a library called from
 * there, nor in a handler of the program's that interrupted either. */
static bool outside(const struct regs *r)
{
        struct walk w;
        bool        user = false;
        int         n = 0;

        if (weir__mem_holds_all())
                return false;                   /* it forks */
        weir__arch_walk_start(&w, r, false);
        do {
                if (n && !w.after_call)
                        user = false;           /* so far it was a handler */
                switch (weir__os_text_of(weir__arch_walk_pc(&w))) {
                case OS_TEXT_RUNTIME:
                        if (!user)
                                return false;
                        break;
                case OS_TEXT_PROGRAM:
                case OS_TEXT_OTHER:
                        user = true;
                        break;
                case OS_TEXT_SYSTEM:
                        break;
                }
        } while (++n < WALK_MAX && weir__arch_walk_next(&w));
        return user || !weir__mem_interrupted((const void *)(uintptr_t)r->r[ARCH_PC]);
}

static void stand_foreign(const struct os_frame *f, const struct regs *r)
{
        int      tid = weir__os_thread_id();
        uint32_t world = load_acquire(&sched.world);

        for (uint32_t i = 0, n = load_acquire(&nforeign); i < n && (world & 1); i++) {
                struct foreign *x = &load_acquire(&foreign)[i];

                if (x->tid != tid)
                        continue;
                if (!outside(r)) {
                        store_release(&x->refused, x->refused + 1);     /* pairs with ask_foreign() */
                        continue;
                }
                halt_signal(&x->at, f, r);
                x->at.tcb = weir__arch_tcb();
                store_seq(&x->halted, 1);
                tell();
                while (load_acquire(&sched.world) == world)
                        weir__os_futex_wait(&sched.world, world, -1);
                return;
        }
}

/* From the handler of the signal. True: it was meant for this. */
bool weir__world_asked(struct m *m, const void *ucontext)
{
        struct os_frame f;
        struct regs     r;
        int             keep;

        /* Where it cannot be told what the signal interrupted, nobody asks by it: it is another's. */
        if (!stopped() || !sched.can_ask)
                return false;
        if (m && (m == stopper || load_relaxed(&m->halted) || m->g == &m->g0))
                return true;
        keep = weir__os_errno_get();
        weir__arch_signal_regs(ucontext, &r);
        weir__os_signal_frame(ucontext, &f);
        if (!m) {
                stand_foreign(&f, &r);
        } else if (outside(&r)) {
                halt_signal(&m->halt, &f, &r);
                stand(m);
        }
        weir__os_errno_set(keep);
        return true;
}

/* Back from fork, in the parent. A thread that the stopper found in the system call, with all
 * signals blocked, was taken as it stood there. The signal that it was asked by came while it had
 * the allocator's locks, and it went on. */
void weir__world_forked(void)
{
        if (unlikely(stopped()) && sched.can_ask)
                (void)weir__os_thread_signal(weir__os_thread_id(), sched.signal);
}

/* For a thread that is about to sleep in the handler of hold.c. */
void weir__world_note(struct m *m, const void *ucontext, const struct regs *r)
{
        struct os_frame f;

        weir__os_signal_frame(ucontext, &f);
        halt_signal(&m->halt, &f, r);
}

/* ---- the stopper: threads with a processor ---- */

/* lock: sched is held. */
static void hold_idle(void)
{
        struct p *p;

        while ((p = sched.idle_p)) {
                sched.idle_p = p->idle_next;
                p->idle_next = sched.held;
                sched.held = p;
        }
        store_seq(&sched.nidle, 0);
}

/* Whether all processors stand; asks those that do not. */
static bool processors_stand(bool ask)
{
        bool all = true;

        for (uint32_t i = 0; i < load_acquire(&sched.nall); i++) {
                struct p *p = sched.procs[i];
                struct m *m = load_acquire(&p->m);

                if (load_acquire(&p->state) != P_RUNNING || (m && m == stopper) ||
                    (m && load_seq(&m->halted)))
                        continue;
                all = false;
                if (ask && m && sched.can_ask)
                        (void)weir__os_thread_signal(load_relaxed(&m->tid), sched.signal);
        }
        return all;
}

/* ---- the stopper: the other threads ---- */

/* A thread of the runtime that has no processor. */
static bool m_stands(const struct m *m)
{
        return !load_seq(&m->alive) || m == stopper || load_seq(&m->halted) ||
               load_acquire(&m->asleep) || m->g == &m->g0 || m->p;
}

static struct m *m_of(int tid)
{
        for (struct m *m = load_acquire(&sched.all_m); m; m = m->all_next)
                if (load_relaxed(&m->tid) == tid && load_seq(&m->alive))
                        return m;
        return NULL;
}

static struct foreign *foreign_of(int tid)
{
        for (uint32_t i = 0; i < nforeign; i++)
                if (foreign[i].tid == tid)
                        return &foreign[i];
        return NULL;
}

/* It has room for all that there can be, for handlers look at it; memory comes as it is touched. */
static bool make_table(void)
{
        struct foreign *table = weir__os_map(FOREIGN_MAX * sizeof *table);

        store_release(&foreign, table);         /* pairs with the acquire in a handler */
        return table != NULL;
}

/* At the start, while there is address space and there are descriptors; the first stop tries again
 * what was not to be had. */
void weir__world_init(void)
{
        (void)make_table();
        (void)weir__os_threads_open();
}

/* An entry for a thread not seen before. */
static struct foreign *add_foreign(int tid)
{
        struct foreign *x;

        if (!foreign && !make_table())
                weir__throw("no address space for a table of threads");
        if (nforeign == FOREIGN_MAX)
                weir__throw("more than %d threads", FOREIGN_MAX);
        x = &foreign[nforeign];
        memset(x, 0, sizeof *x);
        x->tid = tid;
        store_release(&nforeign, nforeign + 1);         /* the same */
        return x;
}

struct others {
        bool ask;
        bool all;                       /* stand, so far */
};

/* One signal at a time: one that is pending then has not come, and who blocks it without that is in
 * the handler. (A thread that the system had set aside in there was once taken for one that blocks
 * the signal, and left out.) */
static void ask_foreign(struct foreign *x)
{
        if (x->asked > load_acquire(&x->refused))
                return;
        x->asked++;
        (void)weir__os_thread_signal(x->tid, sched.signal);
}

/* A thread that blocks the signal is taken as it stands once it is in a system call, and left out
 * when it computes instead. One that waits for a core does neither. */
static bool is_mute(struct foreign *x)
{
        struct os_thread_state s;
        bool    blocks, computes = false;
        int64_t cpu;

        if (x->mute)
                return true;
        weir__os_thread_state(x->tid, sched.signal, &s);
        blocks = s.blocks_signal && s.pending;
        if (blocks && !s.sp) {
                cpu = weir__os_thread_cpu(x->tid);
                if (!x->cpu)
                        x->cpu = cpu;
                computes = cpu - x->cpu >= GIVE_UP_NS;
        }
        if (s.gone) {
                x->mute = true;
        } else if (blocks && (s.sp || computes)) {
                x->at = (struct halt){ .sp = s.sp ? s.sp - RED_ZONE : 0, .tcb = 0 };
                x->mute = true;
                weir__world_stats.unstopped++;
        }
        return x->mute;
}

static void look_at_thread(int tid, void *arg)
{
        struct others  *o = arg;
        struct m       *m;
        struct foreign *x;

        if (tid == sched.caller_tid || weir__os_thread_is_quiet(tid))
                return;
        m = m_of(tid);
        if (m) {
                if (m_stands(m) || !sched.can_ask)
                        return;
                o->all = false;
                if (o->ask)
                        (void)weir__os_thread_signal(tid, sched.signal);
                return;
        }
        weir__world_stats.threads++;
        if (!sched.can_ask)
                return;
        x = foreign_of(tid);
        if (!x) {
                o->all = false;
                ask_foreign(add_foreign(tid));
                return;
        }
        if (load_seq(&x->halted) || x->mute)
                return;
        x->looks++;
        if (x->looks >= 2 && is_mute(x))
                return;
        o->all = false;
        if (o->ask)
                ask_foreign(x);
}

static void wait_a_little(uint32_t seen, int64_t ns)
{
        weir__os_futex_wait(&sched.halts, seen, ns);
}

noinline void weir__world_stop(void)
{
        struct m    *m = self();
        struct regs  r;
        struct others o;
        int64_t      begin = weir__os_now();
        uint32_t     world, looks = 0, seen, clean = 0;
        int          listed;

        for (;;) {
                world = load_seq(&sched.world);
                if (world & 1 && m)
                        weir__world_stand();
                else if (world & 1)
                        weir__os_futex_wait(&sched.world, world, -1);
                else if (cas_seq(&sched.world, &world, world + 1))
                        break;
        }
        stopper = m;
        if (m) {
                weir__arch_capture(&r);
                halt_here(&own, &r);
        }
        store_release(&nforeign, 0);
        weir__world_stats.unstopped = 0;
        fetch_or_seq(&sched.attention, (uint32_t)ATTENTION_WORLD);
        lock_take(&sched.lock);
        hold_idle();
        lock_drop(&sched.lock);
        for (;;) {
                seen = load_acquire(&sched.halts);
                /* Who is in the runtime most of the time is asked often, until it is met
                 * outside. */
                if (processors_stand(looks++ % 2 == 0))
                        break;
                wait_a_little(seen, SOON_NS);
        }
        for (looks = 0;; looks++) {
                seen = load_acquire(&sched.halts);
                o = (struct others){ .ask = looks % ASK_EVERY == 0, .all = true };
                weir__world_stats.threads = 0;
                listed = weir__os_threads(look_at_thread, &o);
                /* The program has closed what was opened at the start, and used all descriptors
                 * up: to go on without the list would be to lose what threads hold. */
                if (listed == -EMFILE || listed == -ENFILE)
                        weir__throw("no descriptor to list the threads of the process by");
                /* Twice: one that stood when it was looked at may have started another just before,
                 * behind the back of the list. */
                if (o.all && ++clean == 2)
                        break;
                if (o.all)
                        continue;
                clean = 0;
                wait_a_little(seen, AGAIN_NS);
        }
        weir__world_stats.stop_ns = weir__os_now() - begin;
}

void weir__world_quiet(void)
{
        while (load_seq(&sched.monitor_reads))
                weir__os_yield();
}

void weir__world_start(void)
{
        struct p *p, *next;
        struct m *first = NULL, **last = &first;
        unsigned  idle = 0;

        check(stopped() && stopper == self());
        lock_take(&sched.lock);
        stopper = NULL;
        fetch_and_seq(&sched.attention, ~(uint32_t)ATTENTION_WORLD);
        fetch_add_seq(&sched.world, 1);
        for (p = sched.held, sched.held = NULL; p; p = next) {
                struct m *m = weir__bound_get(true);

                next = p->idle_next;
                if (m) {                        /* it came to wait while there was none */
                        store_relaxed(&p->state, P_RUNNING);
                        m->next_p = p;
                        *last = m;
                        last = &m->bound_next;
                } else {
                        p->idle_next = sched.idle_p;
                        sched.idle_p = p;
                        idle++;
                }
        }
        *last = NULL;
        store_seq(&sched.nidle, sched.nidle + idle);
        lock_drop(&sched.lock);
        weir__os_futex_wake(&sched.world, INT32_MAX);
        while (first) {
                struct m *m = first;

                first = m->bound_next;
                weir__m_hand(m, m->next_p);
        }
        if (idle)
                weir__sched_wake();     /* what was made runnable meanwhile saw nobody to wake */
}

/* ---- what they hold ---- */

struct visit {
        void (*fn)(struct world_range r, void *arg);
        void  *arg;
};

static void range(const struct visit *v, uintptr_t low, uintptr_t high)
{
        low = ALIGN_UP(low, (uintptr_t)8);
        if (low && low < high)
                v->fn((struct world_range){ low, high }, v->arg);
}

/* The end of the stack that sp is on. */
static uintptr_t stack_end(uintptr_t sp, int tid, uintptr_t tcb)
{
        struct stack s;
        bool         in_guard;

        if (weir__stack_find((const void *)sp, &s, &in_guard))
                return (uintptr_t)s.high;
        return weir__os_stack_end(sp, tid, tcb);
}

static void visit_halt(const struct visit *v, const struct halt *h, int tid, uintptr_t tcb)
{
        if (!h->sp)
                return;
        range(v, h->sp, stack_end(h->sp + RED_ZONE, tid, tcb));
        range(v, h->extra_low, h->extra_high);
}

static void tls_range(uintptr_t low, uintptr_t high, void *arg)
{
        range(arg, low, high);
}

static bool visit_g(void *head, void *arg)
{
        const struct visit *v = arg;
        struct g           *g = head;

        if (!load_relaxed(&g->id))
                return true;
        /* Its arguments and what it hands on at its end. */
        range(v, (uintptr_t)g, (uintptr_t)(g + 1));
        if (!load_acquire(&g->ctx.on_cpu))      /* else it was visited with its thread */
                range(v, (uintptr_t)load_relaxed(&g->ctx.sp), (uintptr_t)g->stack.high);
        return true;
}

no_sanitize void weir__world_threads(world_visit_fn *fn, void *arg)
{
        struct visit v = { fn, arg };

        check(stopped());
        for (struct m *m = load_acquire(&sched.all_m); m; m = m->all_next) {
                int tid = load_relaxed(&m->tid);

                if (!load_seq(&m->alive))
                        continue;
                if (m == stopper)
                        visit_halt(&v, &own, tid, m->tcb);
                else if (m->g != &m->g0)
                        visit_halt(&v, &m->halt, tid, m->tcb);
                if (m->guest)
                        range(&v, (uintptr_t)&m->own, (uintptr_t)(&m->own + 1));
                weir__os_tls(m->tcb, tls_range, &v);
        }
        for (uint32_t i = 0; i < nforeign; i++) {
                const struct foreign *x = &foreign[i];

                if (m_of(x->tid) || (!load_seq(&x->halted) && !x->at.sp))
                        continue;
                visit_halt(&v, &x->at, x->tid, x->at.tcb);
                if (x->at.tcb)
                        weir__os_tls(x->at.tcb, tls_range, &v);
        }
        range(&v, sched.caller_sp, weir__os_stack_end(sched.caller_sp, sched.caller_tid,
                                                       sched.caller_tcb));
        weir__os_tls(sched.caller_tcb, tls_range, &v);
}

void weir__world_each(world_visit_fn *fn, void *arg)
{
        struct visit v = { fn, arg };

        weir__world_threads(fn, arg);
        weir__stack_each(visit_g, &v);
}
