/* Contexts: derivation, ends, causes, deadlines, values, the tree's links, waiting, bad input. */
#include "check.h"
#include "base/counter.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char key_a, key_b;

static int64_t links(void)
{
        return (int64_t)(weir__counter_sum(COUNTER_ctx_links) -
                         weir__counter_sum(COUNTER_ctx_unlinks));
}

static uint64_t timers(void)
{
        return weir__gauge_read(GAUGE_timers);
}

/* ---- ends ---- */

WEIR_TEST(the_background_never_ends_and_null_stands_for_it)
{
        ck_assert_int_eq(weir_ctx_err(NULL), 0);
        ck_assert_int_eq(weir_ctx_err(weir_ctx_background()), 0);
        ck_assert_ptr_null(weir_ctx_value(NULL, &key_a));
        ck_assert(!weir_ctx_deadline(weir_ctx_background(), NULL));
        ck_assert_int_eq(weir_ctx_cause(NULL, NULL), 0);
        ck_assert_uint_eq(weir_ctx_depth(NULL), 0);
        weir_ctx_cancel(NULL);
        weir_ctx_cancel_cause(NULL, -1, "nothing");
        ck_assert_uint_eq(weir_ctx_depth(weir_ctx_with_cancel(weir_ctx_background())), 1);
}

WEIR_TEST(a_cancel_ends_what_was_derived_and_nothing_else)
{
        weir_ctx *top = weir_ctx_with_cancel(NULL), *a = weir_ctx_with_cancel(top);
        weir_ctx *b = weir_ctx_with_value(top, &key_a, &top), *below = weir_ctx_with_cancel(a);

        weir_ctx_cancel(a);
        ck_assert_int_eq(weir_ctx_err(a), WEIR_ECANCELED);
        ck_assert_int_eq(weir_ctx_err(below), WEIR_ECANCELED);
        ck_assert_int_eq(weir_ctx_err(top), 0);
        ck_assert_int_eq(weir_ctx_err(b), 0);
        weir_ctx_cancel(b);                     /* a value's context has an end of its own */
        ck_assert_int_eq(weir_ctx_err(b), WEIR_ECANCELED);
        ck_assert_int_eq(weir_ctx_err(top), 0);
        weir_ctx_cancel(a);                     /* again: harmless */
        weir_ctx_cancel(top);
        ck_assert_int_eq(weir_ctx_err(top), WEIR_ECANCELED);
}

WEIR_TEST(the_first_reason_stays_and_children_inherit_it)
{
        weir_ctx   *top = weir_ctx_with_cancel(NULL), *child = weir_ctx_with_cancel(top);
        weir_ctx   *other = weir_ctx_with_timeout(top, WEIR_SECOND);
        const char *why = NULL;

        ck_assert_int_eq(weir_ctx_cause(top, &why), 0);
        ck_assert_ptr_null(why);
        weir_ctx_cancel_cause(child, -EPIPE, "the peer left");
        weir_ctx_cancel_cause(top, -ENOSPC, NULL);
        weir_ctx_cancel_cause(child, -EIO, "too late");
        weir_ctx_cancel(top);
        ck_assert_int_eq(weir_ctx_cause(child, &why), -EPIPE);
        ck_assert_str_eq(why, "the peer left");
        ck_assert_int_eq(weir_ctx_cause(top, &why), -ENOSPC);
        ck_assert_str_eq(why, weir_strerror(-ENOSPC));
        ck_assert_int_eq(weir_ctx_cause(other, NULL), -ENOSPC);
        ck_assert_int_eq(weir_ctx_err(other), WEIR_ECANCELED);
        weir_ctx_cancel_cause(other, -EIO, NULL);
        ck_assert_int_eq(weir_ctx_cause(other, NULL), -ENOSPC);
}

