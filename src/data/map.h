/* What the files on maps share; see map.c. */
#ifndef WEIR_DATA_MAP_H
#define WEIR_DATA_MAP_H

#include "data/hash.h"
#include <weir/go.h>
#include <weir/map.h>

enum { GROUP = 16, SLOTS_FIRST = 8, SLOTS_FLOOR = 16, SLOTS_CEILING = 16384,
       TABLE_BYTES = 160 << 10, SLOT_MAX = 1 << 20,
       GROUPS_COUNTED = SLOTS_CEILING / GROUP,
       SPARED = 8 << 10 };      /* bytes of a table that becomes smaller only when it is empty */

/* How keys are hashed and compared. */
enum map_mode { MODE_WORD, MODE_HALF, MODE_BYTES, MODE_STRING, MODE_HASHER, MODE_TYPED };

/* The slot with this index, and back. */
static inline char *slot_at(const struct weir_map_table_ *t, size_t i, size_t size)
{
        return (char *)t->ctrl - (i + 1) * size;
}

static inline size_t slot_index(const struct weir_map_table_ *t, const void *slot, size_t size)
{
        return (size_t)((char *)t->ctrl - (const char *)slot) / size - 1;
}

/* Where the memory of a table begins: what is before its control bytes. */
static inline size_t slots_bytes(uint32_t slots, size_t size)
{
        return ALIGN_UP(slots * size, (size_t)GROUP);
}

static inline char *table_memory(const struct weir_map_table_ *t, size_t size)
{
        return (char *)t->ctrl - slots_bytes(t->slots, size);
}

static inline size_t map_index(const weir_map *m, uint64_t h)
{
        return (h >> m->shift_) >> 4;
}

static inline uint64_t map_word(const void *p)
{
        uint64_t w;

        memcpy(&w, p, sizeof w);
        return w;
}

static inline uint32_t map_half(const void *p)
{
        uint32_t w;

        memcpy(&w, p, sizeof w);
        return w;
}

static inline uint64_t hash_word(const void *key, const weir_map *m)
{
        return weir_map_mix_(map_word(key), m->seed_);
}

static inline uint64_t hash_half(const void *key, const weir_map *m)
{
        return weir_map_mix_(map_half(key), m->seed_);
}

static inline uint64_t hash_bytes(const void *key, const weir_map *m)
{
        return weir_hash(key, m->key_size_, m->seed_);
}

static inline uint64_t hash_string(const void *key, const weir_map *m)
{
        const char *s;

        memcpy(&s, key, sizeof s);
        return weir_hash_string(s, m->seed_);
}

static inline uint64_t hash_hasher(const void *key, const weir_map *m)
{
        return weir_map_mix_(m->hasher_->hash(key, m->key_size_, m->seed_), m->seed_);
}

static inline uint64_t hash_typed(const void *key, const weir_map *m)
{
        return m->hash_(key, m->seed_);
}

static inline bool equal_word(const void *a, const void *b, const weir_map *m)
{
        (void)m;
        return map_word(a) == map_word(b);
}

static inline bool equal_half(const void *a, const void *b, const weir_map *m)
{
        (void)m;
        return map_half(a) == map_half(b);
}

static inline bool equal_bytes(const void *a, const void *b, const weir_map *m)
{
        return !memcmp(a, b, m->key_size_);
}

static inline bool equal_string(const void *a, const void *b, const weir_map *m)
{
        const char *s, *t;

        (void)m;
        memcpy(&s, a, sizeof s);
        memcpy(&t, b, sizeof t);
        return s == t || (s && t && !strcmp(s, t));
}

static inline bool equal_hasher(const void *a, const void *b, const weir_map *m)
{
        return m->hasher_->equal(a, b, m->key_size_);
}

static inline bool equal_typed(const void *a, const void *b, const weir_map *m)
{
        return m->equal_(a, b);
}

/* Calls what is made for the map's keys: FN##_word(...), FN##_half(...), ... */
#define MAP_CALL(m, call)                       \
        do {                                    \
                switch ((m)->mode_) {           \
                case MODE_WORD:                 \
                        call(word);             \
                case MODE_HALF:                 \
                        call(half);             \
                case MODE_BYTES:                \
                        call(bytes);            \
                case MODE_STRING:               \
                        call(string);           \
                case MODE_HASHER:               \
                        call(hasher);           \
                default:                        \
                        call(typed);            \
                }                               \
        } while (0)

