/* weir/map.h: hash maps.
 *
 * A map is collected memory: it is made, used, and forgotten. A NULL map reads as an empty one.
 * Keys and values are copied into it; what pointers among them point to is the program's affair.
 * Keys of a fixed size are compared byte by byte, so that a struct with padding must be zeroed
 * before its members are set; char * keys are compared as strings, weir_view keys by the bytes that
 * they name, which must stay as they are; a weir_hasher compares as it likes.
 *
 * Growing moves some thousand entries at most at a time, so that no insertion waits for a large map
 * to be copied; deleting gives memory back. The order of an iteration is another one each time.
 * While it runs, entries may be put and deleted: each that stays is met once, one that is deleted
 * before it is met is not met, one that is put may be met or not. Maps may be read by several
 * goroutines at a time, or changed by one; a map that sees a second one beside a change panics.
 *
 * Any program can make any map slow by knowing how it hashes; each map hashes in a way of its own.
 *
 * weir_map_make and the functions after it work for all types by sizes. WEIR_MAP defines the same
 * for one type of keys and one of values, inlined into the program, which is faster for small keys.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *         #include <stdlib.h>
 *
 *         WEIR_MAP_PLAIN(squares, int, long, weir_hash_word, weir_equal_word);
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_map *ages = weir_map_make(const char *, int, 0);
 *                 squares  *s = squares_new(100);
 *                 int       age = 0;
 *
 *                 weir_map_put(ages, &(const char *){"ada"}, &(int){36});
 *                 weir_map_get(ages, &(const char *){"ada"}, &age);
 *                 for (int i = 0; i < 100; i++)
 *                         squares_put(s, i, (long)i * i);
 *                 return age == 36 && *squares_get(s, 7) == 49 ? EXIT_SUCCESS : EXIT_FAILURE;
 *         }
 */
#ifndef WEIR_MAP_H
#define WEIR_MAP_H

#include <string.h>
#include <weir/base.h>
#include <weir/bytes.h>

/* The one place in the headers where the processor matters: 16 bytes are compared at once. Set by:
 * the compiler. Without it plain C does the same. */
#ifdef __SSE2__
#include <emmintrin.h>
#endif

WEIR_DECLS_BEGIN

typedef struct weir_map weir_map;

/* How keys are hashed and compared: n bytes at k; equal keys must have equal hashes for each seed.
 * The result of hash is mixed further, so that it need not be good, only different. Neither may
 * park, panic or use the map. */
typedef struct weir_hasher {
        uint64_t (*hash)(const void *k, size_t n, uint64_t seed);
        bool     (*equal)(const void *a, const void *b, size_t n);
} weir_hasher;

WEIR_API extern const weir_hasher weir_hash_bytes;      /* all bytes of the key */
WEIR_API extern const weir_hasher weir_hash_cstr;       /* the key: a string's address, or NULL */
WEIR_API extern const weir_hasher weir_hash_views;      /* the key: a weir_view, of any bytes */

/* Hashes n bytes: for hashers of the program. */
WEIR_API uint64_t weir_hash(const void *p, size_t n, uint64_t seed);

/* ---- making ---- */

enum {
        WEIR_MAP_SCAN = 0,      /* keys and values may hold pointers: scanned */
        WEIR_MAP_NOSCAN = 1,    /* they hold none */
        WEIR_MAP_WORD_ = 2,     /* of a typed front, whose hash and equal are those of words */
};

/* Makes a map of keys and values of these sizes; val_size 0 makes a set. With hint, there is room
 * for so many entries from the start; a hint beyond memory is ignored. h is not copied.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: h is NULL, key_size is 0, or an entry is
 * larger than a megabyte. */
WEIR_API weir_map *weir_map_new(const weir_hasher *h, size_t key_size, size_t val_size,
                                size_t hint);

/* The same, as flags say, and WEIR_DEBUG=maptrace=1 tells where. */
WEIR_API weir_map *weir_map_new_at(const weir_hasher *h, size_t key_size, size_t val_size,
                                   size_t hint, unsigned flags, const char *file, int line);

