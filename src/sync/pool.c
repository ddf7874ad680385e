/* The pool of objects to be used again.
 *
 * What    Each processor has some objects of its own, in a stack that only it touches. What is too
 *         much there goes to a depot in batches, and from there to who has none. At the beginning
 *         of each collection what is there becomes old, and what is old already is dropped: the
 *         victim cache of Go's sync.Pool.
 * Shape   weir_pool -> table: one `local` for each processor that used the pool
 *                  -> store: depot (lists of chunks: new, old, gone), list of all stores.
 *         local: new, old, gone, each an array and a count. All is collected memory without
 *         declared fields; the list of stores is a root. So the objects live, even if the weir_pool
 *         stands where the collector does not look.
 * States  of an object:  new   taken first              old   taken when there is nothing new
 *                        gone  waits for destroy; without one, nobody's: the collector's
 *         new -> old -> gone at the beginning of a collection. A local whose objects that are gone
 *         were not destroyed yet is left as it is this time.
 * Locks   store: the depot. A local is its processor's, whose thread cannot be stopped in here, so
 *         that neither a switch nor a collection comes in between; with the world stopped, the
 *         collector's. What is gone belongs to whoever destroys; `ngone` is stored last.
 * Order   put of an object comes before the get that returns it: both on one processor, which goes
 *         from thread to thread by locks of the scheduler, or by the lock of the store.
 * Poison  With WEIR_DEBUG=poolpoison the table is never made, so that each call takes the slow way.
 *         What is kept then is not the object but a record with its bytes. With lockcheck neither
 *         is it, so that each call looks whether the pool is a copy.
 * Cost    get and put: a call, five loads, a branch each, two stores; no locked instruction.
 *         bench/sync.c. A processor keeps up to 30 objects from the others, in each pool.
 * Not     A queue that others steal from (Go): a get of a processor without objects looks at all
 *         others, and each put is a release store that they see. A batch through the depot is one
 *         lock for 15 objects, and who makes a new one beside 30 of somebody else's loses
 *         little. */
#include "sync/sync.h"
#include "base/debug.h"
#include "gc/gc.h"
#include <weir/go.h>
#include <weir/pool.h>

enum { LOCAL = 30, BATCH = 15, POISON = 0xdb, POISON_MAX = 64 << 10 };

struct local {
        uint32_t n, nold;               /* only the processor */
        uint32_t ngone;                 /* atomic: set with the world stopped, cleared by destroy */
        uint32_t unused;
        void    *obj[LOCAL], *old[LOCAL], *gone[LOCAL];
};

struct chunk {
        struct chunk *next;
        uint64_t      n;
        void         *obj[BATCH];
};

struct table {
        uint32_t      n;                /* const */
        struct local *at[];             /* of processors; only that one writes */
};

struct store {
        struct store *next;             /* lock: stores */
        uint32_t      lock;
        bool          closed;           /* lock: own */
        struct table *table;            /* lock: own */
        struct chunk *full, *old, *gone, *spare;        /* lock: own */
        void        (*destroy)(void *obj, void *arg);   /* const */
        void         *arg;              /* const */
        void         *fresh;            /* atomic: first bytes of a new object */
};

/* How a weir_pool's state_ is used. */
struct state {
        struct table *table;            /* atomic */
        struct store *store;            /* atomic */
        uint32_t      place;            /* for check_place */
};

_Static_assert(sizeof(struct state) <= sizeof(((weir_pool *)0)->state_), "weir_pool is too small");

static uint32_t      stores_lock;
static struct store *stores;            /* lock: stores */

static inline struct state *state_of(weir_pool *p)
{
        return (struct state *)(void *)p->state_;
}

/* ---- the depot; with the lock ---- */

static struct chunk *new_chunk(struct store *s)
{
        struct chunk *c = s->spare;

        if (c)
                s->spare = c->next;
        else
                c = weir__mem_alloc(MEM_PLAIN, sizeof *c);
        c->n = 0;
        return c;
}

static void *take_one(struct store *s, struct chunk **list)
{
        struct chunk *c = *list;
        void         *obj;

        if (!c)
                return NULL;
        obj = c->obj[--c->n];
        c->obj[c->n] = NULL;
        if (!c->n) {
                *list = c->next;
                c->next = s->spare;
                s->spare = c;
        }
        return obj;
}