WEIR_TEST(a_cause_of_0_is_the_usual_one)
{
        weir_ctx   *c = weir_ctx_with_cancel(NULL);
        const char *why;

        weir_ctx_cancel_cause(c, 0, "enough");
        ck_assert_int_eq(weir_ctx_cause(c, &why), WEIR_ECANCELED);
        ck_assert_str_eq(why, "enough");
}

/* ---- deadlines ---- */

WEIR_TEST(a_deadline_in_the_past_is_an_end_at_birth)
{
        weir_ctx *a = weir_ctx_with_deadline(NULL, weir_now() - 1);
        weir_ctx *b = weir_ctx_with_timeout(NULL, 0), *c = weir_ctx_with_timeout(NULL, -5);
        weir_ctx *d = weir_ctx_with_deadline(NULL, INT64_MIN), *cancelled = weir_ctx_with_cancel(NULL);

        ck_assert_int_eq(weir_ctx_err(a), WEIR_ETIMEOUT);
        ck_assert_int_eq(weir_ctx_err(b), WEIR_ETIMEOUT);
        ck_assert_int_eq(weir_ctx_err(c), WEIR_ETIMEOUT);
        ck_assert_int_eq(weir_ctx_err(d), WEIR_ETIMEOUT);
        weir_ctx_cancel(cancelled);
        ck_assert_int_eq(weir_ctx_err(weir_ctx_with_timeout(cancelled, -1)), WEIR_ECANCELED);
}

WEIR_TEST(a_deadline_ends_without_anybody_waiting)
{
        weir_ctx *c = weir_ctx_with_timeout(NULL, 5 * WEIR_MILLISECOND), *d = weir_ctx_with_cancel(c);

        ck_assert_int_eq(weir_ctx_err(d), 0);
        ck_assert_uint_eq(timers(), 0);         /* nobody waits: no timer */
        weir_sleep(6 * WEIR_MILLISECOND);
        weir_ctx_cancel(d);                     /* the deadline was first */
        ck_assert_int_eq(weir_ctx_err(d), WEIR_ETIMEOUT);
        ck_assert_int_eq(weir_ctx_cause(c, NULL), WEIR_ETIMEOUT);
}

WEIR_TEST(the_earlier_deadline_counts)
{
        weir_time now = weir_now(), when;
        weir_ctx *early = weir_ctx_with_deadline(NULL, now + WEIR_SECOND);
        weir_ctx *late = weir_ctx_with_deadline(early, now + 2 * WEIR_SECOND);
        weir_ctx *earlier = weir_ctx_with_deadline(late, now + WEIR_SECOND / 2);

        ck_assert(weir_ctx_deadline(late, &when));
        ck_assert_int_eq(when, now + WEIR_SECOND);
        ck_assert(weir_ctx_deadline(weir_ctx_with_value(earlier, &key_a, NULL), &when));
        ck_assert_int_eq(when, now + WEIR_SECOND / 2);
        ck_assert(!weir_ctx_deadline(weir_ctx_without_cancel(earlier), &when));
        ck_assert(weir_ctx_deadline(weir_ctx_with_timeout(NULL, INT64_MAX), &when));
        ck_assert_int_eq(weir_ctx_err(weir_ctx_with_timeout(NULL, INT64_MAX)), 0);
}

WEIR_TEST(a_margin_is_kept_before_the_parents_deadline)
{
        weir_time now = weir_now(), when;
        weir_ctx *parent = weir_ctx_with_deadline(NULL, now + WEIR_SECOND);
        weir_ctx *child = weir_ctx_with_timeout_margin(parent, 100 * WEIR_MILLISECOND);

        ck_assert(weir_ctx_deadline(child, &when));
        ck_assert_int_eq(when, now + 900 * WEIR_MILLISECOND);
        ck_assert(!weir_ctx_deadline(weir_ctx_with_timeout_margin(NULL, WEIR_SECOND), &when));
        ck_assert_int_eq(weir_ctx_err(weir_ctx_with_timeout_margin(parent, 2 * WEIR_SECOND)),
                         WEIR_ETIMEOUT);
        ck_assert_int_eq(weir_ctx_err(weir_ctx_with_timeout_margin(parent, INT64_MAX)),
                         WEIR_ETIMEOUT);
        weir_ctx_deadline(weir_ctx_with_timeout_margin(parent, -5), &when);
        ck_assert_int_eq(when, now + WEIR_SECOND);
}

