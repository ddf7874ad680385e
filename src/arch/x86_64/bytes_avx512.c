/* Routines on bytes with AVX-512 (F, BW, VL): a comparison's answer is a mask register, and a load
 * under a mask touches nothing outside of it. Built for it (CMakeLists.txt): called only where it
 * is. */
#include "arch/bytes_part.h"
#include <immintrin.h>

#define VEC       __m512i
#define CMP       __mmask64
#define MASK      uint64_t
#define SET       struct set_vectors
#define HAVE_SET  1
#define HAVE_STORE_PART
#define OPS       weir__arch_bytes_avx512
#define OPS_NAME  "avx512"
#define OPS_NEEDS (UINT64_C(1) << FEATURE_avx512)
enum { VSIZE = 64, LANE = 1 };

static inline VEC splat(uint8_t b) { return _mm512_set1_epi8((char)b); }
static inline VEC load(const void *p) { return _mm512_loadu_si512(p); }
static inline void store(void *p, VEC v) { _mm512_storeu_si512(p, v); }

static inline VEC load_part(const uint8_t *p, size_t n)
{
        return _mm512_maskz_loadu_epi8(_bzhi_u64(~UINT64_C(0), (unsigned)n), p);
}

static inline void store_part(uint8_t *p, size_t n, VEC v)
{
        _mm512_mask_storeu_epi8(p, _bzhi_u64(~UINT64_C(0), (unsigned)n), v);
}

static inline CMP eq(VEC a, VEC b) { return _mm512_cmpeq_epi8_mask(a, b); }
static inline CMP ne(VEC a, VEC b) { return _mm512_cmpneq_epi8_mask(a, b); }
static inline VEC unlike(VEC a, VEC b) { return _mm512_xor_si512(a, b); }
static inline VEC join(VEC a, VEC b) { return _mm512_or_si512(a, b); }
static inline bool any_bit(VEC v) { return _mm512_test_epi8_mask(v, v) != 0; }
static inline CMP both(CMP a, CMP b) { return a & b; }
static inline CMP either(CMP a, CMP b) { return a | b; }
static inline MASK bits(CMP c) { return c; }
static inline bool any(CMP c) { return c != 0; }
static inline CMP high(VEC v) { return _mm512_movepi8_mask(v); }
static inline size_t tally(CMP c) { return (size_t)__builtin_popcountll(c); }

static inline CMP range(VEC v, uint8_t low, uint8_t width)
{
        return _mm512_cmplt_epu8_mask(_mm512_sub_epi8(v, splat(low)), splat(width));
}

static inline VEC add_where(VEC v, CMP c, uint8_t delta)
{
        return _mm512_mask_add_epi8(v, c, v, splat(delta));
}

static inline VEC turn(VEC v)
{
        const __m512i order = _mm512_broadcast_i32x4(
                _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));

        return _mm512_shuffle_i64x2(_mm512_shuffle_epi8(v, order),
                                    _mm512_shuffle_epi8(v, order), 0x1b);
}

struct set_vectors {
        VEC row[2];
};

static inline struct set_vectors set_load(const struct bytes_set *set)
{
        return (struct set_vectors){
                { _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)set->row[0])),
                  _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)set->row[1])) } };
}

/* A shuffle answers 0 for an index with the highest bit. */
static inline CMP in_set(const struct set_vectors *set, VEC v)
{
        const VEC powers = _mm512_broadcast_i32x4(
                _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128));
        VEC low = _mm512_and_si512(v, splat(0x8f));
        VEC row = _mm512_or_si512(_mm512_shuffle_epi8(set->row[0], low),
                                  _mm512_shuffle_epi8(set->row[1],
                                                      _mm512_xor_si512(low, splat(0x80))));
        VEC bit = _mm512_shuffle_epi8(powers,
                                      _mm512_and_si512(_mm512_srli_epi16(v, 4), splat(0x0f)));

        return _mm512_test_epi8_mask(row, bit);
}

#include "arch/bytes_simd.h"