#ifndef __cplusplus
#define weir_map_new(h, key_size, val_size, hint)                                               \
        weir_map_new_at((h), (key_size), (val_size), (hint), WEIR_MAP_SCAN, __FILE__, __LINE__)

/* Makes a map from K to V, scanned unless both are numbers. */
#define weir_map_make(K, V, hint)                                                               \
        weir_map_new_at(_Generic((K){0}, char *: &weir_hash_cstr, const char *: &weir_hash_cstr, \
                                 weir_view: &weir_hash_views, default: &weir_hash_bytes),       \
                        sizeof(K), sizeof(V), (hint),                                           \
                        WEIR_NUMBER_(K) & WEIR_NUMBER_(V), __FILE__, __LINE__)
#define WEIR_NUMBER_(T)                                                                         \
        _Generic((T){0}, char: 1, signed char: 1, unsigned char: 1, short: 1,                   \
                 unsigned short: 1, int: 1, unsigned: 1, long: 1, unsigned long: 1,             \
                 long long: 1, unsigned long long: 1, float: 1, double: 1, _Bool: 1, default: 0)
#endif

/* ---- using ----
 *
 * All of them: Parks: no. From: any thread. Fails: never. Panics: another thread or goroutine is
 * seen changing the map. */

/* Whether the key is there; stores its value in *ret_val then, unless that is NULL. */
WEIR_API bool weir_map_get(const weir_map *m, const void *key, void *ret_val);

/* Returns the address of the value of the key, NULL if it is not there; with val_size 0, an address
 * that has no value. Good until the map is changed. */
WEIR_API void *weir_map_at(const weir_map *m, const void *key);

/* Looks for the n keys at keys and stores in ret the addresses that weir_map_at would return.
 * Returns how many are there. In large maps several times as fast as one by one. */
WEIR_API size_t weir_map_at_many(const weir_map *m, const void *keys, size_t n, void **ret);

/* Puts a value; when an equal key is there, keeps that and replaces its value. val NULL: zeroes.
 * Panics also: m is NULL. */
WEIR_API void weir_map_put(weir_map *m, const void *key, const void *val);

/* Returns the address of the value of the key, which is put with zeroes if it is not there; tells
 * in *ret_fresh, unless NULL, whether it was. Good until the map is changed. Panics also: m is
 * NULL. */
WEIR_API void *weir_map_slot(weir_map *m, const void *key, bool *ret_fresh);

/* Deletes the key; whether it was there. */
WEIR_API bool weir_map_del(weir_map *m, const void *key);

/* Deletes all, and gives the memory back. */
WEIR_API void weir_map_clear(weir_map *m);

/* How many keys are there. */
WEIR_API size_t weir_map_len(const weir_map *m);

/* An iteration, begun by { .map = m }; nothing has to be done to end it early. */
typedef struct weir_map_iter {
        const weir_map *map;
        void           *table_, *slots_;
        uint64_t        from_, to_, start_;
        uint64_t        epoch_;
        uint32_t        group_, offset_, bits_, state_;
} weir_map_iter;

/* Goes on to the next entry and stores key and value, unless these are NULL. False: all were
 * met. */
WEIR_API bool weir_map_next(weir_map_iter *it, void *ret_key, void *ret_val);

/* ---- what is inside, for the functions that WEIR_MAP makes ---- */

/* A table of groups of 16 slots: a control byte for each, and before the first of these the slots,
 * the first one last. A control byte is 7 bits of the hash of what the slot holds, or one of
 * these. */
enum { WEIR_MAP_EMPTY_ = 0x80, WEIR_MAP_DELETED_ = 0xfe, WEIR_MAP_NEVER_ = 0xff };

typedef struct weir_map_ref_ {
        uint8_t *ctrl;
        uint64_t mask;          /* groups less one, times 16 */
} weir_map_ref_;

/* What else there is to know of a table.
 *
 *   used   by the map that its directory lists it in; only a writer of that map touches it, but for
 *          visited, which an iteration sets
 *   stale  by nobody: it never changes again. Its slots were given back, unless it was visited:
 *          then iterations may still read them, and they are left to the collector
 *
 *   used -> stale  when its entries have been copied to others */
