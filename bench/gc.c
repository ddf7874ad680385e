/* The collector under load.
 *
 * binary_trees_20  the classic of Hans Boehm as the benchmarks game has it: a long-lived tree of
 *                  depth 20, and for each depth from 4 on as many short-lived ones as make the same
 *                  number of nodes. 700 million nodes of two pointers come and go. One op is all.
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
