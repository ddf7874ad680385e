/* Sleep, timers, the heap. Nobody takes the processor away: the tests look into it. */
/* run: WEIR_DEBUG=asyncpreemptoff=1 */
#include "check.h"
#include "sched/state.h"
#include "time/time.h"
#include <stdlib.h>
#include <string.h>

/* ---- the clock and sleep ---- */

WEIR_TEST(sleep_is_never_short)
{
        for (weir_duration d = 1; d < 20 * WEIR_MILLISECOND; d = d * 3 + 1) {
                weir_time start = weir_now();

                weir_sleep(d);
                ck_assert(weir_now() - start >= d);
        }
}

WEIR_TEST(a_sleep_of_nothing_returns)
{
        weir_sleep(0);
        weir_sleep(-1);
        weir_sleep(INT64_MIN);
}

weir_task(sleep_long, my, { weir_duration d; bool *woke; })
{
        weir_sleep(my->d);
        *my->woke = true;
}

WEIR_TEST(a_sleep_beyond_the_clock_lasts)
{
        bool woke[3] = { false };

        weir_go(sleep_long, .d = INT64_MAX, .woke = &woke[0]);
        weir_go(sleep_long, .d = INT64_MAX - weir_now(), .woke = &woke[1]);
        weir_go(sleep_long, .d = INT64_MAX / 2, .woke = &woke[2]);
        weir_sleep(5 * WEIR_MILLISECOND);
        ck_assert(!woke[0] && !woke[1] && !woke[2]);
        ck_assert_uint_eq(weir_go_count(), 4);
}

/* ---- public timers ---- */

static void ring(void *arg)
{
        int one = 1;

        weir_send((weir_chan *)arg, &one);              /* may park: it has its own goroutine */
}

WEIR_TEST(a_timer_runs_once_and_cannot_be_stopped_after_that)
{
        weir_chan  *c = weir_chan_make(int, 0);
        weir_time   start = weir_now();
        weir_timer *t = weir_timer_start(2 * WEIR_MILLISECOND, 0, ring, c);
        int         v;

        ck_assert(weir_recv(c, &v));
        ck_assert(weir_now() - start >= 2 * WEIR_MILLISECOND);
        ck_assert(!weir_timer_stop(t));
        ck_assert(!weir_timer_stop(t));
        ck_assert_int_eq(weir_select([0] = weir_on_recv(c, &v, NULL),
                                     [1] = weir_on_timeout(5 * WEIR_MILLISECOND)), 1);
}

WEIR_TEST(a_stopped_timer_does_not_run)
{
        weir_chan  *c = weir_chan_make(int, 10);
        weir_timer *t[10];

        for (int i = 0; i < 10; i++)
                t[i] = weir_timer_start(5 * WEIR_MILLISECOND, i % 2 ? WEIR_MILLISECOND : 0, ring, c);
        for (int i = 0; i < 10; i++) {
                ck_assert(weir_timer_stop(t[i]));
                ck_assert(!weir_timer_stop(t[i]));
        }
        weir_sleep(10 * WEIR_MILLISECOND);
        ck_assert_uint_eq(weir_chan_len(c), 0);
        ck_assert(!weir_timer_stop(NULL));
}

WEIR_TEST(a_time_that_has_passed_is_due_at_once)
{
        weir_chan *c = weir_chan_make(int, 4);
        int        v;

        weir_timer_start(0, 0, ring, c);
        weir_timer_start(-5, 0, ring, c);
        weir_timer_start(INT64_MIN, 0, ring, c);
        weir_timer_start(0, -1, ring, c);               /* no period: once */
        for (int i = 0; i < 4; i++)
                weir_recv(c, &v);
        weir_sleep(WEIR_MILLISECOND);
        ck_assert_uint_eq(weir_chan_len(c), 0);
}

WEIR_TEST(a_timer_beyond_the_clock_waits_and_can_be_stopped)
{
        weir_chan  *c = weir_chan_make(int, 4);
        weir_timer *a = weir_timer_start(INT64_MAX, 0, ring, c);
        weir_timer *b = weir_timer_start(INT64_MAX, INT64_MAX, ring, c);

        weir_sleep(2 * WEIR_MILLISECOND);
        ck_assert_uint_eq(weir_chan_len(c), 0);
        ck_assert(weir_timer_stop(a) && weir_timer_stop(b));
}

struct tick {
        weir_chan *started, *go_on;
        int        ticks, at_once, most;
        weir_time  last;
};

static void slow_tick(void *arg)
{
        struct tick *t = arg;

        if (++t->at_once > t->most)
                t->most = t->at_once;
        t->ticks++;
        weir_chan_send(t->started, NULL, 0);
        weir_chan_recv(t->go_on, NULL, 0);
        t->at_once--;
}

WEIR_TEST_WITH(a_tick_due_while_the_last_still_runs_is_dropped, .procs = 1)
{
        struct tick t = { .started = weir_chan_new(0, 0), .go_on = weir_chan_new(0, 0) };
        weir_timer *timer = weir_timer_start(0, WEIR_MILLISECOND, slow_tick, &t);

        for (int i = 0; i < 3; i++) {
                weir_chan_recv(t.started, NULL, 0);
                weir_sleep(10 * WEIR_MILLISECOND);      /* some ticks come due */
                weir_chan_send(t.go_on, NULL, 0);
        }
        weir_chan_recv(t.started, NULL, 0);
        ck_assert(!weir_timer_stop(timer));             /* it runs at this moment */
        weir_chan_send(t.go_on, NULL, 0);
        weir_sleep(5 * WEIR_MILLISECOND);
        ck_assert_int_eq(t.ticks, 4);
        ck_assert_int_eq(t.most, 1);
        while (weir_go_count() != 1)
                weir_yield();
}

