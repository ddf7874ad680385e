/* Threads and processors: who has which, who sleeps, who is started.
 *
 * Locks   sched.lock guards both idle lists and the counts. A processor on the idle list belongs to
 *         nobody; the thread that takes it from there owns it.
 * Order   m->next_p is written before the release store of m->wake and read after its acquire. */
#include "sched/state.h"
#include "sched/san.h"
#include <errno.h>
#include <unistd.h>

enum { M_STACK = 256 * 1024, START_AGAIN_NS = 100 * 1000 * 1000 };

struct scheduler weir__sched;

struct p *weir__p_idle_get(void)
{
        struct p *p = sched.idle_p;

        if (p) {
                check(p->state == P_IDLE);
                sched.idle_p = p->idle_next;
                store_seq(&sched.nidle, sched.nidle - 1);
                store_relaxed(&p->state, P_RUNNING);
        }
        return p;
}

void weir__p_idle_put(struct p *p)
{
        check(p->state == P_RUNNING);
        if (unlikely(p->id >= sched.nprocs)) {
                store_relaxed(&p->state, P_RETIRED);
                store_seq(&sched.nretired, sched.nretired + 1);
                return;
        }
        store_relaxed(&p->state, P_IDLE);
        if (unlikely(load_seq(&sched.world) & 1)) {
                p->idle_next = sched.held;
                sched.held = p;
                fetch_add_seq(&sched.halts, 1);
                weir__os_futex_wake(&sched.halts, 1);
                return;
        }
        p->idle_next = sched.idle_p;
        sched.idle_p = p;
        store_seq(&sched.nidle, sched.nidle + 1);
}

void weir__m_take_p(struct m *m, struct p *p)
{
        check(!m->p);
        m->p = p;
        store_release(&p->m, m);                /* pairs with the acquire in world.c */
        if (unlikely(load_seq(&sched.monitor_deep))) {
                store_relaxed(&weir__sched_coarse, weir__sched_clock());        /* nobody kept it */
                weir__monitor_raise();
        }
}

struct p *weir__m_drop_p(struct m *m)
{
        struct p *p = m->p;

        m->p = NULL;
        store_relaxed(&p->m, NULL);
        return p;
}

/* ---- the record of a thread ---- */

/* Records are never given back to the system: the monitor and dumps may still look at one. */
struct m *weir__m_new(void)
{
        struct m *m;

        lock_take(&sched.lock);
        m = sched.free_m;
        if (m)
                sched.free_m = m->idle_next;
        lock_drop(&sched.lock);
        return m ? m : weir__os_map(ALIGN_UP(sizeof *m, (size_t)OS_PAGE));
}

void weir__m_free(struct m *m)
{
        lock_take(&sched.lock);
        m->idle_next = sched.free_m;
        sched.free_m = m;
        lock_drop(&sched.lock);
}

void weir__m_begin(struct m *m)
{
        weir__os_sigstack_install();
        store_relaxed(&m->tid, weir__os_thread_id());
        m->err = weir__os_errno_address();
        m->p = NULL;
        m->g = &m->g0;
        m->g0.ctx.on_cpu = 1;
        m->g0.ctx.flags = CTX_G0;
        store_relaxed(&m->g0.state, G_RUNNING);
#if WEIR_TSAN
        m->g0.fiber = __tsan_get_current_fiber();
#endif
        store_relaxed(&m->ask, 0);
        store_relaxed(&m->look, 0);
        m->lost = m->stopped = m->ending = false;
        store_relaxed(&m->halted, 0);
        store_relaxed(&m->asleep, 0);
        m->halt.sp = 0;
        m->tcb = weir__arch_tcb();
        if (!m->in_all) {
                struct m *head = load_relaxed(&sched.all_m);

                m->in_all = true;
                do
                        m->all_next = head;
                while (!cas_seq(&sched.all_m, &head, m));
        }
        store_seq(&m->alive, 1);
        weir__arch_set_self(m);
}

/* Life of a thread of the runtime. */
static void thread_main(void *arg)
{
        struct m *m = arg;
        char      name[16], *low, *high;

        weir__os_signals_as_kept();     /* the monitor, which blocks them all, may have started it */
        weir__fmt(name, sizeof name, "weir-%u", m->id);
        weir__os_thread_name(name);
        weir__os_thread_precise_timers();
        weir__os_thread_stack(&low, &high);
        m->g0.stack.low = low;
        m->g0.stack.high = high;
        store_relaxed(&m->guest, false);
        weir__m_begin(m);
        if (m->next_p) {
                weir__m_take_p(m, m->next_p);
                m->next_p = NULL;
        }
        weir__sched_loop(m);
        weir__counter_shared(COUNTER_threads_ended, 1);
        weir__p_release(weir__m_drop_p(m));
        weir__arch_set_self(NULL);
        weir__os_sigstack_remove();
        fetch_add_relaxed(&sched.nthreads, (uint32_t)-1);
        store_seq(&m->alive, 0);
        weir__m_free(m);
}

