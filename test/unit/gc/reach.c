/* A heap at random, against a reference: what is reachable stays, and all else goes. */
#include "unit/gc/heap.h"
#include <string.h>
#include <sys/mman.h>

enum { OBJECTS = 20000, EDGES = 3 };

typedef struct thing {
        struct thing *edge[EDGES];
        uint64_t      check;
} thing;
WEIR_TYPE(thing, edge);

struct shadow {
        hidden   at;
        uint32_t edge[EDGES];           /* 0: none */
        bool     reached;
};

static struct shadow *shadow;           /* outside of all roots */
static uint32_t      *work;

static uint64_t rand_next(uint64_t *s)
{
        *s ^= *s << 13;
        *s ^= *s >> 7;
        *s ^= *s << 17;
        return *s;
}

static void reach(uint32_t from)
{
        uint32_t n = 0;

        work[n++] = from;
        while (n) {
                struct shadow *s = &shadow[work[--n]];

                if (s->reached)
                        continue;
                s->reached = true;
                for (int k = 0; k < EDGES; k++)
                        if (s->edge[k] && !shadow[s->edge[k]].reached)
                                work[n++] = s->edge[k];
        }
}

weir_task(build, my, { uint64_t *seed; weir_wg *wg; })
{
        uint64_t *seed = my->seed;

        for (uint32_t i = 1; i < OBJECTS; i++) {
                size_t extra = rand_next(seed) % 8 ? 0 : rand_next(seed) % 100000;
                thing *t = i % 3 == 0 ? weir_new(thing)
                                      : weir_new_bytes(sizeof *t + (i % 3 - 1) * extra);

                t->check = i * UINT64_C(0x9E3779B97F4A7C15);
                shadow[i] = (struct shadow){ .at = hide(t) };
        }
        for (uint32_t i = 1; i < OBJECTS; i++)
                for (int k = 0; k < EDGES; k++) {
                        uint32_t to = (uint32_t)(rand_next(seed) % OBJECTS);

                        if (rand_next(seed) % 3)
                                to = 0;
                        shadow[i].edge[k] = to;
                        if (to)
                                weir_set(((thing *)show(shadow[i].at))->edge[k],
                                         (thing *)show(shadow[to].at));
                }
        weir_wg_done(my->wg);
}

static thing *volatile roots[100];

WEIR_TEST_WITH(a_random_heap_keeps_what_a_reference_reaches, .procs = 2, .timeout = 60)
{
        uint64_t seed = 88172645463325252;
        int      crowded = 0;
        weir_wg  wg = { 0 };

        shadow = mmap(NULL, OBJECTS * sizeof *shadow, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        work = mmap(NULL, OBJECTS * EDGES * sizeof *work, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (int round = 0; round < 10; round++) {
                uint32_t kept = 0, lost = 0, reached = 0;

                weir_wg_add(&wg, 1);
                weir_go(build, .seed = &seed, .wg = &wg);
                weir_wg_wait(&wg);
                for (int i = 0; i < 100; i++) {
                        uint32_t r = 1 + (uint32_t)(rand_next(&seed) % (OBJECTS - 1));

                        roots[i] = i % 10 ? NULL : (thing *)~shadow[r].at;
                        if (roots[i])
                                reach(r);
                }
                collect();
                for (uint32_t i = 1; i < OBJECTS; i++) {
                        bool is = alive(shadow[i].at);

                        reached += shadow[i].reached;
                        lost += shadow[i].reached && !is;
                        kept += !shadow[i].reached && is;
                        if (shadow[i].reached && is)
                                ck_assert_uint_eq(((thing *)~shadow[i].at)->check,
                                                  i * UINT64_C(0x9E3779B97F4A7C15));
                }
                ck_assert_msg(!lost, "round %d: %u of %u reachable ones went", round,
                              lost, reached);
                /* One stale word may keep a large part of such a graph. */
                crowded += kept > OBJECTS / 200;
                memset((void *)roots, 0, sizeof roots);
                collect();
        }
        ck_assert_msg(crowded <= 3 || COPIES, "in %d of 10 rounds unreachable ones stayed", crowded);
}
