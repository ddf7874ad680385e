/* The collector under load.
 *
 * binary_trees_20  the classic of Hans Boehm as the benchmarks game has it: a long-lived tree of
 *                  depth 20, and for each depth from 4 on as many short-lived ones as make the same
 *                  number of nodes. 700 million nodes of two pointers come and go. One op is all.
 * requests_1g      requests of one goroutine that each leave a megabyte of garbage in objects of 64
 *                  bytes, beside a tree of 16 million of them that lives. Reported besides: the
 *                  longest request but one in a thousand, and the longest stop of the program.
 *                  Collections come each 10 % of growth, or a run would see none.
 *
 * Fair: on both sides one goroutine, `new` with default settings of the collector (100 %), the same
 * nodes of 16 bytes, each counted. Declared by WEIR_TYPE and stored by weir_set, as Go's compiler
 * does it unasked. */
#include "bench.h"

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

enum { LIVE_DEPTH = 23, REQUEST = 1 << 20, SAMPLES = 1 << 16 };

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

BENCH(requests_1g)
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
