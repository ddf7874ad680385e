/* Select: readiness, fairness, default, timeouts, close, mistakes. */
#include "check.h"
#include <stdlib.h>
#include <string.h>

weir_task(send_after_yields, my, { weir_chan *c; int v, yields; })
{
        for (int i = 0; i < my->yields; i++)
                weir_yield();
        weir_send(my->c, &my->v);
}

WEIR_TEST(takes_the_one_case_that_is_ready)
{
        weir_chan *a = weir_chan_make(int, 1), *b = weir_chan_make(int, 1);
        int        va = 0, vb = 0;
        bool       ok = false;

        enum { A, B };
        weir_send(b, &(int){ 9 });
        ck_assert_int_eq(weir_select([A] = weir_on_recv(a, &va, NULL), [B] = weir_on_recv(b, &vb, &ok)), B);
        ck_assert_int_eq(vb, 9);
        ck_assert(ok);
        ck_assert_int_eq(va, 0);
}

WEIR_TEST(draws_uniformly_among_ready_cases)
{
        enum { A, B, C, CASES, ROUNDS = 30000 };
        weir_chan *c[CASES];
        int        count[CASES] = { 0 };
        double     chi = 0;

        for (int i = 0; i < CASES; i++)
                c[i] = weir_chan_make(int, 1);
        for (int i = 0; i < ROUNDS; i++) {
                int v, which;

                for (int k = 0; k < CASES; k++)
                        weir_chan_try_send(c[k], &k, sizeof k);
                which = weir_select([A] = weir_on_recv(c[A], &v, NULL), [B] = weir_on_recv(c[B], &v, NULL),
                                    [C] = weir_on_recv(c[C], &v, NULL));
                ck_assert_int_eq(v, which);
                count[which]++;
        }
        for (int i = 0; i < CASES; i++) {
                double d = count[i] - ROUNDS / (double)CASES;

                chi += d * d / (ROUNDS / (double)CASES);
        }
        ck_assert_msg(chi < 27.6, "chi square %.1f: %d %d %d", chi, count[0], count[1], count[2]);
}

WEIR_TEST(default_runs_only_when_nothing_is_ready)
{
        weir_chan *c = weir_chan_make(int, 1);
        int        v = 0;

        enum { RECV, NONE };
        ck_assert_int_eq(weir_select([RECV] = weir_on_recv(c, &v, NULL), [NONE] = weir_on_default()), NONE);
        weir_send(c, &(int){ 4 });
        for (int i = 0; i < 100; i++) {
                ck_assert_int_eq(weir_select([RECV] = weir_on_recv(c, &v, NULL), [NONE] = weir_on_default()),
                                 RECV);
                weir_send(c, &v);
        }
}

WEIR_TEST(waits_and_wakes_on_either_channel)
{
        weir_chan *a = weir_chan_make(int, 0), *b = weir_chan_make(int, 0);

        enum { A, B };
        for (int i = 0; i < 200; i++) {
                int  v = -1, which;
                bool ok = false;

                weir_go(send_after_yields, .c = i % 2 ? a : b, .v = i, .yields = i % 7);
                which = weir_select([A] = weir_on_recv(a, &v, &ok), [B] = weir_on_recv(b, &v, &ok));
                ck_assert_int_eq(which, i % 2 ? A : B);
                ck_assert_int_eq(v, i);
                ck_assert(ok);
        }
}

weir_task(recv_sum, my, { weir_chan *c; weir_chan *out; int n; })
{
        int sum = 0, v;

        for (int i = 0; i < my->n; i++) {
                weir_recv(my->c, &v);
                sum += v;
        }
        weir_send(my->out, &sum);
}