/* ---- values ---- */

WEIR_TEST(values_are_found_by_the_address_of_their_key)
{
        int       one = 1, two = 2;
        weir_ctx *a = weir_ctx_with_value(NULL, &key_a, &one);
        weir_ctx *b = weir_ctx_with_value(weir_ctx_with_cancel(a), &key_b, &two);
        weir_ctx *hidden = weir_ctx_with_value(b, &key_a, NULL);

        ck_assert_ptr_eq(weir_ctx_value(b, &key_a), &one);
        ck_assert_ptr_eq(weir_ctx_value(weir_ctx_with_cancel(b), &key_b), &two);
        ck_assert_ptr_null(weir_ctx_value(a, &key_b));
        ck_assert_ptr_null(weir_ctx_value(hidden, &key_a));
        ck_assert_ptr_eq(weir_ctx_value(hidden, &key_b), &two);
        ck_assert_ptr_null(weir_ctx_value(b, NULL));
}

WEIR_TEST(without_cancel_keeps_values_and_drops_the_end)
{
        int       one = 1;
        weir_ctx *a = weir_ctx_with_cancel(weir_ctx_with_value(NULL, &key_a, &one));
        weir_ctx *rest = weir_ctx_without_cancel(a), *below = weir_ctx_with_cancel(rest);

        weir_ctx_cancel(a);
        ck_assert_int_eq(weir_ctx_err(rest), 0);
        ck_assert_int_eq(weir_ctx_err(below), 0);
        ck_assert_ptr_eq(weir_ctx_value(below, &key_a), &one);
        weir_ctx_cancel(rest);
        ck_assert_int_eq(weir_ctx_err(below), WEIR_ECANCELED);
}

static void *typed(void *v)
{
        return weir_ctx_value(v, &key_a);
}

WEIR_TEST(collected_values_live_as_long_as_their_context)
{
        weir_ctx *c = NULL;

        for (int i = 0; i < 1000; i++) {
                char *text = weir_new_bytes(64);

                snprintf(text, 64, "value %d", i);
                c = weir_ctx_with_value(i % 100 ? c : NULL, &key_a, text);
        }
        weir_gc_run();
        for (int i = 0; i < 1000; i++)
                memset(weir_new_bytes(64), 'x', 64);
        ck_assert_str_eq(typed(c), "value 999");
}

/* ---- waiting ---- */

weir_task(wait_for, my, { weir_ctx *ctx; weir_chan *out; })
{
        int r = weir_ctx_wait(my->ctx);

        weir_send(my->out, &r);
}

/* Until n goroutines are parked for a context. */
static void until_parked(uint64_t parks, uint64_t n)
{
        while (weir__counter_sum(COUNTER_parks) < parks + n)
                weir_yield();
}

WEIR_TEST_WITH(an_end_wakes_all_who_wait_below, .procs = 4)
{
        enum { N = 300 };
        weir_ctx  *top = weir_ctx_with_cancel(NULL), *c = top;
        weir_chan *out = weir_chan_make(int, N);
        uint64_t   parks = weir__counter_sum(COUNTER_parks);
        int        r;

        for (int i = 0; i < N; i++) {
                c = i % 10 ? weir_ctx_with_cancel(c) : weir_ctx_with_value(top, &key_a, &r);
                weir_go(wait_for, .ctx = c, .out = out);
        }
        until_parked(parks, N);
        ck_assert_int_ge(links(), N);
        weir_ctx_cancel(top);
        ck_assert_int_eq(links(), 0);
        for (int i = 0; i < N; i++) {
                weir_recv(out, &r);
                ck_assert_int_eq(r, WEIR_ECANCELED);
        }
}

