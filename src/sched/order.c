/* The order in which goroutines run, drawn from a seed.
 *
 * What    WEIR_DEBUG=sched=SEED: one processor, and at each switch one of all runnable goroutines
 *         is drawn, each with the same chance. Time is a clock that stands still while goroutines
 *         run and jumps to the earliest timer when all are parked. So what a program does, as far
 *         as it is goroutines, channels, locks and timers, is a function of the seed.
 *         WEIR_DEBUG=shuffle=SEED, on in builds that check (sanitizers, debug): the usual scheduler
 *         on all processors, whose queues are disturbed at random. It finds other orders, and
 *         promises none.
 * Shape   The usual queues take what is readied, as ever; a budget of one switch brings each park
 *         and yield to find.c, which first moves all that is queued into one array here. The draw
 *         swaps the chosen one with the last. So the paths that are hot know nothing of this: no
 *         instruction more in park, ready, yield, spawn.
 *         Goroutines bound to their thread are in no queue; one draw counts them as well, and the
 *         first of them (bound.c) is taken.
 * Clock   Read by weir_now and all that measures time for goroutines. It begins at a second. A loop
 *         that waits for a time or for a timer, yielding or not, is never parked: so after STILL
 *         switches and reads since the clock last jumped, each further one is a step of STEP_NS.
 *         One that jumps before keeps it exact: a sleep of an hour ends an hour later.
 * States  The array and the clock belong to who has the only processor. The clock may be read by
 *         any thread.
 * What stays outside
 *         The kernel: descriptors are really polled when nothing is runnable, and for GRACE_NS
 *         (find.c) before the clock jumps while a goroutine waits for one. Other threads,
 *         weir_blocking and libc calls, which keep the processor: these block all. Nothing is
 *         preempted, no processor is handed off, the monitor decides nothing but that all are
 *         asleep, and no stack is trimmed.
 * Cost    Each switch goes through g0 and the array: some 50 ns more. Only in this mode.
 * Not     An array in place of the queues everywhere behind a branch: the branch would be in each
 *         ready and park. Real time, with the order alone drawn: timeouts then come at random.
 *         A step at each switch: a ticker or a sleep would be late by what others did. */
#include "sched/state.h"
#include <stdlib.h>
#include <unistd.h>

enum {
        CLOCK_FIRST = 1000000000,
        STILL = 10000,
        STEP_NS = 10000,
        ROOM_FIRST = 256,
        SHUFFLE_SLICE = 16,             /* switches between two disturbances, at most */
        SHUFFLE = 16,                   /* goroutines disturbed at once, at most */
        SHUFFLE_AWAY = 8,               /* one in so many times one goes to the global queue */
};

static struct {
        int64_t   seed;                 /* const after start, as given or chosen */
        uint64_t  rand;                 /* the processor's owner: draws */
        struct g **ready;               /* the same: runnable, in no order */
        uint32_t  room;                 /* the same */
        uint32_t  count;                /* atomic, only the owner writes */
        int64_t   clock;                /* atomic, the same */
        uint32_t  still;                /* atomic, the same: switches and reads since it jumped */
} order;

/* Seeds that are neighbours shall give orders that are not (splitmix64). Never zero. */
static uint64_t mix(uint64_t x)
{
        x += UINT64_C(0x9E3779B97F4A7C15);
        x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
        x ^= x >> 31;
        return x ? x : 1;
}

void weir__order_init(void)
{
        int64_t seed = weir__debug_sched(), shuffle = weir__debug.shuffle;

        if (seed >= 0) {
                sched.order = ORDER_SEEDED;
                order.seed = seed;
                order.rand = mix((uint64_t)seed);
                order.clock = CLOCK_FIRST;
                weir__sched_coarse = CLOCK_FIRST;
                return;
        }
        if (shuffle < 0 && (WEIR_CHECK >= 1 || WEIR_ASAN || WEIR_TSAN))
                shuffle = 1 + (int64_t)(mix((uint64_t)weir__os_now() ^
                                            (uint64_t)getpid() << 32) >> 34);
        if (shuffle > 0) {
                sched.order = ORDER_SHUFFLED;
                order.seed = shuffle;
        }
}

uint64_t weir__order_rand(uint32_t id)
{
        uint64_t from = sched.order ? (uint64_t)order.seed : (uint64_t)weir__os_now();

        return mix(mix(from) + id);
}