static void add_one(struct store *s, void *obj)
{
        struct chunk *c = s->full;

        if (!c || c->n == BATCH) {
                c = new_chunk(s);
                c->next = s->full;
                s->full = c;
        }
        c->obj[c->n++] = obj;
}

/* Puts in front of *list what is on another one. */
static void join(struct chunk **list, struct chunk *more)
{
        struct chunk **end = &more;

        while (*end)
                end = &(*end)->next;
        *end = *list;
        *list = more;
}

/* ---- a collection begins: with the world stopped ---- */

static void age_local(const struct store *s, struct local *l)
{
        if (s->destroy) {
                if (load_acquire(&l->ngone))    /* pairs with the release in destroy_local */
                        return;
                memcpy(l->gone, l->old, sizeof l->gone);
                store_relaxed(&l->ngone, l->nold);
        }
        memcpy(l->old, l->obj, sizeof l->old);
        memset(l->obj, 0, sizeof l->obj);
        l->nold = l->n;
        l->n = 0;
}

static void age(struct store *s)
{
        if (s->destroy)
                join(&s->gone, s->old);
        s->old = s->full;
        s->full = NULL;
        s->spare = NULL;
        for (uint32_t i = 0; s->table && i < s->table->n; i++)
                if (s->table->at[i])
                        age_local(s, s->table->at[i]);
}

static void begin_cycle(void)
{
        for (struct store *s = stores; s; s = s->next) {
                age(s);
                if (s->closed)
                        age(s);
        }
}

/* ---- what is gone; the world runs ---- */

static void *reveal(const struct store *s, void *kept);

static void destroy(const struct store *s, void *kept)
{
        weir__count(pool_drops, 1);
        s->destroy(unlikely(weir__debug.poolpoison) ? reveal(s, kept) : kept, s->arg);
}

static void destroy_local(const struct store *s, struct local *l)
{
        for (uint32_t n = load_relaxed(&l->ngone); n;) {
                void *obj = l->gone[--n];

                l->gone[n] = NULL;
                destroy(s, obj);
        }
        store_release(&l->ngone, 0);            /* pairs with the acquire in age_local */
}

static bool anything_gone(struct store *s)
{
        bool found;

        word_take(&s->lock);
        found = s->gone;
        for (uint32_t i = 0; s->table && i < s->table->n && !found; i++) {
                const struct local *l = load_acquire(&s->table->at[i]);

                found = l && load_relaxed(&l->ngone);
        }
        word_drop(&s->lock);
        return found;
}

/* Of a store that nobody gets from or puts to any more. */
static bool is_empty(struct store *s)
{
        bool found = anything_gone(s);

        word_take(&s->lock);
        found |= s->full || s->old;
        for (uint32_t i = 0; s->table && i < s->table->n && !found; i++) {
                const struct local *l = load_acquire(&s->table->at[i]);

                found = l && (l->n || l->nold);
        }
        word_drop(&s->lock);
        return !found;
}

static void destroy_of(struct store *s)
{
        struct chunk *c;
        struct table *t;

        word_take(&s->lock);
        c = s->gone;
        s->gone = NULL;
        t = s->table;
        word_drop(&s->lock);
        for (; c; c = c->next)
                while (c->n)
                        destroy(s, c->obj[--c->n]);
        for (uint32_t i = 0; t && i < t->n; i++) {
                struct local *l = load_acquire(&t->at[i]);

                if (l)
                        destroy_local(s, l);
        }
}

static uint32_t destroying;             /* atomic: somebody does */

static void destroy_all(void *arg)
{
        struct store *s;

        (void)arg;
        word_take(&stores_lock);
        s = stores;
        word_drop(&stores_lock);
        for (; s; s = load_acquire(&s->next))
                if (s->destroy)
                        destroy_of(s);
        store_release(&destroying, 0);
}

/* Whoever was closed and is empty now is forgotten. */
static void forget_closed(void)
{
        for (struct store **at = &stores; *at;) {
                struct store *s = *at;

                if (s->closed && is_empty(s))
                        store_release(at, s->next);     /* s->next stays: who is at s goes on */
                else
                        at = &s->next;
        }
}

