/* The concurrent map.
 *
 * What    Open addressing in parts: some first bits of a hash choose the part. Readers take no lock
 *         and write nothing; the writers of a part have a mutex.
 * Shape   weir_cmap --> tables[part] --> table: slots of (hash, entry), a power of two of them
 *                   --> parts[part]: mutex, counts; a cache line each
 *         entry: key, value; never changed once it can be seen, unless the value is a word that can
 *         be stored at once. A probe goes from slot to slot by 1: four are a cache line. A hash has
 *         its first bit set, so it is neither 0 nor a pointer for the collector.
 * States  of a slot:  empty  hash 0            used  hash, entry
 *                     dead   hash, no entry: its key was deleted
 *         empty -> used -> dead -> used, each by the writer who has the mutex. A slot keeps its
 *         hash as long as its table lives, so that a key put again comes to the slot that it had,
 *         and an iteration, which walks over one table of each part, meets none twice. Dead ones go
 *         when the table is replaced; nobody changes one that was. The collector frees it, and
 *         entries that were replaced, when no reader is there any more.
 * Locks   the part's mutex. fn of weir_cmap_update is called with it.
 * Order   An entry is written, then stored in its slot (release); a reader that loads it (acquire)
 *         reads a whole one. The hash is stored before the entry: who finds the hash and no entry
 *         finds a dead slot. A table is filled, then stored (release).
 *         A reader that found an older table or entry began before the change ended.
 * Cost    A hit: the map's line, the slot's, the entry's. Of keys that are found half are in the
 *         first slot looked at; a table is replaced when 5/8 are used, by one where at most 5/16
 *         are. A put of a value that is no word allocates an entry; so does each new key.
 * Not     Shards of weir_map each with a lock: reading takes the lock's line away from the other
 *         processors, 60 to 100 ns for each read on two cores, where this is 10. A sequence lock
 *         around weir_map: its memory is given back at once, under readers. A trie of small nodes
 *         (Go's): a cache line for four bits of the hash instead of two for all of them. One table:
 *         its growth would stop all writers, and is longer. */
#include "data/data.h"
#include "data/map.h"
#include "sync/sync.h"
#include <weir/cmap.h>

enum { PARTS_MIN = 4, PARTS_MAX = 64, SLOTS_LEAST = 8, ENTRY_MAX = 1 << 20 };

#define USED_HASH (UINT64_C(1) << 63)

struct slot {
        uint64_t hash;                  /* atomic; lock: part */
        void    *entry;                 /* atomic; lock: part */
};

struct table {
        uint64_t    mask;               /* const */
        uint64_t    unused;
        struct slot slot[];
};

struct part {
        weir_mutex lock;
        uint64_t   live;                /* atomic; lock: own: slots used */
        uint64_t   filled;              /* lock: own: slots used and dead */
        uint64_t   unused[4];
};

_Static_assert(sizeof(struct part) == CACHE_LINE, "parts share no lines");

struct weir_cmap {
        const weir_hasher *hasher;      /* const */
        uint64_t           seed;        /* const */
        uint32_t           key_size, val_size, val_offset, entry_size;  /* const */
        uint32_t           mode;        /* const: enum map_mode */
        uint32_t           shift;       /* const: of a hash to its part */
        enum mem_kind      kind;        /* const: of entries */
        bool               word;        /* const: values can be stored at once */
        struct part       *parts;       /* const */
        struct table      *tables[] __attribute__((aligned(CACHE_LINE)));       /* atomic */
};

/* ---- keys ---- */

static inline uint64_t hash_of(const weir_cmap *m, const void *key)
{
        const char *s;
        uint64_t    h;

        switch (m->mode) {
        case MODE_WORD:
                h = weir_map_mix_(map_word(key), m->seed);
                break;
        case MODE_HALF:
                h = weir_map_mix_(map_half(key), m->seed);
                break;
        case MODE_STRING:
                memcpy(&s, key, sizeof s);
                h = s ? weir_hash(s, strlen(s), m->seed) : 0;
                break;
        case MODE_BYTES:
                h = weir_hash(key, m->key_size, m->seed);
                break;
        default:
                h = weir_map_mix_(m->hasher->hash(key, m->key_size, m->seed), m->seed);
                break;
        }
        return h | USED_HASH;
}

static inline bool equal(const weir_cmap *m, const void *a, const void *b)
{
        switch (m->mode) {
        case MODE_WORD:
                return map_word(a) == map_word(b);
        case MODE_HALF:
                return map_half(a) == map_half(b);
        case MODE_STRING:
                return equal_string(a, b, NULL);
        case MODE_BYTES:
                return !memcmp(a, b, m->key_size);
        default:
                return m->hasher->equal(a, b, m->key_size);
        }
}

