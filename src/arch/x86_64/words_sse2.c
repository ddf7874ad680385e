/* Many look-ups of words with SSE2: a group at a time. */
#define OPS       weir__arch_words_sse2
#define OPS_NAME  "sse2"
#define OPS_NEEDS (UINT64_C(1) << FEATURE_sse2)
#include "arch/words_simd.h"
#include <emmintrin.h>

static inline uint32_t match(__m128i group, uint8_t b)
{
        return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(group, _mm_set1_epi8((char)b)));
}

static inline void probe(const struct block *b, uint32_t ret[BLOCK], uint32_t ret_empty[BLOCK])
{
        for (int i = 0; i < BLOCK; i++) {
                __m128i group = _mm_load_si128((const void *)b->group[i]);

                ret[i] = match(group, b->hash[i] & 0x7f);
                ret_empty[i] = match(group, CTRL_EMPTY);
        }
}
