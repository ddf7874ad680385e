/* Stacks of goroutines, read beside the program.
 *
 * What    The collector must have read every stack as it is at the end of a cycle. A goroutine that
 *         is parked does not change its stack, so it is read while the program runs, and read again
 *         in the stop at the end only if it ran meanwhile, or was handed something: what the stop
 *         costs depends on how many goroutines run, not on how many there are.
 * Others' stores
 *         The variables of a parked goroutine may be written by others that have their address, at
 *         any time and by plain stores. What is stored so into a stack that was read already, and
 *         is then nowhere else, would be lost. Three things prevent it.
 *           Whoever switches to a goroutine for the first time while scanning is on tells the
 *           marker what is on its stack. So nobody brings along an object that the marker does not
 *           come to know of, but one that he takes out of plain memory, where it is written over
 *           before that is scanned.
 *           Stacks into which a word points that the marker came by, outside of the stack itself,
 *           in this cycle or another since the last whole one before it began, are shared: read
 *           once more in the last stop. Addresses where the collector does not look do not count,
 *           as for objects. Nor do those of what the runtime itself keeps on a stack while it waits
 *           (weir__sched_own), or each that waits for a channel would be pointed to by its
 *           neighbours in line.
 *           So are some that ran, or were readied, since the cycle before: such addresses may be
 *           new, and gone again before the marker comes by. One that has not run makes none: of
 *           what there were at the end of the cycle before, that cycle saw all, or had seen them
 *           earlier and nothing was written there since.
 *         What is left: in a program where more than FEW goroutines run from cycle to cycle, an
 *         object and the address of a variable that are both taken out of plain memory, and written
 *         over there, in the same cycle before that memory is scanned. To read all those stacks in
 *         the stop would cost 0.8 us each.
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
 *         What is shared is noted likewise, by shared_in, and read in the last stop.
 * Cost    One fence for 1024 goroutines, and what is on their stacks.
 * Not     Stopping each goroutine to read its stack (Go): parked ones would have to be kept from
 *         being woken. All stacks in the stop: it would last longer the more goroutines there are.
 *         Watching stacks for written pages, as malloc's: of 73 pages of a slot one is in use, and
 *         the kernel takes 100 ns to pass over them, in the stop. */
#include "mem/mem.h"
#include "sched/state.h"

enum {
        BATCH = 1024,
        AHEAD = 6,              /* goroutines fetched before they are read */
        FEW = 256,              /* that ran since the cycle before, and are read in the stop */
        ROOM = 1 << 21,         /* of the list of shared ones */
};

static struct {
        uint32_t  cycle;        /* the collector's, with the world stopped */
        uint32_t  epoch;        /* the same: whole cycles */
        struct g **all;         /* const once there; entries: who raised n to it, then, when the
                                 * markers are idle, the collector */
        uint32_t  n;            /* atomic: how many in this cycle, those in the list included */
        uint32_t  done;         /* the collector's: how many of `all` were read */
        uint32_t  recent;       /* the collector's: those that ran since the cycle before */
        struct g *first;        /* atomic: the list, for those beyond ROOM or without `all` */
        uintptr_t low, high;    /* the collector's: whose stack it reads, that goroutine included */
} shared = { .epoch = 1 };

/* The collector's. */
static struct {
        world_visit_fn *fn;
        void           *arg;
} visitor;

/* Its stack is read in the last stop. */
static void share(struct g *g)
{
        struct g *head;
        uint32_t  i;

        if (load_relaxed(&g->shared_in) == shared.cycle ||
            exchange_seq(&g->shared_in, shared.cycle) == shared.cycle)
                return;
        i = fetch_add_seq(&shared.n, 1);
        if (likely(i < ROOM && shared.all)) {
                shared.all[i] = g;
                return;
        }
        head = load_relaxed(&shared.first);
        do
                g->shared_next = head;
        while (!cas_seq(&shared.first, &head, g));
}

/* From: a marker, for a word that lies where stacks are. Of a goroutine that runs now it may be
 * wrong, but that is touched. */
static void pointed_to(uintptr_t word)
{
        uintptr_t    low = load_relaxed(&shared.low);
        struct stack s;
        struct g    *g;
        bool         in_guard;

        if (word - low < load_relaxed(&shared.high) - low)
                return;                         /* its own */
        if (!weir__stack_find((const void *)word, &s, &in_guard) || word >= (uintptr_t)s.high)
                return;
        g = (struct g *)(void *)s.high;
        if (!load_relaxed(&g->id) || word < (uintptr_t)load_relaxed(&g->ctx.sp))
                return;
        if (load_acquire(&g->state) == G_PARKED &&
            word - (uintptr_t)load_relaxed(&g->own) < load_relaxed(&g->own_size))
                return;
        store_relaxed(&g->shared_at, shared.epoch);
        share(g);
}

/* Whether a cycle that still counts came by a pointer to its frames. */
static bool is_pointed_to(const struct g *g)
{
        return shared.epoch - load_relaxed(&g->shared_at) <= 1;
}

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
        store_relaxed(&shared.low, (uintptr_t)g->stack.low);
        store_relaxed(&shared.high, (uintptr_t)(g + 1));
        visit_range((uintptr_t)g, (uintptr_t)(g + 1));
        if (sp >= (uintptr_t)g->stack.low && sp < (uintptr_t)g->stack.high)
                visit_range(sp, (uintptr_t)g->stack.high);
        store_relaxed(&shared.high, load_relaxed(&shared.low));
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

