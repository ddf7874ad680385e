/* The collector under load.
 *
 * binary_trees_20  the classic of Hans Boehm as the benchmarks game has it: a long-lived tree of
 *                  depth 20, and for each depth from 4 on as many short-lived ones as make the same
 *                  number of nodes. 700 million nodes of two pointers come and go. One op is all.
 * requests_2g      requests of one goroutine that each leave a megabyte of garbage in objects of 64
 *                  bytes, beside a tree of 33 million of them that lives. Reported besides: the
 *                  longest request but one in a thousand, and the longest stop of the program.
 *                  Collections come each 10 % of growth, or a run would see none.
 *
 * barrier_off      weir_set of a field of an object that is in the caches, while no collection
 *                  runs; eight in turn, one op is one store. Go's compiler plants the same in a
 *                  store.
 * barrier_on       the same while one marks: only stores that a whole block of which fell into the
 *                  marking are counted, beside a tree of 4 million objects that is collected again
 *                  and again.
 * cycle_parked_1m  a forced collection beside a million goroutines parked on a channel.
 * cycle_64m        a forced collection of 64 MiB of objects of 64 bytes; CPU time besides.
 * cycle_64m_cache  the same beside 1 GiB from malloc in blocks of 4 KiB that hold no pointers, in
 *                  Go slices of bytes.
 * cycle_64m_plain  the same with blocks of weir_malloc_plain.
 * stores_100m      the stops of collections beside a goroutine that stores 100 MB/s into old plain
 *                  objects of 64 MiB, reported as p99 and longest; one op is one collection.
 *
 * Fair: on both sides one goroutine, `new` with default settings of the collector (100 %), the same
 * nodes of 16 bytes, each counted. Declared by WEIR_TYPE and stored by weir_set, as Go's compiler
 * does it unasked. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH = 20, LEAST = 4 };

typedef struct node {
        struct node *left, *right;
} node;
WEIR_TYPE(node, left, right);

static node *bottom_up(int depth)
{
        node *n = weir_new(node);

        if (depth > 0) {
                weir_set(n->left, bottom_up(depth - 1));
                weir_set(n->right, bottom_up(depth - 1));
        }
        return n;
}

static int64_t count(const node *n)
{
        return n->left ? 1 + count(n->left) + count(n->right) : 1;
}

BENCH(binary_trees_20)
{
        for (int64_t i = 0; i < b->n; i++) {
                node *lasting;

                if (count(bottom_up(DEPTH + 1)) != (2 << (DEPTH + 1)) - 1)
                        bench_fail(b, "the stretched tree is not whole");
                lasting = bottom_up(DEPTH);
                for (int depth = LEAST; depth <= DEPTH; depth += 2) {
                        int64_t trees = INT64_C(1) << (DEPTH - depth + LEAST), nodes = 0;

                        for (int64_t k = 0; k < trees; k++)
                                nodes += count(bottom_up(depth));
                        if (nodes != trees * ((2 << depth) - 1))
                                bench_fail(b, "trees of depth %d are not whole", depth);
                }
                if (count(lasting) != (2 << DEPTH) - 1)
                        bench_fail(b, "the lasting tree is not whole");
        }
}

/* ---- requests ---- */

enum { LIVE_DEPTH = 24, REQUEST = 1 << 20, SAMPLES = 1 << 16 };

typedef struct item {
        struct item *left, *right;
        uint64_t     value[6];
} item;
WEIR_TYPE(item, left, right);

static item *live;

static item *item_tree(int depth)
{
        item *n = weir_new(item);

        if (depth > 0) {
                weir_set(n->left, item_tree(depth - 1));
                weir_set(n->right, item_tree(depth - 1));
        }
        return n;
}

/* A list of its own, and a look at some of what lives. */
static uint64_t request(uint64_t seed)
{
        item    *list = NULL;
        uint64_t sum = 0;

        for (size_t i = 0; i < REQUEST / sizeof *list; i++) {
                item *n = weir_new(item);

                weir_set(n->left, list);
                n->value[0] = i;
                list = n;
        }
        for (const item *n = live; n; seed /= 2) {
                sum += n->value[0];
                n = seed & 1 ? n->left : n->right;
        }
        for (; list; list = list->left)
                sum += list->value[0];
        return sum;
}

BENCH(requests_2g)
{
        static int64_t  took[SAMPLES];
        weir_mem_stats  s;
        uint64_t        sum = 0;
        int64_t         n = 0;
        int             percent;

        if (!live) {
                live = item_tree(LIVE_DEPTH);
                weir_gc_run();
        }
        percent = weir_gc_percent(10);
        weir_mem_read(&s);
        bench_timer_reset(b);
        for (int64_t i = 0; i < b->n; i++) {
                weir_time begin = weir_now();

                sum += request((uint64_t)i * 2654435761u);
                if (n < SAMPLES)
                        took[n++] = weir_now() - begin;
        }
        bench_timer_stop(b);
        weir_gc_percent(percent);
        if (!sum)
                bench_fail(b, "nothing was seen");
        bench_metric(b, (double)bench_percentile(took, (size_t)n, 0.999), "p999-ns");
        weir_mem_read(&s);
        bench_metric(b, (double)s.gc_pause_max_ns, "stop-max-ns");
}

/* ---- the barrier ---- */

enum { SLOTS = 8, BLOCK = 1024 };

/* Stores block * BLOCK pointers into slots of one object. */
static __attribute__((noinline)) void store(item *to[SLOTS], item *a, item *b)
{
        for (int i = 0; i < BLOCK / SLOTS; i++)
                for (int k = 0; k < SLOTS; k++)
                        weir_set(to[k]->left, i & 1 ? a : b);
}