/* The first bit is the same in all. */
static inline uint64_t part_of(const weir_cmap *m, uint64_t h)
{
        return h << 1 >> m->shift;
}

/* ---- values ---- */

static inline void *value_of(const weir_cmap *m, void *entry)
{
        return (char *)entry + m->val_offset;
}

static inline void copy_value(const weir_cmap *m, void *entry, void *ret)
{
        uint64_t w;

        if (likely(m->word)) {
                w = load_acquire((uint64_t *)value_of(m, entry));       /* pairs with set_value */
                memcpy(ret, &w, sizeof w);
        } else {
                memcpy(ret, value_of(m, entry), m->val_size);
        }
}

static inline void set_value(const weir_cmap *m, void *entry, const void *val)
{
        uint64_t w = 0;

        if (m->word) {
                if (val)
                        memcpy(&w, val, sizeof w);
                store_release((uint64_t *)value_of(m, entry), w);
        } else if (val) {
                memcpy(value_of(m, entry), val, m->val_size);
        } else {
                memset(value_of(m, entry), 0, m->val_size);
        }
}

static void *new_entry(const weir_cmap *m, const void *key, const void *val)
{
        void *e = weir__gc_new(m->kind, m->entry_size);

        memcpy(e, key, m->key_size);
        if (m->val_size)
                set_value(m, e, val);
        return e;
}

/* ---- tables ---- */

static struct table *new_table(uint64_t slots)
{
        struct table *t = weir__gc_new(MEM_PLAIN, sizeof *t + slots * sizeof t->slot[0]);

        t->mask = slots - 1;
        return t;
}

/* So that at most 5/16 are used at first. */
static uint64_t slots_for(uint64_t n)
{
        uint64_t slots = SLOTS_LEAST;

        while (slots * 5 / 16 < n && slots < UINT64_C(1) << 40)
                slots *= 2;
        return slots;
}

static inline bool is_full(const struct table *t, uint64_t filled)
{
        return filled >= (t->mask + 1) * 5 / 8;
}

/* The entry of a key, NULL if it is not there. */
static inline void *find(const weir_cmap *m, const struct table *t, uint64_t h, const void *key)
{
        for (uint64_t i = h;; i++) {
                const struct slot *s = &t->slot[i & t->mask];
                uint64_t           is = load_relaxed(&s->hash);

                if (is == h) {
                        void *e = load_acquire(&s->entry);      /* pairs with fill_slot */

                        if (likely(e && equal(m, e, key)))
                                return e;
                }
                if (!is)
                        return NULL;
        }
}

/* The slot of a key: the one that it is in, else a dead one with its hash, else an empty one. */
static struct slot *find_slot(const weir_cmap *m, struct table *t, uint64_t h, const void *key)
{
        struct slot *dead = NULL;

        for (uint64_t i = h;; i++) {
                struct slot *s = &t->slot[i & t->mask];

                if (!s->hash)
                        return dead ? dead : s;
                if (s->hash != h)
                        continue;
                if (!s->entry)
                        dead = dead ? dead : s;
                else if (equal(m, s->entry, key))
                        return s;
        }
}

static void fill_slot(struct slot *s, uint64_t h, void *entry)
{
        store_relaxed(&s->hash, h);
        store_release(&s->entry, entry);        /* pairs with the acquire in find */
}

/* Replaces the part's table by one without dead slots. */
static struct table *replace_table(weir_cmap *m, uint64_t part)
{
        struct table *old = m->tables[part];
        struct table *t = new_table(slots_for(m->parts[part].live + 1));

        for (uint64_t i = 0; i <= old->mask; i++) {
                const struct slot *s = &old->slot[i];
                uint64_t           k = s->hash;

                if (!s->entry)
                        continue;
                while (t->slot[k & t->mask].hash)
                        k++;
                fill_slot(&t->slot[k & t->mask], s->hash, s->entry);
        }
        m->parts[part].filled = m->parts[part].live;
        store_release(&m->tables[part], t);     /* pairs with the acquire in table_of */
        return t;
}

static inline struct table *table_of(const weir_cmap *m, uint64_t part)
{
        return load_acquire(&m->tables[part]);      /* pairs with who replaces it */
}

/* ---- making ---- */

