/* Many look-ups at once: each way to do them answers as look-ups one by one. */
#include "check.h"
#include "data/map.h"
#include <stdlib.h>
#include <string.h>

enum { MOST = 1500 };

/* Half of the keys that are asked for are there; the others differ in one bit from one that is. */
static uint64_t key_of(uint64_t i)
{
        uint64_t k = (i / 2) * UINT64_C(0x9e3779b97f4a7c15);

        return i % 2 ? k ^ UINT64_C(1) << i % 64 : k;
}

static weir_map *filled(uint32_t slots_max, size_t n, size_t val_size)
{
        weir_map *m = weir_map_new(&weir_hash_bytes, 8, val_size, 0);
        char      val[24] = { 0 };

        if (slots_max)
                m->slots_max_ = slots_max;
        for (uint64_t i = 0; i < n; i++)
                weir_map_put(m, &(uint64_t){ key_of(2 * i) }, val_size ? val : NULL);
        for (uint64_t i = 0; i < n; i += 7)             /* holes, and marks of deleted ones */
                weir_map_del(m, &(uint64_t){ key_of(2 * i) });
        return m;
}

/* All lengths up to a few blocks, and a long one; at an address of any alignment. */
static void ask(const struct words_ops *way, const weir_map *m, uint64_t from)
{
        static char   room[8 * MOST + 8];
        static void  *at[MOST + 1];
        static size_t lengths[] = { 0, 1, 2, 7, 8, 9, 15, 16, 17, 23, 24, 25, 33, 64, 100, MOST };

        for (size_t l = 0; l < COUNT(lengths); l++) {
                size_t n = lengths[l], found = 0;
                char  *keys = room + l % 8;

                for (size_t i = 0; i < n; i++)
                        memcpy(keys + 8 * i, &(uint64_t){ key_of(from + i) }, 8);
                for (size_t i = 0; i <= n; i++)
                        at[i] = (void *)1;
                found = weir__map_words_by(way, m, keys, n, at);
                for (size_t i = 0; i < n; i++) {
                        void *one = weir_map_at(m, keys + 8 * i);

                        must(at[i] == one);
                        found -= one != NULL;
                }
                must(!found && at[n] == (void *)1);
        }
}

static void try_way(const char *name)
{
        static const size_t    sizes[] = { 0, 1, 8, 20, 1000, 20000 }, values[] = { 8, 0, 4, 24 };
        const struct words_ops *way = !strcmp(name, "plain") ? &weir__arch_words_plain : NULL;

        for (const struct words_ops *const *o = weir__arch_words; *o; o++)
                if (!strcmp((*o)->name, name))
                        way = *o;
        if (!way || way->needs & ~weir__arch_ask())
                test_skip("not on this processor");
        for (uint32_t slots_max = 0; slots_max <= 64; slots_max += 32)
                for (size_t i = 0; i < COUNT(sizes); i++) {
                        weir_map *m = filled(slots_max, sizes[i], values[i % COUNT(values)]);

                        ck_assert_int_eq(m->mode_, MODE_WORD);
                        for (uint64_t from = 0; from <= 2 * sizes[i]; from += 1 + sizes[i] / 3)
                                ask(way, m, from);
                }
}

PLAIN_TEST(the_plain_way_answers_as_one_by_one)
{
        try_way("plain");
}

PLAIN_TEST(sse2_answers_as_one_by_one)
{
        try_way("sse2");
}

PLAIN_TEST(avx2_answers_as_one_by_one)
{
        try_way("avx2");
}

PLAIN_TEST(avx512_answers_as_one_by_one)
{
        try_way("avx512");
}

PLAIN_TEST(the_hash_is_the_same_for_keys_of_all_bits)
{
        static uint64_t keys[64 * 8];
        static void    *at[64 * 8];
        weir_map       *m = weir_map_make(uint64_t, uint64_t, 0);
        size_t          n = 0;

        for (uint64_t bit = 0; bit < 64; bit++) {
                uint64_t one = UINT64_C(1) << bit;
                uint64_t some[8] = { one, ~one, one - 1, 0 - one, one | 1, one ^ UINT64_MAX / 3,
                                     one + UINT32_MAX, one * 3 };

                for (int i = 0; i < 8; i++) {
                        keys[n++] = some[i];
                        weir_map_put(m, &some[i], &n);
                }
        }
        ck_assert_uint_eq(weir_map_at_many(m, keys, n, at), n);
        for (const struct words_ops *const *o = weir__arch_words; *o; o++)
                if (!((*o)->needs & ~weir__arch_ask()))
                        ck_assert_uint_eq(weir__map_words_by(*o, m, keys, n, at), n);
        ck_assert_uint_eq(weir__map_words_by(&weir__arch_words_plain, m, keys, n, at), n);
}
