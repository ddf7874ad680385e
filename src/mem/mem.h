/* Memory: the page heap, its objects, and pools of records. What other folders may use. */
#ifndef WEIR_MEM_MEM_H
#define WEIR_MEM_MEM_H

#include "base/lock.h"
#include <weir/mem.h>

/* Zeroed memory, aligned to a cache line, for an object that nobody frees (a channel). Never NULL:
 * without memory the program ends with a message that names what it was for. From: any thread. */
void *weir__mem_new(size_t size, const char *what);

/* Records that are closed or stopped by hand and may still be named afterwards: a second close must
 * find a closed record, not another one. A record given back is handed out again only after `keep`
 * later ones were given back. */
struct pool {
        struct lock  lock;
        size_t       size;              /* const: bytes of a record */
        unsigned     keep;              /* const */
        const char  *what;              /* const */
        unsigned     count;             /* lock: own */
        struct spare *first, *last;     /* lock: own */
};

#define POOL_INIT(bytes, least, name) \
        { .lock = LOCK_INIT(pool), .size = (bytes), .keep = (least), .what = (name) }

/* A record; its content is zero when fresh, and as it was given back when not (but for the first
 * two words). From: any thread. */
void *weir__pool_get(struct pool *p, bool *ret_fresh);
void  weir__pool_put(struct pool *p, void *record);

/* ---- malloc under names of its own: what the public names stand for, where they are weir's ----
 * */

void  *weir__malloc(size_t size);
void  *weir__calloc(size_t n, size_t size);
void  *weir__realloc(void *p, size_t size);
void   weir__free(void *p);
void  *weir__memalign(size_t align, size_t size);
size_t weir__malloc_usable_size(const void *p);

/* ---- objects of the collected heap ---- */

/* What the collector has to do with the objects of a span. */
enum mem_kind {
        MEM_MANUAL,             /* malloc: freed by hand, a root, scanned conservatively */
        MEM_TYPED,              /* pointer map, write barrier */
        MEM_PLAIN,              /* any layout: scanned conservatively */
        MEM_NOSCAN,             /* no pointers */
        MEM_KINDS,
};

/* A zeroed object of a kind but MEM_MANUAL, aligned to 16, or to its size when that is smaller.
 * Never NULL: without memory the program ends with a report. From: any thread. Must not be
 * interrupted by a switch to another goroutine (weir__mem_interrupted). */
void *weir__mem_alloc(enum mem_kind kind, size_t size);

/* How many bytes the object of a request of size bytes really has. */
size_t weir__mem_round(size_t size);

/* How many bytes from p to the end of its object, free or not; SIZE_MAX: p is not in the heap. */
size_t weir__mem_room(const void *p);

/* Frees a collected object that nothing points to any more, by the word of the caller; p is its
 * start. One whose span another thread allocates from is left to the next sweep. NULL is fine.
 * From: any thread; not while the span is being swept. */
void weir__mem_drop(void *p);

/* An object of MEM_NOSCAN that may hold anything. Never NULL. From: as weir__mem_alloc. */
void *weir__mem_alloc_dirty(size_t size);

/* Marks the object that p points to or into. True: it was not marked before. False also for what
 * is no pointer into a used object of a collected kind. From: any thread. */
bool weir__mem_mark(const void *p);

/* Frees all collected objects that are not marked and clears the marks. Answers how many were
 * freed. No other thread may allocate collected objects meanwhile, and their caches are flushed. */
size_t weir__mem_sweep(void);

/* While true, new objects are marked. Set by the collector with the world stopped. */
extern bool weir__run_marks;

/* Whether the thread that a signal interrupted at pc stands inside the allocator, whose caches
 * belong to threads: then it must not be taken off its thread. From: a handler on that thread. */
bool weir__mem_interrupted(const void *pc);

/* How many threads the allocator runs: those that give memory back. */
unsigned weir__mem_threads(void);

/* ---- hooks ---- */

struct mem_hooks {
        /* Collect garbage: the heap is about to grow beyond the limit, or there is no memory. From:
         * any thread that allocates, inside the allocator, without its locks. Filled by gc. */
        void (*collect)(void);
};
extern struct mem_hooks weir__mem_hooks;

/* ---- reports ---- */

/* Called for sampled allocations and for the frees of sampled objects, when a profile wants them;
 * from the allocating thread, inside the allocator: must not allocate. */
struct mem_sampler {
        void (*allocated)(void *p, size_t size);
        void (*freed)(void *p);
};
void weir__mem_sample(const struct mem_sampler *sampler, size_t mean_bytes);

#endif