struct weir_map_table_ {
        uint8_t *ctrl;          /* const: the control bytes of all groups */
        uint32_t mask;          /* const: groups less one */
        uint32_t slots;         /* const: less than a group of them, or all of the groups' */
        uint32_t live;          /* the map's writer: entries */
        uint32_t depth;         /* const: how many first bits of their hashes the entries share */
        uint32_t left;          /* the map's writer: how many empty slots may be filled yet */
        uint32_t visited;       /* atomic: an iteration has been here */
        uint32_t stale;         /* the map's writer */
        uint32_t clears;        /* const: of the map when it was made */
        uint32_t least;         /* the map's writer: with fewer entries it is to shrink or merge */
};

struct weir_map {
        weir_map_ref_ *refs_;           /* tables by the first bits of the hash */
        uint64_t       seed_;
        uint8_t        shift_;          /* 60 less the number of these bits */
        uint8_t        words_;          /* keys and values of 8 bytes, compared as such */
        uint16_t       rest_;
        uint32_t       writing_;        /* atomic: someone changes the map */
        size_t         len_;
        uint32_t       slot_size_, val_offset_, key_size_, val_size_;
        uint64_t       epoch_;          /* changes when entries left their places */
        struct weir_map_table_ **tables_;       /* as refs_ */
        const weir_hasher *hasher_;
        uint64_t     (*hash_)(const void *key, uint64_t seed);          /* of a typed front */
        bool         (*equal_)(const void *a, const void *b);
        uint32_t       depth_, deepest_, ntables_, clears_;
        uint32_t       slots_max_;
        uint8_t        mode_, noscan_, sized_, pad_;
};

WEIR_API WEIR_NORETURN void weir_map_fail_(const weir_map *m);
WEIR_API weir_map *weir_map_typed_(size_t key_size, size_t val_offset, size_t val_size,
                                   size_t slot_size, uint64_t (*hash)(const void *, uint64_t),
                                   bool (*equal)(const void *, const void *), size_t hint,
                                   unsigned flags, const char *file, int line);
WEIR_API void *weir_map_add_(weir_map *m, uint64_t hash);
WEIR_API void  weir_map_shrink_(weir_map *m, struct weir_map_table_ *t, uint64_t hash);
WEIR_API bool  weir_map_step_(weir_map_iter *it, void **ret_slot);

/* Goes on within a group of a map that did not change. */
static inline bool weir_map_advance_(weir_map_iter *it, size_t slot_size, void **ret_slot)
{
        uint32_t bits = it->bits_;

        if (__builtin_expect(!bits || it->epoch_ != it->map->epoch_, 0))
                return weir_map_step_(it, ret_slot);
        it->bits_ = bits & (bits - 1);
        *ret_slot = (char *)it->slots_ - (unsigned)__builtin_ctz(bits) * slot_size;
        return true;
}

WEIR_API void  weir_map_null_(const char *call) WEIR_NORETURN;

/* Makes a hash of what differs at all; after wyhash's multiplication, both halves folded. */
static inline uint64_t weir_map_mix_(uint64_t h, uint64_t seed)
{
        __extension__ typedef unsigned __int128 weir_u128_;
        weir_u128_ p = (weir_u128_)(h ^ seed) * UINT64_C(0x9e3779b97f4a7c15);

        return (uint64_t)p ^ (uint64_t)(p >> 64);
}

#ifdef __SSE2__
typedef __m128i weir_group_;

static inline weir_group_ weir_group_load_(const uint8_t *ctrl)
{
        return _mm_load_si128((const __m128i *)(const void *)ctrl);
}

static inline uint32_t weir_group_match_(weir_group_ g, uint8_t b)
{
        return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(g, _mm_set1_epi8((char)b)));
}

static inline uint32_t weir_group_full_(weir_group_ g)
{
        return (uint32_t)_mm_movemask_epi8(g) ^ 0xffff;
}
#else
typedef struct weir_group_ { uint8_t b[16]; } weir_group_;

static inline weir_group_ weir_group_load_(const uint8_t *ctrl)
{
        weir_group_ g;

        memcpy(g.b, ctrl, 16);
        return g;
}

static inline uint32_t weir_group_match_(weir_group_ g, uint8_t b)
{
        uint32_t bits = 0;

        for (int i = 0; i < 16; i++)
                bits |= (uint32_t)(g.b[i] == b) << i;
        return bits;
}