WEIR_TEST(waiting_ends_at_the_deadline_of_an_ancestor)
{
        weir_time start = weir_now();
        weir_ctx *top = weir_ctx_with_timeout(NULL, 20 * WEIR_MILLISECOND);
        weir_ctx *c = weir_ctx_with_timeout(weir_ctx_with_value(top, &key_a, NULL), WEIR_SECOND);

        ck_assert_int_eq(weir_ctx_wait(c), WEIR_ETIMEOUT);
        ck_assert_int_ge(weir_now() - start, 20 * WEIR_MILLISECOND);
        ck_assert_int_lt(weir_now() - start, WEIR_SECOND);
        while (timers())                        /* the goroutine that tells the rest stops c's */
                weir_yield();
        ck_assert_int_eq(links(), 0);
}

weir_task(cancel_it, my, { weir_ctx *ctx; int yields; })
{
        for (int i = 0; i < my->yields; i++)
                weir_yield();
        weir_ctx_cancel(my->ctx);
}

WEIR_TEST(a_sleep_ends_early_with_its_context)
{
        weir_ctx *c = weir_ctx_with_cancel(NULL);
        weir_time start = weir_now();

        ck_assert_int_eq(weir_ctx_sleep(c, WEIR_MILLISECOND), 0);
        ck_assert_int_ge(weir_now() - start, WEIR_MILLISECOND);
        ck_assert_int_eq(weir_ctx_sleep(NULL, WEIR_MILLISECOND), 0);
        ck_assert_int_eq(weir_ctx_sleep(c, -1), 0);
        weir_go(cancel_it, .ctx = c, .yields = 3);
        ck_assert_int_eq(weir_ctx_sleep(c, 100 * WEIR_SECOND), WEIR_ECANCELED);
        ck_assert_int_eq(weir_ctx_sleep(c, 100 * WEIR_SECOND), WEIR_ECANCELED);
        ck_assert_int_eq(weir_ctx_sleep(c, 0), WEIR_ECANCELED);
        ck_assert_uint_eq(timers(), 0);
}

/* ---- select ---- */

WEIR_TEST(select_takes_a_context_that_has_ended_as_often_as_another_ready_case)
{
        weir_ctx  *ended = weir_ctx_with_cancel(NULL);
        weir_chan *c = weir_chan_make(int, 1);
        int        count[3] = { 0 }, v;

        enum { DONE, RECV, LIVE, ROUNDS = 20000 };
        weir_ctx_cancel(ended);
        weir_send(c, &(int){ 1 });
        for (int i = 0; i < ROUNDS; i++) {
                int which = weir_select([DONE] = weir_on_done(ended), [RECV] = weir_on_recv(c, &v, NULL),
                                        [LIVE] = weir_on_done(NULL));

                count[which]++;
                if (which == RECV)
                        weir_send(c, &v);
        }
        ck_assert_int_eq(count[LIVE], 0);
        ck_assert_msg(abs(count[DONE] - ROUNDS / 2) < 500, "%d of %d", count[DONE], ROUNDS);
}

WEIR_TEST(select_of_a_context_and_a_default)
{
        weir_ctx *c = weir_ctx_with_cancel(NULL);

        enum { DONE, NONE };
        ck_assert_int_eq(weir_select([DONE] = weir_on_done(c), [NONE] = weir_on_default()), NONE);
        ck_assert_int_eq(weir_select([DONE] = weir_on_done(weir_ctx_background()),
                                     [NONE] = weir_on_default()), NONE);
        weir_ctx_cancel(c);
        ck_assert_int_eq(weir_select([DONE] = weir_on_done(c), [NONE] = weir_on_default()), DONE);
}

