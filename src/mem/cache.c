/* Caches: what each thread holds of each size class, so that malloc and free take no lock.
 *
 * What    A stack of pointers per class. malloc pops, free pushes; an empty one is filled from the
 *         central list with a batch, a full one gives its older half back.
 * Shape
 *         bin    top ---------------------.
 *         slots  | NULL | p | p | p | p | (next push goes here)     | high
 *                base---^
 *         The NULL under base ends a pop without a comparison of its own.
 * States  Of a cache:  owned   by the thread whose weir__cache_own it is
 *                      orphan  its thread has ended, or did not come along in fork; the next new
 *                              thread takes it as it is
 *         A cache is never unmapped; there are as many as there were threads at one time.
 * Order   top is written by the owner alone and read by others for statistics (relaxed): their sums
 *         may be off by what is under way.
 *         In a child of fork the orphan of a thread that stood inside a slow path may hold what the
 *         central list has as well; so refill and spill move top before the list gets the objects
 *         and after it gave them, and what was under way is lost, not doubled. For the same reason
 *         a bin is empty while its objects change places.
 * Cost    A malloc and a free of 16 to 1024 bytes take 5.5 ns together where tcmalloc's take 5.6
 *         and glibc's 8.5 (bench malloc, hot).
 * Per thread or per processor? A pop and a push took 2.5 ns on a stack of the thread and 3.1 on
 * one of
 *         the CPU in restartable sequences (which pay for the CPU's number, its block's address and
 *         the descriptor, twice), on two cores, with nothing else around them. A cache of one of
 *         the scheduler's processors is not to be had for threads that are none of its own, and C
 *         code may lose its processor in the middle of anything; a cache of the thread does not
 *         mind. weir runs about as many threads as there are cores, so that what a cache per
 *         thread holds idle stays small; in a program of many threads it starts with 8 objects per
 *         class.
 * Not     Lists through the free objects (jemalloc's and tcmalloc's way of old): a pop then waits
 *         for the memory of the object, a push dirties it. */
#include "mem/heap.h"
#include "os/os.h"
#include <pthread.h>

enum {
        START_SLOTS = 8,                /* of a new bin; doubles when it proves too small */
        MAX_SLOTS = 1024,
        MAX_SLOTS_PLAIN = 64,           /* of a plain class: few programs use them much */
        MAX_BYTES = 256 << 10,           /* per class */
};

__thread struct cache *weir__cache __attribute__((tls_model("initial-exec"))) =
        &weir__cache_closed;
__thread struct cache *weir__cache_own __attribute__((tls_model("initial-exec")));

static void *closed_slots[2];           /* the NULL that all closed bins find */

#define CLASS(number, bytes, pages, objects, magic) \
        [number] = { &closed_slots[1], &closed_slots[1], 0, &closed_slots[1] },
struct cache weir__cache_closed = {
        .bin = {
                [0] = { &closed_slots[1], &closed_slots[1], 0, &closed_slots[1] },
#include "mem/class.def"
#undef CLASS
#define CLASS(number, bytes, pages, objects, magic) \
        [number + CLASSES - 1] = { &closed_slots[1], &closed_slots[1], 0, &closed_slots[1] },
#include "mem/class.def"
        },
};
#undef CLASS

struct lock   weir__caches_lock = LOCK_INIT(caches);
struct cache *weir__caches;

static struct cache *orphans;           /* lock: caches; by spare */
static pthread_key_t key;               /* const after start */
static bool          have_key;          /* const after start */

static unsigned slots_of(unsigned class)
{
        unsigned most = class < CLASSES ? MAX_SLOTS : MAX_SLOTS_PLAIN;

        return MIN(MAX((unsigned)MAX_BYTES / weir__class[class].size, 2u), most);
}

/* ---- birth and death ---- */

static struct cache *cache_new(void)
{
        size_t        words = 0;
        struct cache *c;
        void        **slot;

        for (unsigned i = 1; i < BINS; i++)
                words += 1 + slots_of(i);
        c = weir__fixed_alloc(ALIGN_UP(sizeof *c, (size_t)16) + words * sizeof(void *));
        if (!c)
                return NULL;
        slot = (void **)(void *)((char *)c + ALIGN_UP(sizeof *c, (size_t)16));
        c->bin[0] = weir__cache_closed.bin[0];
        for (unsigned i = 1; i < BINS; i++) {
                unsigned n = load_relaxed(&weir__mem_mode) & MODE_TINY ? 2 : START_SLOTS;

                c->bin[i].base = c->bin[i].top = slot + 1;
                c->bin[i].high = slot + 1 + MIN(slots_of(i), n);
                slot += 1 + slots_of(i);
        }
        c->rand = (uintptr_t)c | 1;
        c->next = load_relaxed(&weir__caches);
        while (!cas_release(&weir__caches, &c->next, c))        /* pairs with readers' acquire */
                ;
        return c;
}

/* Runs at the end of a thread, among the destructors of its other keys, which may still allocate:
 * then a new cache is made, and this is called again. */