static inline uint32_t weir_group_full_(weir_group_ g)
{
        uint32_t bits = 0;

        for (int i = 0; i < 16; i++)
                bits |= (uint32_t)(g.b[i] < 0x80) << i;
        return bits;
}
#endif

/* Where the table of a hash is: its index in the directory, times the size of a ref. */
static inline const weir_map_ref_ *weir_map_ref_of_(const weir_map *m, uint64_t h)
{
        return (const weir_map_ref_ *)(const void *)((const char *)m->refs_ +
                                                     ((h >> m->shift_) & ~UINT64_C(15)));
}

/* The slot of the group at `at` that holds the key, or NULL. Places are counted in slots, of which
 * a group has 16. */
static inline __attribute__((always_inline)) void *
weir_map_find_in_(const weir_map *m, weir_group_ g, const weir_map_ref_ *r, uint64_t at,
                  uint64_t h, const void *key,
                  bool (*equal)(const void *, const void *, const weir_map *), size_t slot_size)
{
        uint32_t bits = weir_group_match_(g, h & 0x7f);

        for (; bits; bits &= bits - 1) {
                uint64_t i = at + (unsigned)__builtin_ctz(bits);
                char    *slot = (char *)r->ctrl - (i + 1) * slot_size;

                if (__builtin_expect(equal(slot, key, m), 1))
                        return slot;
        }
        return NULL;
}

/* The slot that holds the key, or NULL. Nearly all searches end in the first group. */
static inline __attribute__((always_inline)) void *
weir_map_find_(const weir_map *m, uint64_t h, const void *key,
               bool (*equal)(const void *, const void *, const weir_map *), size_t slot_size)
{
        const weir_map_ref_ *r = weir_map_ref_of_(m, h);
        weir_map_ref_        t = *r;
        uint64_t             at = (h >> 3) & t.mask, step = 0;
        weir_group_          g = weir_group_load_(t.ctrl + at);
        void                *slot = weir_map_find_in_(m, g, &t, at, h, key, equal, slot_size);

        while (!slot && __builtin_expect(!weir_group_match_(g, WEIR_MAP_EMPTY_), 0) &&
               (step += 16) <= t.mask) {
                at = (at + step) & t.mask;
                g = weir_group_load_(t.ctrl + at);
                slot = weir_map_find_in_(m, g, &t, at, h, key, equal, slot_size);
        }
        return slot;
}

/* A load that the compiler makes in one piece, but that does not keep it from taking the loads of
 * other fields out of a loop, as gcc's atomic ones do. For TSan it has to be one of those. */
#if defined(__SANITIZE_THREAD__)
#define WEIR_MAP_ATOMIC_ 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEIR_MAP_ATOMIC_ 1
#endif
#endif

static inline void weir_map_check_(const weir_map *m)
{
#ifdef WEIR_MAP_ATOMIC_
        uint32_t writing = __atomic_load_n(&m->writing_, __ATOMIC_RELAXED);
#else
        uint32_t writing = *(const volatile uint32_t *)&m->writing_;
#endif

        if (__builtin_expect(writing != 0, 0))
                weir_map_fail_(m);
}

static inline void weir_map_begin_(weir_map *m)
{
        weir_map_check_(m);
        __atomic_store_n(&m->writing_, 1, __ATOMIC_RELAXED);
}

static inline void weir_map_end_(weir_map *m)
{
        if (__builtin_expect(!__atomic_load_n(&m->writing_, __ATOMIC_RELAXED), 0))
                weir_map_fail_(m);
        __atomic_store_n(&m->writing_, 0, __ATOMIC_RELAXED);
}

/* Takes the entry in a slot out. A group with an empty slot has never sent a search on to the next
 * one, so that it may get another. */
