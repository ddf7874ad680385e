/* The flight: those who want the same at the same time share one call.
 *
 * What    A hash table of calls under way. Who finds none for his key puts his own there and calls
 *         the function; who finds one joins it and waits.
 * Shape   Calls and joiners are records on the stacks of their goroutines; the table has but the
 *         heads of lists:
 *
 *            table[i] -> call (leader's stack) -> call ...
 *                          joiners -> joiner (its stack) -> joiner ...
 *
 *         The first four heads are in the flight itself; a larger table is a collected object.
 * States  A call: LISTED in the table, or not any more (forgotten, or over). Joiners may come while
 *         it is listed; its leader takes it out before it takes the joiners, so those are all.
 * Locks   A word. Keys are compared inside, if their hashes are equal.
 * Cost    Alone: two locks of the word, the record of a weir_protect, no allocation.
 * Not     The result kept in an object for the joiners: the leader hands it to each, as a channel
 *         does. */
#include "gc/gc.h"
#include "mem/mem.h"
#include "os/os.h"
#include "sync/sync.h"
#include <weir/go.h>
#include <weir/group.h>

enum { OWN = 4, PER_HEAD = 2 };

struct joiner {
        struct joiner         *next;
        struct g              *g;
        void                  *value;   /* the leader's, until it readies g; so the rest */
        const weir_panic_info *panic;
        int                    result, held;
};

struct call {
        struct call   *next;            /* lock: the flight's; so the rest */
        uint64_t       hash;            /* const */
        const void    *key;             /* const */
        size_t         size;            /* const */
        struct joiner *joiners;
        bool           listed;

        int  (*fn)(void *arg, void **ret);      /* the leader's; so the rest */
        void  *arg, *value;
        int    result;
};

struct flight {
        struct call **table;            /* lock: own; NULL: own */
        uint32_t      lock;
        uint32_t      count;            /* lock: own: calls listed */
        uint64_t      mask;             /* lock: own: heads in the table less one; 0: own */
        struct call  *own[OWN];         /* lock: own */
        uint32_t      place;            /* for check_place */
};

_Static_assert(sizeof(struct flight) <= sizeof(weir_flight), "weir_flight is too small");

static inline struct flight *open_flight(weir_flight *f)
{
        return (struct flight *)(void *)f;
}

static inline uint64_t mix(uint64_t a, uint64_t b)
{
        __extension__ typedef unsigned __int128 wide;
        wide r = (wide)a * b;

        return (uint64_t)r ^ (uint64_t)(r >> 64);
}

/* Keys may come from strangers, so nobody shall know which ones meet. */
static uint64_t hash_of(const void *key, size_t size)
{
        static uint64_t seed;           /* atomic: 0 until the first */
        const char     *at = key;
        uint64_t        h = load_relaxed(&seed), word, none = 0;

        if (unlikely(!h)) {
                h = weir__os_random() | 1;
                if (!cas_relaxed(&seed, &none, h))
                        h = none;
        }
        h ^= size;
        for (; size >= 8; at += 8, size -= 8) {
                memcpy(&word, at, 8);
                h = mix(h ^ word, UINT64_C(0x9E3779B97F4A7C15));
        }
        word = 0;
        if (size)                               /* a key may be NULL then */
                memcpy(&word, at, size);
        return mix(h ^ word, UINT64_C(0xD6E8FEB86659FD93));
}

/* ---- the table; the lock is held ---- */

static struct call **head_of(struct flight *f, uint64_t hash)
{
        return f->table ? &f->table[hash & f->mask] : &f->own[hash % OWN];
}

static struct call *find(struct flight *f, uint64_t hash, const void *key, size_t size)
{
        for (struct call *c = *head_of(f, hash); c; c = c->next)
                if (c->hash == hash && c->size == size && (!size || !memcmp(c->key, key, size)))
                        return c;
        return NULL;
}

static void put(struct flight *f, struct call *c)
{
        struct call **head = head_of(f, c->hash);

        c->next = *head;
        *head = c;
        c->listed = true;
        f->count++;
}

static void take_out(struct flight *f, struct call *c)
{
        struct call **at = head_of(f, c->hash);

        if (!c->listed)
                return;
        while (*at != c)
                at = &(*at)->next;
        *at = c->next;
        c->listed = false;
        f->count--;
}

static inline bool is_full(const struct flight *f)
{
        return f->count >= PER_HEAD * (f->table ? f->mask + 1 : OWN);
}

