/* Routines on bytes with NEON. A comparison becomes a word of four bits per byte by one narrowing
 * shift, of which the lowest is kept, so that the word can be walked like a mask of single bits. */
#include "arch/bytes_part.h"
#include <arm_neon.h>

#define VEC       uint8x16_t
#define CMP       uint8x16_t
#define MASK      uint64_t
#define SET       struct set_vectors
#define HAVE_SET  1
#define OPS       weir__arch_bytes_neon
#define OPS_NAME  "neon"
#define OPS_NEEDS (UINT64_C(1) << FEATURE_neon)
enum { VSIZE = 16, LANE = 4 };

static inline VEC splat(uint8_t b) { return vdupq_n_u8(b); }
static inline VEC load(const void *p) { return vld1q_u8(p); }
static inline void store(void *p, VEC v) { vst1q_u8(p, v); }

static inline VEC load_part(const uint8_t *p, size_t n)
{
        uint64_t w[2];

        part_load(p, n, w);
        return vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(w[0]), vcreate_u64(w[1])));
}

static inline CMP eq(VEC a, VEC b) { return vceqq_u8(a, b); }
static inline CMP ne(VEC a, VEC b) { return vmvnq_u8(vceqq_u8(a, b)); }
static inline VEC unlike(VEC a, VEC b) { return veorq_u8(a, b); }
static inline VEC join(VEC a, VEC b) { return vorrq_u8(a, b); }
static inline bool any_bit(VEC v) { return vmaxvq_u8(v) != 0; }
static inline CMP both(CMP a, CMP b) { return vandq_u8(a, b); }
static inline CMP either(CMP a, CMP b) { return vorrq_u8(a, b); }
static inline bool any(CMP c) { return vmaxvq_u8(c) != 0; }
static inline CMP high(VEC v) { return vcgeq_u8(v, vdupq_n_u8(128)); }
static inline size_t tally(CMP c) { return vaddvq_u8(vshrq_n_u8(c, 7)); }

static inline MASK bits(CMP c)
{
        uint8x8_t narrow = vshrn_n_u16(vreinterpretq_u16_u8(c), 4);

        return vget_lane_u64(vreinterpret_u64_u8(narrow), 0) & UINT64_C(0x1111111111111111);
}

static inline CMP range(VEC v, uint8_t low, uint8_t width)
{
        return vcltq_u8(vsubq_u8(v, splat(low)), splat(width));
}

static inline VEC add_where(VEC v, CMP c, uint8_t delta)
{
        return vaddq_u8(v, vandq_u8(c, splat(delta)));
}

static inline VEC turn(VEC v)
{
        v = vrev64q_u8(v);
        return vextq_u8(v, v, 8);
}

struct set_vectors {
        VEC row[2];
};

static inline struct set_vectors set_load(const struct bytes_set *set)
{
        return (struct set_vectors){ { vld1q_u8(set->row[0]), vld1q_u8(set->row[1]) } };
}

/* A table answers 0 for an index of 16 and more. */
static inline CMP in_set(const struct set_vectors *set, VEC v)
{
        static const uint8_t power[16] = { 1, 2, 4, 8, 16, 32, 64, 128,
                                           1, 2, 4, 8, 16, 32, 64, 128 };
        VEC low = vandq_u8(v, splat(0x8f));
        VEC row = vorrq_u8(vqtbl1q_u8(set->row[0], low),
                           vqtbl1q_u8(set->row[1], veorq_u8(low, splat(0x80))));

        return vtstq_u8(row, vqtbl1q_u8(vld1q_u8(power), vshrq_n_u8(v, 4)));
}

#include "arch/bytes_simd.h"
