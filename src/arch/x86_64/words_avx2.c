/* Many look-ups of words with AVX2: two groups at a time. Built for it (CMakeLists.txt): called
 * only where it is. */
#define OPS       weir__arch_words_avx2
#define OPS_NAME  "avx2"
#define OPS_NEEDS (UINT64_C(1) << FEATURE_avx2)
#include "arch/words_simd.h"
#include <immintrin.h>

static inline __m256i two(const void *low, const void *high)
{
        return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_load_si128(low)),
                                       _mm_load_si128(high), 1);
}

static inline void probe(const struct block *b, uint32_t ret[BLOCK], uint32_t ret_empty[BLOCK])
{
        const __m256i empty = _mm256_set1_epi8((char)CTRL_EMPTY);

        for (int i = 0; i < BLOCK; i += 2) {
                __m256i  groups = two(b->group[i], b->group[i + 1]);
                __m256i  hashes = _mm256_set_epi64x(0, (long long)b->hash[i + 1], 0,
                                                    (long long)b->hash[i]);
                __m256i  low = _mm256_and_si256(_mm256_shuffle_epi8(hashes, _mm256_setzero_si256()),
                                                _mm256_set1_epi8(0x7f));
                uint32_t bits = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(groups, low));
                uint32_t none = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(groups, empty));

                ret[i] = bits & 0xffff;
                ret[i + 1] = bits >> 16;
                ret_empty[i] = none & 0xffff;
                ret_empty[i + 1] = none >> 16;
        }
}