static inline __attribute__((always_inline)) void
weir_map_take_out_(weir_map *m, uint64_t h, void *slot, size_t slot_size, bool noscan)
{
        struct weir_map_table_ *t = m->tables_[(h >> m->shift_) >> 4];
        size_t       i = (size_t)((char *)t->ctrl - (char *)slot) / slot_size - 1;
        weir_group_  g = weir_group_load_(t->ctrl + (i & ~(size_t)15));
        uint32_t     empty = !t->mask || weir_group_match_(g, WEIR_MAP_EMPTY_);

        if (!noscan)
                memset(slot, 0, slot_size);
        t->ctrl[i] = empty ? WEIR_MAP_EMPTY_ : WEIR_MAP_DELETED_;
        t->left += empty;
        m->len_--;
        m->epoch_++;
        if (__builtin_expect(--t->live < t->least, 0))
                weir_map_shrink_(m, t, h);
}

/* ---- words ----
 *
 * weir_map_get and its kin, inlined where the compiler optimizes, for what most maps are: from keys
 * of 8 bytes to values of 8. For other maps these test a byte, and call. Off by: src/data/map.c,
 * where the functions are that are called, and a test of these. */
#ifndef WEIR_MAP_CALLED_
static inline uint64_t weir_map_word_(const void *p)
{
        uint64_t w;

        memcpy(&w, p, sizeof w);
        return w;
}

static inline bool weir_map_same_word_(const void *a, const void *b, const weir_map *m)
{
        (void)m;
        return weir_map_word_(a) == weir_map_word_(b);
}

/* Not where the compiler sees that key or value are shorter. */
#define WEIR_MAP_WORDS_(m, key, val)                                                            \
        (__builtin_object_size((key), 0) >= 8 && __builtin_object_size((val), 0) >= 8 &&        \
         __builtin_expect((m) && (m)->words_, 1))

static inline __attribute__((always_inline)) char *
weir_map_find_word_(const weir_map *m, uint64_t h, const void *key)
{
        return (char *)weir_map_find_(m, h, key, weir_map_same_word_, 16);
}

static inline __attribute__((always_inline)) char *
weir_map_slot_word_(weir_map *m, const void *key, bool *ret_fresh)
{
        uint64_t h = weir_map_mix_(weir_map_word_(key), m->seed_);
        char    *slot = weir_map_find_word_(m, h, key);

        *ret_fresh = !slot;
        if (slot)
                return slot + 8;
        slot = (char *)weir_map_add_(m, h);
        memcpy(slot, key, 8);
        return slot + 8;
}

WEIR_UNUSED static inline bool weir_map_get_inline_(const weir_map *m, const void *key,
                                                    void *ret_val)
{
        const char *slot;

        if (!WEIR_MAP_WORDS_(m, key, ret_val))
                return weir_map_get(m, key, ret_val);
        weir_map_check_(m);
        slot = weir_map_find_word_(m, weir_map_mix_(weir_map_word_(key), m->seed_), key);
        if (slot && ret_val)
                memcpy(ret_val, slot + 8, 8);
        return slot != NULL;
}

WEIR_UNUSED static inline void *weir_map_at_inline_(const weir_map *m, const void *key)
{
        char *slot;

        if (!WEIR_MAP_WORDS_(m, key, key))
                return weir_map_at(m, key);
        weir_map_check_(m);
        slot = weir_map_find_word_(m, weir_map_mix_(weir_map_word_(key), m->seed_), key);
        return slot ? slot + 8 : NULL;
}

WEIR_UNUSED static inline void weir_map_put_inline_(weir_map *m, const void *key, const void *val)
{
        char *at;
        bool  fresh;

        if (!WEIR_MAP_WORDS_(m, key, val)) {
                weir_map_put(m, key, val);
                return;
        }
        weir_map_begin_(m);
        at = weir_map_slot_word_(m, key, &fresh);
        if (val)
                memcpy(at, val, 8);
        else
                memset(at, 0, 8);
        weir_map_end_(m);
}

WEIR_UNUSED static inline void *weir_map_slot_inline_(weir_map *m, const void *key, bool *ret_fresh)
{
        char *at;
        bool  fresh;

        if (!WEIR_MAP_WORDS_(m, key, key))
                return weir_map_slot(m, key, ret_fresh);
        weir_map_begin_(m);
        at = weir_map_slot_word_(m, key, &fresh);
        if (fresh)
                memset(at, 0, 8);
        weir_map_end_(m);
        if (ret_fresh)
                *ret_fresh = fresh;
        return at;
}