static inline uint64_t map_hash(const weir_map *m, const void *key)
{
#define CALL(kind) return hash_##kind(key, m)
        MAP_CALL(m, CALL);
#undef CALL
}

static inline bool map_equal(const weir_map *m, const void *a, const void *b)
{
#define CALL(kind) return equal_##kind(a, b, m)
        MAP_CALL(m, CALL);
#undef CALL
}

/* The slot of a key that has this hash, or NULL: find_KIND. Words with a value of a word are what
 * most maps hold. */
static inline void *find_word(const weir_map *m, uint64_t h, const void *key)
{
        return likely(m->slot_size_ == 16) ? weir_map_find_(m, h, key, equal_word, 16)
                                           : weir_map_find_(m, h, key, equal_word, m->slot_size_);
}

#define FIND(kind)                                                                              \
        static inline void *find_##kind(const weir_map *m, uint64_t h, const void *key)         \
        {                                                                                       \
                return weir_map_find_(m, h, key, equal_##kind, m->slot_size_);                  \
        }
FIND(half)
FIND(bytes)
FIND(string)
FIND(hasher)
FIND(typed)
#undef FIND

/* The slot of a key and its hash, where both are strings. A short one is looked for without a call,
 * so that nothing has to be saved; where that does not do, all is done again, anyhow. */
void *weir__map_seek_string(const weir_map *m, const void *key, uint64_t *ret_hash);

static inline __attribute__((always_inline)) void *
seek_string(const weir_map *m, const void *key, uint64_t *ret_hash)
{
        const weir_map_ref_ *r;
        const char          *s;
        uint64_t             h, at, step = 0;
        size_t               n;

        memcpy(&s, key, sizeof s);
        n = likely(s) ? weir__arch_short_len(s) : 32;
        if (unlikely(n >= 32))
                return weir__map_seek_string(m, key, ret_hash);
        *ret_hash = h = hash_text(s, n, m->seed_);
        r = weir_map_ref_of_(m, h);
        for (at = (h >> 3) & r->mask;; at = (at + step) & r->mask) {
                weir_group_ g = weir_group_load_(r->ctrl + at);

                for (uint32_t bits = weir_group_match_(g, h & 0x7f); bits; bits &= bits - 1) {
                        char *slot = (char *)r->ctrl - (at + (unsigned)__builtin_ctz(bits) + 1) *
                                                               (size_t)m->slot_size_;
                        const char *t;
                        int         same;

                        memcpy(&t, slot, sizeof t);
                        if (t == s)
                                return slot;
                        same = likely(t) ? weir__arch_short_equal(t, s, n) : 0;
                        if (unlikely(same < 0))
                                return weir__map_seek_string(m, key, ret_hash);
                        if (same)
                                return slot;
                }
                if (likely(weir_group_match_(g, WEIR_MAP_EMPTY_)) || (step += 16) > r->mask)
                        return NULL;
        }
}

static inline void *map_find(const weir_map *m, uint64_t h, const void *key)
{
#define CALL(kind) return find_##kind(m, h, key)
        MAP_CALL(m, CALL);
#undef CALL
}

/* weir_map_at_many where keys are words: by the best way of the processor, or by this one. */
size_t weir__map_words(const weir_map *m, const void *keys, size_t n, void **ret);
size_t weir__map_words_by(const struct words_ops *way, const weir_map *m, const void *keys,
                          size_t n, void **ret);

/* The state of a map without a table. */
void weir__map_reset(weir_map *m);

/* Tables for so many entries, in a map that has none. */
void weir__map_presize(weir_map *m, size_t hint);

/* Takes the entry in a slot out. */
void weir__map_remove(weir_map *m, uint64_t h, void *slot);

/* Makes every table stale. */
void weir__map_drop_all(weir_map *m);

uint64_t weir__map_random(void);

/* Derives what the fields of a map say from its tables; false: one is wrong. For tests. */
bool weir__map_check(const weir_map *m);

#endif
