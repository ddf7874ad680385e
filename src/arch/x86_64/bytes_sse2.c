/* Routines on bytes with SSE2, which every x86-64 has. */
#include "arch/bytes_part.h"
#include <emmintrin.h>

#define VEC       __m128i
#define CMP       __m128i
#define MASK      uint32_t
#define HAVE_SET  0
#define OPS       weir__arch_bytes_sse2
#define OPS_NAME  "sse2"
#define OPS_NEEDS (UINT64_C(1) << FEATURE_sse2)
enum { VSIZE = 16, LANE = 1 };

static inline VEC splat(uint8_t b) { return _mm_set1_epi8((char)b); }
static inline VEC load(const void *p) { return _mm_loadu_si128(p); }
static inline void store(void *p, VEC v) { _mm_storeu_si128(p, v); }

static inline VEC load_part(const uint8_t *p, size_t n)
{
        uint64_t w[2];

        part_load(p, n, w);
        return _mm_set_epi64x((long long)w[1], (long long)w[0]);
}

static inline CMP eq(VEC a, VEC b) { return _mm_cmpeq_epi8(a, b); }
static inline CMP ne(VEC a, VEC b) { return _mm_xor_si128(eq(a, b), _mm_set1_epi8(-1)); }
static inline VEC unlike(VEC a, VEC b) { return _mm_xor_si128(a, b); }
static inline VEC join(VEC a, VEC b) { return _mm_or_si128(a, b); }

static inline bool any_bit(VEC v)
{
        return _mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_setzero_si128())) != 0xffff;
}

static inline CMP both(CMP a, CMP b) { return _mm_and_si128(a, b); }
static inline CMP either(CMP a, CMP b) { return _mm_or_si128(a, b); }
static inline MASK bits(CMP c) { return (MASK)_mm_movemask_epi8(c); }
static inline bool any(CMP c) { return bits(c) != 0; }
static inline CMP high(VEC v) { return v; }            /* bits() looks at the highest bit alone */

static inline CMP range(VEC v, uint8_t low, uint8_t width)
{
        VEC from = _mm_sub_epi8(v, splat(low));

        return eq(_mm_min_epu8(from, splat((uint8_t)(width - 1))), from);
}

static inline VEC add_where(VEC v, CMP c, uint8_t delta)
{
        return _mm_add_epi8(v, _mm_and_si128(c, splat(delta)));
}

static inline size_t tally(CMP c)
{
        __m128i sums = _mm_sad_epu8(_mm_sub_epi8(_mm_setzero_si128(), c), _mm_setzero_si128());

        return (size_t)_mm_cvtsi128_si64(sums) + (size_t)_mm_extract_epi16(sums, 4);
}

static inline VEC turn(VEC v)
{
        v = _mm_or_si128(_mm_slli_epi16(v, 8), _mm_srli_epi16(v, 8));
        v = _mm_shufflehi_epi16(_mm_shufflelo_epi16(v, 0x1b), 0x1b);
        return _mm_shuffle_epi32(v, 0x4e);
}

#include "arch/bytes_simd.h"
