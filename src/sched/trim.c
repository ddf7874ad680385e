/* Memory of stacks that nobody needs goes back to the kernel.
 *
 * What    A stack keeps what it ever touched. Of a goroutine that is parked for a second, all below
 *         its frames is returned; of one that is dead and that nobody wants, all but its first
 *         page. One that ends with a stack of its own size gives it back itself (spawn.c).
 * Order   A parked goroutine may be readied and run at any moment, and must not find its stack
 *         going away. The monitor raises CTX_TRIM in the context, then reads on_cpu; the thread
 *         that switches to it stores on_cpu, then reads the flag, and waits if it is raised.
 *         Between the monitor's two steps lies a fence for all threads, one for a whole batch, so
 *         that those who switch need none: either they see the flag, or the monitor sees that they
 *         are there.
 * States  dead goroutines: those of the processors' lists are hot and stay; of an idle processor's
 *         they go to the shared list. From there they come to `cold` when nobody took one of that
 *         class since the last round.
 * Cost    At most BUSY_NS in a round of 10 ms while goroutines run, IDLE_NS while none does. A
 *         parked goroutine is looked at once for each time it parks so long. In a process where
 *         nothing happens it ends with the first pass that finds nothing more to do.
 * Not     Returning at each end: most stacks are taken again at once, and a page that went costs
 *         1.3 us to come back. By the goroutine itself when it wakes: it is while it sleeps that
 *         the memory lies idle. */
#include "sched/state.h"

enum {
        ROUND_NS = 10 * 1000 * 1000,
        DEAD_NS = 100 * 1000 * 1000,
        LONG_NS = 1000 * 1000 * 1000,
        BUSY_NS = 100 * 1000,
        IDLE_NS = 1000 * 1000,
        BATCH = 32,
        CLASSES = 33,
};

/* All of it is the monitor's alone. */
static struct {
        bool                can_fence, parked_left, dead_left;
        int64_t             last, last_dead;
        struct stack_cursor at;
        bool                young;      /* this pass met one that is not parked for long yet */
        uint32_t            taken[CLASSES];
} trim;

void weir__trim_init(void)
{
        trim.can_fence = weir__os_fence_all_init();
}

static void trace(const char *what, const struct g *g, size_t bytes)
{
        struct out o = { .fd = 2 };

        if (!weir__debug.stacktrace || !bytes)
                return;
        weir__out_print(&o, "stack: returned %zu KiB of a %s goroutine's %zu (%llu)\n",
                        bytes / 1024, what, ((size_t)1 << g->stack.class) / 1024,
                        (unsigned long long)load_relaxed(&g->id));
        weir__out_flush(&o);
}

/* ---- parked ones ---- */

static bool rests(const struct g *g)
{
        return load_acquire(&g->state) == G_PARKED && !load_acquire(&g->ctx.on_cpu);
}

/* Whether g should be looked at: parked for long, and not looked at since it parked. */
static bool wanted(const struct g *g, int64_t now)
{
        if (!rests(g) || g->trimmed == load_relaxed(&g->switches) + 1)
                return false;
        if (now - load_relaxed(&g->since) >= LONG_NS)
                return true;
        trim.young = true;
        return false;
}

static void return_batch(struct g **batch, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                fetch_or_seq(&batch[i]->ctx.flags, CTX_TRIM);
        if (weir__os_fence_all())
                for (unsigned i = 0; i < n; i++) {
                        struct g *g = batch[i];

                        if (!rests(g))
                                continue;
                        trace("parked", g, weir__stack_return(&g->stack, load_relaxed(&g->ctx.sp)));
                        g->trimmed = load_relaxed(&g->switches) + 1;
                }
        for (unsigned i = 0; i < n; i++)        /* release: pairs with the acquire in park.c */
                __atomic_fetch_and(&batch[i]->ctx.flags, ~(uint32_t)CTX_TRIM, __ATOMIC_RELEASE);
}

/* Goes on with the pass over all stacks. Answers whether it, or another, is still to do. */
static bool trim_parked(int64_t now, int64_t limit)
{
        struct g    *batch[BATCH];
        unsigned     n = 0;
        struct stack s;

        do {
                bool more = true;

                for (unsigned i = 0; more && i < 8 * BATCH && n < BATCH; i++) {
                        more = weir__stack_next(&trim.at, &s);
                        if (more && wanted((struct g *)(void *)s.high, now))
                                batch[n++] = (struct g *)(void *)s.high;
                }
                if (n)
                        return_batch(batch, n);
                n = 0;
                if (!more) {
                        more = trim.young;
                        trim.young = false;
                        return more;
                }
        } while (weir__os_now() < limit);
        return true;
}

/* ---- dead ones ---- */

/* What idle processors keep becomes everybody's. */
static void collect_idle(void)
{
        lock_take(&sched.lock);
        for (struct p *p = sched.idle_p; p; p = p->idle_next)
                while (p->dead) {
                        struct g *g = p->dead;

                        p->dead = g->next;
                        p->ndead--;
                        g->next = sched.dead[sched.stack_class];
                        store_relaxed(&sched.dead[sched.stack_class], g);
                }
        lock_drop(&sched.lock);
}

/* Takes some of a class that nobody took from since the last round, and keeps them from others
 * while their memory goes. */
static struct g *take_unwanted(uint32_t class)
{
        struct g *list = NULL, *g;

        lock_take(&sched.lock);
        if (sched.taken[class] == trim.taken[class])
                for (unsigned i = 0; i < BATCH && (g = sched.dead[class]); i++) {
                        store_relaxed(&sched.dead[class], g->next);
                        g->next = list;
                        list = g;
                }
        lock_drop(&sched.lock);
        return list;
}

static void put_back(uint32_t class, struct g *list)
{
        lock_take(&sched.lock);
        while (list) {
                struct g *g = list;
                /* One that its last thread is still leaving has another round to come. */
                struct g **to = load_acquire(&g->ctx.on_cpu) ? &sched.dead[class]
                                                              : &sched.cold[class];

                list = g->next;
                g->next = *to;
                store_relaxed(to, g);
        }
        lock_drop(&sched.lock);
}

static bool trim_dead(int64_t now, int64_t limit, bool idle)
{
        bool more = false;

        if (!trim.dead_left && now - trim.last_dead < DEAD_NS)
                return true;
        if (idle)
                collect_idle();
        for (uint32_t class = 0; class < CLASSES; class++) {
                while (load_relaxed(&sched.dead[class])) {
                        struct g *list = take_unwanted(class);

                        for (struct g *g = list; g; g = g->next)
                                if (!load_acquire(&g->ctx.on_cpu))
                                        trace("dead", g, weir__stack_return(
                                                &g->stack, g->stack.high - 1));
                        if (list)
                                put_back(class, list);
                        more = more || load_relaxed(&sched.dead[class]);
                        if (!list || weir__os_now() >= limit)
                                break;
                }
                if (now - trim.last_dead >= DEAD_NS) {
                        lock_take(&sched.lock);
                        trim.taken[class] = sched.taken[class];
                        lock_drop(&sched.lock);
                }
        }
        if (now - trim.last_dead >= DEAD_NS)
                trim.last_dead = now;
        trim.dead_left = more;
        return more;
}

bool weir__trim_round(int64_t now, bool idle)
{
        int64_t limit = now + (idle ? IDLE_NS : BUSY_NS);

        if (now - trim.last < ROUND_NS)
                return trim.parked_left || trim.dead_left;
        trim.last = now;
        (void)trim_dead(now, limit, idle);
        trim.parked_left = trim.can_fence && trim_parked(now, limit);
        return trim.parked_left || trim.dead_left;
}
