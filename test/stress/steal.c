/* Everything that is started runs exactly once, wherever it is stolen to: all from one goroutine,
 * so that one processor has all and the queues overflow, and as trees that grow everywhere. */
#include "stress.h"

enum { MANY = 3000 };

static uint32_t hits[MANY];
static uint64_t leaves, nodes;

weir_task(hit, my, { int i; int yields; weir_wg *wg; })
{
        for (int i = 0; i < my->yields; i++)
                weir_yield();
        __atomic_fetch_add(&hits[my->i], 1, __ATOMIC_RELAXED);
        weir_wg_done(my->wg);
}

static void flat(int n, unsigned yields)
{
        weir_wg wg = { 0 };

        memset(hits, 0, sizeof hits);
        weir_wg_add(&wg, n);
        for (int i = 0; i < n; i++) {
                weir_go(hit, .i = i, .yields = (int)stress_below(&stress_state, yields), .wg = &wg);
                if (stress_below(&stress_state, 500) == 0)
                        weir_yield();
        }
        weir_wg_wait(&wg);
        for (int i = 0; i < n; i++)
                must_say(hits[i] == 1, "goroutine %d of %d ran %u times", i, n, hits[i]);
}

weir_task(grow, my, { int depth, fan; weir_wg *wg; })
{
        __atomic_fetch_add(&nodes, 1, __ATOMIC_RELAXED);
        if (my->depth == 0)
                __atomic_fetch_add(&leaves, 1, __ATOMIC_RELAXED);
        for (int i = 0; my->depth > 0 && i < my->fan; i++) {
                weir_wg_add(my->wg, 1);
                weir_go(grow, .depth = my->depth - 1, .fan = my->fan, .wg = my->wg);
        }
        weir_wg_done(my->wg);
}

static void tree(int depth, int fan)
{
        uint64_t expected = 1;
        weir_wg  wg = { 0 };

        for (int i = 0; i < depth; i++)
                expected *= (uint64_t)fan;
        leaves = nodes = 0;
        weir_wg_add(&wg, 1);
        weir_go(grow, .depth = depth, .fan = fan, .wg = &wg);
        weir_wg_wait(&wg);
        must_say(leaves == expected, "%llu leaves of %llu (depth %d, fan %d)", (unsigned long long)leaves,
                 (unsigned long long)expected, depth, fan);
}

WEIR_MAIN(argc, argv)
{
        stress_begin(argc, argv);
        while (stress_more()) {
                flat(1 + (int)stress_below(&stress_state, MANY), 1 + stress_below(&stress_state, 8));
                tree(1 + (int)stress_below(&stress_state, 9), 1 + (int)stress_below(&stress_state, 3));
                /* Ended goroutines are counted a moment after the wait group knows. */
                while (weir_go_count() != 1)
                        weir_yield();
        }
        return 0;
}
