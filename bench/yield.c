/* What it costs to let another goroutine run.
 *
 * yield_2     two goroutines take turns
 * yield_1000  a thousand do: their stacks no longer fit the first-level cache
 *
 * One op is one yield, whoever does it.
 *
 * Fair: weir_yield() and runtime.Gosched() promise the same, that everyone else ready gets a turn.
 * On two cores the goroutines may run side by side and a yield may find nobody waiting; that is the
 * scheduler's affair on both sides. Starting the goroutines is inside the time and vanishes in it:
 * a round has a million yields and more. */
#include "bench.h"

weir_task(turn, my, { weir_wg *wg; int64_t n; })
{
        for (int64_t i = 0; i < my->n; i++)
                weir_yield();
        weir_wg_done(my->wg);
}

static void yield(struct bench *b, int k)
{
        weir_wg wg = {0};

        weir_wg_add(&wg, k);
        for (int i = 0; i < k; i++)
                weir_go(turn, .wg = &wg, .n = bench_share(b->n, i, k));
        weir_wg_wait(&wg);
}

BENCH(yield_2)
{
        yield(b, 2);
}

BENCH(yield_1000)
{
        yield(b, 1000);
}
