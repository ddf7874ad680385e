/* A map driven by bytes, against an array. The first byte chooses the kind of keys and the size of
 * tables; then each operation is two bytes: what to do, and with which of 256 keys. */
/* mode: random */
#include "data/map.h"
#include <stdlib.h>

#define must(cond) ((cond) ? (void)0 : (fprintf(stderr, "not true: %s\n", #cond), abort()))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t few_hashes(const void *k, size_t n, uint64_t seed)
{
        (void)n;
        (void)seed;
        return *(const uint8_t *)k & 3;
}

static bool equal_first(const void *a, const void *b, size_t n)
{
        (void)n;
        return *(const uint8_t *)a == *(const uint8_t *)b;
}

static const weir_hasher hasher = { few_hashes, equal_first };
static const size_t key_sizes[] = { 1, 3, 4, 8, 16, 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        bool          there[256] = { false }, met[256] = { false };
        uint16_t      value[256] = { 0 }, v;
        uint8_t       key[24] = { 0 };
        size_t        len = 0;
        weir_map     *m;
        weir_map_iter it;

        if (!size)
                return 0;
        m = data[0] & 0x80 ? weir_map_new(&hasher, 1, 2, data[0] & 7)
                           : weir_map_new(&weir_hash_bytes, key_sizes[data[0] % 6], 2, 0);
        m->slots_max_ = 16u << (data[0] >> 5 & 3);
        it = (weir_map_iter){ .map = m };
        for (size_t i = 1; i + 1 < size; i += 2) {
                uint8_t k = data[i + 1];

                key[0] = k;
                v = (uint16_t)i;
                switch (data[i] & 15) {
                case 0:
                        weir_map_clear(m);
                        memset(there, 0, sizeof there);
                        len = 0;
                        break;
                case 1:
                case 2:
                case 3:
                        must(weir_map_del(m, key) == there[k]);
                        len -= there[k];
                        there[k] = false;
                        break;
                case 4:
                        must(weir_map_get(m, key, &v) == there[k]);
                        must(!there[k] || v == value[k]);
                        break;
                case 5:
                        if (weir_map_next(&it, key, &v)) {
                                must(there[key[0]] && value[key[0]] == v);
                                met[key[0]] = true;
                        } else {
                                it = (weir_map_iter){ .map = m };
                        }
                        key[0] = 0;
                        break;
                default:
                        weir_map_put(m, key, &v);
                        len += !there[k];
                        there[k] = true;
                        value[k] = v;
                }
                must(weir_map_len(m) == len);
        }
        must(weir__map_check(m));
        memset(met, 0, sizeof met);
        for (it = (weir_map_iter){ .map = m }; weir_map_next(&it, key, &v); len--) {
                must(there[key[0]] && !met[key[0]] && value[key[0]] == v);
                met[key[0]] = true;
        }
        must(len == 0);
        weir_map_clear(m);
        return 0;
}