WEIR_TEST(a_waiting_send_case_hands_its_element_over)
{
        weir_chan *a = weir_chan_make(int, 0), *b = weir_chan_make(int, 0), *out = weir_chan_make(int, 2);
        int        sum = 0, v, sent[2] = { 0 };

        enum { A, B };
        weir_go(recv_sum, .c = a, .out = out, .n = 50);
        weir_go(recv_sum, .c = b, .out = out, .n = 50);
        for (int i = 1; i <= 100; i++) {
                int which = weir_select([A] = weir_on_send(sent[A] < 50 ? a : NULL, &i),
                                        [B] = weir_on_send(sent[B] < 50 ? b : NULL, &i));

                sent[which]++;
                sum += i;
        }
        weir_recv(out, &v);
        sum -= v;
        weir_recv(out, &v);
        ck_assert_int_eq(sum, v);
        ck_assert_int_eq(sent[A], 50);
}

WEIR_TEST(timeout_comes_no_earlier_than_asked_and_the_shortest_wins)
{
        weir_chan *c = weir_chan_make(int, 0);
        weir_time  start = weir_now();
        int        v;

        enum { RECV, LONG, SHORT };
        ck_assert_int_eq(weir_select([RECV] = weir_on_recv(c, &v, NULL),
                                     [LONG] = weir_on_timeout(3600 * WEIR_SECOND),
                                     [SHORT] = weir_on_timeout(5 * WEIR_MILLISECOND)), SHORT);
        ck_assert_int_ge(weir_now() - start, 5 * WEIR_MILLISECOND);
}

WEIR_TEST(of_equal_timeouts_the_first_wins)
{
        ck_assert_int_eq(weir_select(weir_on_timeout(WEIR_MILLISECOND), weir_on_timeout(WEIR_MILLISECOND)), 0);
}

WEIR_TEST(timeout_of_zero_is_taken_only_when_nothing_is_ready)
{
        weir_chan *c = weir_chan_make(int, 1);
        int        v;

        enum { RECV, LATE };
        ck_assert_int_eq(weir_select([RECV] = weir_on_recv(c, &v, NULL), [LATE] = weir_on_timeout(0)), LATE);
        ck_assert_int_eq(weir_select([RECV] = weir_on_recv(c, &v, NULL), [LATE] = weir_on_timeout(-5)), LATE);
        weir_send(c, &(int){ 1 });
        ck_assert_int_eq(weir_select([RECV] = weir_on_recv(c, &v, NULL), [LATE] = weir_on_timeout(0)), RECV);
}

WEIR_TEST(null_channels_and_contexts_are_never_ready)
{
        int v = 1;

        enum { RECV, SEND, DONE, NONE };
        ck_assert_int_eq(weir_select([RECV] = weir_on_recv((weir_chan *)NULL, &v, NULL),
                                     [SEND] = weir_on_send((weir_chan *)NULL, &v),
                                     [DONE] = weir_on_done(NULL), [NONE] = weir_on_default()), NONE);
}

WEIR_TEST(a_closed_channel_is_ready_to_receive)
{
        weir_chan *c = weir_chan_make(int, 0);
        bool       ok = true;
        int        v = 7;

        weir_chan_close(c);
        ck_assert_int_eq(weir_select(weir_on_recv(c, &v, &ok)), 0);
        ck_assert(!ok);
        ck_assert_int_eq(v, 0);
}

weir_task(close_after_yields, my, { weir_chan *c; })
{
        for (int i = 0; i < 10; i++)
                weir_yield();
        weir_chan_close(my->c);
}

WEIR_TEST(close_wakes_a_waiting_select)
{
        weir_chan *a = weir_chan_make(int, 0), *b = weir_chan_make(int, 0);
        bool       ok = true;
        int        v = 7;

        enum { A, B };
        weir_go(close_after_yields, .c = b);
        ck_assert_int_eq(weir_select([A] = weir_on_recv(a, &v, &ok), [B] = weir_on_recv(b, &v, &ok)), B);
        ck_assert(!ok);
        ck_assert_int_eq(v, 0);
}

static weir_chan *chan_of_closed_send;

static void select_send_closed(void *unused)
{
        int v = 1;

        (void)unused;
        weir_select(weir_on_send(chan_of_closed_send, &v));
}

static void select_empty_case(void *unused)
{
        weir_chan *c = weir_chan_make(int, 0);
        int        v;

        (void)unused;
        weir_select([0] = weir_on_recv(c, &v, NULL), [2] = weir_on_default());
}

