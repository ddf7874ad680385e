/* Many look-ups of words in a map at once, written once. A file of the processor defines what
 * depends on its vectors and includes this:
 *
 *      probe           of the eight groups of a block: where the control byte of the key's hash is,
 *                      and whether one is empty
 *      HAVE_VECTORS    with it: begin, finish, which are below for one key at a time
 *      OPS, OPS_NAME, OPS_NEEDS        the way to make
 *
 * What    Keys come in blocks of eight, which go through three steps: hash, and fetch the groups;
 *         look for the control byte in the groups, and fetch the slots; compare. Each step is made
 *         three blocks behind the one before it, whose lines are on their way meanwhile.
 * Shape   A table is described in src/data/map.c. A group is 16 control bytes; the slots stand
 *         before the first of all control bytes in reverse order, so that the slot of bit i of the
 *         group at place `at` ends (at + i) slots before it.
 * Cost    A map of 10^7: 22 to 26 ns a key, where one by one a hit takes 61; of 10^6: 13 instead of
 *         31; whatever the vectors are, for what is waited for is memory. One block behind, a fifth
 *         more. bench/figures/data, lookup.
 * Not     The second group of a key, and the second candidate of the first: one in ten keys needs
 *         either, and asks the map. */
#include "arch/arch.h"

enum { BLOCK = 8, BEHIND = 3, RING = 2 * BEHIND + 1, CTRL_EMPTY = 0x80 };

struct block {
        uint64_t       hash[BLOCK];
        const uint8_t *group[BLOCK];
        char          *first[BLOCK];    /* the slot of bit 0 of the group */
        char          *slot[BLOCK];     /* of the candidate, or NULL */
        uint32_t       absent;          /* bit by bit: no candidate, and nothing behind the group */
};

/* Of each group, 16 bits of control bytes that are the hash's, and of those that are empty. */
static inline void probe(const struct block *b, uint32_t ret[BLOCK], uint32_t ret_empty[BLOCK]);

static inline uint64_t mix(uint64_t key, uint64_t seed)
{
        __extension__ typedef unsigned __int128 wide;
        wide p = (wide)(key ^ seed) * UINT64_C(0x9e3779b97f4a7c15);

        return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static inline uint64_t word_at(const void *keys, size_t i)
{
        uint64_t w;

        memcpy(&w, (const char *)keys + 8 * i, 8);
        return w;
}

static inline void begin_one(const struct words_map *m, uint64_t key, struct block *b, size_t i)
{
        uint64_t                h = mix(key, m->seed), at;
        const struct words_ref *r = (const void *)((const char *)m->refs +
                                                   ((h >> m->shift) & ~UINT64_C(15)));

        at = (h >> 3) & r->mask;
        b->hash[i] = h;
        b->group[i] = r->ctrl + at;
        b->first[i] = (char *)(uintptr_t)r->ctrl - (at + 1) * m->slot_size;
        __builtin_prefetch(r->ctrl + at);
}

static inline bool finish_one(const struct words_map *m, const void *keys, const struct block *b,
                              size_t i, void **ret)
{
        char *slot = b->slot[i];

        if (b->absent >> i & 1)
                slot = NULL;
        else if (!slot || word_at(slot, 0) != word_at(keys, i))
                slot = m->seek(m->map, b->hash[i], (const char *)keys + 8 * i);
        ret[i] = slot ? slot + m->val_offset : NULL;
        return slot != NULL;
}

#ifndef HAVE_VECTORS
static inline void begin(const struct words_map *m, const void *keys, struct block *b)
{
        for (size_t i = 0; i < BLOCK; i++)
                begin_one(m, word_at(keys, i), b, i);
}

static inline size_t finish(const struct words_map *m, const void *keys, const struct block *b,
                            void **ret)
{
        size_t found = 0;

        for (size_t i = 0; i < BLOCK; i++)
                found += finish_one(m, keys, b, i, ret);
        return found;
}
#endif

static inline void choose_slots(const struct words_map *m, struct block *b)
{
        uint32_t bits[BLOCK], empty[BLOCK];

        probe(b, bits, empty);
        b->absent = 0;
        for (unsigned i = 0; i < BLOCK; i++) {
                unsigned first = (unsigned)__builtin_ctz(bits[i] | 1u << 16);
                char    *slot = b->first[i] - (first & 15) * (size_t)m->slot_size;

                b->slot[i] = bits[i] ? slot : NULL;
                b->absent |= (uint32_t)(!bits[i] && empty[i]) << i;
                __builtin_prefetch(slot);
        }
}

static size_t find_words(const struct words_map *m, const void *keys, size_t n, void **ret)
{
        struct block ring[RING];
        size_t       blocks = n / BLOCK, found = 0;
        const char  *k = keys;

        for (size_t i = 0, at = 0; i < blocks + 2 * BEHIND; i++, at = at + 1 < RING ? at + 1 : 0) {
                size_t last = at + 1 < RING ? at + 1 : 0, done = i - 2 * BEHIND;

                if (i < blocks)
                        begin(m, k + i * BLOCK * 8, &ring[at]);
                if (i >= BEHIND && i < blocks + BEHIND)
                        choose_slots(m, &ring[at >= BEHIND ? at - BEHIND : at + RING - BEHIND]);
                if (i >= 2 * BEHIND)
                        found += finish(m, k + done * BLOCK * 8, &ring[last], ret + done * BLOCK);
        }
        for (size_t i = blocks * BLOCK; i < n; i++) {
                void *slot = m->seek(m->map, mix(word_at(keys, i), m->seed), k + 8 * i);

                ret[i] = slot ? (char *)slot + m->val_offset : NULL;
                found += slot != NULL;
        }
        return found;
}

const struct words_ops OPS = { OPS_NAME, OPS_NEEDS, find_words };
