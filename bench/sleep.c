/* What many sleeping goroutines cost, and how late they wake.
 *
 * sleep_100k  100 000 goroutines sleep once, each a time of its own within a second, drawn from a
 *             seeded generator: the same times on both sides and in every run. The ideal is the
 *             longest of them.
 *
 *      ns/op         time beyond the ideal, per goroutine
 *      beyond-ns     time beyond the ideal, of all: the starts before and the ends after
 *      late-p50-ns   how long after its time a goroutine ran again: the median,
 *      late-p99-ns   and what one in a hundred exceeds
 *
 * Fair: a goroutine reads the monotonic clock before and after its sleep on both sides; Go's
 * time.Since reads that one clock alone. cpu-ns/op is all that the second took of CPU, the
 * runtime's own threads included. */
#include "bench.h"

#include <inttypes.h>
#include <stdlib.h>

enum { SLEEPERS = 100000, SEED = 1 };

static uint64_t next_random(uint64_t *state)
{
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

weir_task(nap, my, { weir_wg *wg; weir_duration d; int64_t *ret_late; })
{
        weir_time due = weir_now() + my->d;

        weir_sleep(my->d);
        *my->ret_late = weir_now() - due;
        weir_wg_done(my->wg);
}

BENCH(sleep_100k)
{
        int64_t *naps = bench_alloc(SLEEPERS, sizeof *naps), ideal = 0;
        int64_t *late = bench_alloc(SLEEPERS, sizeof *late);
        uint64_t state = SEED;
        double   beyond = 0, p50 = 0, p99 = 0, n = (double)b->n;

        for (int k = 0; k < SLEEPERS; k++) {
                naps[k] = (int64_t)(next_random(&state) % (uint64_t)WEIR_SECOND);
                if (naps[k] > ideal)
                        ideal = naps[k];
        }

        b->per = SLEEPERS;
        bench_timer_reset(b);
        for (int64_t i = 0; i < b->n; i++) {
                weir_wg   wg = {0};
                weir_time start;

                bench_timer_start(b);
                start = weir_now();
                weir_wg_add(&wg, SLEEPERS);
                for (int k = 0; k < SLEEPERS; k++)
                        weir_go(nap, .wg = &wg, .d = naps[k], .ret_late = &late[k]);
                weir_wg_wait(&wg);
                beyond += (double)(weir_now() - start - ideal);
                bench_timer_stop(b);

                for (int k = 0; k < SLEEPERS; k++)
                        if (late[k] < 0)
                                bench_fail(b, "a sleep ended %" PRId64 " ns early", -late[k]);
                p50 += (double)bench_percentile(late, SLEEPERS, 0.50);
                p99 += (double)bench_percentile(late, SLEEPERS, 0.99);
        }
        bench_metric(b, beyond / n / SLEEPERS, "ns/op");
        bench_metric(b, beyond / n, "beyond-ns");
        bench_metric(b, p50 / n, "late-p50-ns");
        bench_metric(b, p99 / n, "late-p99-ns");
        free(naps);
        free(late);
}