static void select_two_defaults(void *unused)
{
        (void)unused;
        weir_select(weir_on_default(), weir_on_default());
}

static void select_wrong_size(void *unused)
{
        weir_chan *c = weir_chan_make(int, 0);
        char       v;

        (void)unused;
        weir_select(weir_on_recv(c, &v, NULL), weir_on_default());
}

static void expect_panic(void (*fn)(void *), const char *text)
{
        weir_panic_info info = { 0 };

        ck_assert_int_eq(weir_protect(fn, NULL, &info), WEIR_EPANIC);
        ck_assert_msg(strstr(info.message, text), "message: %s", info.message);
}

WEIR_TEST(mistakes_panic_and_name_the_case)
{
        chan_of_closed_send = weir_chan_make(int, 1);
        weir_chan_close(chan_of_closed_send);
        expect_panic(select_send_closed, "send on closed channel");
        expect_panic(select_empty_case, "case 1 is empty");
        expect_panic(select_two_defaults, "both defaults");
        expect_panic(select_wrong_size, "case 0 has an element of 1 bytes");
}

WEIR_TEST(the_same_channel_may_stand_in_several_cases)
{
        weir_chan *c = weir_chan_make(int, 0);
        int        v = 0, w = 0, which;

        for (int i = 1; i < 50; i++) {
                weir_go(send_after_yields, .c = c, .v = i, .yields = i % 3);
                which = weir_select(weir_on_recv(c, &v, NULL), weir_on_recv(c, &w, NULL));
                ck_assert_int_eq(which ? w : v, i);
        }
}

WEIR_TEST(more_cases_than_fit_on_a_small_stack_work)
{
        enum { N = 100 };
        weir_chan *c[N];
        weir_case  cases[N];
        int        v[N];

        for (int i = 0; i < N; i++) {
                c[i] = weir_chan_make(int, 0);
                cases[i] = (weir_case){ .op = WEIR_OP_RECV, .chan = c[i], .elem = &v[i], .size = sizeof v[i] };
        }
        for (int i = 0; i < N; i += 7) {
                weir_go(send_after_yields, .c = c[i], .v = i * 3, .yields = 5);
                ck_assert_int_eq(weir_select_n(cases, N), i);
                ck_assert_int_eq(v[i], i * 3);
        }
}

weir_task(select_mover, my, { weir_chan **c; int n, rounds; weir_wg *wg; unsigned seed; })
{
        for (int i = 0; i < my->rounds; i++) {
                int in = rand_r(&my->seed) % my->n, out = rand_r(&my->seed) % my->n, v = 0;
                int in2 = rand_r(&my->seed) % my->n;

                /* Take a token from somewhere, put it somewhere else. */
                weir_select(weir_on_recv(my->c[in], &v, NULL), weir_on_recv(my->c[in2], &v, NULL),
                            weir_on_timeout(WEIR_MILLISECOND / 4));
                if (v)
                        weir_select(weir_on_send(my->c[out], &v), weir_on_send(my->c[(out + 1) % my->n], &v));
        }
}

WEIR_TEST_WITH(selects_that_cross_each_other_lose_no_token, .procs = 4, .timeout = 30)
{
        enum { CHANS = 4, MOVERS = 8, TOKENS = 6 };
        weir_chan *c[CHANS];
        weir_wg    wg = { 0 };
        int        sum = 0, v;

        for (int i = 0; i < CHANS; i++)
                c[i] = weir_chan_make(int, 8);
        for (int i = 1; i <= TOKENS; i++)
                weir_send(c[i % CHANS], &i);
        for (int i = 0; i < MOVERS; i++)
                weir_wg_go(&wg, select_mover, .c = c, .n = CHANS, .rounds = 2000, .seed = (unsigned)i + 1);
        weir_wg_wait(&wg);
        for (int i = 0; i < CHANS; i++)
                while (weir_chan_len(c[i])) {
                        weir_recv(c[i], &v);
                        sum += v;
                }
        ck_assert_int_eq(sum, TOKENS * (TOKENS + 1) / 2);
}