static slowpath _Noreturn void too_many_threads(uint32_t n)
{
        struct out o = { .fd = 2 };

        weir__out_print(&o,
                        "fatal: the program needs more than %u threads: that many goroutines are "
                        "in blocking calls at once\n\n",
                        n);
        weir__dump_all(&o);
        weir__order_tell(&o);
        _exit(2);
}

/* Starts a thread that begins with p. -errno: the system refuses, p stays the caller's. */
static int start_thread(struct p *p, bool spinning)
{
        struct m *m = weir__m_new();
        uint32_t  n = fetch_add_relaxed(&sched.nthreads, 1);
        int       r = m ? 0 : -ENOMEM;

        if (weir__debug.threads && n >= weir__debug.threads)
                too_many_threads(n);
        if (!r) {
                m->id = n;
                m->next_p = p;
                m->spinning = spinning;
                r = weir__os_thread_start(thread_main, m, M_STACK);
        }
        if (r < 0) {
                fetch_add_relaxed(&sched.nthreads, (uint32_t)-1);
                if (m)
                        weir__m_free(m);
        }
        return r;
}

/* No thread can be had for p: it goes idle, and what waits on it waits for a thread that is there.
 * For a while nobody asks the system again. */
static slowpath void do_without(struct p *p, bool spinning, int r)
{
        static uint32_t told;           /* atomic */
        struct out      o = { .fd = 2 };
        struct glist    l = { 0 };
        struct m       *m;

        weir__runq_drain(p, &l);        /* nobody looks at the runnext of an idle processor */
        weir__global_put_list(&l);
        lock_take(&sched.lock);
        sched.start_again = weir__os_now() + START_AGAIN_NS;
        m = weir__bound_get(true);
        if (!m)
                weir__p_idle_put(p);
        lock_drop(&sched.lock);
        if (m)
                weir__m_hand(m, p);
        if (spinning)
                fetch_sub_seq(&sched.spinning, 1);
        if (load_seq(&sched.poller) == POLLER_BLOCKED)
                weir__os_poll_interrupt();
        if (load_relaxed(&sched.nthreads) && !exchange_seq(&told, 1)) {
                weir__out_print(
                        &o, "weir: cannot start another thread (%s); the program goes on with %u\n",
                        weir_error_name(r), load_relaxed(&sched.nthreads));
                weir__out_flush(&o);
        }
}

/* Hands a processor to a thread that sleeps, else to a new one. -errno: there is none, and p
 * idles. */
int weir__m_give(struct p *p, bool spinning)
{
        struct m *m;
        int       r;

        lock_take(&sched.lock);
        m = sched.idle_m;
        if (m)
                sched.idle_m = m->idle_next;
        lock_drop(&sched.lock);
        if (!m) {
                r = start_thread(p, spinning);
                if (r < 0)
                        do_without(p, spinning, r);
                return r;
        }
        m->spinning = spinning;
        weir__m_hand(m, p);
        return 0;
}

void weir__m_hand(struct m *m, struct p *p)
{
        m->next_p = p;
        store_release(&m->wake, 1);                     /* pairs with the acquire in m_sleep */
        weir__os_futex_wake(&m->wake, 1);
        weir__counter_shared(COUNTER_thread_wakes, 1);
}

/* Called without a processor, by a thread that has put itself on sched.idle_m. */
void weir__m_sleep(struct m *m)
{
        struct regs r;

        weir__counter_shared(COUNTER_thread_parks, 1);
        if (!m->stopped) {
                weir__arch_capture(&r);
                m->halt = (struct halt){ .sp = r.r[ARCH_SP] };
        }
        store_seq(&m->asleep, 1);
        while (!load_acquire(&m->wake))
                weir__os_futex_wait(&m->wake, 0, -1);
        store_relaxed(&m->wake, 0);
        weir__m_take_p(m, m->next_p);
        m->next_p = NULL;
        store_seq(&m->asleep, 0);
        __asm__ volatile("" : : "r"(&r) : "memory");    /* what r holds was looked at until here */
}
