/* What it costs to hand a value over.
 *
 * unbuffered_ping_pong  a value goes to another goroutine and comes back, over two channels without
 *                       buffer. One op is one round trip: two sends, two receives, two switches.
 * buffered_1_1          one producer, one consumer, CAPACITY places. One op is one value.
 * buffered_4_4          four of each on one channel. One op is one value.
 *
 * Fair: the element is Go's int, 64 bits on both sides. Consumers end by the channel's close, Go's
 * by `range`, which is its fastest form and does what weir_recv() in a loop condition does.
 * Both sides check what arrived. */
#include "bench.h"

#include <inttypes.h>

enum { CAPACITY = 128, MOST = 4 };

weir_task(pong, my, { weir_chan *ping, *pong; })
{
        int64_t v;

        while (weir_recv(my->ping, &v))
                weir_send(my->pong, &v);
        weir_chan_close(my->pong);
}

BENCH(unbuffered_ping_pong)
{
        weir_chan *out = weir_chan_make(int64_t, 0), *back = weir_chan_make(int64_t, 0);
        int64_t    v;

        weir_go(pong, .ping = out, .pong = back);
        bench_timer_reset(b);
        for (int64_t i = 0; i < b->n; i++) {
                weir_send(out, &i);
                weir_recv(back, &v);
                if (v != i)
                        bench_fail(b, "sent %" PRId64 ", received %" PRId64, i, v);
        }
        bench_timer_stop(b);
        weir_chan_close(out);
        weir_recv(back, &v);
}

weir_task(produce, my, { weir_wg *wg; weir_chan *c; int64_t n; })
{
        for (int64_t i = 0; i < my->n; i++)
                weir_send(my->c, &i);
        weir_wg_done(my->wg);
}

weir_task(consume, my, { weir_wg *wg; weir_chan *c; int64_t *ret; })
{
        int64_t v, sum = 0;

        while (weir_recv(my->c, &v))
                sum += v;
        *my->ret = sum;
        weir_wg_done(my->wg);
}

static void buffered(struct bench *b, int k)
{
        weir_wg    producers = {0}, consumers = {0};
        weir_chan *c = weir_chan_make(int64_t, CAPACITY);
        int64_t    sums[MOST], want = 0, got = 0;

        weir_wg_add(&producers, k);
        weir_wg_add(&consumers, k);
        for (int i = 0; i < k; i++) {
                int64_t n = bench_share(b->n, i, k);

                want += n * (n - 1) / 2;
                weir_go(consume, .wg = &consumers, .c = c, .ret = &sums[i]);
                weir_go(produce, .wg = &producers, .c = c, .n = n);
        }
        weir_wg_wait(&producers);
        weir_chan_close(c);
        weir_wg_wait(&consumers);

        for (int i = 0; i < k; i++)
                got += sums[i];
        if (got != want)
                bench_fail(b, "the items add up to %" PRId64 ", not %" PRId64, got, want);
}

BENCH(buffered_1_1)
{
        buffered(b, 1);
}

BENCH(buffered_4_4)
{
        buffered(b, 4);
}
