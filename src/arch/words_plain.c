/* Many look-ups of words in plain C: what every processor can do, and what the others are tested
 * against. */
#define OPS       weir__arch_words_plain
#define OPS_NAME  "plain"
#define OPS_NEEDS 0
#include "arch/words_simd.h"

/* A bit for each of eight bytes that is 0. */
static inline uint32_t zero_bytes(uint64_t w)
{
        const uint64_t low = UINT64_C(0x7f7f7f7f7f7f7f7f);
        uint64_t       high = ~(((w & low) + low) | w | low);

        return (uint32_t)((high * UINT64_C(0x0002040810204081)) >> 56);
}

static inline uint32_t match(const uint8_t *group, uint8_t b)
{
        uint64_t all = b * UINT64_C(0x0101010101010101), low = word_at(group, 0);
        uint64_t high = word_at(group, 1);

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
        low = __builtin_bswap64(low);
        high = __builtin_bswap64(high);
#endif
        return zero_bytes(low ^ all) | zero_bytes(high ^ all) << 8;
}

static inline void probe(const struct block *b, uint32_t ret[BLOCK], uint32_t ret_empty[BLOCK])
{
        for (int i = 0; i < BLOCK; i++) {
                ret[i] = match(b->group[i], b->hash[i] & 0x7f);
                ret_empty[i] = match(b->group[i], CTRL_EMPTY);
        }
}
