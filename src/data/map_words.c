/* Many look-ups at once in a map whose keys are words: the choice of a way. The ways, and what they
 * all do, are in src/arch/words_simd.h. */
#include "data/map.h"

enum { FEW = 1 << 14 };                 /* entries */

static const struct words_ops *chosen = &weir__arch_words_plain;         /* const after start */

__attribute__((constructor(102))) static void choose(void)
{
        const struct words_ops *best = weir__arch_words_best();

        if (best)
                chosen = best;
}

static void *seek(const void *map, uint64_t hash, const void *key)
{
        return find_word(map, hash, key);
}

size_t weir__map_words_by(const struct words_ops *way, const weir_map *m, const void *keys,
                          size_t n, void **ret)
{
        struct words_map w = { (const void *)m->refs_, m->seed_, m->shift_, m->slot_size_,
                               m->val_offset_, m, seek };

        return way->find(&w, keys, n, ret);
}

/* What the caches hold is as soon looked at as fetched. */
static size_t one_by_one(const weir_map *m, const char *keys, size_t n, void **ret)
{
        size_t found = 0;

        for (size_t i = 0; i < n; i++) {
                const char *key = keys + 8 * i;
                char       *slot = find_word(m, hash_word(key, m), key);

                ret[i] = slot ? slot + m->val_offset_ : NULL;
                found += slot != NULL;
        }
        return found;
}

size_t weir__map_words(const weir_map *m, const void *keys, size_t n, void **ret)
{
        if (m->len_ < FEW)
                return one_by_one(m, keys, n, ret);
        return weir__map_words_by(chosen, m, keys, n, ret);
}