static void thread_ends(void *arg)
{
        struct cache *c = arg;

        weir__cache = &weir__cache_closed;
        weir__cache_own = NULL;
        weir__run_typed = weir__run_closed;
        weir__cache_flush(c);
        weir__mem_lock(&weir__caches_lock);
        c->orphan = true;
        c->spare = orphans;
        orphans = c;
        weir__mem_unlock(&weir__caches_lock);
}

struct cache *weir__cache_get(void)
{
        struct cache *c = weir__cache_own;

        if (likely(c)) {
                weir__cache = load_relaxed(&weir__mem_mode) & MODE_SLOW ? &weir__cache_closed : c;
                return c;
        }
        if (!weir__mem_start())
                return &weir__cache_closed;
        weir__mem_lock(&weir__caches_lock);
        c = orphans;
        if (c) {
                orphans = c->spare;
                c->orphan = false;
        }
        weir__mem_unlock(&weir__caches_lock);
        if (!c)
                c = cache_new();
        if (!c)
                return &weir__cache_closed;
        c->busy = 0;
        weir__cache_own = c;
        weir__cache = load_relaxed(&weir__mem_mode) & MODE_SLOW ? &weir__cache_closed : c;
        /* May allocate, which by now works. */
        if (have_key)
                (void)pthread_setspecific(key, c);
        return c;
}

/* ---- fork ---- */

static void before_fork(void)
{
        weir__mem_lock_all();
}

static void after_fork_in_parent(void)
{
        weir__mem_unlock_all();
}

/* The caches of the threads that the child does not have wait for new ones. */
static void after_fork_in_child(void)
{
        for (struct cache *c = weir__caches; c; c = c->next)
                if (c != weir__cache_own && !c->orphan) {
                        c->orphan = true;
                        c->spare = orphans;
                        orphans = c;
                }
        weir__mem_unlock_all();
        weir__shades_forked();
        weir__exclude_forked();
        weir__scavenge_forked();
}

void weir__cache_init(void)
{
        have_key = !pthread_key_create(&key, thread_ends);
}

void weir__mem_fork_init(void)
{
        (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* ---- between cache and central list ---- */

/* Makes room for more, up to the most. */
static void bin_grow(struct bin *b, unsigned class)
{
        size_t cap = (size_t)(b->high - b->base), most = slots_of(class);

        if (!(load_relaxed(&weir__mem_mode) & MODE_TINY))
                b->high = b->base + MIN(cap * 2, most);
}

void *weir__cache_refill(struct cache *c, unsigned class)
{
        struct bin *b = &c->bin[class];
        unsigned    n, want;

        bin_grow(b, class);
        want = (unsigned)(b->high - b->base + 1) / 2;
        n = weir__central_take(class, b->base, want);
        owner_add(&c->taken[class], n);
        if (!n)
                return NULL;
        /* Lowest address on top: the order in which the memory will be walked. */
        for (unsigned i = 0; i < n / 2; i++) {
                void *p = b->base[i];

                b->base[i] = b->base[n - 1 - i];
                b->base[n - 1 - i] = p;
        }
        store_release(&b->top, b->base + n - 1);        /* a child of fork reads it */
        owner_add(&b->mallocs, 1);
        return b->base[n - 1];
}

/* Gives the n oldest. While the others move down the bin is empty: another thread may fork now, and
 * its child must not find an object in it twice. */
static void bin_give(struct cache *c, unsigned class, unsigned n)
{
        struct bin *b = &c->bin[class];
        size_t      have = (size_t)(b->top - b->base);
        void       *batch[MAX_SLOTS];

        memcpy(batch, b->base, n * sizeof *batch);
        store_relaxed(&b->top, b->base);
        fence_compiler();
        memmove(b->base, b->base + n, (have - n) * sizeof *batch);
        store_release(&b->top, b->base + (have - n));   /* a child of fork reads it */
        owner_add(&c->given[class], n);
        weir__central_give(class, batch, n);
}

void weir__cache_spill(struct cache *c, unsigned class, void *p)
{
        struct bin *b = &c->bin[class];
        size_t      have = (size_t)(b->high - b->base);

        if (have < slots_of(class) && !(load_relaxed(&weir__mem_mode) & MODE_TINY))
                bin_grow(b, class);
        else
                bin_give(c, class, (unsigned)(have + 1) / 2);
        *b->top = p;
        store_release(&b->top, b->top + 1);
}

/* Somebody wants memory back: half of each bin, and smaller ones from now on. */
void weir__cache_trim(struct cache *c)
{
        store_relaxed(&c->trim, 0);
        for (unsigned i = 1; i < BINS; i++) {
                struct bin *b = &c->bin[i];
                size_t      have = (size_t)(b->top - b->base), cap = (size_t)(b->high - b->base);

                if (have)
                        bin_give(c, i, (unsigned)(have + 1) / 2);
                if (cap > START_SLOTS)
                        b->high = b->base + MAX(cap / 2, have / 2);
        }
}

void weir__cache_flush(struct cache *c)
{
        for (unsigned i = 1; i < BINS; i++) {
                struct bin *b = &c->bin[i];

                if (b->top != b->base)
                        bin_give(c, i, (unsigned)(b->top - b->base));
        }
        weir__run_flush(c);
}
