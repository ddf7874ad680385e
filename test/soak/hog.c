/* Tight loops on one processor: how long others wait beside one of them, and beside many. */
#include "soak/soak.h"

static struct soak_delays one, many;

static void beside(int hogs, struct soak_delays *d, double seconds)
{
        weir_wg   wg = { 0 }, all = { 0 };
        bool      stop = false;
        weir_time end, t = weir_now();

        soak_start_hogs(&all, hogs, &stop);
        printf("%d tight loops have all begun after %.0f ms\n", hogs,
               (double)(weir_now() - t) / 1e6);
        end = weir_now() + (weir_time)(seconds * 1e9);
        soak_start_sleepers(&wg, 10, d, WEIR_MILLISECOND, 20 * WEIR_MILLISECOND, end);
        soak_start_pairs(&wg, 10, d, WEIR_MILLISECOND, 20 * WEIR_MILLISECOND, end);
        weir_wg_wait(&wg);
        __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
        weir_wg_wait(&all);
}

WEIR_MAIN(argc, argv)
{
        double s = 4 * soak_minutes(argc, argv);

        weir_procs(1);
        beside(1, &one, s);
        beside(50, &many, s);
        soak_print("beside 1 tight loop", &one);
        soak_print("beside 50 tight loops", &many);
        soak_at_most("delay beside 1 tight loop, p99", soak_share(&one, 0.99), "ms", 20);
        soak_at_most("delay beside 50 tight loops, p99", soak_share(&many, 0.99), "ms", 20);
        return soak_missed;
}
