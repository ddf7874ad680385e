/* How long malloc takes by how far down it has to go.
 *
 *      build/bench/figures/alloc [SIZE]                64
 *
 * Half a million blocks are allocated, every second one is freed and allocated again. Of each call
 * the cycles are counted, those of counting taken off, and whether it was served by the cache of
 * the thread, by the central list (which gave the cache a batch), or by the page heap (which gave
 * that list a span). In between the counters are read, so that a call finds less in the processor's
 * own caches than in a program. */
#include "base/counter.h"
#include <weir.h>
#include <stdlib.h>

#ifdef __x86_64__
#include <x86intrin.h>
#define cycles() __rdtsc()
#else
#define cycles() ((uint64_t)weir_now())
#endif

enum { BLOCKS = 500000, ROUNDS = 2, BUCKETS = 24 };
enum level { CACHE, CENTRAL, PAGES, LEVELS };

static const char *const names[LEVELS] = { "cache", "central list", "page heap" };

static struct level_times {
        uint64_t *took;
        size_t    n;
} levels[LEVELS];

static int by_value(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return (x > y) - (x < y);
}

/* Cycles per nanosecond, by watching both clocks. */
static double rate(void)
{
        weir_time start = weir_now();
        uint64_t  from = cycles();

        while (weir_now() - start < 20 * WEIR_MILLISECOND)
                ;
        return (double)(cycles() - from) / (double)(weir_now() - start);
}

static uint64_t overhead(void)
{
        static uint64_t took[10001];

        for (int i = 0; i < 10001; i++) {
                uint64_t start = cycles();

                took[i] = cycles() - start;
        }
        qsort(took, 10001, sizeof *took, by_value);
        return took[5000];
}

static void print(const struct level_times *l, const char *name, double per_ns)
{
        size_t buckets[BUCKETS] = { 0 };

        if (!l->n)
                return;
        qsort(l->took, l->n, sizeof *l->took, by_value);
        printf("%-14s %7zu calls, median %.1f ns, 99 %% within %.1f ns, longest %.1f us\n", name,
               l->n, (double)l->took[l->n / 2] / per_ns, (double)l->took[l->n * 99 / 100] / per_ns,
               (double)l->took[l->n - 1] / per_ns / 1e3);
        for (size_t i = 0; i < l->n; i++) {
                double ns = (double)l->took[i] / per_ns;
                int    k = 0;

                while (k < BUCKETS - 1 && ns >= (double)(1u << k))
                        k++;
                buckets[k]++;
        }
        for (int k = 0; k < BUCKETS; k++)
                if (buckets[k])
                        printf("    below %8u ns %9zu\n", 1u << k, buckets[k]);
}

WEIR_MAIN(argc, argv)
{
        size_t   size = argc > 1 ? strtoul(argv[1], NULL, 10) : 64;
        void   **block = weir_new_bytes(BLOCKS * sizeof *block);
        double   per_ns = rate();
        uint64_t counting = overhead(), refills, spans;

        for (int i = 0; i < LEVELS; i++)
                levels[i].took = weir_new_bytes(BLOCKS * ROUNDS * sizeof *levels[i].took);
        for (int round = 0; round < ROUNDS; round++) {
                refills = weir__gauge_read(GAUGE_mem_refills);
                spans = weir__gauge_read(GAUGE_mem_spans_grown);
                for (int i = 0; i < BLOCKS; i += 1 + round) {
                        uint64_t   start = cycles(), took, r, s;
                        enum level level;

                        block[i] = malloc(size);
                        took = cycles() - start;
                        r = weir__gauge_read(GAUGE_mem_refills);
                        s = weir__gauge_read(GAUGE_mem_spans_grown);
                        level = s != spans ? PAGES : r != refills ? CENTRAL : CACHE;
                        refills = r;
                        spans = s;
                        took = took > counting ? took - counting : 0;
                        levels[level].took[levels[level].n++] = took;
                }
                for (int i = 0; i < BLOCKS; i += 2 - round)
                        free(block[i]);
        }
        printf("malloc(%zu)\n", size);
        for (int i = 0; i < LEVELS; i++)
                print(&levels[i], names[i], per_ns);
        return 0;
}