WEIR_UNUSED static inline bool weir_map_del_inline_(weir_map *m, const void *key)
{
        uint64_t h;
        char    *slot;

        if (!WEIR_MAP_WORDS_(m, key, key))
                return weir_map_del(m, key);
        weir_map_begin_(m);
        h = weir_map_mix_(weir_map_word_(key), m->seed_);
        slot = weir_map_find_word_(m, h, key);
        if (slot)
                weir_map_take_out_(m, h, slot, 16, m->noscan_);
        weir_map_end_(m);
        return slot != NULL;
}

#define weir_map_get    weir_map_get_inline_
#define weir_map_at     weir_map_at_inline_
#define weir_map_put    weir_map_put_inline_
#define weir_map_slot   weir_map_slot_inline_
#define weir_map_del    weir_map_del_inline_
#endif

/* Looks for n keys in a row of three steps, each some keys behind the one before: fetches a group,
 * fetches the slot in it, compares. So many lines of either kind are on their way all the time; 16
 * are no faster, and 32 slower (bench/map, batch_10M). */
enum { WEIR_MAP_BEHIND_ = 8 };

static inline __attribute__((always_inline)) size_t
weir_map_find_many_(const weir_map *m, const char *keys, size_t n, void **ret, size_t slot_size,
                    size_t val_offset, size_t key_size,
                    uint64_t (*hash)(const void *, const weir_map *),
                    bool (*equal)(const void *, const void *, const weir_map *))
{
        struct {
                uint64_t h;
                char    *slot;                  /* where the key is if anywhere, mostly */
        } on_way[2 * WEIR_MAP_BEHIND_], *w;
        size_t found = 0;

        for (size_t i = 0; i < n + 2 * WEIR_MAP_BEHIND_; i++) {
                size_t k = i - 2 * WEIR_MAP_BEHIND_;

                w = &on_way[i % (2 * WEIR_MAP_BEHIND_)];
                if (k < n) {
                        const char *key = keys + k * key_size;
                        char       *slot = w->slot;

                        if (!slot || __builtin_expect(!equal(slot, key, m), 0))
                                slot = (char *)weir_map_find_(m, w->h, key, equal, slot_size);
                        ret[k] = slot ? slot + val_offset : NULL;
                        found += slot != NULL;
                }
                if (i < n) {
                        const weir_map_ref_ *r;

                        w->h = hash(keys + i * key_size, m);
                        r = weir_map_ref_of_(m, w->h);
                        __builtin_prefetch(r->ctrl + ((w->h >> 3) & r->mask));
                }
                w = &on_way[(i - WEIR_MAP_BEHIND_) % (2 * WEIR_MAP_BEHIND_)];
                if (i - WEIR_MAP_BEHIND_ < n) {
                        const weir_map_ref_ *r = weir_map_ref_of_(m, w->h);
                        uint64_t             at = (w->h >> 3) & r->mask;
                        weir_group_          g = weir_group_load_(r->ctrl + at);
                        uint32_t             bits = weir_group_match_(g, w->h & 0x7f);

                        w->slot = NULL;
                        if (bits) {
                                at += (unsigned)__builtin_ctz(bits);
                                w->slot = (char *)r->ctrl - (at + 1) * slot_size;
                                __builtin_prefetch(w->slot);
                        }
                }
        }
        return found;
}

/* ---- the typed front ---- */

/* For keys that are integers, pointers or enumerations: */
static inline uint64_t weir_hash_word(uint64_t k, uint64_t seed)
{
        (void)seed;                     /* mixed in afterwards */
        return k;
}
#define weir_equal_word(a, b) ((a) == (b))

/* For keys that are strings: */
WEIR_API uint64_t weir_hash_string(const char *s, uint64_t seed);
#define weir_equal_string(a, b) ((a) == (b) || ((a) && (b) && strcmp((a), (b)) == 0))

/* For keys that are views there are weir_hash_view and weir_view_equal. */

