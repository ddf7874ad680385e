/* Sleeps and timers by the thousand, started and stopped at random, often by another goroutine than
 * the one that started them: nothing is early, nothing is lost, nothing runs after it was
 * stopped. */
#include "stress.h"

enum { SLEEPERS = 400, TIMERS = 600 };

struct alarm {
        weir_timer *timer;
        weir_time   due;
        uint32_t    fired, running;
        bool        periodic, stopped;
        uint32_t    at_stop;            /* how often it had fired when it was stopped for good */
};

static void ring(void *arg)
{
        struct alarm *a = arg;

        must_say(weir_now() >= a->due, "early by %lld ns", (long long)(a->due - weir_now()));
        must_say(__atomic_fetch_add(&a->running, 1, __ATOMIC_SEQ_CST) == 0, "two ticks at once");
        if (a->due % 8 == 0)
                weir_yield();
        __atomic_fetch_add(&a->fired, 1, __ATOMIC_SEQ_CST);
        __atomic_fetch_sub(&a->running, 1, __ATOMIC_SEQ_CST);
}

weir_task(sleeper, my, { uint64_t rand; uint32_t *woken; })
{
        for (int i = 0; i < 4; i++) {
                weir_duration d = (weir_duration)(stress_rand(&my->rand) % (4 * WEIR_MILLISECOND));
                weir_time     due = weir_now() + d;

                weir_sleep(d);
                must(weir_now() >= due);
        }
        __atomic_fetch_add(my->woken, 1, __ATOMIC_RELAXED);
}

weir_task(stopper, my, { struct alarm *a; uint64_t rand; })
{
        for (int i = 0; i < TIMERS / 4; i++) {
                struct alarm *a = &my->a[i];

                if (stress_below(&my->rand, 3) == 0)
                        weir_sleep(20 * WEIR_MICROSECOND);
                if (!a->periodic && stress_below(&my->rand, 2))
                        continue;
                if (weir_timer_stop(a->timer)) {
                        a->stopped = true;
                        a->at_stop = __atomic_load_n(&a->fired, __ATOMIC_SEQ_CST);
                        must_say(!weir_timer_stop(a->timer), "stopped twice");
                }
        }
}

static void start(struct alarm *a)
{
        weir_duration after = (weir_duration)stress_below(&stress_state, 8) * WEIR_MILLISECOND;
        weir_duration period = (1 + stress_below(&stress_state, 1000)) * WEIR_MICROSECOND;

        *a = (struct alarm){ .periodic = stress_below(&stress_state, 4) == 0 };
        a->due = weir_now() + after;
        a->timer = weir_timer_start(after, a->periodic ? period : 0, ring, a);
}

static void wait_for(struct alarm *a)
{
        if (a->stopped) {
                must_say(a->fired == a->at_stop, "ran after it was stopped");
                must(a->periodic || a->fired == 0);
                return;
        }
        if (a->periodic) {
                /* It was running when it was stopped; no more ticks, but this one may go on. */
                while (__atomic_load_n(&a->running, __ATOMIC_SEQ_CST))
                        weir_sleep(WEIR_MILLISECOND);
                return;
        }
        while (!__atomic_load_n(&a->fired, __ATOMIC_SEQ_CST))
                weir_sleep(WEIR_MILLISECOND);
        must_say(a->fired == 1, "fired %u times", a->fired);
}

static void round_of(struct alarm *a)
{
        weir_wg  wg = { 0 };
        uint32_t woken = 0;

        for (int i = 0; i < SLEEPERS; i++)
                weir_wg_go(&wg, sleeper, .rand = stress_rand(&stress_state), .woken = &woken);
        for (int i = 0; i < TIMERS; i++)
                start(&a[i]);
        for (int i = 0; i < 4; i++)
                weir_wg_go(&wg, stopper, .a = a + i * (TIMERS / 4), .rand = stress_rand(&stress_state));
        weir_wg_wait(&wg);
        must(woken == SLEEPERS);
        for (int i = 0; i < TIMERS; i++)
                wait_for(&a[i]);
        /* A periodic one that was running when it was stopped is not told when that tick ends. */
        while (weir_go_count() != 1)
                weir_yield();
}

WEIR_MAIN(argc, argv)
{
        static struct alarm alarms[TIMERS];

        stress_begin(argc, argv);
        while (stress_more())
                round_of(alarms);
        return 0;
}