uint32_t weir__order_budget(struct p *p)
{
        return sched.order == ORDER_SEEDED ? 1 : 1 + weir__rand_below(&p->rand, SHUFFLE_SLICE);
}

void weir__order_tell(struct out *o)
{
        if (sched.order == ORDER_SEEDED)
                weir__out_print(o, "\nweir: WEIR_DEBUG=sched=%lld replays this order\n",
                                (long long)order.seed);
        else if (sched.order == ORDER_SHUFFLED)
                weir__out_print(o, "\nweir: the order was disturbed, as by "
                                   "WEIR_DEBUG=shuffle=%lld\n",
                                (long long)order.seed);
        weir__out_flush(o);
}

/* ---- the draw ---- */

static slowpath void grow(void)
{
        uint32_t   room = order.room ? order.room * 2 : ROOM_FIRST;
        struct g **ready = realloc(order.ready, room * sizeof(struct g *));

        if (!ready)
                weir__throw("out of memory for %u runnable goroutines", room);
        order.ready = ready;
        order.room = room;
}

static void add_list(struct glist *l)
{
        for (struct g *g = l->first, *next; g; g = next) {
                next = g->next;
                if (order.count == order.room)
                        grow();
                order.ready[order.count] = g;
                store_relaxed(&order.count, order.count + 1);
        }
        *l = (struct glist){ 0 };
}

uint32_t weir__order_gather(struct p *p)
{
        struct glist l = { 0 };

        while (!weir__runq_empty(p)) {
                weir__runq_drain(p, &l);
                add_list(&l);
        }
        weir__global_take_all(&l);
        add_list(&l);
        return order.count;
}

uint32_t weir__order_draw(uint32_t n)
{
        return weir__rand_below(&order.rand, n);
}

struct g *weir__order_take(uint32_t i)
{
        struct g *g = order.ready[i];

        store_relaxed(&order.count, order.count - 1);
        order.ready[i] = order.ready[order.count];
        if (unlikely(weir__debug.ordertrace)) {
                struct out o = { .fd = STDERR_FILENO };

                weir__out_print(&o, "order: %lld ns, goroutine %llu of %u\n",
                                (long long)order.clock, (unsigned long long)load_relaxed(&g->id),
                                order.count + 1);
                weir__out_flush(&o);
        }
        return g;
}

uint32_t weir__order_count(void)
{
        return load_relaxed(&order.count);
}

/* ---- the clock ---- */

static void set_clock(int64_t now)
{
        store_relaxed(&order.clock, now);
        store_relaxed(&weir__sched_coarse, now);
}

void weir__order_step(void)
{
        if (order.still >= STILL)
                set_clock(order.clock + STEP_NS);
        else
                store_relaxed(&order.still, order.still + 1);
}

void weir__order_jump(struct p *p, int64_t when)
{
        if (when > order.clock) {
                store_relaxed(&order.still, 0);
                count_in(&p->counters, clock_jumps, 1);
                set_clock(when);
        }
}

int64_t weir__sched_clock(void)
{
        return unlikely(sched.order == ORDER_SEEDED) ? load_relaxed(&order.clock) : weir__os_now();
}

int64_t weir__sched_now(void)
{
        struct m *m;

        if (likely(sched.order != ORDER_SEEDED))
                return weir__os_now();
        m = self();
        if (m && m->p)
                weir__order_step();
        return load_relaxed(&order.clock);
}

/* ---- disturbing the usual order ---- */

void weir__order_shuffle(struct p *p)
{
        struct g    *some[SHUFFLE];
        struct glist away = { 0 };
        unsigned     n = 0;

        if (weir__rand_below(&p->rand, 2))
                return;
        do
                p->budget = weir__rand_below(&p->rand, START_EVERY);    /* from which queue */
        while (n < SHUFFLE && (some[n] = weir__runq_get(p)) && ++n);
        p->budget = 0;
        if (n > 1 && !weir__rand_below(&p->rand, SHUFFLE_AWAY))
                weir__glist_push(&away, some[--n]);
        while (n) {
                unsigned i = weir__rand_below(&p->rand, n);

                weir__runq_put(p, some[i]);
                some[i] = some[--n];
        }
        if (away.first) {
                weir__global_put_list(&away);
                weir__sched_wake();
        }
        count_in(&p->counters, shuffles, 1);
}
