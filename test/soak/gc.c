/* The collector: a million finalizers, each called once, of which some allocate, yield, or bring
 * their object back; and how much of what is dead is kept, because a word somewhere looks like its
 * address. */
#include "soak/soak.h"

enum {
        FINALIZERS = 1000 * 1000, MAKERS = 8, RESCUED = 256,
        SINGLE = 10000,                 /* dead objects of a round, on their own */
        NODES = 20000, EDGES = 3,       /* of a round, in a random graph */
};

typedef struct thing {
        struct thing *other;
        uint64_t      number;
} thing;
WEIR_TYPE(thing, other);

/* ---- finalizers ---- */

static uint8_t  *times;                 /* atomic: calls by number; outside of what is scanned */
static thing    *rescued[RESCUED];
static uint64_t  called, again, broken;

static void finalize(void *obj)
{
        thing   *t = obj;
        uint64_t n = t->number;

        if (n >= FINALIZERS || (t->other && t->other->number != ~n)) {
                __atomic_fetch_add(&broken, 1, __ATOMIC_RELAXED);
                return;
        }
        if (__atomic_fetch_add(&times[n], 1, __ATOMIC_RELAXED))
                __atomic_fetch_add(&again, 1, __ATOMIC_RELAXED);
        if (n % 8 == 1)
                weir_set(t->other, weir_new(thing));
        if (n % 8 == 1)
                t->other->number = ~n;
        if (n % 64 == 2)
                weir_yield();
        if (n % 16 == 3)
                rescued[n / 16 % RESCUED] = t;
        __atomic_fetch_add(&called, 1, __ATOMIC_RELAXED);
}

weir_task(makes, my, { uint64_t from, to; weir_wg *wg; })
{
        for (uint64_t i = my->from; i < my->to; i++) {
                thing *t = weir_new(thing);

                t->number = i;
                if (i % 4 == 0) {
                        weir_set(t->other, weir_new(thing));
                        t->other->number = ~i;
                }
                weir_gc_finalize(t, finalize);
        }
        weir_wg_done(my->wg);
}

static void finalizers(void)
{
        weir_wg   wg = { 0 };
        weir_time end, begin = weir_now();

        times = weir_malloc_plain(FINALIZERS);
        memset(times, 0, FINALIZERS);
        weir_wg_add(&wg, MAKERS);
        for (uint64_t i = 0; i < MAKERS; i++)
                weir_go(makes, .from = FINALIZERS * i / MAKERS,
                        .to = FINALIZERS * (i + 1) / MAKERS, .wg = &wg);
        weir_wg_wait(&wg);
        end = weir_now() + 120 * WEIR_SECOND;
        while (__atomic_load_n(&called, __ATOMIC_RELAXED) < FINALIZERS - 100 && weir_now() < end) {
                weir_gc_run();
                weir_sleep(10 * WEIR_MILLISECOND);
        }
        printf("%d finalizers in %.1f s\n", FINALIZERS, (double)(weir_now() - begin) / 1e9);
        soak_at_most("a million finalizers: not called", (double)(FINALIZERS - called), "", 100);
        soak_at_most("a million finalizers: called again", (double)again, "", 0);
        soak_at_most("a million finalizers: of a broken object", (double)broken, "", 0);
        free(times);
}

/* ---- what is kept ---- */

/* Addresses that nobody takes for pointers. */
static uintptr_t hidden[NODES];

weir_task(makes_single, my, { weir_wg *wg; })
{
        for (int i = 0; i < SINGLE; i++)
                hidden[i] = ~(uintptr_t)weir_new(thing);
        weir_wg_done(my->wg);
}

typedef struct vertex {
        struct vertex *edge[EDGES];
        uint64_t       number;
} vertex;
WEIR_TYPE(vertex, edge);

weir_task(makes_graph, my, { uint64_t seed; weir_wg *wg; })
{
        for (int i = 0; i < NODES; i++)
                hidden[i] = ~(uintptr_t)weir_new(vertex);
        for (int i = 0; i < NODES; i++)
                for (int k = 0; k < EDGES; k++)
                        if (soak_rand(&my->seed) % 3 == 0) {
                                vertex *from = (vertex *)~hidden[i];

                                weir_set(from->edge[k],
                                         (vertex *)~hidden[soak_rand(&my->seed) % NODES]);
                        }
        weir_wg_done(my->wg);
}

static int left(int n)
{
        int kept = 0;

        weir_gc_run();
        for (int i = 0; i < n; i++)
                kept += weir_mem_block((void *)~hidden[i], NULL, NULL) == 0;
        memset(hidden, 0, sizeof hidden);
        return kept;
}

static void retention(int rounds)
{
        uint64_t single = 0, graph = 0;
        int      crowded = 0;

        for (int i = 0; i < rounds; i++) {
                weir_wg wg = { 0 };
                int     kept;

                weir_wg_add(&wg, 1);
                weir_go(makes_single, .wg = &wg);
                weir_wg_wait(&wg);
                single += (uint64_t)left(SINGLE);
                weir_wg_add(&wg, 1);
                weir_go(makes_graph, .seed = (uint64_t)i, .wg = &wg);
                weir_wg_wait(&wg);
                kept = left(NODES);
                graph += (uint64_t)kept;
                crowded += kept > NODES / 100;
        }
        printf("in %d of %d rounds more than 1 %% of a random graph\n", crowded, rounds);
        soak_at_most("dead objects kept, on their own",
                     100 * (double)single / ((double)SINGLE * rounds), "%", 0.1);
        soak_at_most("dead objects kept, of random graphs",
                     100 * (double)graph / ((double)NODES * rounds), "%", 5);
}

WEIR_MAIN(argc, argv)
{
        retention(20 + (int)(36 * soak_minutes(argc, argv)));
        finalizers();
        return soak_missed;
}
