/* Maps: what the program calls.
 *
 * What    A hash map of Swiss tables, whose growth is bounded by dividing it into many tables.
 * Shape
 *         hash    | depth bits: which table |  ...  | which group first | 7 bits: control byte |
 *         map --> directory of 2^depth refs --> table: slots | control bytes, in groups of 16
 *                    [a] [a] [b] [c]            probing goes from group to group, by 1, 2, 3, ...
 *                                               slot i ends i slots before the control bytes, so
 *                                               that their address is all that finding it needs
 *         A map begins with one table of 8 slots, which doubles up to slots_max_ (some thousand,
 *         160 KiB). A full one of that size is split by the next bit of the hash; when it shares
 *         that bit already with its neighbour in the directory, that doubles. Neighbours that
 *         became small are merged, and the directory halves when no table needs its last bit
 *         (map_table.c).
 * States  Of a table: weir/map.h. An iteration reads the table that it is in even after
 *         that was replaced (map_iter.c).
 * Order   None: a map is changed by one goroutine while no other reads it. writing_ is there to
 *         notice who does it all the same: seen set by whoever begins, or cleared by whoever ends.
 * Cost    A hit takes the directory's line, the group's, the slot's; the first is in the cache. The
 *         longest insertion is a split of 8192 slots; the directory of 10^7 entries has 2048 refs
 *         of 16 bytes.
 *         Load is 7/8 at most. Tables have no header, so that 8192 slots of 16 bytes and their
 *         control bytes are 17 pages of the heap and nothing is left over.
 *         The functions by sizes are inlined for words to words, for which a hit is 1.1 of absl's;
 *         the typed front's is 0.9 to 1.0. Short strings go their own way, without a call between
 *         the key and the slot (seek_string).
 * Not     One table for all, as absl has: a rehash of 10^7 entries lasts a second. Moving a few
 *         entries with each operation: every lookup would look in two places. Chains: a line more
 *         for each entry looked at. Hashes stored beside the keys: eight bytes for each to save
 *         what the seven bits save already. */
#define WEIR_MAP_CALLED_
#include "data/map.h"
#include "base/debug.h"
#include "os/os.h"
#include <unistd.h>

static bool equal_of_bytes(const void *a, const void *b, size_t n)
{
        return !memcmp(a, b, n);
}

static uint64_t hash_of_cstr(const void *k, size_t n, uint64_t seed)
{
        const char *s;

        (void)n;
        memcpy(&s, k, sizeof s);
        return weir_hash_string(s, seed);
}

static bool equal_of_cstr(const void *a, const void *b, size_t n)
{
        (void)n;
        return equal_string(a, b, NULL);
}

static uint64_t hash_of_view(const void *k, size_t n, uint64_t seed)
{
        weir_view v;

        (void)n;
        memcpy(&v, k, sizeof v);
        return weir_hash(v.ptr, v.len, seed);
}

static bool equal_of_view(const void *a, const void *b, size_t n)
{
        weir_view v, w;

        (void)n;
        memcpy(&v, a, sizeof v);
        memcpy(&w, b, sizeof w);
        return weir_view_equal(v, w);
}

const weir_hasher weir_hash_bytes = { weir_hash, equal_of_bytes };
const weir_hasher weir_hash_cstr = { hash_of_cstr, equal_of_cstr };
const weir_hasher weir_hash_views = { hash_of_view, equal_of_view };

/* ---- making ---- */

uint64_t weir__map_random(void)
{
        static uint64_t state;          /* atomic */
        uint64_t        x = load_relaxed(&state), first;

        if (unlikely(!x)) {
                first = weir__os_random() | 1;
                cas_relaxed(&state, &x, first);
        }
        x = fetch_add_relaxed(&state, UINT64_C(0x9e3779b97f4a7c15));
        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        return x ^ x >> 31;
}

