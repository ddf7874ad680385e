/* Routines on bytes with AVX2. Built for it (CMakeLists.txt): called only where it is. */
#include "arch/bytes_part.h"
#include <immintrin.h>

#define VEC       __m256i
#define CMP       __m256i
#define MASK      uint64_t
#define SET       struct set_vectors
#define HAVE_SET  1
#define OPS       weir__arch_bytes_avx2
#define OPS_NAME  "avx2"
#define OPS_NEEDS (UINT64_C(1) << FEATURE_avx2)
enum { VSIZE = 32, LANE = 1 };

static inline VEC splat(uint8_t b) { return _mm256_set1_epi8((char)b); }
static inline VEC load(const void *p) { return _mm256_loadu_si256(p); }
static inline void store(void *p, VEC v) { _mm256_storeu_si256(p, v); }

static inline VEC load_part(const uint8_t *p, size_t n)
{
        /* From k on: moves a vector down by k bytes and fills with zeros. */
        static const uint8_t down[32] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
                                          128, 128, 128, 128, 128, 128, 128, 128,
                                          128, 128, 128, 128, 128, 128, 128, 128 };
        uint64_t w[2];
        __m128i  top;

        if (n < 16) {
                part_load(p, n, w);
                return _mm256_set_epi64x(0, 0, (long long)w[1], (long long)w[0]);
        }
        top = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(p + n - 16)),
                               _mm_loadu_si128((const void *)(down + 32 - n)));
        return _mm256_set_m128i(top, _mm_loadu_si128((const void *)p));
}

static inline CMP eq(VEC a, VEC b) { return _mm256_cmpeq_epi8(a, b); }
static inline CMP ne(VEC a, VEC b) { return _mm256_xor_si256(eq(a, b), _mm256_set1_epi8(-1)); }
static inline VEC unlike(VEC a, VEC b) { return _mm256_xor_si256(a, b); }
static inline VEC join(VEC a, VEC b) { return _mm256_or_si256(a, b); }
static inline bool any_bit(VEC v) { return !_mm256_testz_si256(v, v); }
static inline CMP both(CMP a, CMP b) { return _mm256_and_si256(a, b); }
static inline CMP either(CMP a, CMP b) { return _mm256_or_si256(a, b); }
static inline MASK bits(CMP c) { return (uint32_t)_mm256_movemask_epi8(c); }
static inline bool any(CMP c) { return bits(c) != 0; }
static inline CMP high(VEC v) { return v; }            /* bits() looks at the highest bit alone */
static inline size_t tally(CMP c) { return (size_t)__builtin_popcountll(bits(c)); }

static inline CMP range(VEC v, uint8_t low, uint8_t width)
{
        VEC from = _mm256_sub_epi8(v, splat(low));

        return eq(_mm256_min_epu8(from, splat((uint8_t)(width - 1))), from);
}

static inline VEC add_where(VEC v, CMP c, uint8_t delta)
{
        return _mm256_add_epi8(v, _mm256_and_si256(c, splat(delta)));
}

static inline VEC turn(VEC v)
{
        const __m256i order = _mm256_broadcastsi128_si256(
                _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));

        return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(v, order), 0x4e);
}

struct set_vectors {
        VEC row[2];
};

static inline struct set_vectors set_load(const struct bytes_set *set)
{
        return (struct set_vectors){
                { _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)set->row[0])),
                  _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)set->row[1])) } };
}

/* A shuffle answers 0 for an index with the highest bit. */
static inline CMP in_set(const struct set_vectors *set, VEC v)
{
        const VEC powers = _mm256_broadcastsi128_si256(
                _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128));
        VEC low = _mm256_and_si256(v, splat(0x8f));
        VEC row = _mm256_or_si256(_mm256_shuffle_epi8(set->row[0], low),
                                  _mm256_shuffle_epi8(set->row[1],
                                                      _mm256_xor_si256(low, splat(0x80))));
        VEC bit = _mm256_shuffle_epi8(powers,
                                      _mm256_and_si256(_mm256_srli_epi16(v, 4), splat(0x0f)));

        return eq(_mm256_and_si256(row, bit), bit);
}

#include "arch/bytes_simd.h"