/* Defines, static and inline, a type NAME and functions for maps from K to V; hash(K, seed) and
 * equal(K, K) are functions or macros. WEIR_MAP_PLAIN says that neither K nor V hold pointers.
 *
 *      NAME  *NAME_new(size_t hint)
 *      V     *NAME_get(const NAME *m, K key)           NULL: not there; good until m is changed
 *      size_t NAME_get_many(const NAME *m, const K *keys, size_t n, V **ret)
 *      V     *NAME_slot(NAME *m, K key, bool *ret_fresh)
 *      void   NAME_put(NAME *m, K key, V val)
 *      bool   NAME_del(NAME *m, K key)
 *      void   NAME_clear(NAME *m)
 *      size_t NAME_len(const NAME *m)
 *      bool   NAME_next(weir_map_iter *it, K *ret_key, V *ret_val)     { .map = NAME_map(m) }
 *      weir_map *NAME_map(const NAME *m)               for the functions above */
#define WEIR_MAP(name, K, V, hash, equal) WEIR_MAP_(name, K, V, hash, equal, WEIR_MAP_SCAN)
#define WEIR_MAP_PLAIN(name, K, V, hash, equal) WEIR_MAP_(name, K, V, hash, equal, WEIR_MAP_NOSCAN)

#define WEIR_MAP_WORD_IF_(hash, equal)                                                          \
        (__builtin_strcmp(hash, "weir_hash_word") == 0 &&                                       \
                         __builtin_strcmp(equal, "weir_equal_word") == 0                        \
                 ? WEIR_MAP_WORD_ : 0)

