/* What hash.c has inline, for keys that are names. */
#ifndef WEIR_DATA_HASH_H
#define WEIR_DATA_HASH_H

#include "data/data.h"
#include <weir/map.h>

static const uint64_t secret[4] = {
        UINT64_C(0xa0761d6478bd642f), UINT64_C(0xe7037ed1a0b428db),
        UINT64_C(0x8ebc6af09c88c6e3), UINT64_C(0x589965cc75374cc3),
};

static inline uint64_t fold(uint64_t a, uint64_t b)
{
        __extension__ typedef unsigned __int128 wide;
        wide p = (wide)a * b;

        return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static inline uint64_t load8(const uint8_t *p)
{
        uint64_t w;

        memcpy(&w, p, 8);
        return w;
}

static inline uint64_t load4(const uint8_t *p)
{
        uint32_t w;

        memcpy(&w, p, 4);
        return w;
}

/* The seed is stirred first, and turned for the other factors. */
static inline uint64_t hash_seed(uint64_t seed, uint64_t *ret_other)
{
        seed ^= fold(seed ^ secret[0], secret[1]);
        *ret_other = seed << 29 | seed >> 35;
        return seed;
}

/* weir_hash of 8 to 32 bytes. */
static inline uint64_t hash_name(const uint8_t *p, size_t n, uint64_t seed, uint64_t other)
{
        size_t   back = n > 16 ? n - 16 : 0;            /* without a branch, as the next line */
        uint64_t a = load8(p) ^ other, b = load8(p + (n < 16 ? n - 8 : 8)) ^ seed;

        return fold(secret[1] ^ n, fold(a, b) ^ fold(load8(p + back) ^ other ^ secret[2],
                                                     load8(p + n - 8) ^ seed ^ secret[3]));
}

static inline uint64_t hash_text(const char *s, size_t n, uint64_t seed)
{
        uint64_t other, stirred = hash_seed(seed, &other);

        return likely(n - 8 <= 24) ? hash_name((const uint8_t *)s, n, stirred, other)
                                   : weir_hash(s, n, seed);
}

#endif
