/* Fairness: everybody runs sometime, whoever yields, starts others, blocks or computes beside. */
#include "check.h"
#include "sched/state.h"
#include <sched.h>
#include <unistd.h>

weir_task(yielder, my, { uint64_t *turns; bool *stop; })
{
        while (!load_relaxed(my->stop)) {
                ++*my->turns;
                weir_yield();
        }
}

WEIR_TEST_WITH(yields_are_shared_evenly, .procs = 1, .timeout = 20)
{
        enum { MANY = 10, TURNS = 20000 };
        uint64_t turns[MANY] = { 0 }, least = UINT64_MAX, most = 0;
        bool     stop = false;

        for (int i = 0; i < MANY; i++)
                weir_go(yielder, .turns = &turns[i], .stop = &stop);
        while (turns[0] < TURNS)
                weir_yield();
        for (int i = 0; i < MANY; i++) {
                least = turns[i] < least ? turns[i] : least;
                most = turns[i] > most ? turns[i] : most;
        }
        ck_assert_msg(least * 10 >= most * 9, "from %llu to %llu turns", (unsigned long long)least,
                      (unsigned long long)most);
        store_relaxed(&stop, true);
        while (weir_go_count() != 1)
                weir_yield();
}

weir_task(set_true, my, { bool *flag; })
{
        *my->flag = true;
}

static void set_flag(void *flag)
{
        *(bool *)flag = true;
}

static void nothing(void *arg)
{
        (void)arg;
}

weir_task(comes_back, my, { bool *stop; })
{
        while (!load_relaxed(my->stop))
                weir_blocking(nothing, NULL);
}

weir_task(starts_more, my, { bool *stop; })
{
        while (!load_relaxed(my->stop)) {
                for (int i = 0; i < 3 && weir_go_count() < 400; i++)
                        weir_go_fn(nothing, NULL);
                weir_yield();
        }
}

/* The global queue, never empty, once went before those that were started first; they lay below
 * newer ones and never ran. */
WEIR_TEST_WITH(the_first_started_run_though_others_start_and_come_back, .procs = 1, .timeout = 30)
{
        bool    stop = false, ran = false;
        weir_wg wg = { 0 }, first = { 0 };

        for (int i = 0; i < 64; i++)      /* fewer leave the queue empty at times */
                weir_wg_go(&wg, comes_back, .stop = &stop);
        for (int i = 0; i < 1000; i++)
                weir_yield();                   /* until these run */
        for (int i = 0; i < 100; i++)
                weir_wg_go(&first, set_true, .flag = &ran);
        weir_wg_go(&wg, starts_more, .stop = &stop);
        weir_wg_wait(&first);
        store_relaxed(&stop, true);
        weir_wg_wait(&wg);
}

WEIR_TEST_WITH(a_pair_that_keeps_each_other_busy_starves_nobody, .procs = 1)
{
        bool started = false, timed = false;

        weir_go(set_true, .flag = &started);
        weir_timer_start(WEIR_MILLISECOND, 0, set_flag, &timed);
        weir_go(yielder, .turns = &(uint64_t){ 0 }, .stop = &timed);
        while (!started || !timed)
                weir_yield();
}

static void hold_until_asleep(void *arg)
{
        (void)arg;
        while (!load_seq(&sched.nidle))
                sched_yield();
}

weir_task(yield_then_stop, my, { unsigned yields; weir_chan *c; })
{
        for (unsigned i = 0; i < my->yields; i++)
                weir_yield();
        weir_chan_recv(my->c, NULL, 0);
}

weir_task(spin_until, my, { bool *stop; })
{
        while (!*my->stop)
                weir_yield();
}

/* A processor that went idle at the very moment its slice was over kept a budget of 0; a goroutine
 * back from a blocking call took it without the scheduler's loop, and the next switch made that 0
 * the largest number there is: timers, the poller and the global queue were not looked at any
 * more. */
static void tick_and_go(void *arg)
{
        (void)arg;
}

static void hold_shortly(void *arg)
{
        (void)arg;
        usleep(200);
}

weir_task(compute_and_yield, my, { bool *stop; })
{
        while (!load_relaxed(my->stop)) {
                weir_time end = weir_now() + 200 * WEIR_MICROSECOND;

                while (weir_now() < end)
                        ;
                weir_yield();
        }
}

/* A processor that comes to its scheduler for each tick must still look at the global queue, where
 * blocking calls come back. */
WEIR_TEST_WITH(ticks_do_not_put_off_the_wide_look, .procs = 1, .timeout = 30)
{
        weir_timer *t = weir_timer_start(WEIR_MILLISECOND, WEIR_MILLISECOND, tick_and_go, NULL);
        bool        stop = false;
        weir_time   start;

        for (int i = 0; i < 3; i++)
                weir_go(compute_and_yield, .stop = &stop);
        start = weir_now();
        for (int i = 0; i < 20; i++)
                weir_blocking(hold_shortly, NULL);
        ck_assert_int_lt(weir_now() - start, 20 * 40 * WEIR_MILLISECOND);
        store_relaxed(&stop, true);
        weir_timer_stop(t);
}

WEIR_TEST_WITH(timers_fire_after_a_blocking_call_whatever_was_left_of_the_slice, .procs = 1, .timeout = 30)
{
        weir_chan *never = weir_chan_make(int, 0);

        for (unsigned yields = 0; yields < 64; yields++) {
                bool    timed = false;
                weir_wg wg = { 0 };

                weir_go(yield_then_stop, .yields = yields, .c = never);
                weir_blocking(hold_until_asleep, NULL);
                weir_wg_go(&wg, spin_until, .stop = &timed);
                weir_timer_start(1, 0, set_flag, &timed);
                while (!timed)
                        weir_yield();
                weir_wg_wait(&wg);
        }
}

/* ---- a goroutine that computes without a call ---- */

static weir_time waited, ticked;        /* atomic */

weir_task(note_time, my, { weir_time *when; })
{
        __atomic_store_n(my->when, weir_now(), __ATOMIC_RELAXED);
}

static void note_tick(void *arg)
{
        __atomic_store_n((weir_time *)arg, weir_now(), __ATOMIC_RELAXED);
}

weir_task(compute_long, my, { bool *stop; weir_time *start; })
{
        weir_timer_start(WEIR_MILLISECOND, 0, note_tick, &ticked);
        weir_go(note_time, .when = &waited);
        *my->start = weir_now();
        while (weir_now() - *my->start < 500 * WEIR_MILLISECOND)
                ;
        store_release(my->stop, true);
}

/* All processors are busy, so nobody steals. */
WEIR_TEST_WITH(who_waits_behind_a_long_computation_goes_elsewhere, .procs = 2)
{
        bool      stop = false;
        weir_time start = 0;

        for (int i = 0; i < 3; i++)
                weir_go(compute_and_yield, .stop = &stop);
        weir_go(compute_long, .stop = &stop, .start = &start);
        while (!load_acquire(&stop))
                weir_yield();
        while (!load_relaxed(&waited) || !load_relaxed(&ticked))
                weir_yield();
        ck_assert_int_lt(load_relaxed(&waited) - start, 250 * WEIR_MILLISECOND);
        ck_assert_int_lt(load_relaxed(&ticked) - start, 250 * WEIR_MILLISECOND);
}
