/* Many look-ups of words with AVX-512 (F, BW, VL): four groups at a time, and hashes, the
 * directory and the keys in the slots of eight keys. Built for it (CMakeLists.txt): called only
 * where it is. */
#define OPS          weir__arch_words_avx512
#define OPS_NAME     "avx512"
#define OPS_NEEDS    (UINT64_C(1) << FEATURE_avx512)
#define HAVE_VECTORS

#include "arch/arch.h"
#include <immintrin.h>

struct block;
static inline void   begin(const struct words_map *m, const void *keys, struct block *b);
static inline size_t finish(const struct words_map *m, const void *keys, const struct block *b,
                            void **ret);

#include "arch/words_simd.h"

static inline __m512i four(const uint8_t *const group[4])
{
        __m256i low = _mm256_inserti128_si256(
                _mm256_castsi128_si256(_mm_load_si128((const void *)group[0])),
                _mm_load_si128((const void *)group[1]), 1);
        __m256i high = _mm256_inserti128_si256(
                _mm256_castsi128_si256(_mm_load_si128((const void *)group[2])),
                _mm_load_si128((const void *)group[3]), 1);

        return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

static inline void probe(const struct block *b, uint32_t ret[BLOCK], uint32_t ret_empty[BLOCK])
{
        const __m512i empty = _mm512_set1_epi8((char)CTRL_EMPTY), low = _mm512_set1_epi8(0x7f);

        for (int i = 0; i < BLOCK; i += 4) {
                __m512i  groups = four(b->group + i);
                __m512i  hashes = _mm512_maskz_expandloadu_epi64(0x55, b->hash + i);
                uint64_t bits, none;

                hashes = _mm512_and_si512(_mm512_shuffle_epi8(hashes, _mm512_setzero_si512()), low);
                bits = _mm512_cmpeq_epi8_mask(groups, hashes);
                none = _mm512_cmpeq_epi8_mask(groups, empty);
                for (int k = 0; k < 4; k++) {
                        ret[i + k] = bits >> 16 * k & 0xffff;
                        ret_empty[i + k] = none >> 16 * k & 0xffff;
                }
        }
}

/* Both halves of the product, folded, from four products of 32 bits. */
static inline __m512i mix_eight(__m512i x)
{
        const __m512i low = _mm512_set1_epi64(0x7f4a7c15), high = _mm512_set1_epi64(0x9e3779b9);
        const __m512i half = _mm512_set1_epi64(0xffffffff);
        __m512i       top = _mm512_srli_epi64(x, 32);
        __m512i       p00 = _mm512_mul_epu32(x, low), p01 = _mm512_mul_epu32(x, high);
        __m512i       p10 = _mm512_mul_epu32(top, low), p11 = _mm512_mul_epu32(top, high);
        __m512i       mid = _mm512_add_epi64(_mm512_srli_epi64(p00, 32),
                                             _mm512_add_epi64(_mm512_and_si512(p01, half),
                                                              _mm512_and_si512(p10, half)));
        __m512i       first = _mm512_add_epi64(
                _mm512_add_epi64(p11, _mm512_srli_epi64(mid, 32)),
                _mm512_add_epi64(_mm512_srli_epi64(p01, 32), _mm512_srli_epi64(p10, 32)));
        __m512i       last = _mm512_or_si512(_mm512_and_si512(p00, half),
                                             _mm512_slli_epi64(mid, 32));

        return _mm512_xor_si512(first, last);
}

static inline void begin(const struct words_map *m, const void *keys, struct block *b)
{
        const __m512i one = _mm512_set1_epi64(1), size = _mm512_set1_epi64(m->slot_size);
        __m512i       h = mix_eight(_mm512_xor_si512(_mm512_loadu_si512(keys),
                                                     _mm512_set1_epi64((long long)m->seed)));
        __m512i       ref = _mm512_and_si512(_mm512_srl_epi64(h, _mm_cvtsi32_si128((int)m->shift)),
                                             _mm512_set1_epi64(-16));
        __m512i       ctrl = _mm512_i64gather_epi64(ref, (const void *)m->refs, 1);
        __m512i       mask = _mm512_i64gather_epi64(ref, (const char *)m->refs + 8, 1);
        __m512i       at = _mm512_and_si512(_mm512_srli_epi64(h, 3), mask);
        __m512i       front = _mm512_mul_epu32(_mm512_add_epi64(at, one), size);

        _mm512_storeu_si512(b->hash, h);
        _mm512_storeu_si512(b->group, _mm512_add_epi64(ctrl, at));
        _mm512_storeu_si512(b->first, _mm512_sub_epi64(ctrl, front));
        for (int i = 0; i < BLOCK; i++)
                __builtin_prefetch(b->group[i]);
}

static inline size_t finish(const struct words_map *m, const void *keys, const struct block *b,
                            void **ret)
{
        __m512i   slot = _mm512_loadu_si512(b->slot);
        __mmask8  there = _mm512_test_epi64_mask(slot, slot);
        __m512i   got = _mm512_mask_i64gather_epi64(slot, there, slot, NULL, 1);
        __mmask8  same = _mm512_mask_cmpeq_epi64_mask(there, got, _mm512_loadu_si512(keys));
        __m512i   value = _mm512_add_epi64(slot, _mm512_set1_epi64(m->val_offset));
        unsigned  open = ~(same | b->absent) & 0xff;
        size_t    found = (size_t)__builtin_popcount(same);

        _mm512_storeu_si512(ret, _mm512_maskz_mov_epi64(same, value));
        for (; open; open &= open - 1)
                found += finish_one(m, keys, b, (unsigned)__builtin_ctz(open), ret);
        return found;
}