void weir__scan_enter(struct g *g)
{
        if (likely(g->told_in == shared.cycle))
                return;
        /* CTX_SCANNED does not tell whether it was read in this cycle or an earlier one. */
        g->told_in = shared.cycle;
        weir__mem_shade_stack((uintptr_t)load_relaxed(&g->ctx.sp), (uintptr_t)g->stack.high,
                              (uintptr_t)g->stack.low, (uintptr_t)(g + 1));
}

slowpath void weir__scan_touch(struct g *g)
{
        fetch_and_relaxed(&g->ctx.flags, ~(uint32_t)CTX_SCANNED);
        if (load_relaxed(&sched.scanning))
                list(g);
}

void weir__scan_begin(bool whole)
{
        static bool ready;
        uintptr_t   low, high;

        if (!ready)
                sched.can_fence = weir__os_fence_all_init();
        ready = true;
        shared.cycle++;
        shared.epoch += whole;
        store_relaxed(&shared.first, NULL);
        store_relaxed(&shared.n, 0u);
        shared.done = shared.recent = 0;
        if (!shared.all)
                shared.all = weir__os_map(ROOM * sizeof *shared.all);
        weir__stack_extent(&low, &high);
        weir__mark_apart(low, high, pointed_to);
        store_relaxed(&sched.touched, NULL);
        store_relaxed(&sched.scanning, 1);
        for (struct m *m = load_acquire(&sched.all_m); m; m = m->all_next)
                if (load_seq(&m->alive) && m->g != &m->g0 && m->g != &m->own)
                        list(m->g);
}

/* What is read of a goroutine that waits in a call of the runtime, most of the time. */
static void fetch(const struct g *g)
{
        const char *sp = load_relaxed(&g->ctx.sp);

        for (size_t at = 0; at < 8 * CACHE_LINE; at += CACHE_LINE)
                __builtin_prefetch(sp + at);
}

/* Reads those that stay where they are from here on. */
static void read_batch(struct g **batch, unsigned n)
{
        bool fenced;

        for (unsigned i = 0; i < n; i++) {
                struct g *g = batch[i];

                if (i + AHEAD < n)
                        __builtin_prefetch(&batch[i + AHEAD]->ctx);
                /* A flag of the cycle before: it neither ran nor was readied since. */
                if (load_relaxed(&g->ctx.flags) & CTX_SCANNED) {
                        if (is_pointed_to(g))
                                share(g);
                        continue;
                }
                fetch_or_seq(&g->ctx.flags, (uint32_t)CTX_SCANNED);
                if (is_pointed_to(g) || shared.recent++ < FEW)
                        share(g);
        }
        fenced = sched.can_fence && weir__os_fence_all();
        for (unsigned i = 0; i < n; i++) {
                if (i + AHEAD < n)
                        fetch(batch[i + AHEAD]);
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

/* With the world stopped, once. */
static void visit_last(struct g *g)
{
        if (g->read_in == shared.cycle)
                return;
        g->read_in = shared.cycle;
        if (load_acquire(&g->ctx.on_cpu))
                visit_range((uintptr_t)g, (uintptr_t)(g + 1));  /* the rest with its thread */
        else
                visit(g);
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
                visit_last(g);
        }
        store_relaxed(&sched.scanning, 0);
        return n;
}

/* Its frames; what the goroutine itself holds was read, and is not for others to write to. */
static void visit_frames(struct g *g)
{
        uintptr_t sp = (uintptr_t)load_relaxed(&g->ctx.sp);

        if (g->read_in == shared.cycle)
                return;
        g->read_in = shared.cycle;
        if (!load_relaxed(&g->id) || load_acquire(&g->ctx.on_cpu))
                return;
        store_relaxed(&shared.low, (uintptr_t)g->stack.low);
        store_relaxed(&shared.high, (uintptr_t)(g + 1));
        visit_range(sp, (uintptr_t)g->stack.high);
        store_relaxed(&shared.high, load_relaxed(&shared.low));
}

size_t weir__scan_shared(world_visit_fn *fn, void *arg)
{
        uint32_t n = MIN(load_acquire(&shared.n), (uint32_t)ROOM), from = shared.done;
        size_t   rest = 0;

        visitor.fn = fn;
        visitor.arg = arg;
        for (uint32_t i = from; shared.all && i < n; i++) {
                if (i + 2 * AHEAD < n)
                        __builtin_prefetch(&shared.all[i + 2 * AHEAD]->ctx);
                if (i + AHEAD < n)
                        fetch(shared.all[i + AHEAD]);
                visit_frames(shared.all[i]);
        }
        shared.done = n;
        for (struct g *g = exchange_seq(&shared.first, NULL), *next; g; g = next, rest++) {
                next = g->shared_next;
                visit_frames(g);
        }
        return n - from + rest;
}

void weir__scan_over(void)
{
        weir__mark_apart(0, 0, NULL);
}