weir_cmap *weir_cmap_new(const weir_hasher *h, size_t key_size, size_t val_size, size_t hint,
                         unsigned flags)
{
        uint64_t   parts = PARTS_MIN, align;
        weir_cmap *m;

        weir__sched_need_g("weir_cmap_new");
        if (!h || !h->hash || !h->equal)
                weir_panic("weir_cmap_new: the hasher is NULL");
        if (!key_size || key_size > ENTRY_MAX || val_size > ENTRY_MAX)
                weir_panic("weir_cmap_new: keys of %zu bytes and values of %zu", key_size,
                           val_size);
        while (parts < 4 * (uint64_t)weir__sched_procs() && parts < PARTS_MAX)
                parts *= 2;
        m = weir__gc_new(MEM_PLAIN, ALIGN_UP(sizeof *m + parts * sizeof m->tables[0], (size_t)128));
        align = val_size ? MIN(val_size & -val_size, (size_t)16) : 1;
        m->hasher = h;
        m->seed = weir__map_random();
        m->key_size = (uint32_t)key_size;
        m->val_size = (uint32_t)val_size;
        m->val_offset = (uint32_t)ALIGN_UP(key_size, align);
        m->entry_size = (uint32_t)(m->val_offset + val_size);
        m->kind = flags & WEIR_MAP_NOSCAN ? MEM_NOSCAN : MEM_PLAIN;
        m->word = val_size == sizeof(uint64_t);
        m->shift = 64 - (uint32_t)__builtin_ctzll(parts);
        m->mode = MODE_HASHER;
        if (h->hash == weir_hash_cstr.hash && key_size == sizeof(char *))
                m->mode = MODE_STRING;
        else if (h->hash == weir_hash_bytes.hash && h->equal == weir_hash_bytes.equal)
                m->mode = key_size == 8 ? MODE_WORD : key_size == 4 ? MODE_HALF : MODE_BYTES;
        m->parts = weir__gc_new(MEM_PLAIN, parts * sizeof *m->parts);
        hint = MIN(hint, (size_t)1 << 40) / parts;
        for (uint64_t i = 0; i < parts; i++)
                m->tables[i] = new_table(slots_for(hint + hint / 8));
        return m;
}

/* ---- the calls ---- */

bool weir_cmap_get(const weir_cmap *m, const void *key, void *ret_val)
{
        uint64_t h;
        void    *e;

        if (unlikely(!m))
                return false;
        h = hash_of(m, key);
        e = find(m, table_of(m, part_of(m, h)), h, key);
        if (!e)
                return false;
        if (ret_val && m->val_size)
                copy_value(m, e, ret_val);
        return true;
}

static uint64_t begin(weir_cmap *m, uint64_t h)
{
        weir_mutex_lock(&m->parts[part_of(m, h)].lock);
        return part_of(m, h);
}

static void end(weir_cmap *m, uint64_t part)
{
        weir_mutex_unlock(&m->parts[part].lock);
}

static void need_map(const weir_cmap *m, const char *call)
{
        if (unlikely(!m))
                weir_panic("%s: the map is NULL", call);
}

/* With the mutex: what is in the slot of a key, or goes there. */
static void put_in(weir_cmap *m, uint64_t part, uint64_t h, struct slot *s, const void *key,
                   const void *val)
{
        struct part *p = &m->parts[part];

        if (s->entry && m->word) {
                set_value(m, s->entry, val);
                return;
        }
        if (s->entry) {
                if (m->val_size)
                        store_release(&s->entry, new_entry(m, s->entry, val));
                return;
        }
        if (!s->hash) {
                if (is_full(m->tables[part], p->filled))
                        s = find_slot(m, replace_table(m, part), h, key);
                p->filled++;
        }
        fill_slot(s, h, new_entry(m, key, val));
        store_relaxed(&p->live, p->live + 1);
}

static void empty_slot(weir_cmap *m, uint64_t part, struct slot *s)
{
        struct part *p = &m->parts[part];

        store_release(&s->entry, NULL);
        store_relaxed(&p->live, p->live - 1);
        /* Almost nothing is left of a large table: the next iteration need not walk it. */
        if (m->tables[part]->mask >= 64 && p->live < m->tables[part]->mask / 16)
                replace_table(m, part);
}

void weir_cmap_put(weir_cmap *m, const void *key, const void *val)
{
        uint64_t h, part;

        need_map(m, "weir_cmap_put");
        h = hash_of(m, key);
        part = begin(m, h);
        put_in(m, part, h, find_slot(m, m->tables[part], h, key), key, val);
        end(m, part);
}