WEIR_TEST(select_wakes_for_whichever_comes_first)
{
        weir_chan *c = weir_chan_make(int, 0);

        enum { DONE, RECV, OTHER, LATE };
        for (int i = 0; i < 300; i++) {
                weir_ctx *a = weir_ctx_with_cancel(NULL), *b = weir_ctx_with_cancel(a);
                weir_ctx *other = weir_ctx_with_cancel(NULL);
                int       v;

                weir_go(cancel_it, .ctx = i % 2 ? a : other, .yields = i % 5);
                ck_assert_int_eq(weir_select([DONE] = weir_on_done(b), [RECV] = weir_on_recv(c, &v, NULL),
                                             [OTHER] = weir_on_done(other),
                                             [LATE] = weir_on_timeout(100 * WEIR_SECOND)),
                                 i % 2 ? DONE : OTHER);
                weir_ctx_cancel(a);
        }
        ck_assert_int_eq(links(), 0);
        ck_assert_uint_eq(timers(), 0);
}

WEIR_TEST(select_of_many_contexts)
{
        enum { N = 40 };
        weir_case k[N];
        weir_ctx *ctx[N];

        for (int i = 0; i < N; i++) {
                ctx[i] = weir_ctx_with_cancel(NULL);
                k[i] = (weir_case)weir_on_done(ctx[i]);
        }
        weir_go(cancel_it, .ctx = ctx[33], .yields = 5);
        ck_assert_int_eq(weir_select_n(k, N), 33);
        ck_assert_int_eq(weir_select_n(k, N), 33);
}

WEIR_TEST(select_ends_at_the_deadline_of_its_context)
{
        enum { DONE };
        weir_ctx *c = weir_ctx_with_timeout(NULL, 5 * WEIR_MILLISECOND);

        ck_assert_int_eq(weir_select([DONE] = weir_on_done(c)), DONE);
        ck_assert_int_eq(weir_ctx_err(c), WEIR_ETIMEOUT);
}

/* ---- what is left ---- */

WEIR_TEST(an_idle_child_does_not_stay_linked_for_ever)
{
        weir_ctx *top = weir_ctx_with_cancel(NULL);

        for (int i = 0; i < 10000; i++)
                weir_ctx_sleep(weir_ctx_with_cancel(weir_ctx_with_value(top, &key_a, NULL)), 1);
        ck_assert_int_lt(links(), 300);
        weir_ctx_cancel(top);
        ck_assert_int_eq(links(), 0);
}

WEIR_TEST_WITH(forgotten_contexts_are_garbage, .timeout = 30)
{
        weir_ctx      *top = weir_ctx_with_cancel(NULL);
        weir_mem_stats before, after;

        weir_gc_run();
        weir_mem_read(&before);
        for (int i = 0; i < 200000; i++)
                weir_ctx_err(weir_ctx_with_timeout(weir_ctx_with_cancel(top), WEIR_SECOND * 1000));
        weir_gc_run();
        weir_gc_run();
        weir_mem_read(&after);
        if (!after.gc_cycles)
                test_skip("nothing is collected in this build");
        ck_assert_uint_lt(after.heap_live, before.heap_live + (1 << 20));
        ck_assert_uint_eq(timers(), 0);
        ck_assert_int_eq(links(), 0);
        weir_keep_alive(top);
}

static uint32_t ran;            /* atomic */

static void count_run(void *arg)
{
        (void)arg;
        __atomic_fetch_add(&ran, 1, __ATOMIC_SEQ_CST);
}

static void until_ran(uint32_t n)
{
        while (__atomic_load_n(&ran, __ATOMIC_SEQ_CST) < n)
                weir_yield();
}