static slowpath void trace(const weir_map *m, size_t hint, const char *file, int line)
{
        struct out o = { .fd = STDERR_FILENO };

        weir__out_print(&o, "map: %p made at %s:%d, %zu bytes, key %u, value %u, hint %zu, "
                            "seed %llx%s\n", (const void *)m, file, line, sizeof *m, m->key_size_,
                        m->val_size_, hint, (unsigned long long)m->seed_,
                        m->noscan_ ? ", not scanned" : "");
        weir__out_flush(&o);
}

static uint32_t slots_max(size_t slot_size)
{
        uint32_t n = SLOTS_FLOOR;

        while (n < SLOTS_CEILING && 2 * n * (slot_size + 1) <= TABLE_BYTES)
                n *= 2;
        return n;
}

static weir_map *make(size_t key_size, size_t val_offset, size_t val_size, size_t slot_size,
                      unsigned flags)
{
        weir_map *m;

        if (!key_size || key_size > SLOT_MAX || val_size > SLOT_MAX || slot_size > SLOT_MAX)
                weir_panic("weir_map_new: keys of %zu bytes and values of %zu", key_size, val_size);
        /* A whole number of cache lines: two maps never share one. */
        m = weir__gc_new(MEM_PLAIN, ALIGN_UP(sizeof *m, (size_t)128));
        m->seed_ = weir__map_random();
        m->key_size_ = (uint32_t)key_size;
        m->val_size_ = (uint32_t)val_size;
        m->val_offset_ = (uint32_t)val_offset;
        m->slot_size_ = (uint32_t)slot_size;
        m->slots_max_ = slots_max(slot_size);
        m->noscan_ = flags & WEIR_MAP_NOSCAN;
        weir__map_reset(m);
        return m;
}

static void finish(weir_map *m, size_t hint, const char *file, int line)
{
        if (hint)
                weir__map_presize(m, hint);
        weir__count(maps_made, 1);
        if (unlikely(weir__debug.maptrace))
                trace(m, hint, file, line);
}

/* What a type of this size may need at the most. */
static size_t alignment(size_t size)
{
        return size ? MIN(size & -size, (size_t)16) : 1;
}

weir_map *weir_map_new_at(const weir_hasher *h, size_t key_size, size_t val_size, size_t hint,
                          unsigned flags, const char *file, int line)
{
        size_t    key_align = alignment(key_size), val_align = alignment(val_size), offset, slot;
        weir_map *m;

        if (!h || !h->hash || !h->equal)
                weir_panic("weir_map_new: the hasher is NULL");
        if (key_size > SLOT_MAX || val_size > SLOT_MAX)
                weir_panic("weir_map_new: keys of %zu bytes and values of %zu", key_size, val_size);
        offset = ALIGN_UP(key_size, val_align);
        slot = ALIGN_UP(offset + val_size, MAX(key_align, val_align));
        m = make(key_size, offset, val_size, slot, flags);
        m->hasher_ = h;
        m->mode_ = MODE_HASHER;
        if (h->hash == weir_hash_views.hash && key_size != sizeof(weir_view))
                weir_panic("weir_map_new: keys of %zu bytes are no views", key_size);
        if (h->hash == weir_hash_cstr.hash && key_size == sizeof(char *))
                m->mode_ = MODE_STRING;
        else if (h->hash == weir_hash_bytes.hash && h->equal == weir_hash_bytes.equal)
                m->mode_ = key_size == 8 ? MODE_WORD : key_size == 4 ? MODE_HALF : MODE_BYTES;
        m->words_ = m->mode_ == MODE_WORD && val_size == 8;
        finish(m, hint, file, line);
        return m;
}

/* The macro of the same name tells file and line; this is for what takes an address, and for
 * C++. */
#undef weir_map_new
weir_map *weir_map_new(const weir_hasher *h, size_t key_size, size_t val_size, size_t hint)
{
        return weir_map_new_at(h, key_size, val_size, hint, WEIR_MAP_SCAN, "?", 0);
}

/* Whether what calls itself weir_hash_word takes its keys for the words that they are: of a double,
 * say, it takes the number. Then words are hashed here without a call, when they are moved. */
