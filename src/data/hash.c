/* A hash of bytes, of the family of wyhash: 64 by 64 bits multiplied to 128, both halves folded.
 *
 * What    Up to 16 bytes are two words that overlap, and one multiplication; more, 16 bytes each,
 *         and from 48 on three at a time, which do not wait for each other. The last 16 bytes
 *         close it.
 * Not     SipHash: three times the time, for a secret that a map need not keep from who can read
 *         its memory; who cannot, cannot choose keys that meet without knowing the seed. */
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

uint64_t weir_hash(const void *from, size_t n, uint64_t seed)
{
        const uint8_t *p = from;
        uint64_t       a = 0, b = 0;

        seed ^= fold(seed ^ secret[0], secret[1]);
        if (n <= 16) {
                if (n >= 8) {
                        a = load8(p);
                        b = load8(p + n - 8);
                } else if (n >= 4) {
                        a = load4(p);
                        b = load4(p + n - 4);
                } else if (n) {
                        a = (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
                }
        } else {
                const uint8_t *end = p + n;

                if (n > 48) {
                        uint64_t s1 = seed, s2 = seed;

                        for (; end - p > 48; p += 48) {
                                seed = fold(load8(p) ^ secret[1], load8(p + 8) ^ seed);
                                s1 = fold(load8(p + 16) ^ secret[2], load8(p + 24) ^ s1);
                                s2 = fold(load8(p + 32) ^ secret[3], load8(p + 40) ^ s2);
                        }
                        seed ^= s1 ^ s2;
                }
                for (; end - p > 16; p += 16)
                        seed = fold(load8(p) ^ secret[1], load8(p + 8) ^ seed);
                a = load8(end - 16);
                b = load8(end - 8);
        }
        return fold(secret[1] ^ n, fold(a ^ secret[1], b ^ seed));
}