struct grid {
        weir_time start, seen[20];
        int       n;
        weir_chan *done;
};

static void note_time(void *arg)
{
        struct grid *g = arg;

        if (g->n < 20)
                g->seen[g->n] = weir_now();
        if (++g->n == 20)
                weir_chan_close(g->done);
}

WEIR_TEST(ticks_are_never_early_on_the_grid_of_the_first)
{
        struct grid g = { .start = weir_now(), .done = weir_chan_make(int, 0) };
        weir_timer *t = weir_timer_start(WEIR_MILLISECOND, WEIR_MILLISECOND, note_time, &g);

        weir_chan_recv(g.done, NULL, 0);
        weir_timer_stop(t);
        for (int i = 0; i < 20; i++)
                ck_assert(g.seen[i] >= g.start + (i + 1) * WEIR_MILLISECOND);
}

struct self_stop {
        weir_timer *t;
        int         ticks;
        bool        stopped;
        weir_chan  *done;
};

static void stop_myself(void *arg)
{
        struct self_stop *s = arg;

        if (++s->ticks == 3) {
                s->stopped = weir_timer_stop(s->t);
                weir_chan_close(s->done);
        }
}

WEIR_TEST(a_period_beyond_the_clock_ticks_once)
{
        weir_chan  *c = weir_chan_make(int, 4);
        weir_timer *t = weir_timer_start(1, INT64_MAX, ring, c);

        weir_sleep(5 * WEIR_MILLISECOND);
        ck_assert_uint_eq(weir_chan_len(c), 1);
        ck_assert(weir_timer_stop(t));
}

WEIR_TEST(a_timer_may_be_stopped_by_its_own_function)
{
        struct self_stop s = { .done = weir_chan_make(int, 0) };

        s.t = weir_timer_start(WEIR_MILLISECOND, WEIR_MILLISECOND, stop_myself, &s);
        weir_chan_recv(s.done, NULL, 0);
        weir_sleep(5 * WEIR_MILLISECOND);
        ck_assert_int_eq(s.ticks, 3);
        ck_assert(!s.stopped);                          /* it was running */
}

static void start_nothing(void *arg)
{
        (void)arg;
        weir_timer_start(1, 0, NULL, NULL);
}

WEIR_TEST(a_timer_of_nothing_panics)
{
        ck_assert_int_eq(weir_protect(start_nothing, NULL, NULL), WEIR_EPANIC);
}

/* ---- the heap against a model ---- */

enum { MANY = 500 };

struct item {
        struct timer timer;
        int64_t      when;
        bool         armed;
};

static struct item items[MANY];
static int64_t     last_fired;
static int         nfired;

static void fire(struct timer *t)
{
        struct item *i = CONTAINER_OF(t, struct item, timer);

        ck_assert(i->armed);
        ck_assert(i->when >= last_fired);               /* in order */
        last_fired = i->when;
        i->armed = false;
        nfired++;
}

/* Times lie far in the future and the hook is called with a clock of our own, so nothing else fires
 * what this test has armed. */
WEIR_TEST_WITH(the_heap_fires_in_order_whatever_was_started_and_stopped, .procs = 1, .timeout = 30)
{
        int64_t  base = weir_now() + 3600 * WEIR_SECOND, now = base;
        uint64_t rand = 7;

        /* What it calls is for who has a processor, and it is long enough to lose it on a busy
         * machine. */
        weir_preempt_disable();
        for (int round = 0; round < 300; round++) {
                int expected = 0, range = 1 + (int)weir__rand_below(&rand, 1000);

                for (int k = 0; k < 200; k++) {
                        struct item *i = &items[weir__rand_below(&rand, MANY)];

                        if (i->armed) {
                                ck_assert(weir__timer_stop(&i->timer));
                                i->armed = false;
                        } else {
                                ck_assert(!weir__timer_stop(&i->timer));
                                i->when = now + weir__rand_below(&rand, (uint32_t)range);
                                i->armed = true;
                                weir__timer_start(&i->timer, i->when, 0, fire);
                        }
                }
                now += weir__rand_below(&rand, (uint32_t)range / 2 + 1);
                for (int k = 0; k < MANY; k++)
                        expected += items[k].armed && items[k].when <= now;
                nfired = 0;
                last_fired = 0;
                weir__sched_hooks.timers_run(self()->p, now);
                ck_assert_int_eq(nfired, expected);
        }
        for (int k = 0; k < MANY; k++)
                ck_assert(weir__timer_stop(&items[k].timer) == items[k].armed);
        ck_assert(self()->p->timer_when == INT64_MAX);
        weir_preempt_enable();
}

struct periodic {
        struct timer timer;
        int          n;
};

static void count_period(struct timer *t)
{
        CONTAINER_OF(t, struct periodic, timer)->n++;
}

WEIR_TEST_WITH(missed_ticks_are_dropped_and_the_grid_stays, .procs = 1)
{
        int64_t         base = weir_now() + 3600 * WEIR_SECOND;
        struct periodic t = { .n = 0 };

        weir__timer_start(&t.timer, base, 100, count_period);
        weir__sched_hooks.timers_run(self()->p, base - 1);
        ck_assert_int_eq(t.n, 0);
        weir__sched_hooks.timers_run(self()->p, base);
        ck_assert_int_eq(t.n, 1);
        ck_assert(t.timer.when == base + 100);
        weir__sched_hooks.timers_run(self()->p, base + 570);
        ck_assert_int_eq(t.n, 2);
        ck_assert(t.timer.when == base + 600);
        weir__sched_hooks.timers_run(self()->p, base + 600);
        ck_assert_int_eq(t.n, 3);
        ck_assert(weir__timer_stop(&t.timer) && !weir__timer_stop(&t.timer));
}