static bool hashes_words(size_t key_size, uint64_t (*hash)(const void *, uint64_t))
{
        static const uint64_t probe[] = { 0x3ff8000000000000, 0xfff0123456789abc, 1, UINT64_MAX };

        for (size_t i = 0; key_size == sizeof *probe && i < COUNT(probe); i++)
                if (hash(&probe[i], 7) != weir_map_mix_(probe[i], 7))
                        return false;
        return key_size == sizeof *probe;
}

weir_map *weir_map_typed_(size_t key_size, size_t val_offset, size_t val_size, size_t slot_size,
                          uint64_t (*hash)(const void *, uint64_t),
                          bool (*equal)(const void *, const void *), size_t hint, unsigned flags,
                          const char *file, int line)
{
        weir_map *m = make(key_size, val_offset, val_size, slot_size, flags);

        m->mode_ = flags & WEIR_MAP_WORD_ && hashes_words(key_size, hash) ? MODE_WORD : MODE_TYPED;
        m->hash_ = hash;
        m->equal_ = equal;
        finish(m, hint, file, line);
        return m;
}

/* ---- panics ---- */

slowpath void weir_map_fail_(const weir_map *m)
{
        weir_panic("concurrent use of map %p (%zu entries): it is changed by another goroutine",
                   (const void *)m, m->len_);
}

slowpath void weir_map_null_(const char *call)
{
        weir_panic("%s: the map is NULL", call);
}

/* ---- using ---- */

/* Without a call for the usual sizes. */
static inline void copy_value(void *to, const void *from, size_t size)
{
        if (size == 8)
                memcpy(to, from, 8);
        else if (size == 4)
                memcpy(to, from, 4);
        else
                memcpy(to, from, size);
}

/* Stores what a slot holds; true. */
static bool give(const weir_map *m, const char *slot, void *ret_val)
{
        copy_value(ret_val, slot + m->val_offset_, m->val_size_);
        return true;
}

/* get_KIND and at_KIND: everything that depends on the kind of keys is inlined once each. */
#define LOOK(kind)                                                                              \
        static inline bool get_##kind(const weir_map *m, const void *key, void *ret_val)        \
        {                                                                                       \
                char *slot = find_##kind(m, hash_##kind(key, m), key);                          \
                                                                                                \
                return slot && (!ret_val || give(m, slot, ret_val));                            \
        }                                                                                       \
        static inline void *at_##kind(const weir_map *m, const void *key)                       \
        {                                                                                       \
                char *slot = find_##kind(m, hash_##kind(key, m), key);                          \
                                                                                                \
                return slot ? slot + m->val_offset_ : NULL;                                     \
        }
LOOK(word)
LOOK(half)
LOOK(bytes)
LOOK(string)
LOOK(hasher)
LOOK(typed)
#undef LOOK

__attribute__((__noinline__)) void *weir__map_seek_string(const weir_map *m, const void *key,
                                                          uint64_t *ret_hash)
{
        *ret_hash = hash_string(key, m);
        return find_string(m, *ret_hash, key);
}

static __attribute__((__noinline__)) bool get_text(const weir_map *m, const void *key,
                                                   void *ret_val)
{
        uint64_t h;
        char    *slot = seek_string(m, key, &h);

        return slot && (!ret_val || give(m, slot, ret_val));
}

static __attribute__((__noinline__)) bool get_other(const weir_map *m, const void *key,
                                                    void *ret_val)
{
#define CALL(kind) return get_##kind(m, key, ret_val)
        MAP_CALL(m, CALL);
#undef CALL
}

static __attribute__((__noinline__)) void *at_other(const weir_map *m, const void *key)
{
#define CALL(kind) return at_##kind(m, key)
        MAP_CALL(m, CALL);
#undef CALL
}

