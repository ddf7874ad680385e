/* Maps on all processors: each goroutine changes its own, and all read one that nobody changes;
 * what they drop is allocated by others again. */
#include "stress.h"

WEIR_MAP_PLAIN(words, uint64_t, uint64_t, weir_hash_word, weir_equal_word);

enum { SHARED = 20000, OWN = 3000 };

static words *shared;

weir_task(worker, my, { weir_wg *wg; uint64_t seed; })
{
        uint64_t seed = my->seed;

        while (stress_more()) {
                words   *m = words_new(stress_below(&seed, 100));
                uint64_t n = stress_below(&seed, OWN), sum = 0, k, v;

                for (k = 0; k < n; k++)
                        words_put(m, k * 7, k);
                for (k = 0; k < n; k += 3)
                        must(words_del(m, k * 7));
                for (weir_map_iter it = { .map = words_map(m) }; words_next(&it, &k, &v);)
                        sum += v;
                for (k = 0; k < n; k++)
                        sum -= k % 3 ? k : 0;
                must(sum == 0);
                for (int i = 0; i < 1000; i++) {
                        uint64_t *at = words_get(shared, k = stress_below(&seed, 2 * SHARED));

                        must(!at == (k >= SHARED) && (!at || *at == ~k));
                }
                if (!stress_below(&seed, 10)) {
                        weir_map_iter it = { .map = words_map(shared) };

                        for (n = 0; words_next(&it, NULL, NULL); n++)
                                ;
                        must(n == SHARED);
                }
                words_clear(m);
                weir_yield();
        }
        weir_wg_done(my->wg);
}

WEIR_MAIN(argc, argv)
{
        weir_wg wg = {0};

        stress_begin(argc, argv);
        shared = words_new(0);
        for (uint64_t k = 0; k < SHARED; k++)
                words_put(shared, k, ~k);
        weir_wg_add(&wg, 8);
        for (uint64_t i = 0; i < 8; i++)
                weir_go(worker, .wg = &wg, .seed = stress_rand(&stress_state));
        weir_wg_wait(&wg);
        return 0;
}