/* Drops the lock for the allocation; without it others may have done the same. */
static slowpath void grow(struct flight *f)
{
        uint64_t      heads = 4 * (f->table ? f->mask + 1 : OWN), had = f->table ? f->mask + 1 : OWN;
        struct call **fresh, **old, *c, *next;

        word_drop(&f->lock);
        fresh = weir__gc_new(MEM_NOSCAN, heads * sizeof *fresh);        /* calls are on stacks */
        word_take(&f->lock);
        if ((f->table ? f->mask + 1 : OWN) != had)
                return;
        old = f->table ? f->table : f->own;
        for (uint64_t i = 0; i < had; i++)
                for (c = old[i]; c; c = next) {
                        struct call **head = &fresh[c->hash & (heads - 1)];

                        next = c->next;
                        c->next = *head;
                        *head = c;
                }
        memset(f->own, 0, sizeof f->own);
        weir_gc_write(&f->table, fresh);
        f->mask = heads - 1;
}

/* ---- calls ---- */

static void make_call(void *arg)
{
        struct call *c = arg;

        c->result = c->fn(c->arg, &c->value);
}

static void land(struct flight *f, struct call *c, int held, const weir_panic_info *info,
                 bool *ret_shared)
{
        weir_panic_info *kept = NULL;
        struct joiner   *j, *next;

        if (unlikely(held < 0)) {
                kept = weir__gc_new(MEM_NOSCAN, sizeof *kept);
                *kept = *info;
        }
        word_take(&f->lock);
        take_out(f, c);
        j = c->joiners;
        word_drop(&f->lock);
        if (ret_shared && !held)
                *ret_shared = j;
        for (; j; j = next) {
                next = j->next;
                j->value = c->value;
                j->result = c->result;
                j->held = held;
                j->panic = kept;
                weir__sched_ready(j->g);
        }
}

static noinline int lead(struct flight *f, struct call *c, void **ret, bool *ret_shared)
{
        weir_panic_info info;
        int             held = weir__panic_hold(make_call, c, &info);

        land(f, c, held, &info, ret_shared);
        if (unlikely(held))
                weir__panic_again(held, &info);
        if (ret)
                *ret = c->value;
        return c->result;
}

/* The lock is held, and dropped here. */
static noinline int join(struct flight *f, struct call *c, struct g *g, void **ret,
                         bool *ret_shared)
{
        struct joiner j = { .next = c->joiners, .g = g };

        c->joiners = &j;
        weir__sched_park_begin(g, WHY_FLIGHT, f);
        weir__sched_own(g, &j, sizeof j);
        word_drop(&f->lock);
        weir__count(sync_parks, 1);
        weir__sched_park(g);
        if (unlikely(j.held < 0))
                weir__panic("weir_flight_do: the call that this one shared panicked: %s",
                            j.panic->message);
        if (unlikely(j.held > 0))
                weir_go_exit();
        if (ret)
                *ret = j.value;
        if (ret_shared)
                *ret_shared = true;
        return j.result;
}

int weir_flight_do(weir_flight *pub, const void *key, size_t key_size,
                   int (*fn)(void *arg, void **ret), void *arg, void **ret, bool *ret_shared)
{
        struct flight *f = open_flight(pub);
        struct g      *g = weir__sched_need_g("weir_flight_do");
        struct call    own = { .key = key, .size = key_size, .fn = fn, .arg = arg }, *c;
        int            r;

        if (!fn)
                weir__panic("weir_flight_do: the function is NULL");
        check_place(f, &f->place, "flight");
        own.hash = hash_of(key, key_size);
        word_take(&f->lock);
        c = find(f, own.hash, key, key_size);
        if (!c && unlikely(is_full(f))) {
                grow(f);
                c = find(f, own.hash, key, key_size);
        }
        if (c) {
                r = join(f, c, g, ret, ret_shared);
        } else {
                put(f, &own);
                word_drop(&f->lock);
                r = lead(f, &own, ret, ret_shared);
        }
        keep_frame();
        return r;
}

void weir_flight_forget(weir_flight *pub, const void *key, size_t key_size)
{
        struct flight *f = open_flight(pub);
        uint64_t       hash = hash_of(key, key_size);
        struct call   *c;

        weir__sched_need_g("weir_flight_forget");
        check_place(f, &f->place, "flight");
        word_take(&f->lock);
        c = find(f, hash, key, key_size);
        if (c)
                take_out(f, c);
        word_drop(&f->lock);
}