WEIR_TEST_WITH(the_cancel_of_100000_leaves_nothing, .timeout = 60)
{
        enum { N = 100000 };
        weir_ctx      *top = weir_ctx_with_cancel(NULL), *c = top;
        weir_mem_stats before, after;

        weir_gc_run();
        weir_mem_read(&before);
        for (int i = 0; i < N; i++) {
                c = i % 100 ? weir_ctx_with_cancel(c) : weir_ctx_with_timeout(top, WEIR_SECOND * 1000);
                if (i % 100 == 99)
                        weir_ctx_after(c, count_run, NULL);
        }
        ck_assert_int_eq(links(), N);
        ck_assert_uint_eq(timers(), N / 100);
        weir_ctx_cancel(top);
        ck_assert_int_eq(links(), 0);
        ck_assert_uint_eq(timers(), 0);
        ck_assert_int_eq(weir_ctx_err(c), WEIR_ECANCELED);
        until_ran(N / 100);
        c = top = NULL;
        weir_gc_run();
        weir_gc_run();
        weir_mem_read(&after);
        if (after.gc_cycles)
                ck_assert_uint_lt(after.heap_live, before.heap_live + (2 << 20));
}

WEIR_TEST_WITH(a_chain_of_100000_is_no_deeper_than_a_loop, .timeout = 60)
{
        enum { N = 100000 };
        weir_ctx *top = weir_ctx_with_cancel(NULL), *c = top;

        for (int i = 0; i < N; i++)
                c = weir_ctx_with_cancel(c);
        ck_assert_uint_eq(weir_ctx_depth(c), N + 1);
        ck_assert_uint_ge(weir__gauge_read(GAUGE_ctx_depth), N + 1);
        weir_go(cancel_it, .ctx = top, .yields = 3);
        ck_assert_int_eq(weir_ctx_wait(c), WEIR_ECANCELED);
        while (links())                         /* the canceller is still on its way down, perhaps */
                weir_yield();
}

/* ---- functions ---- */

WEIR_TEST(a_function_runs_once_when_its_context_ends)
{
        weir_ctx   *c = weir_ctx_with_cancel(NULL);
        weir_after *stopped = weir_ctx_after(weir_ctx_with_cancel(c), count_run, NULL), *a;

        a = weir_ctx_after(c, count_run, NULL);
        ck_assert(weir_after_stop(stopped));
        ck_assert(!weir_after_stop(stopped));
        ck_assert(!weir_after_stop(NULL));
        weir_ctx_cancel(c);
        until_ran(1);
        weir_ctx_cancel(c);
        ck_assert(!weir_after_stop(a));
        weir_ctx_after(c, count_run, NULL);     /* at once */
        until_ran(2);
        weir_sleep(5 * WEIR_MILLISECOND);
        ck_assert_uint_eq(ran, 2);
        ck_assert(weir_after_stop(weir_ctx_after(NULL, count_run, NULL)));
}

WEIR_TEST(a_function_runs_at_the_deadline)
{
        weir_ctx *c = weir_ctx_with_timeout(NULL, 5 * WEIR_MILLISECOND);

        weir_ctx_after(weir_ctx_with_cancel(c), count_run, NULL);
        until_ran(1);
        ck_assert_int_eq(weir_ctx_err(c), WEIR_ETIMEOUT);
}

/* A plain timer goes on after the work it was for was given up; one bound to the context does
 * not. */
WEIR_TEST(no_ghost_runs_after_the_cancel)
{
        weir_ctx   *c = weir_ctx_with_cancel(NULL);
        uint32_t    ghost = 0;
        weir_timer *plain = weir_timer_start(10 * WEIR_MILLISECOND, 0, count_run, NULL);

        weir_ctx_cancel(c);
        until_ran(1);                           /* the ghost */
        ghost = 1;
        ck_assert(!weir_timer_stop(plain));

        c = weir_ctx_with_cancel(NULL);
        weir_ctx_timer_start(c, 10 * WEIR_MILLISECOND, 0, count_run, NULL);
        weir_ctx_timer_start(weir_ctx_with_cancel(c), 10 * WEIR_MILLISECOND, WEIR_MILLISECOND,
                             count_run, NULL);
        weir_ctx_timer_start(c, 1000 * WEIR_SECOND, 0, count_run, NULL);
        weir_ctx_cancel(c);
        ck_assert_uint_eq(timers(), 0);
        while (weir_go_count() > 1)             /* on a slow machine some were due before it */
                weir_yield();
        ghost = __atomic_load_n(&ran, __ATOMIC_SEQ_CST);
        weir_ctx_timer_start(c, 0, 0, count_run, NULL);
        weir_sleep(30 * WEIR_MILLISECOND);
        ck_assert_uint_eq(ran, ghost);
}

