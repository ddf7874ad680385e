/* Ten thousand goroutines, calls that block and tight loops, all at once: the longest delay. */
#include "soak/soak.h"

enum { SLEEPERS = 2000, PAIRS = 4000, BLOCKERS = 8, HOGS = 4 };

static struct soak_delays sleeps, wakes;

weir_task(blocker, my, { weir_time end; uint64_t seed; weir_wg *wg; })
{
        int fd[2];

        if (pipe(fd))
                soak_fail("pipe");
        while (weir_now() < my->end) {
                char c;

                if (soak_rand(&my->seed) % 2) {
                        usleep((useconds_t)(soak_rand(&my->seed) % 20000));
                } else {
                        struct timeval t = { .tv_usec = (long)(soak_rand(&my->seed) % 20000) };
                        fd_set         set;

                        FD_ZERO(&set);
                        FD_SET(fd[0], &set);
                        if (select(fd[0] + 1, &set, NULL, NULL, &t) > 0)
                                soak_fail("select");
                }
                if (write(fd[1], "x", 1) != 1 || read(fd[0], &c, 1) != 1)
                        soak_fail("pipe");
                weir_sleep(soak_between(&my->seed, 0, 10 * WEIR_MILLISECOND));
        }
        close(fd[0]);
        close(fd[1]);
        weir_wg_done(my->wg);
}

/* Computes for some milliseconds, at times much longer than a slice, then has done. */
weir_task(worker, my, { weir_time end; uint64_t seed; weir_wg *wg; })
{
        while (weir_now() < my->end) {
                uint64_t turns = soak_rand(&my->seed) % 100000000;

                for (volatile uint64_t i = 0; i < turns; i++)
                        ;
                weir_sleep(soak_between(&my->seed, 0, 50 * WEIR_MILLISECOND));
        }
        weir_wg_done(my->wg);
}

WEIR_MAIN(argc, argv)
{
        weir_wg   wg = { 0 }, hogs = { 0 };
        bool      stop = false;
        weir_time end;

        soak_start_hogs(&hogs, HOGS, &stop);
        end = weir_now() + (weir_time)(soak_minutes(argc, argv) * 60e9);
        soak_start_sleepers(&wg, SLEEPERS, &sleeps, WEIR_MILLISECOND, 20 * WEIR_MILLISECOND, end);
        soak_start_pairs(&wg, PAIRS, &wakes, WEIR_MILLISECOND, 200 * WEIR_MILLISECOND, end);
        weir_wg_add(&wg, BLOCKERS + HOGS);
        for (uint64_t i = 0; i < BLOCKERS; i++)
                weir_go(blocker, .end = end, .seed = i, .wg = &wg);
        for (uint64_t i = 0; i < HOGS; i++)
                weir_go(worker, .end = end, .seed = i, .wg = &wg);
        weir_wg_wait(&wg);
        __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
        weir_wg_wait(&hogs);
        soak_print("10000 goroutines: timers", &sleeps);
        soak_print("10000 goroutines: channels", &wakes);
        soak_at_most("10000 goroutines, longest delay of a timer", (double)sleeps.max / 1e6, "ms",
                     50);
        soak_at_most("10000 goroutines, longest delay of a wake-up", (double)wakes.max / 1e6, "ms",
                     50);
        return soak_missed;
}