#define WEIR_MAP_(name, K, V, hash, equal, flags)                                               \
        typedef struct name { weir_map map_; } name;                                            \
        struct name##_slot_ { K key; V val; };                                                  \
        typedef K name##_key_;                                                                  \
        typedef char name##_aligned_[__alignof__(struct name##_slot_) <= 16 ? 1 : -1];          \
        typedef V name##_val_;                                                                  \
        WEIR_UNUSED static inline uint64_t name##_hash_(const void *key, uint64_t seed)         \
        {                                                                                       \
                return weir_map_mix_((uint64_t)hash(*(const name##_key_ *)key, seed), seed);    \
        }                                                                                       \
        WEIR_UNUSED static inline uint64_t name##_hash_of_(const void *key, const weir_map *m)  \
        {                                                                                       \
                return name##_hash_(key, m->seed_);                                             \
        }                                                                                       \
        WEIR_UNUSED static bool name##_equal_(const void *a, const void *b)                     \
        {                                                                                       \
                return equal(*(const name##_key_ *)a, *(const name##_key_ *)b);                 \
        }                                                                                       \
        WEIR_UNUSED static inline bool name##_equal_of_(const void *a, const void *b,           \
                                                        const weir_map *m)                      \
        {                                                                                       \
                (void)m;                                                                        \
                return equal(*(const name##_key_ *)a, *(const name##_key_ *)b);                 \
        }                                                                                       \
        WEIR_UNUSED static inline weir_map *name##_map(const name *m)                           \
        {                                                                                       \
                return (weir_map *)(uintptr_t)m;                                                \
        }                                                                                       \
        WEIR_UNUSED static inline name *name##_new(size_t hint)                                 \
        {                                                                                       \
                return (name *)weir_map_typed_(sizeof(K), offsetof(struct name##_slot_, val),   \
                                               sizeof(V), sizeof(struct name##_slot_),          \
                                               name##_hash_, name##_equal_, hint,               \
                                               (flags) | WEIR_MAP_WORD_IF_(#hash, #equal),      \
                                               __FILE__, __LINE__);                             \
        }                                                                                       \
        WEIR_UNUSED WEIR_ALWAYS_INLINE static inline name##_val_ *name##_get(const name *m, K key) \
        {                                                                                       \
                struct name##_slot_ *s;                                                         \
                if (__builtin_expect(!m, 0))                                                    \
                        return NULL;                                                            \
                weir_map_check_(&m->map_);                                                      \
                s = (struct name##_slot_ *)weir_map_find_(&m->map_,                             \
                        name##_hash_of_(&key, &m->map_), &key, name##_equal_of_, sizeof *s);    \
                return s ? &s->val : NULL;                                                      \
        }                                                                                       \
        WEIR_UNUSED static size_t name##_get_many(const name *m, const name##_key_ *keys,       \
                                                  size_t n, name##_val_ **ret)                  \
        {                                                                                       \
                if (!m || !n) {                                                                 \
                        for (size_t i = 0; i < n; i++)                                          \
                                ret[i] = NULL;                                                  \
                        return 0;                                                               \
                }                                                                               \
                if (WEIR_MAP_WORD_IF_(#hash, #equal) && sizeof(K) == 8)                         \
                        return weir_map_at_many(&m->map_, keys, n, (void **)ret);               \
                weir_map_check_(&m->map_);                                                      \
                return weir_map_find_many_(&m->map_, (const char *)keys, n, (void **)ret,       \
                                           sizeof(struct name##_slot_),                         \
                                           offsetof(struct name##_slot_, val), sizeof(K),       \
                                           name##_hash_of_, name##_equal_of_);                  \
        }                                                                                       \
        WEIR_UNUSED static inline name##_val_ *name##_slot(name *m, K key, bool *ret_fresh)     \
        {                                                                                       \
                uint64_t             h;                                                         \
                struct name##_slot_ *s;                                                         \
                bool                 fresh;                                                     \
                if (__builtin_expect(!m, 0))                                                    \
                        weir_map_null_(#name "_slot");                                          \
                h = name##_hash_of_(&key, &m->map_);                                            \
                weir_map_begin_(&m->map_);                                                      \
                s = (struct name##_slot_ *)weir_map_find_(&m->map_, h, &key, name##_equal_of_,  \
                                                          sizeof *s);                           \
                fresh = !s;                                                                     \
                if (fresh) {                                                                    \
                        s = (struct name##_slot_ *)weir_map_add_(&m->map_, h);                  \
                        s->key = key;                                                           \
                        memset((void *)&s->val, 0, sizeof s->val);                              \
                }                                                                               \
                weir_map_end_(&m->map_);                                                        \
                if (ret_fresh)                                                                  \
                        *ret_fresh = fresh;                                                     \
                return &s->val;                                                                 \
        }                                                                                       \
        WEIR_UNUSED static inline void name##_put(name *m, K key, V val)                        \
        {                                                                                       \
                *name##_slot(m, key, NULL) = val;                                               \
        }                                                                                       \
        WEIR_UNUSED WEIR_ALWAYS_INLINE static inline bool name##_del(name *m, K key)            \
        {                                                                                       \
                uint64_t h;                                                                     \
                void    *s;                                                                     \
                if (__builtin_expect(!m, 0))                                                    \
                        return false;                                                           \
                h = name##_hash_of_(&key, &m->map_);                                            \
                weir_map_begin_(&m->map_);                                                      \
                s = weir_map_find_(&m->map_, h, &key, name##_equal_of_,                         \
                                   sizeof(struct name##_slot_));                                \
                if (s)                                                                          \
                        weir_map_take_out_(&m->map_, h, s, sizeof(struct name##_slot_),         \
                                           (flags) & WEIR_MAP_NOSCAN);                          \
                weir_map_end_(&m->map_);                                                        \
                return s != NULL;                                                               \
        }                                                                                       \
        WEIR_UNUSED static inline void name##_clear(name *m)                                    \
        {                                                                                       \
                weir_map_clear(name##_map(m));                                                  \
        }                                                                                       \
        WEIR_UNUSED static inline size_t name##_len(const name *m)                              \
        {                                                                                       \
                return m ? m->map_.len_ : 0;                                                    \
        }                                                                                       \
        WEIR_UNUSED static inline bool name##_next(weir_map_iter *it, name##_key_ *ret_key,     \
                                                   name##_val_ *ret_val)                        \
        {                                                                                       \
                void *s;                                                                        \
                if (!weir_map_advance_(it, sizeof(struct name##_slot_), &s))                    \
                        return false;                                                           \
                if (ret_key)                                                                    \
                        *ret_key = ((struct name##_slot_ *)s)->key;                             \
                if (ret_val)                                                                    \
                        *ret_val = ((struct name##_slot_ *)s)->val;                             \
                return true;                                                                    \
        }                                                                                       \
        struct name##_semicolon_

WEIR_DECLS_END

#endif