bool weir_cmap_get_or_put(weir_cmap *m, const void *key, const void *val, void *ret_val)
{
        uint64_t     h, part;
        struct slot *s;
        bool         there;

        need_map(m, "weir_cmap_get_or_put");
        if (weir_cmap_get(m, key, ret_val))
                return true;
        h = hash_of(m, key);
        part = begin(m, h);
        s = find_slot(m, m->tables[part], h, key);
        there = s->entry;
        if (there) {
                if (ret_val && m->val_size)
                        copy_value(m, s->entry, ret_val);
        } else {
                put_in(m, part, h, s, key, val);
                if (ret_val && val && m->val_size)
                        memmove(ret_val, val, m->val_size);
                else if (ret_val)
                        memset(ret_val, 0, m->val_size);
        }
        end(m, part);
        return there;
}

bool weir_cmap_take(weir_cmap *m, const void *key, void *ret_val)
{
        uint64_t     h, part;
        struct slot *s;
        bool         there;

        need_map(m, "weir_cmap_take");
        h = hash_of(m, key);
        if (!find(m, table_of(m, part_of(m, h)), h, key))
                return false;
        part = begin(m, h);
        s = find_slot(m, m->tables[part], h, key);
        there = s->entry;
        if (there) {
                if (ret_val && m->val_size)
                        copy_value(m, s->entry, ret_val);
                empty_slot(m, part, s);
        }
        end(m, part);
        return there;
}

bool weir_cmap_del(weir_cmap *m, const void *key)
{
        return weir_cmap_take(m, key, NULL);
}

struct update {
        bool (*fn)(void *val, bool there, void *arg);
        void  *val, *arg;
        bool   there, keep;
};

static void run_update(void *p)
{
        struct update *u = p;

        u->keep = u->fn(u->val, u->there, u->arg);
}

bool weir_cmap_update(weir_cmap *m, const void *key,
                      bool (*fn)(void *val, bool there, void *arg), void *arg)
{
        uint64_t        h, part, small[8];
        weir_panic_info info;
        struct update   u = { .fn = fn, .arg = arg };
        struct slot    *s;
        int             held;

        need_map(m, "weir_cmap_update");
        if (!fn)
                weir_panic("weir_cmap_update: the function is NULL");
        u.val = m->val_size <= sizeof small ? small : weir__gc_new(MEM_PLAIN, m->val_size);
        h = hash_of(m, key);
        part = begin(m, h);
        s = find_slot(m, m->tables[part], h, key);
        u.there = s->entry;
        if (u.there && m->val_size)
                copy_value(m, s->entry, u.val);
        else
                memset(u.val, 0, m->val_size);
        held = weir__panic_hold(run_update, &u, &info);
        if (!held && u.keep)
                put_in(m, part, h, s, key, u.val);
        else if (!held && u.there)
                empty_slot(m, part, s);
        end(m, part);
        if (held)
                weir__panic_again(held, &info);
        return u.keep;
}

void weir_cmap_clear(weir_cmap *m)
{
        need_map(m, "weir_cmap_clear");
        for (uint64_t i = 0; i < UINT64_C(1) << (64 - m->shift); i++) {
                struct table *t = new_table(SLOTS_LEAST);

                weir_mutex_lock(&m->parts[i].lock);
                store_release(&m->tables[i], t);        /* pairs with the acquire in table_of */
                store_relaxed(&m->parts[i].live, (uint64_t)0);
                m->parts[i].filled = 0;
                weir_mutex_unlock(&m->parts[i].lock);
        }
}

size_t weir_cmap_len(const weir_cmap *m)
{
        size_t n = 0;

        for (uint64_t i = 0; m && i < UINT64_C(1) << (64 - m->shift); i++)
                n += load_relaxed(&m->parts[i].live);
        return n;
}

bool weir_cmap_next(weir_cmap_iter *it, void *ret_key, void *ret_val)
{
        const weir_cmap *m = it->map;

        while (m && it->part_ < UINT64_C(1) << (64 - m->shift)) {
                const struct table *t = it->table_;

                if (!t) {
                        t = it->table_ = table_of(m, it->part_);
                        it->at_ = 0;
                }
                while (it->at_ <= t->mask) {
                        void *e = load_acquire(&t->slot[it->at_++].entry);      /* fill_slot */

                        if (!e)
                                continue;
                        if (ret_key)
                                memcpy(ret_key, e, m->key_size);
                        if (ret_val && m->val_size)
                                copy_value(m, e, ret_val);
                        return true;
                }
                it->table_ = NULL;
                it->part_++;
        }
        return false;
}
