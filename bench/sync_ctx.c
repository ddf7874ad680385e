/* What contexts cost, and what is built on them: groups and flights.
 *
 * ctx_cancel_one       a context is derived from one that can be cancelled, and cancelled.
 * ctx_timeout_one      the same with a timeout that is far off.
 * ctx_err              is a context five levels deep ended? It is not.
 * ctx_value_16         a value 16 levels up is looked up; one op is one level.
 * ctx_cancel_100k      a root with 100 000 descendants, in chains of ten, is cancelled, and each is
 *                      asked. One op is one root; making them is not counted.
 * ctx_cancel_100k_waited  the same, but for each descendant a goroutine waits; until all have gone
 *                      on. cancel-ns is the call alone.
 * ctx_select           a select on a channel and a context, answered by another goroutine.
 * group                members that return nil at once, in groups of 100; one op is one member.
 * group_limit          the same, of which 4 may run at a time.
 * flight_alone         a call that nobody shares.
 * flight_shared        8 goroutines call for one key.
 *
 * Fair: Go links a child when it is made, weir when somebody waits for it: the work of
 * ctx_cancel_100k_waited is the same on both sides. errgroup and singleflight are those of x/sync,
 * written in the twin: a WaitGroup, a Once and a channel; a mutex and a map. Their keys are of 8
 * bytes. */
#include "bench.h"

#include <stdlib.h>

enum { DESCENDANTS = 100000, CHAIN = 10, LEVELS = 16, MEMBERS = 100 };

BENCH(ctx_cancel_one)
{
        weir_ctx *top = weir_ctx_with_cancel(NULL);

        for (int64_t i = 0; i < b->n; i++)
                weir_ctx_cancel(weir_ctx_with_cancel(top));
        weir_ctx_cancel(top);
}

BENCH(ctx_timeout_one)
{
        weir_ctx *top = weir_ctx_with_cancel(NULL);

        for (int64_t i = 0; i < b->n; i++)
                weir_ctx_cancel(weir_ctx_with_timeout(top, 1000 * WEIR_SECOND));
        weir_ctx_cancel(top);
}

BENCH(ctx_err)
{
        weir_ctx *c = NULL;
        int       ended = 0;

        for (int i = 0; i < 5; i++)
                c = weir_ctx_with_cancel(c);
        for (int64_t i = 0; i < b->n; i++)
                ended += weir_ctx_err(c);
        if (ended)
                bench_fail(b, "it ended");
}

BENCH(ctx_value_16)
{
        static char key[LEVELS];
        weir_ctx   *c = NULL;
        uintptr_t   sum = 0;

        for (int i = 0; i < LEVELS; i++)
                c = weir_ctx_with_value(c, &key[i], &key[i]);
        b->per = LEVELS;
        for (int64_t i = 0; i < b->n; i++)
                sum += weir_ctx_value(c, &key[0]) == &key[0];
        if ((int64_t)sum != b->n)
                bench_fail(b, "not found");
}

static weir_ctx **descend(weir_ctx *top)
{
        weir_ctx **all = weir_new_bytes(DESCENDANTS * sizeof(weir_ctx *));

        for (int k = 0; k < DESCENDANTS; k++)
                all[k] = weir_ctx_with_cancel(k % CHAIN ? all[k - 1] : top);
        return all;
}

BENCH(ctx_cancel_100k)
{
        for (int64_t i = 0; i < b->n; i++) {
                weir_ctx **all, *top = weir_ctx_with_cancel(NULL);

                bench_timer_stop(b);
                all = descend(top);
                bench_timer_start(b);
                weir_ctx_cancel(top);
                for (int k = 0; k < DESCENDANTS; k++)
                        if (weir_ctx_err(all[k]) != WEIR_ECANCELED)
                                bench_fail(b, "one goes on");
        }
}

weir_task(wait_for, my, { weir_ctx *ctx; weir_wg *started, *ended; })
{
        weir_wg_done(my->started);
        weir_ctx_wait(my->ctx);
        weir_wg_done(my->ended);
}

BENCH(ctx_cancel_100k_waited)
{
        int64_t cancelling = 0;

        for (int64_t i = 0; i < b->n; i++) {
                weir_ctx **all, *top = weir_ctx_with_cancel(NULL);
                weir_wg    started = { 0 }, ended = { 0 };
                weir_time  start;

                bench_timer_stop(b);
                all = descend(top);
                weir_wg_add(&started, DESCENDANTS);
                weir_wg_add(&ended, DESCENDANTS);
                for (int k = 0; k < DESCENDANTS; k++)
                        weir_go(wait_for, .ctx = all[k], .started = &started, .ended = &ended);
                weir_wg_wait(&started);
                for (int k = 0; k < 100; k++)
                        weir_yield();
                bench_timer_start(b);
                start = weir_now();
                weir_ctx_cancel(top);
                cancelling += weir_now() - start;
                weir_wg_wait(&ended);
        }
        bench_metric(b, (double)cancelling / (double)b->n, "cancel-ns");
}

weir_task(answer, my, { weir_chan *ask, *reply; })
{
        int64_t v;

        while (weir_recv(my->ask, &v))
                weir_send(my->reply, &v);
}

BENCH(ctx_select)
{
        weir_ctx  *top = weir_ctx_with_cancel(NULL), *c = weir_ctx_with_cancel(top);
        weir_chan *ask = weir_chan_make(int64_t, 0), *reply = weir_chan_make(int64_t, 0);

        enum { REPLY, DONE };
        weir_go(answer, .ask = ask, .reply = reply);
        for (int64_t i = 0; i < b->n; i++) {
                int64_t v;

                weir_send(ask, &i);
                if (weir_select([REPLY] = weir_on_recv(reply, &v, NULL),
                                [DONE] = weir_on_done(c)) != REPLY)
                        bench_fail(b, "done");
        }
        weir_chan_close(ask);
        weir_ctx_cancel(top);
}

weir_group_task(member, my, { int unused; })
{
        return 0;
}

static void groups(struct bench *b, size_t limit)
{
        for (int64_t left = b->n; left > 0; left -= MEMBERS) {
                weir_group g;

                weir_group_init(&g, NULL);
                weir_group_limit(&g, limit);
                for (int64_t i = 0; i < MEMBERS && i < left; i++)
                        weir_group_go(&g, member);
                if (weir_group_wait(&g))
                        bench_fail(b, "an error");
        }
}

BENCH(group)
{
        groups(b, 0);
}

BENCH(group_limit)
{
        groups(b, 4);
}

static int fly(void *arg, void **ret)
{
        *ret = arg;
        return 0;
}

BENCH(flight_alone)
{
        static weir_flight f;
        uint64_t           key = 0;

        for (int64_t i = 0; i < b->n; i++) {
                void *v;

                key = (uint64_t)i;
                if (weir_flight_do(&f, &key, sizeof key, fly, b, &v, NULL) || v != b)
                        bench_fail(b, "another value");
        }
}

weir_task(fly_often, my, { weir_wg *wg; weir_flight *f; int64_t n; })
{
        uint64_t key = 1;

        for (int64_t i = 0; i < my->n; i++) {
                void *v;

                weir_flight_do(my->f, &key, sizeof key, fly, my, &v, NULL);
        }
        weir_wg_done(my->wg);
}

BENCH(flight_shared)
{
        weir_flight *f = bench_alloc(1, sizeof *f);
        weir_wg      wg = { 0 };

        weir_wg_add(&wg, 8);
        for (int i = 0; i < 8; i++)
                weir_go(fly_often, .wg = &wg, .f = f, .n = bench_share(b->n, i, 8));
        weir_wg_wait(&wg);
        free(f);
}