/* Words with a value of a word, without a call. */
bool weir_map_get(const weir_map *m, const void *key, void *ret_val)
{
        const char *slot;

        if (unlikely(!m))
                return false;
        weir_map_check_(m);
        if (m->mode_ == MODE_STRING)
                return get_text(m, key, ret_val);
        if (m->mode_ != MODE_WORD || m->slot_size_ != 16)
                return get_other(m, key, ret_val);
        slot = weir_map_find_(m, hash_word(key, m), key, equal_word, 16);
        if (!slot)
                return false;
        if (!ret_val)
                return true;
        if (unlikely(m->val_size_ != 8))
                return give(m, slot, ret_val);
        memcpy(ret_val, slot + 8, 8);
        return true;
}

void *weir_map_at(const weir_map *m, const void *key)
{
        uint64_t h;
        char    *slot;

        if (unlikely(!m))
                return NULL;
        weir_map_check_(m);
        if (m->mode_ == MODE_STRING) {
                slot = seek_string(m, key, &h);
                return slot ? slot + m->val_offset_ : NULL;
        }
        return m->mode_ == MODE_WORD ? at_word(m, key) : at_other(m, key);
}

size_t weir_map_at_many(const weir_map *m, const void *keys, size_t n, void **ret)
{
        if (unlikely(!m)) {
                for (size_t i = 0; i < n; i++)
                        ret[i] = NULL;
                return 0;
        }
        weir_map_check_(m);
        if (m->mode_ == MODE_WORD)
                return weir__map_words(m, keys, n, ret);
#define CALL(kind)                                                                              \
        return weir_map_find_many_(m, keys, n, ret, m->slot_size_, m->val_offset_, m->key_size_, \
                                   hash_##kind, equal_##kind)
        MAP_CALL(m, CALL);
#undef CALL
}

static inline char *seek(const weir_map *m, const void *key, uint64_t *ret_hash)
{
        if (likely(m->mode_ == MODE_WORD)) {
                *ret_hash = hash_word(key, m);
                return find_word(m, *ret_hash, key);
        }
        if (likely(m->mode_ == MODE_STRING))
                return seek_string(m, key, ret_hash);
        *ret_hash = map_hash(m, key);
        return map_find(m, *ret_hash, key);
}

/* The slot of the key, put if need be with a value of zeroes. */
static inline char *slot_of(weir_map *m, const void *key, bool *ret_fresh)
{
        uint64_t h;
        char    *slot = seek(m, key, &h);

        *ret_fresh = !slot;
        if (slot)
                return slot;
        slot = weir_map_add_(m, h);
        copy_value(slot, key, m->key_size_);
        moved(MEM_PLAIN, slot, m->key_size_);
        return slot;
}

void weir_map_put(weir_map *m, const void *key, const void *val)
{
        char *slot;
        bool  fresh;

        if (unlikely(!m))
                weir_map_null_("weir_map_put");
        weir_map_begin_(m);
        slot = slot_of(m, key, &fresh) + m->val_offset_;
        if (val) {
                copy_value(slot, val, m->val_size_);
                moved(MEM_PLAIN, slot, m->val_size_);
        } else {
                memset(slot, 0, m->val_size_);
        }
        weir_map_end_(m);
}

void *weir_map_slot(weir_map *m, const void *key, bool *ret_fresh)
{
        char *slot;
        bool  fresh;

        if (unlikely(!m))
                weir_map_null_("weir_map_slot");
        weir_map_begin_(m);
        slot = slot_of(m, key, &fresh) + m->val_offset_;
        if (fresh)
                memset(slot, 0, m->val_size_);
        weir_map_end_(m);
        if (ret_fresh)
                *ret_fresh = fresh;
        return slot;
}

bool weir_map_del(weir_map *m, const void *key)
{
        uint64_t h;
        void    *slot;

        if (unlikely(!m))
                return false;
        weir_map_begin_(m);
        slot = seek(m, key, &h);
        if (slot)
                weir__map_remove(m, h, slot);
        weir_map_end_(m);
        return slot != NULL;
}

void weir_map_clear(weir_map *m)
{
        if (!m)
                return;
        weir_map_begin_(m);
        weir__map_drop_all(m);
        weir_map_end_(m);
}

size_t weir_map_len(const weir_map *m)
{
        return m ? m->len_ : 0;
}
