/* What select costs.
 *
 * select_2_blocking  two goroutines, each selecting over two channels of its own until the other
 * select_8_blocking  sends on one of them, then answering; over eight. Nobody can be ahead, so each
 *                    select finds nothing and parks (on two cores: unless the answer is quicker).
 *                    One op is one select and the send that ends it.
 * select_2_ready     two channels with one place each, one of them full. One op is a select that
 *                    takes the value at once, and the send that refills the other channel.
 * select_default     one empty channel and a default. One op is one select.
 *
 * Fair: all elements are Go's int; the channel that is served goes round on both sides. Go's
 * compiler knows the number of cases and turns select_default into a single call without any
 * select; weir's library is given the same cases in an array at run time, and that difference is
 * what the pair measures. A select statement has a fixed number of cases in Go, so the twin has one
 * function for two and one for eight; here the arrays are written out likewise. */
#include "bench.h"

#include <inttypes.h>

enum { MOST = 8 };

static int64_t recv_2(weir_chan **c)
{
        int64_t v;

        weir_select(weir_on_recv(c[0], &v, NULL), weir_on_recv(c[1], &v, NULL));
        return v;
}

static int64_t recv_8(weir_chan **c)
{
        int64_t v;

        weir_select(weir_on_recv(c[0], &v, NULL), weir_on_recv(c[1], &v, NULL),
                    weir_on_recv(c[2], &v, NULL), weir_on_recv(c[3], &v, NULL),
                    weir_on_recv(c[4], &v, NULL), weir_on_recv(c[5], &v, NULL),
                    weir_on_recv(c[6], &v, NULL), weir_on_recv(c[7], &v, NULL));
        return v;
}

struct side {
        weir_chan *in[MOST], *out[MOST];
        int64_t    n, bad;
        int        k;
        bool       first;
};

weir_task(play, my, { weir_wg *wg; struct side *side; })
{
        struct side *s = my->side;

        for (int64_t i = 0; i < s->n; i++) {
                if (s->first)
                        weir_send(s->out[i % s->k], &i);
                if ((s->k == 2 ? recv_2(s->in) : recv_8(s->in)) != i)
                        s->bad++;
                if (!s->first)
                        weir_send(s->out[i % s->k], &i);
        }
        weir_wg_done(my->wg);
}

static void blocking(struct bench *b, int k)
{
        weir_wg     wg = {0};
        struct side one = { .n = b->n, .k = k, .first = true }, two = { .n = b->n, .k = k };

        for (int i = 0; i < k; i++) {
                one.out[i] = two.in[i] = weir_chan_make(int64_t, 0);
                two.out[i] = one.in[i] = weir_chan_make(int64_t, 0);
        }
        b->per = 2;

        bench_timer_reset(b);
        weir_wg_add(&wg, 2);
        weir_go(play, .wg = &wg, .side = &two);
        weir_go(play, .wg = &wg, .side = &one);
        weir_wg_wait(&wg);
        if (one.bad || two.bad)
                bench_fail(b, "%" PRId64 " values came out of turn", one.bad + two.bad);
}

BENCH(select_2_blocking)
{
        blocking(b, 2);
}

BENCH(select_8_blocking)
{
        blocking(b, 8);
}

BENCH(select_2_ready)
{
        enum { ONE, TWO };
        weir_chan *one = weir_chan_make(int64_t, 1), *two = weir_chan_make(int64_t, 1);
        int64_t    v = 0;

        weir_send(one, &v);
        bench_timer_reset(b);
        for (int64_t i = 0; i < b->n; i++) {
                switch (weir_select([ONE] = weir_on_recv(one, &v, NULL),
                                    [TWO] = weir_on_recv(two, &v, NULL))) {
                case ONE:
                        v++;
                        weir_send(two, &v);
                        break;
                case TWO:
                        v++;
                        weir_send(one, &v);
                        break;
                }
        }
        bench_timer_stop(b);

        weir_select(weir_on_recv(one, &v, NULL), weir_on_recv(two, &v, NULL));
        if (v != b->n)
                bench_fail(b, "%" PRId64 " hand-overs, counted %" PRId64, b->n, v);
}

BENCH(select_default)
{
        enum { VALUE, NONE };
        weir_chan *c = weir_chan_make(int64_t, 0);
        int64_t    v, misses = 0;

        for (int64_t i = 0; i < b->n; i++)
                misses += weir_select([VALUE] = weir_on_recv(c, &v, NULL),
                                      [NONE]  = weir_on_default()) == NONE;
        if (misses != b->n)
                bench_fail(b, "%" PRId64 " of %" PRId64 " selects found a value nobody sent",
                           b->n - misses, b->n);
}