BENCH(barrier_off)
{
        item *to[SLOTS], *a = weir_new(item), *c = weir_new(item);

        for (int k = 0; k < SLOTS; k++)
                to[k] = weir_new(item);
        b->per = BLOCK;
        for (int64_t i = 0; i < b->n; i++)
                store(to, a, c);
}

weir_task(collects, my, { uint32_t *stop; weir_wg *wg; })
{
        while (!__atomic_load_n(my->stop, __ATOMIC_SEQ_CST))
                weir_gc_run();
        weir_wg_done(my->wg);
}

BENCH(barrier_on)
{
        static item *other;
        item        *to[SLOTS], *a = weir_new(item), *c = weir_new(item);
        uint32_t     stop = 0;
        weir_wg      wg = { 0 };
        int64_t      took = 0;

        if (!other)
                other = item_tree(21);
        for (int k = 0; k < SLOTS; k++)
                to[k] = weir_new(item);
        weir_wg_add(&wg, 1);
        weir_go(collects, .stop = &stop, .wg = &wg);
        b->per = BLOCK;
        bench_timer_reset(b);
        for (int64_t done = 0; done < b->n;) {
                weir_time begin = weir_now();
                bool      on = __atomic_load_n(&weir__gc_barrier, __ATOMIC_SEQ_CST);

                store(to, a, c);
                if (on && __atomic_load_n(&weir__gc_barrier, __ATOMIC_SEQ_CST)) {
                        took += weir_now() - begin;
                        done++;
                }
        }
        bench_timer_stop(b);
        __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
        weir_wg_wait(&wg);
        bench_metric(b, (double)took / (double)(b->n * BLOCK), "ns/op");
}

/* ---- cycles ---- */

weir_task(parks, my, { weir_chan *c; weir_wg *wg; })
{
        int v;

        weir_recv(my->c, &v);
        weir_wg_done(my->wg);
}

BENCH(cycle_parked_1m)
{
        enum { PARKED = 1000000 };
        weir_chan *c = weir_chan_make(int, 0);
        weir_wg    wg = { 0 };

        weir_wg_add(&wg, PARKED);
        for (int i = 0; i < PARKED; i++)
                weir_go(parks, .c = c, .wg = &wg);
        weir_yield();
        weir_gc_run();
        bench_timer_reset(b);
        for (int64_t i = 0; i < b->n; i++)
                weir_gc_run();
        bench_timer_stop(b);
        weir_chan_close(c);
        weir_wg_wait(&wg);
}

enum { CACHE_BLOCKS = 1 << 18, CACHE_BLOCK = 4096 };

static item *small_live;

static void cycles(struct bench *b, void *(*get)(size_t size))
{
        void **cache = get ? bench_alloc(CACHE_BLOCKS, sizeof *cache) : NULL;

        if (!small_live)
                small_live = item_tree(19);
        for (int i = 0; get && i < CACHE_BLOCKS; i++)
                memset(cache[i] = get(CACHE_BLOCK), 1 + i % 100, CACHE_BLOCK);
        weir_gc_run();
        weir_gc_run();
        bench_timer_reset(b);
        for (int64_t i = 0; i < b->n; i++)
                weir_gc_run();
        bench_timer_stop(b);
        for (int i = 0; get && i < CACHE_BLOCKS; i++)
                free(cache[i]);
        free(cache);
}

BENCH(cycle_64m)
{
        cycles(b, NULL);
}

BENCH(cycle_64m_cache)
{
        cycles(b, malloc);
}

BENCH(cycle_64m_plain)
{
        cycles(b, weir_malloc_plain);
}

/* ---- stops beside stores into plain memory ---- */

enum { OLD = 1 << 20, PER_MS = 100 * 1000 / 64 };

/* One word in each 64 bytes, so that each is a store into another object. */
weir_task(stores, my, { void **old; uint32_t *stop; weir_wg *wg; })
{
        uint64_t s = 1;

        while (!__atomic_load_n(my->stop, __ATOMIC_SEQ_CST)) {
                for (int i = 0; i < PER_MS; i++) {
                        s = s * 6364136223846793005u + 1442695040888963407u;
                        *(void **)my->old[(s >> 40) % OLD] = my->old[(s >> 20) % OLD];
                }
                weir_sleep(WEIR_MILLISECOND);
        }
        weir_wg_done(my->wg);
}

BENCH(stores_100m)
{
        static weir_gc_cycle cycle[256];
        static int64_t       stop_ns[512];
        void               **old = weir_new_bytes(OLD * sizeof *old);
        uint32_t             stop = 0;
        weir_wg              wg = { 0 };
        size_t               n, stops = 0;

        for (int i = 0; i < OLD; i++)
                old[i] = weir_new_bytes(60);
        weir_gc_run();
        weir_wg_add(&wg, 1);
        weir_go(stores, .old = old, .stop = &stop, .wg = &wg);
        bench_timer_reset(b);
        for (int64_t i = 0; i < b->n; i++)
                weir_gc_run();
        bench_timer_stop(b);
        __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
        weir_wg_wait(&wg);
        n = weir_gc_history(cycle, (size_t)(b->n < 256 ? b->n : 256));
        for (size_t i = 0; i < n; i++) {
                stop_ns[stops++] = cycle[i].stop_first;
                stop_ns[stops++] = cycle[i].stop_last;
        }
        bench_metric(b, (double)bench_percentile(stop_ns, stops, 0.99), "stop-p99-ns");
        bench_metric(b, stops ? (double)stop_ns[stops - 1] : 0, "stop-max-ns");
}
