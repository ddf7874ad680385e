/* The prime sieve of Hoare, as everybody shows it in Go: a chain of goroutines, one per prime, each
 * passing on what its prime does not divide. It is 8.1 million hand-overs over channels without
 * buffer among up to 4 000 goroutines.
 *
 * sieve_4000  the first 4 000 primes. One op is the whole sieve.
 *
 * Fair: the same numbers (64 bits) go through the same channels in the same order. The usual
 * program never ends; here the generator stops at the last prime and the close runs down the chain,
 * on both sides, so that nothing is left running for the next round. */
#include "bench.h"

#include <inttypes.h>

enum { PRIMES = 4000, LAST = 37813 };   /* LAST is the 4000th prime */

weir_task(generate, my, { weir_chan *out; int64_t upto; })
{
        for (int64_t i = 2; i <= my->upto; i++)
                weir_send(my->out, &i);
        weir_chan_close(my->out);
}

weir_task(filter, my, { weir_chan *in, *out; int64_t prime; })
{
        int64_t v;

        while (weir_recv(my->in, &v))
                if (v % my->prime)
                        weir_send(my->out, &v);
        weir_chan_close(my->out);
}

BENCH(sieve_4000)
{
        for (int64_t i = 0; i < b->n; i++) {
                int64_t    prime, greatest = 0, found = 0;
                weir_chan *c = weir_chan_make(int64_t, 0);

                weir_go(generate, .out = c, .upto = LAST);
                while (weir_recv(c, &prime)) {
                        weir_chan *next = weir_chan_make(int64_t, 0);

                        weir_go(filter, .in = c, .out = next, .prime = prime);
                        c = next;
                        greatest = prime;
                        found++;
                }
                if (found != PRIMES || greatest != LAST)
                        bench_fail(b, "%" PRId64 " primes up to %" PRId64, found, greatest);
        }
}
