/* A hash of bytes, of the family of wyhash: 64 by 64 bits multiplied to 128, both halves folded.
 *
 * What    From 8 to 32 bytes are four words that overlap, and two multiplications, whatever the
 *         length: names of all lengths are mixed in a map, and a branch on theirs would be guessed
 *         wrong every other time. More is taken by 16 bytes each, and from 48 on by three at a
 *         time, which do not wait for each other; the last 16 bytes close it. Less than 8 are two
 *         words.
 *         Both factors of each multiplication depend on the seed. Were one of them known, as in
 *         wyhash, a key could make it 0, and with it the hash the same whatever the other is, in
 *         every map.
 * Cost    A name of 16 to 31 bytes: 18 ticks of the time stamp counter until the hash is there, 5 to
 *         8 each when many are under way.
 * Not     The AES instructions: three rounds over the same two halves take 23 to 34 ticks until the
 *         hash is there, and 4 to 9 each, behind a pointer chosen by the processor or without: what
 *         a look-up waits for is longer, and nothing is saved.
 *         SipHash: three times the time, for a secret that a map need not keep from who can read
 *         its memory; who cannot, cannot choose keys that meet without knowing the seed. */
#include "data/hash.h"

uint64_t weir_hash(const void *from, size_t n, uint64_t seed)
{
        const uint8_t *p = from, *end = n ? p + n : p;
        uint64_t       a = 0, b = 0, other;

        seed = hash_seed(seed, &other);
        if (n - 8 <= 24)
                return hash_name(p, n, seed, other);
        if (n >= 8) {
                if (n > 48) {
                        uint64_t s1 = seed, s2 = seed;

                        for (; end - p > 48; p += 48) {
                                seed = fold(load8(p) ^ other, load8(p + 8) ^ seed);
                                s1 = fold(load8(p + 16) ^ other ^ secret[2], load8(p + 24) ^ s1);
                                s2 = fold(load8(p + 32) ^ other ^ secret[3], load8(p + 40) ^ s2);
                        }
                        seed ^= s1 ^ s2;
                }
                for (; end - p > 16; p += 16)
                        seed = fold(load8(p) ^ other, load8(p + 8) ^ seed);
                a = load8(end - 16);
                b = load8(end - 8);
        } else if (n >= 4) {
                a = load4(p);
                b = load4(end - 4);
        } else if (n) {
                a = (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
        }
        return fold(secret[1] ^ n, fold(a ^ other, b ^ seed));
}

uint64_t weir_hash_view(weir_view v, uint64_t seed)
{
        return weir_hash(v.ptr, v.len, seed);
}

uint64_t weir_hash_string(const char *s, uint64_t seed)
{
        size_t n = s ? weir__arch_short_len(s) : 0;

        return s ? hash_text(s, likely(n < 32) ? n : strlen(s), seed) : 0;
}