static void end_cycle(void)
{
        bool found = false;

        word_take(&stores_lock);
        forget_closed();
        for (struct store *s = stores; s && !found; s = s->next)
                found = s->destroy && anything_gone(s);
        word_drop(&stores_lock);
        if (!found || exchange_acquire(&destroying, 1))
                return;
        if (!weir__sched_spawn_outside(destroy_all, "pools"))
                store_release(&destroying, 0);          /* with the next ones */
}

static __attribute__((constructor)) void init(void)
{
        weir__gc_hooks.begin = begin_cycle;
        weir__gc_hooks.ended = end_cycle;
}

/* ---- poison ---- */

/* An object in the pool: what it was, while it is overwritten. */
struct hidden {
        void         *obj;
        size_t        size;
        unsigned char was[] __attribute__((aligned(16)));
};

static size_t first_other(const unsigned char *p, size_t size)
{
        size_t i = 0;

        while (i < size && p[i] == POISON)
                i++;
        return i;
}

static size_t size_of(const weir_pool *p, const void *obj)
{
        size_t room = weir__mem_room(obj);

        if (room == SIZE_MAX)
                return p->size;
        return MIN(room, (size_t)POISON_MAX);
}

static void *hide(struct store *s, const weir_pool *p, void *obj)
{
        size_t         size = size_of(p, obj);
        const void    *fresh = load_acquire(&s->fresh);
        struct hidden *h;

        for (size_t i = 0; fresh && i < p->size; i++)
                if (((const unsigned char *)fresh)[i] != ((const unsigned char *)obj)[i])
                        weir__panic("weir_pool_put: byte %zu of %p is not what it is in a new "
                                    "object: its reset is missing or forgets it", i, obj);
        h = weir__mem_alloc(MEM_PLAIN, sizeof *h + size);
        h->obj = obj;
        h->size = size;
        memcpy(h->was, obj, size);
        memset(obj, POISON, size);
        return h;
}

static void *reveal(const struct store *s, void *kept)
{
        struct hidden *h = kept;
        size_t         at = first_other(h->obj, h->size);

        (void)s;
        if (at < h->size)
                weir__panic("pool: byte %zu of %p was written after it was put back", at, h->obj);
        weir_gc_move(h->obj, h->was, h->size);
        return h->obj;
}

static void need_not_hidden(const weir_pool *p, const void *obj)
{
        size_t size = size_of(p, obj);

        if (size && first_other(obj, size) == size)
                weir__panic("weir_pool_put: %p is in the pool already", obj);
}

static void note_fresh(struct store *s, const weir_pool *p, const void *obj)
{
        void *copy, *none = NULL;

        if (!p->size || load_relaxed(&s->fresh))
                return;
        copy = weir__mem_alloc(MEM_PLAIN, p->size);
        memcpy(copy, obj, p->size);
        (void)cas_seq(&s->fresh, &none, copy);
}

/* ---- the slow ways ---- */

static slowpath struct store *first_use(weir_pool *p)
{
        struct store *s = weir__mem_alloc(MEM_PLAIN, sizeof *s), *none = NULL;

        s->destroy = p->destroy;
        s->arg = p->arg;
        word_take(&stores_lock);
        if (cas_seq(&state_of(p)->store, &none, s)) {
                s->next = stores;
                stores = s;
        } else {
                s = none;
        }
        word_drop(&stores_lock);
        return s;
}

static struct store *store_of(weir_pool *p)
{
        struct store *s = load_acquire(&state_of(p)->store);

        return likely(s) ? s : first_use(p);
}

/* With the lock: a table with room for processor id. */
static void grow_table(weir_pool *p, struct store *s, uint32_t id)
{
        struct table *old = s->table, *t;
        uint32_t      n = MAX(id + 1, weir__sched_procs());

        t = weir__mem_alloc(MEM_PLAIN, sizeof *t + n * sizeof t->at[0]);
        t->n = n;
        if (old)
                memcpy(t->at, old->at, old->n * sizeof t->at[0]);
        s->table = t;
        store_release(&state_of(p)->table, t);  /* pairs with the acquire of get and put */
}

/* The processor's own, made if there is none. With the lock; nothing in here parks. */
static struct local *local_of(weir_pool *p, struct store *s)
{
        uint32_t id = self()->p->id;

