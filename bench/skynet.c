/* The skynet benchmark: a goroutine starts ten, each of them ten more, down to a million that send
 * their number up; every level adds up what it hears.
 *
 * skynet_1m  one op is the whole tree: 1 111 111 goroutines, 111 112 channels without buffer.
 *
 * Fair: the same tree, depth first or not as the scheduler likes, numbers of 64 bits, a fresh
 * channel per inner node as in the published Go program. Go collects the channels as it runs. */
#include "bench.h"

#include <inttypes.h>

enum { LEAVES = 1000000, FAN_OUT = 10 };

weir_task(node, my, { weir_chan *out; int64_t num, size; })
{
        int64_t    step = my->size / FAN_OUT, sum = 0, v;
        weir_chan *in;

        if (my->size == 1) {
                weir_send(my->out, &my->num);
                return;
        }

        in = weir_chan_make(int64_t, 0);
        for (int i = 0; i < FAN_OUT; i++)
                weir_go(node, .out = in, .num = my->num + i * step, .size = step);
        for (int i = 0; i < FAN_OUT; i++) {
                weir_recv(in, &v);
                sum += v;
        }
        weir_send(my->out, &sum);
}

BENCH(skynet_1m)
{
        for (int64_t i = 0; i < b->n; i++) {
                weir_chan *c = weir_chan_make(int64_t, 0);
                int64_t    sum;

                weir_go(node, .out = c, .num = 0, .size = LEAVES);
                weir_recv(c, &sum);
                if (sum != INT64_C(1) * LEAVES / 2 * (LEAVES - 1))
                        bench_fail(b, "the leaves add up to %" PRId64, sum);
        }
}
