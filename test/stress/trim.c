/* Goroutines that park and are readied at random while the monitor takes the memory below their
 * frames away: what is in the frames stays. The trim is made common: a second is a round. */
#include "stress.h"
#include "sched/state.h"

enum { WORKERS = 64, ROUNDS = 50 };

static uint64_t check_below(uint64_t seed, int depth)
{
        volatile uint64_t word[64];
        uint64_t          sum = 0;

        for (int i = 0; i < 64; i++)
                word[i] = seed + (uint64_t)i;
        if (depth)
                sum += check_below(seed + 1, depth - 1);
        else
                weir_yield();
        for (int i = 0; i < 64; i++)
                must(word[i] == seed + (uint64_t)i);
        return sum + word[0];
}

weir_task(worker, my, { weir_chan *in, *out; uint64_t rand; })
{
        uint64_t v;

        while (weir_recv(my->in, &v)) {
                uint64_t sum = check_below(v, (int)stress_below(&my->rand, 60));

                must(sum >= v);
                weir_send(my->out, &v);
        }
}

/* As if a second had passed since g parked. Reaches behind the header: the time is the clock's. */
static bool age(void *head, void *arg)
{
        struct g *g = head;

        (void)arg;
        if (load_relaxed(&g->id) && load_relaxed(&g->state) == G_PARKED)
                store_relaxed(&g->since, 0);
        return true;
}

WEIR_MAIN(argc, argv)
{
        weir_chan *in = weir_chan_make(uint64_t, 0), *out = weir_chan_make(uint64_t, WORKERS);

        stress_begin(argc, argv);
        for (int i = 0; i < WORKERS; i++)
                weir_go(worker, .in = in, .out = out, .rand = stress_rand(&stress_state));
        while (stress_more()) {
                unsigned n = 1 + stress_below(&stress_state, WORKERS);
                uint64_t v;

                for (unsigned i = 0; i < n; i++) {
                        v = stress_rand(&stress_state) >> 16;
                        weir_send(in, &v);
                        if (i % 8 == 0)
                                weir__stack_each(age, NULL);
                }
                for (unsigned i = 0; i < n; i++)
                        weir_recv(out, &v);
        }
        must(weir__stack_returned() > 0);
        printf("returned %llu KiB\n", (unsigned long long)weir__stack_returned() / 1024);
        return 0;
}
