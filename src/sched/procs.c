/* How many processors there are, and changing it while goroutines run.
 *
 * What    weir_procs raises or lowers the number of goroutines that may run at once. Without it the
 *         number follows what the system allows, which the monitor looks up now and then: affinity
 *         may change, and the quota of a cgroup.
 * Shape   sched.procs has room for all there may ever be; the first nall are made. Those numbered
 *         nprocs and more are to run nothing.
 * States  IDLE and RUNNING as in p.h, and RETIRED: numbered too high, in no list, its queues empty.
 *         Lowering retires the idle ones at once; one that runs does so itself at its next wide
 *         look (find.c), and a goroutine that computes is asked for it when its slice is over. Its
 *         timers stay, others run them.
 * Locks   sched.lock for all changes. Loops over processors go to nall, which only grows.
 * Not     Stopping the world, as Go does: nothing here needs all of them to stand still. */
#include "sched/state.h"
#include <errno.h>
#include <weir/run.h>

enum { FOLLOW_EVERY = 2 * 1000 * 1000 * 1000u };

static struct p *make(uint32_t id)
{
        struct p *p = weir__os_map(ALIGN_UP(sizeof *p, (size_t)OS_PAGE));

        if (!p)
                return NULL;
        p->id = id;
        p->state = P_RETIRED;
        p->rand = weir__order_rand(id);
        weir__slice_start(p);
        p->timer_when = INT64_MAX;
        weir__counter_register(&p->counters);
        if (weir__sched_hooks.timers_init)
                weir__sched_hooks.timers_init(p);
        return p;
}

/* Makes sure that n exist. -ENOMEM: fewer do. With procs_lock, or at start. */
static int make_all(uint32_t n)
{
        while (sched.nall < n) {
                struct p *p = make(sched.nall);

                if (!p)
                        return -ENOMEM;
                sched.procs[sched.nall] = p;
                lock_take(&sched.lock);
                store_relaxed(&sched.nretired, sched.nretired + 1);
                store_release(&sched.nall, sched.nall + 1);     /* with its contents */
                lock_drop(&sched.lock);
        }
        return 0;
}

/* With sched.lock. */
static void set(uint32_t n)
{
        struct p *idle = NULL, *p;

        store_seq(&sched.nprocs, n);
        for (uint32_t i = 0; i < n; i++)
                if (load_relaxed(&sched.procs[i]->state) == P_RETIRED) {
                        store_relaxed(&sched.procs[i]->state, P_RUNNING);
                        store_relaxed(&sched.nretired, sched.nretired - 1);
                        weir__p_idle_put(sched.procs[i]);
                }
        while ((p = weir__p_idle_get())) {
                p->idle_next = idle;
                idle = p;
        }
        while ((p = idle)) {                            /* those that are too many retire */
                idle = p->idle_next;
                weir__p_idle_put(p);
        }
}

int weir__procs_make(uint32_t n)
{
        sched.procs = weir__os_map(ALIGN_UP(PROCS_MAX * sizeof *sched.procs, (size_t)OS_PAGE));
        if (!sched.procs || make_all(n) < 0)
                return -ENOMEM;
        lock_take(&sched.lock);
        set(n);
        lock_drop(&sched.lock);
        return 0;
}

/* Processors that wait for a thread may have become free for those that wait for one. */
static int change(uint32_t n)
{
        static uint32_t changing;                       /* one at a time; the others' wish is late */
        struct m       *m;
        struct p       *p;
        int             r;

        while (exchange_acquire(&changing, 1))
                weir__os_yield();
        r = make_all(n);
        if (!r) {
                lock_take(&sched.lock);
                set(n);
                lock_drop(&sched.lock);
                for (;;) {
                        lock_take(&sched.lock);
                        p = sched.bound.count || sched.hogs.count ? weir__p_idle_get() : NULL;
                        m = p ? weir__bound_get(true) : NULL;
                        lock_drop(&sched.lock);
                        if (!p)
                                break;
                        weir__m_hand(m, p);
                }
                weir__sched_wake();
        }
        store_release(&changing, 0);
        return r;
}

bool weir__p_retired(struct p *p)
{
        struct glist l = { 0 };

        if (likely(p->id < load_relaxed(&sched.nprocs)))
                return false;
        weir__runq_drain(p, &l);
        weir__global_put_list(&l);
        lock_take(&sched.lock);
        weir__p_idle_put(weir__m_drop_p(load_relaxed(&p->m)));
        lock_drop(&sched.lock);
        weir__sched_wake();                             /* for what it put into the global queue */
        return true;
}

void weir__procs_follow(int64_t now)
{
        static int64_t looked;                          /* only the monitor */
        unsigned       n;

        if (!load_relaxed(&sched.procs_default) || now - looked < (int64_t)FOLLOW_EVERY)
                return;
        looked = now;
        n = weir__os_cpu_limit();
        n = MIN(n, (unsigned)PROCS_MAX);
        if (n != load_relaxed(&sched.nprocs) && load_relaxed(&sched.procs_default))
                (void)change(n);
}

uint32_t weir__sched_procs(void)
{
        return load_relaxed(&sched.nprocs);
}

int weir_procs(int n)
{
        uint32_t before;

        weir__sched_need_g("weir_procs");
        before = load_relaxed(&sched.nprocs);
        if (n > PROCS_MAX)
                weir__panic("weir_procs: %d processors are more than the limit of %d", n, PROCS_MAX);
        if (n <= 0 || sched.order == ORDER_SEEDED)
                return (int)before;
        store_relaxed(&sched.procs_default, false);
        if ((uint32_t)n != before && change((uint32_t)n) < 0)
                return -ENOMEM;
        return (int)before;
}