WEIR_TEST(a_bound_timer_ticks_until_it_is_stopped)
{
        weir_ctx   *c = weir_ctx_with_cancel(NULL);
        weir_after *t = weir_ctx_timer_start(c, 0, WEIR_MILLISECOND, count_run, NULL), *once;
        uint32_t    ticks;

        until_ran(5);
        weir_after_stop(t);
        ck_assert_uint_eq(timers(), 0);
        while (weir_go_count() > 1)             /* one tick may run still */
                weir_yield();
        ticks = __atomic_load_n(&ran, __ATOMIC_SEQ_CST);
        once = weir_ctx_timer_start(NULL, WEIR_MILLISECOND, 0, count_run, NULL);
        until_ran(ticks + 1);
        while (weir_go_count() > 1)
                weir_yield();
        ck_assert(!weir_after_stop(once));
        ck_assert(weir_after_stop(weir_ctx_timer_start(c, WEIR_SECOND, 0, count_run, NULL)));
        ck_assert_uint_eq(timers(), 0);
}

static void panics(void *arg)
{
        (void)arg;
        weir_panic("from a callback");
}

static void protected(void *arg)
{
        weir_panic_info info;

        if (weir_protect(panics, arg, &info) == WEIR_EPANIC)
                count_run(NULL);
}

WEIR_TEST(a_callback_may_catch_its_own_panic)
{
        weir_ctx *c = weir_ctx_with_cancel(NULL);

        weir_ctx_after(c, protected, NULL);
        weir_ctx_after(c, count_run, NULL);
        weir_ctx_cancel(c);
        until_ran(2);
}

/* ---- mistakes ---- */

static void cancel_background(void *arg)
{
        (void)arg;
        weir_ctx_cancel(weir_ctx_background());
}

static void null_key(void *arg)
{
        weir_ctx_with_value(NULL, NULL, arg);
}

static void foreign(void *arg)
{
        weir_ctx_with_cancel(arg);
}

static void foreign_in_select(void *arg)
{
        weir_case k = weir_on_done(arg);

        weir_select_n(&k, 1);
}

static void null_function(void *arg)
{
        weir_ctx_after(arg, NULL, NULL);
}

WEIR_TEST(mistakes_are_panics)
{
        static char     junk[512];
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(cancel_background, NULL, &info), WEIR_EPANIC);
        ck_assert_int_eq(weir_protect(null_key, NULL, &info), WEIR_EPANIC);
        ck_assert_int_eq(weir_protect(foreign, junk, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "weir did not make"));
        ck_assert_int_eq(weir_protect(foreign_in_select, junk, &info), WEIR_EPANIC);
        ck_assert_int_eq(weir_protect(null_function, NULL, &info), WEIR_EPANIC);
}

/* ---- other threads ---- */

static void *attached(void *arg)
{
        if (weir_thread_attach() < 0)
                return arg;
        weir_ctx_cancel(arg);
        weir_thread_detach();
        return NULL;
}

static void join(void *arg)
{
        pthread_join(*(pthread_t *)arg, NULL);
}

WEIR_TEST(an_attached_thread_may_cancel)
{
        weir_ctx *c = weir_ctx_with_cancel(NULL);
        pthread_t t;

        pthread_create(&t, NULL, attached, c);
        ck_assert_int_eq(weir_ctx_wait(weir_ctx_with_cancel(c)), WEIR_ECANCELED);
        weir_blocking(join, &t);
}
