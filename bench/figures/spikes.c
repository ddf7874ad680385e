/* A load in spikes, for tools/oom: does it survive in a cgroup with little memory?
 *
 *      build/bench/figures/spikes [SEED]
 *
 * 40 MiB stay alive. Thirty times, 40 to 100 MiB more are made and looked at, and forgotten at
 * once: never more than 140 MiB are in use. How much is held beyond that is the collector's
 * choice. */
#include <weir.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16 << 10, STAY = (40 << 20) / BLOCK, SPIKES = 30, LEAST = 40, MOST = 100 };

static uint64_t *stay[STAY];
WEIR_ROOT(stay);

static uint64_t *block(uint64_t number)
{
        uint64_t *b = weir_new_bytes(BLOCK);

        memset(b, (int)number | 1, BLOCK);
        b[0] = number;
        return b;
}

static __attribute__((noinline)) void spike(size_t n)
{
        uint64_t **all = weir_new_bytes(n * sizeof *all);

        for (size_t i = 0; i < n; i++)
                all[i] = block(i);
        for (size_t i = 0; i < n; i++)
                if (all[i][0] != i)
                        abort();
}

WEIR_MAIN(argc, argv)
{
        unsigned seed = argc > 1 ? (unsigned)atoi(argv[1]) : 1;

        for (size_t i = 0; i < STAY; i++)
                stay[i] = block(i);
        for (int i = 0; i < SPIKES; i++)
                spike((size_t)(LEAST + rand_r(&seed) % (MOST - LEAST + 1)) * (1 << 20) / BLOCK);
        for (size_t i = 0; i < STAY; i++)
                if (stay[i][0] != i)
                        abort();
        return 0;
}