        if (unlikely(weir__debug.poolpoison || watching()))
                return NULL;
        if (!s->table || id >= s->table->n)
                grow_table(p, s, id);
        if (!s->table->at[id])
                store_release(&s->table->at[id],
                              (struct local *)weir__mem_alloc(MEM_PLAIN, sizeof(struct local)));
        return s->table->at[id];
}

/* Moves a batch of the depot to the processor and answers one more; NULL: there is none. */
static void *refill(struct store *s, struct local *l)
{
        void *obj = take_one(s, &s->full);

        for (void *more; l && s->full && l->n < BATCH - 1;) {
                more = take_one(s, &s->full);
                l->obj[l->n++] = more;
        }
        return obj;
}

static slowpath void *get_slow(weir_pool *p)
{
        struct store *s = store_of(p);
        struct local *l;
        void         *obj = NULL;

        check_place(p, &state_of(p)->place, "pool");
        word_take(&s->lock);
        l = local_of(p, s);
        if (l && l->n)
                obj = l->obj[--l->n];
        if (!obj)
                obj = refill(s, l);
        if (!obj && l && l->nold) {
                obj = l->old[--l->nold];
                l->old[l->nold] = NULL;
        }
        if (!obj)
                obj = take_one(s, &s->old);
        word_drop(&s->lock);
        if (obj)
                return unlikely(weir__debug.poolpoison) ? reveal(s, obj) : obj;
        weir__count(pool_makes, 1);
        if (!p->make)
                return NULL;
        obj = p->make(p->arg);
        if (unlikely(weir__debug.poolpoison) && obj)
                note_fresh(s, p, obj);
        return obj;
}

static slowpath void put_slow(weir_pool *p, void *obj)
{
        struct store *s = store_of(p);
        struct local *l;

        check_place(p, &state_of(p)->place, "pool");
        if (unlikely(weir__debug.poolpoison))
                obj = hide(s, p, obj);
        word_take(&s->lock);
        l = local_of(p, s);
        if (!l) {
                add_one(s, obj);
        } else {
                if (l->n == LOCAL) {
                        struct chunk *c = new_chunk(s);

                        /* The longest unused ones. */
                        memcpy(c->obj, l->obj, sizeof c->obj);
                        c->n = BATCH;
                        c->next = s->full;
                        s->full = c;
                        memmove(l->obj, l->obj + BATCH, (LOCAL - BATCH) * sizeof l->obj[0]);
                        memset(l->obj + LOCAL - BATCH, 0, BATCH * sizeof l->obj[0]);
                        l->n = LOCAL - BATCH;
                }
                l->obj[l->n++] = obj;
        }
        word_drop(&s->lock);
}

/* ---- the calls ---- */

/* The running processor's objects, or NULL. */
static inline struct local *own(weir_pool *p, const char *call)
{
        struct m     *m = self();
        struct table *t;

        if (unlikely(!m || !m->p || m->g == &m->g0)) {
                (void)weir__sched_regain(call);
                m = self();
        }
        if (WEIR_CHECK >= 1)
                check_place(p, &state_of(p)->place, "pool");
        t = load_acquire(&state_of(p)->table);          /* pairs with the release in grow_table */
        return likely(t && m->p->id < t->n) ? t->at[m->p->id] : NULL;
}

void *weir_pool_get(weir_pool *p)
{
        struct local *l = own(p, "weir_pool_get");

        if (likely(l && l->n)) {
                void *obj = l->obj[--l->n];

                l->obj[l->n] = NULL;                    /* or it would live on */
                return obj;
        }
        return get_slow(p);
}

void weir_pool_put(weir_pool *p, void *obj)
{
        struct local *l;

        if (unlikely(!obj))
                return;
        if (unlikely(weir__debug.poolpoison))
                need_not_hidden(p, obj);
        if (p->reset)
                p->reset(obj, p->arg);
        l = own(p, "weir_pool_put");
        if (likely(l && l->n < LOCAL))
                l->obj[l->n++] = obj;
        else
                put_slow(p, obj);
}

void weir_pool_close(weir_pool *p)
{
        struct store *s = load_acquire(&state_of(p)->store);

        weir__sched_need_g("weir_pool_close");
        if (!s)
                return;
        word_take(&s->lock);
        s->closed = true;
        word_drop(&s->lock);
        store_relaxed(&state_of(p)->table, NULL);
        store_relaxed(&state_of(p)->place, 0);
        store_release(&state_of(p)->store, NULL);
}
