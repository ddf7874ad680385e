/* Stacks of goroutines, read beside the program.
 *
 * What    The collector must have read every stack as it is at the end of a cycle. A goroutine that
 *         is parked does not change its stack, so it is read while the program runs, and read again
 *         in the stop at the end only if it ran meanwhile, or was handed something: what the stop
 *         costs depends on how many goroutines run, not on how many there are.
 * States  Of a goroutine while scanning is on:
 *           unread   the collector has not come by; or it has no CTX_SCANNED
 *           read     CTX_SCANNED is set: it has not run since, nor was it readied
 *           touched  on the list `touched`: to be read again. Who sets it: the thread that switches
 *                    to a read one, that readies it (a channel may have put something on its stack
 *                    before), or that starts it anew; the collector for those that it finds running
 *         scan_listed goes 0 -> 1 by exchange, whoever then puts it on the list; back to 0 by the
 *         collector, who takes the whole list.
 * Order   The collector sets CTX_SCANNED, has all threads pass a fence, and then reads on_cpu and
 *         the stack. Who switches to a goroutine stores on_cpu and then reads the flag; who readies
 *         one has written to its stack before it reads the flag. So one of both sees the other, and
 *         the usual switch pays nothing: the flag shares a test with others.
 *         Scanning goes on and off with the world stopped. A flag that is left over is taken away
 *         at the next switch.
 * Cost    One fence for 1024 goroutines, and what is on their stacks.
 * Not     Stopping each goroutine to read its stack (Go): parked ones would have to be kept from
 *         being woken. All stacks in the stop: it would last longer the more goroutines there
 *         are. */
#include "sched/state.h"

enum { BATCH = 1024 };

/* The collector's. */
static struct {
        world_visit_fn *fn;
        void           *arg;
} visitor;

static void visit_range(uintptr_t low, uintptr_t high)
{
        if (low < high)
                visitor.fn((struct world_range){ ALIGN_UP(low, (uintptr_t)8), high }, visitor.arg);
}

/* The stack of a goroutine that does not run. Another may run on it by now, anywhere: then it is
 * touched, and what is read here does no harm. */
static void visit(struct g *g)
{
        uintptr_t sp = (uintptr_t)load_relaxed(&g->ctx.sp);

        if (!load_relaxed(&g->id))
                return;                         /* it has ended */
        visit_range((uintptr_t)g, (uintptr_t)(g + 1));
        if (sp >= (uintptr_t)g->stack.low && sp < (uintptr_t)g->stack.high)
                visit_range(sp, (uintptr_t)g->stack.high);
}

static void list(struct g *g)
{
        struct g *head;

        if (exchange_seq(&g->scan_listed, 1))
                return;
        head = load_relaxed(&sched.touched);
        do
                g->scan_next = head;
        while (!cas_seq(&sched.touched, &head, g));
}

slowpath void weir__scan_touch(struct g *g)
{
        fetch_and_relaxed(&g->ctx.flags, ~(uint32_t)CTX_SCANNED);
        if (load_relaxed(&sched.scanning))
                list(g);
}

void weir__scan_begin(void)
{
        static bool ready;

        if (!ready)
                sched.can_fence = weir__os_fence_all_init();
        ready = true;
        store_relaxed(&sched.touched, NULL);
        store_relaxed(&sched.scanning, 1);
        for (struct m *m = load_acquire(&sched.all_m); m; m = m->all_next)
                if (load_seq(&m->alive) && m->g != &m->g0 && m->g != &m->own)
                        list(m->g);
}

/* Reads those that stay where they are from here on. */
static void read_batch(struct g **batch, unsigned n)
{
        bool fenced;

        for (unsigned i = 0; i < n; i++)
                fetch_or_seq(&batch[i]->ctx.flags, (uint32_t)CTX_SCANNED);
        fenced = sched.can_fence && weir__os_fence_all();
        for (unsigned i = 0; i < n; i++) {
                if (!fenced || load_acquire(&batch[i]->ctx.on_cpu))
                        weir__scan_touch(batch[i]);
                else
                        visit(batch[i]);
        }
}

void weir__scan_parked(world_visit_fn *fn, void *arg)
{
        static struct g    *batch[BATCH];
        struct stack_cursor at = { 0 };
        struct stack        s;
        unsigned            n = 0;

        visitor.fn = fn;
        visitor.arg = arg;
        while (weir__stack_next(&at, &s)) {
                struct g *g = (struct g *)(void *)s.high;

                if (!load_relaxed(&g->id))
                        continue;               /* who starts it lists it */
                batch[n++] = g;
                if (n == BATCH) {
                        read_batch(batch, n);
                        n = 0;
                }
        }
        read_batch(batch, n);
}

static struct g *take_touched(void)
{
        return exchange_seq(&sched.touched, NULL);
}

size_t weir__scan_again(world_visit_fn *fn, void *arg)
{
        static struct g *batch[BATCH];
        struct g        *next;
        size_t           all = 0;
        unsigned         n = 0;

        visitor.fn = fn;
        visitor.arg = arg;
        for (struct g *g = take_touched(); g; g = next) {
                next = g->scan_next;
                store_seq(&g->scan_listed, 0);
                batch[n++] = g;
                all++;
                if (n == BATCH) {
                        read_batch(batch, n);
                        n = 0;
                }
        }
        read_batch(batch, n);
        return all;
}

size_t weir__scan_end(world_visit_fn *fn, void *arg)
{
        struct g *next;
        size_t    n = 0;

        visitor.fn = fn;
        visitor.arg = arg;
        for (struct g *g = take_touched(); g; g = next, n++) {
                next = g->scan_next;
                store_seq(&g->scan_listed, 0);
                if (load_acquire(&g->ctx.on_cpu))
                        visit_range((uintptr_t)g, (uintptr_t)(g + 1)); /* the rest with its thread */
                else
                        visit(g);
        }
        store_relaxed(&sched.scanning, 0);
        return n;
}
