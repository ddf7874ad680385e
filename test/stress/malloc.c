/* malloc, free and realloc by goroutines and threads, blocks passed between them, while caches are
 * trimmed and memory is given back. A block names its slot and its size in every word; each round
 * ends with a walk of the whole heap. */
#include "stress.h"
#include "mem/heap.h"
#include <pthread.h>

enum { SLOTS = 4096, WORKERS = 4, THREADS = 2, OPS = 20000 };

/* Exchanged atomically: who takes a block out owns it. */
static uint64_t *slot[SLOTS];

static size_t words_of(uint64_t *state)
{
        unsigned r = stress_below(state, 1000);

        return 2 + stress_below(state, r < 900 ? 60 : r < 995 ? 2000 : 60000);
}

static void fill(uint64_t *p, size_t words, uint64_t name)
{
        p[0] = words;
        for (size_t i = 1; i < words; i++)
                p[i] = name ^ (uintptr_t)p;
}

static void verify(const uint64_t *p)
{
        for (size_t i = 2; i < p[0]; i++)
                must(p[i] == p[1]);
}

static void work(uint64_t *state)
{
        for (int op = 0; op < OPS; op++) {
                unsigned  i = stress_below(state, SLOTS);
                uint64_t *p = exchange_seq(&slot[i], NULL);
                size_t    words = words_of(state);

                if (p)
                        verify(p);
                switch (stress_below(state, 8)) {
                case 0:                                 /* another size, content kept */
                        if (p) {
                                uint64_t first = p[1];
                                size_t   old = p[0];

                                p = weir__realloc(p, words * 8);
                                must(p && p[1] == first);
                                must(p[old < words ? old - 1 : words - 1] == first);
                                break;
                        }
                        /* fall through */
                case 1:
                        weir__free(p);
                        p = weir__calloc(words, 8);
                        must(p && !p[words - 1] && !p[words / 2]);
                        break;
                case 2:
                        weir__free(p);
                        p = weir__memalign((size_t)16 << stress_below(state, 10), words * 8);
                        must(p);
                        break;
                default:
                        weir__free(p);
                        p = weir__malloc(words * 8);
                        must(p);
                }
                fill(p, words, stress_rand(state));
                p = exchange_seq(&slot[i], p);
                weir__free(p);
        }
}

weir_task(worker, my, { uint64_t seed; weir_wg *wg; })
{
        uint64_t state = my->seed;

        work(&state);
        weir_wg_done(my->wg);
}

static void *thread(void *arg)
{
        uint64_t state = *(uint64_t *)arg;

        work(&state);
        return NULL;
}

static void collected(uint64_t *state)
{
        for (int i = 0; i < 2000; i++) {
                size_t    n = 2 + stress_below(state, 3000);       /* tiny ones share marks */
                uint64_t *p = weir__mem_alloc(MEM_TYPED + (int)stress_below(state, 3), n * 8);

                must(!p[0] && !p[n - 1]);
                p[0] = p[n - 1] = UINT64_MAX;
                if (stress_below(state, 2))
                        must(weir__mem_mark(p));
        }
        weir__mem_sweep();
}

WEIR_MAIN(argc, argv)
{
        stress_begin(argc, argv);
        while (stress_more()) {
                uint64_t  seeds[THREADS];
                pthread_t t[THREADS];
                weir_wg   wg = { 0 };

                for (int i = 0; i < THREADS; i++) {
                        seeds[i] = stress_rand(&stress_state);
                        must(!pthread_create(&t[i], NULL, thread, &seeds[i]));
                }
                for (int i = 0; i < WORKERS; i++) {
                        weir_wg_add(&wg, 1);
                        weir_go(worker, .seed = stress_rand(&stress_state), .wg = &wg);
                }
                collected(&stress_state);
                for (struct cache *c = load_acquire(&weir__caches); c; c = c->next)
                        store_relaxed(&c->trim, 1);
                weir__mem_check();
                weir_mem_release();
                weir_wg_wait(&wg);
                for (int i = 0; i < THREADS; i++)
                        pthread_join(t[i], NULL);
                weir__mem_check();
        }
        for (int i = 0; i < SLOTS; i++)
                weir__free(slot[i]);
        weir__mem_check();
        return 0;
}
