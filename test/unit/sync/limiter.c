/* run: WEIR_DEBUG=sched=1 */
/* The rate limiter, on a clock that jumps: times are exact. */
#include "check.h"

enum { PER = 100 };     /* tokens a second: one in 10 ms */

WEIR_TEST(a_burst_goes_at_once_and_then_the_rate)
{
        weir_limiter l = WEIR_LIMITER((double)PER, 3);
        int          n = 0;

        while (weir_limiter_allow(&l, 1))
                n++;
        ck_assert_int_eq(n, 3);
        weir_sleep(11 * WEIR_MILLISECOND);
        ck_assert(weir_limiter_allow(&l, 1));
        ck_assert(!weir_limiter_allow(&l, 1));
        weir_sleep(WEIR_SECOND);
        ck_assert(!weir_limiter_allow(&l, 4));  /* never more than the burst */
        ck_assert(weir_limiter_allow(&l, 3));
}

WEIR_TEST(waiters_get_their_tokens_at_the_rate)
{
        weir_limiter l = WEIR_LIMITER((double)PER, 1);
        weir_time    start = weir_now(), took;

        for (int i = 0; i < 11; i++)
                ck_assert_int_eq(weir_limiter_wait(&l, 1), 0);
        took = weir_now() - start;
        ck_assert_int_ge(took, 100 * WEIR_MILLISECOND);
        ck_assert_int_lt(took, 115 * WEIR_MILLISECOND);
}

WEIR_TEST(a_wait_that_would_be_late_fails_at_once_and_takes_nothing)
{
        weir_limiter l = WEIR_LIMITER((double)PER, 1);
        weir_time    start = weir_now();

        ck_assert(weir_limiter_allow(&l, 1));
        ck_assert_int_eq(weir_limiter_wait_until(&l, 1, start + 5 * WEIR_MILLISECOND),
                         WEIR_ETIMEOUT);
        ck_assert_int_lt(weir_now() - start, WEIR_MILLISECOND);
        ck_assert_int_eq(weir_limiter_wait_until(&l, 1, start + 20 * WEIR_MILLISECOND), 0);
        ck_assert_int_eq(weir_limiter_wait_until(&l, 1, start - WEIR_SECOND), WEIR_ETIMEOUT);
        ck_assert_int_eq(weir_limiter_wait(&l, 2), WEIR_ELIMIT);
}

WEIR_TEST(what_is_reserved_is_there_then_and_can_be_given_back)
{
        weir_limiter     l = WEIR_LIMITER((double)PER, 2);
        weir_reservation a, b;

        ck_assert_int_eq(weir_limiter_reserve(&l, 2, &a), 0);
        ck_assert_int_le(a.at, weir_now());
        ck_assert_int_eq(weir_limiter_reserve(&l, 2, &b), 0);
        ck_assert_int_ge(b.at - weir_now(), 19 * WEIR_MILLISECOND);
        ck_assert(weir_limiter_tokens(&l) < -1.9);
        weir_limiter_cancel(&b);
        ck_assert(weir_limiter_tokens(&l) > -0.1);
        weir_limiter_cancel(&a);                /* they were there: spent */
        ck_assert(weir_limiter_tokens(&l) < 0.5);
        ck_assert_int_eq(weir_limiter_reserve(&l, 3, &a), WEIR_ELIMIT);
}

/* As in golang.org/x/time/rate: who came later has taken part of what is given back. */
WEIR_TEST(a_cancel_leaves_later_ones_their_tokens)
{
        weir_limiter     l = WEIR_LIMITER((double)PER, 2);
        weir_reservation a, b;

        ck_assert(weir_limiter_allow(&l, 2));
        ck_assert_int_eq(weir_limiter_reserve(&l, 2, &a), 0);
        ck_assert_int_eq(weir_limiter_reserve(&l, 1, &b), 0);
        weir_limiter_cancel(&a);
        ck_assert(weir_limiter_tokens(&l) > -2.1 && weir_limiter_tokens(&l) < -1.8);
}

WEIR_TEST(rate_and_burst_can_be_changed)
{
        weir_limiter l = WEIR_LIMITER((double)PER, 1);
        weir_time    start;

        ck_assert(weir_limiter_allow(&l, 1));
        weir_limiter_set_rate(&l, 10.0 * PER);
        start = weir_now();
        ck_assert_int_eq(weir_limiter_wait(&l, 1), 0);
        ck_assert_int_lt(weir_now() - start, 5 * WEIR_MILLISECOND);
        weir_limiter_set_burst(&l, 10);
        ck_assert(!weir_limiter_allow(&l, 10));
        weir_sleep(20 * WEIR_MILLISECOND);
        ck_assert(weir_limiter_allow(&l, 10));
        weir_limiter_set_rate(&l, WEIR_RATE_MAX);
        for (int i = 0; i < 1000; i++)
                ck_assert(weir_limiter_allow(&l, 1000));
        weir_limiter_set_rate(&l, -1.0);
        weir_limiter_set_burst(&l, 0);
        ck_assert(!weir_limiter_allow(&l, 1));
}

WEIR_TEST(a_zero_one_allows_nothing)
{
        weir_limiter l = { 0 };

        ck_assert(!weir_limiter_allow(&l, 1));
        ck_assert_int_eq(weir_limiter_wait(&l, 1), WEIR_ELIMIT);
        ck_assert(weir_limiter_allow(&l, 0));
}

weir_task(wait_one, my, { weir_limiter *l; int i; int *order; int *n; })
{
        ck_assert_int_eq(weir_limiter_wait(my->l, 1), 0);
        my->order[(*my->n)++] = my->i;
}

WEIR_TEST(who_waits_first_is_served_first)
{
        weir_limiter l = WEIR_LIMITER((double)PER, 1);
        weir_wg      wg = { 0 };
        int          order[8], n = 0;
        weir_time    start = weir_now();

        for (int i = 0; i < 8; i++) {
                weir_wg_go(&wg, wait_one, .l = &l, .i = i, .order = order, .n = &n);
                weir_sleep(WEIR_MICROSECOND);
        }
        weir_wg_wait(&wg);
        for (int i = 0; i < 8; i++)
                ck_assert_int_eq(order[i], i);
        ck_assert_int_ge(weir_now() - start, 69 * WEIR_MILLISECOND);
}
