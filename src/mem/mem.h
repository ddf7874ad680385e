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
void  *weir__malloc_plain(size_t size);
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

/* The same for a typed object whose type has been told by weir__mem_type. */
void *weir__mem_alloc_typed(uint16_t type, size_t size);

/* One object of a type that has no tail, by the shortest way. */
void *weir__mem_alloc_one(uint16_t type);

/* What the objects of a type are: elements of size bytes with pointers at the offsets `at`. With a
 * tail: one such element, and from the offset `from` on elements of the tail to the end. */
struct mem_type {
        const char            *name;
        uint32_t               size;
        uint32_t               n;
        const uint32_t        *at;
        const struct mem_type *tail;
        uint32_t               from;
        uint32_t               class;   /* weir__mem_type's: of an object; 0: a large one */
        uint32_t               slot;    /* weir__mem_type's: its bytes, rounded up */
};

/* What was told of a number. */
extern struct mem_type *weir__mem_types;       /* by number; const once told */

static inline const struct mem_type *weir__mem_type_of(uint16_t number)
{
        return &weir__mem_types[number];
}

void weir__mem_type(uint16_t number, const struct mem_type *type);

/* How many bytes the object of a request of size bytes really has. */
size_t weir__mem_round(size_t size);

/* How many bytes from p to the end of its object, free or not; SIZE_MAX: p is not in the heap. */
size_t weir__mem_room(const void *p);

/* Frees a collected object that nothing points to any more, by the word of the caller; p is its
 * start. One whose span another thread allocates from, or any while a sweep is not finished, is
 * left to the next sweep. NULL is fine. From: any thread. */
void weir__mem_drop(void *p);

/* An object of MEM_NOSCAN that may hold anything. Never NULL. From: as weir__mem_alloc. */
void *weir__mem_alloc_dirty(size_t size);

/* What an address leads to. */
struct mem_object {
        void         *base;
        size_t        size;             /* of its slot */
        enum mem_kind kind;
        uint32_t      index;            /* of it in the span */
        struct span  *span;
};

/* Whether p points to or into an object that is in use, of any kind (of malloc also one that a
 * cache holds), and which. Two loads lead to the span. From: any thread, beside threads that
 * allocate and free; what is answered holds as long as the object does. */
bool weir__mem_find(const void *p, struct mem_object *ret);

/* Marks an object of a collected kind. True: it was not marked before. From: any thread. */
bool weir__mem_mark_object(const struct mem_object *o);

/* Both: false also for what is no pointer into a used object of a collected kind. */
bool weir__mem_mark(const void *p);

/* ---- marking: mark.c ---- */

enum { MARKERS_MAX = 16, MARK_WAY = 16 };

/* What slice.c knows of a marker; only its own. */
struct mark_slice {
        bool     on;                    /* it is to pause now and then */
        int      tid;
        int64_t  cpu, began, look;      /* when the slice began, of a core and of time; not before */
        uint64_t objects, since;        /* marked, and allocated by the program, when it began */
};

extern uint64_t weir__mark_slices;      /* atomic: that ended with a pause */

/* One of those that mark at the same time. Zero before weir__mark_begin. */
struct marker {
        uint32_t     id;                /* const while marking */
        uint32_t     count;             /* only its own: spans in its queue */
        uint32_t     peak;              /* only its own: the most there were */
        uint32_t     at;                /* only its own */
        struct span *first, *last;      /* only its own: spans with objects to be scanned */
        struct {
                uintptr_t    word;
                struct span *span;
        } ahead[8];                     /* only its own: about to be marked */
        struct span *in;                /* only its own: whose objects it scans now */
        uintptr_t    in_start, in_bytes; /* only its own: where they lie; no bytes: none */
        struct span *way[MARK_WAY];     /* only its own: about to be scanned */
        uint32_t     way_at;            /* only its own */
        bool         draining;          /* only its own: in weir__mark_drain */
        uint64_t     objects, bytes;    /* marked; only its own writes, bytes: atomic */
        uint64_t     found;             /* only its own: words that were pointers */
        uint64_t     words;             /* only its own: looked at */
        struct mark_slice slice;
} __attribute__((aligned(CACHE_LINE)));

/* Marks what a word of [low, high), aligned to 8, points to or into; on a stack, what it is the end
 * of, too. */
void weir__mark_range(struct marker *m, uintptr_t low, uintptr_t high);
void weir__mark_stack(struct marker *m, uintptr_t low, uintptr_t high);

/* From now on calls pointed(word) for words that are marked and lie in [low, high), which is not of
 * the heap; from each marker. With the world stopped. low >= high: for none. */
void weir__mark_apart(uintptr_t low, uintptr_t high, void (*pointed)(uintptr_t word));

/* The same for memory of variables, but for those that are no roots. */
void weir__mark_globals(struct marker *m, uintptr_t low, uintptr_t high);

/* Marks what p points to or into. */
void weir__mark_pointer(struct marker *m, const void *p);

/* Marks what the object at p, its start, points to; not the object. */
void weir__mark_inside(struct marker *m, const void *p);

/* The variables at p, size bytes, hold no pointer that keeps an object: each cycle would read them,
 * and in a stop. For constructors. */
void weir__mem_no_roots(const void *p, size_t size);

/* Calls fn for each part of [low, high), memory of variables, that may hold such pointers. */
void weir__mem_each_root(uintptr_t low, uintptr_t high,
                         void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg);

/* Ends what is under way for words looked at so far; marks they lead to are set, or sent. */
void weir__mark_settle(struct marker *m);

/* The same for all that malloc has handed out. stopped: the world is, and all of it is looked at;
 * else pages that were found without a pointer in an earlier cycle, and are known not to have been
 * written since, are passed over. */
void weir__mark_malloc(struct marker *m, bool stopped);

/* Marks what plain objects point to that are scanned already, or born, and blocks of malloc if
 * asked to, where they lie in [low, high): memory of the heap that was written. */
void weir__mark_again(struct marker *m, uintptr_t low, uintptr_t high, bool blocks);

/* With the world stopped, between those two: calls fn for each block of malloc that the program
 * has, with its size, that of its class. */
void weir__mem_each_block(void (*fn)(void *p, size_t size, void *arg), void *arg);

/* Excluded memory (exclude.c). Takes a copy of what the program excluded, for the scans that
 * follow; calls fn for what is left of [low, high), marks it; whether there is anything excluded in
 * there. From: the collector. */
void weir__exclude_look(void);
void weir__exclude_each(uintptr_t low, uintptr_t high,
                        void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg);
bool weir__exclude_any(uintptr_t low, uintptr_t high);
void weir__mark_allowed(struct marker *m, uintptr_t low, uintptr_t high);

/* Around both: notes which blocks of malloc are free though their spans do not say so. */
void weir__mark_skip_begin(void);
void weir__mark_skip_end(void);

/* Calls fn for each run of pages whose writes the kernel has to tell of: of malloc or plain. From:
 * any thread. */
void weir__mem_each_watched(void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg);

/* Such pages were written: a pointer may be there. */
void weir__mem_written(uintptr_t low, uintptr_t high);

/* [*low, *high): the heap as far as it has grown; all of it may be read. */
void weir__mem_extent(uintptr_t *low, uintptr_t *high);

/* With the world stopped and marking ended: throws where a declared pointer of an object that will
 * live points to one that will not; names both. */
void weir__mark_check(void);

/* Begins marking by n markers, a power of two. False: no memory; never for one. With the world
 * stopped. */
bool weir__mark_begin(struct marker *markers, uint32_t n);

/* Marks what is reachable from what is marked, until there is nothing more to do for anybody: all
 * markers call this, each for itself, and return together. What a single one did before is seen by
 * the others. */
void weir__mark_drain(struct marker *m);

/* Whether p points to or into an object that is marked. */
bool weir__mark_is(const void *p);

/* ---- what is stored while marking is on: shade.c ---- */

/* What weir_set looks at: whether stores are to be told. Set by the collector with the world
 * stopped. */
extern uint32_t weir__gc_barrier;       /* atomic */

/* Has what p points into marked in this cycle. From: any thread, in the runtime. */
void weir__mem_shade(const void *p);

/* The same for what the words of [low, high) point to, which is part of the stack [own_low,
 * own_high). */
void weir__mem_shade_stack(uintptr_t low, uintptr_t high, uintptr_t own_low, uintptr_t own_high);

enum { BARRIER_OFF, BARRIER_MARK, BARRIER_CARDS };

/* While the barrier is not off: value is about to be stored in slot, by other means than
 * weir_set. */
void weir__mem_stores(const void *slot, const void *value);

/* Marks what buffers that were filled name; or what all of them do, with the world stopped. Answers
 * how many there were. */
size_t weir__mark_shaded(struct marker *m);
size_t weir__mark_shaded_rest(struct marker *m);

/* ---- minor collections: card.c, mark.c ---- */

/* What a sweep leaves of marks: nothing, or what marking found is marked and scanned still, so that
 * the next one goes on from there; what was born meanwhile is not. Set once, before anything is
 * marked. */
extern bool weir__mem_sticky;

/* Takes all marks away, beside the program: the next marking begins anew. All is swept. */
void weir__marks_clear(void);

/* Makes the tables of cards. False: there is no memory for them. */
bool weir__cards_init(void);

/* Stores by the program are noted in the other table from now on. With the world stopped. */
void weir__cards_swap(void);

/* Notes that pointers are stored in the size > 0 bytes at p. */
void weir__cards_set(const void *p, size_t size);

/* Marks what marked objects of declared types point to from where a card is set, and clears the
 * cards; answers how many there were. Or clears them only. */
size_t weir__mark_cards(struct marker *m);
void   weir__cards_clear(void);

/* The same for objects in [low, high), which lies in one page. */
void weir__mark_old_again(struct marker *m, uintptr_t low, uintptr_t high);

/* ---- sweep: objects that are not marked become free, and the marks clear ---- */

/* Marking has ended: from now on all is to be swept. Flushes the caches of all threads. From: one
 * thread, with the world stopped and nobody inside the allocator. */
void weir__mem_sweep_begin(void);

/* Sweeps up to n spans. Answers how many; 0: all are swept, but those that another thread is at.
 * From: any thread, beside threads that allocate (which sweep what they take). */
unsigned weir__mem_sweep_some(unsigned n);

/* Spans still to be swept; no mark may be set before it is 0. */
extern uint64_t weir__unswept;          /* atomic */

/* All at once: begin and some. Answers how many objects were freed. No other thread may allocate
 * collected objects meanwhile, and their caches are flushed. */
size_t weir__mem_sweep(void);

/* ---- pace ---- */

/* Bytes of collected objects taken since the last weir__mem_sweep_begin, in steps of a span. */
extern uint64_t weir__mem_since;        /* atomic */

/* Where the hook pace is called. */
extern uint64_t weir__mem_trigger;      /* atomic; UINT64_MAX: never */

/* From now on until weir__mem_sweep_begin new objects count as marked. From: one thread, with the
 * world stopped and all swept. */
void weir__mem_mark_begin(void);

/* Between the two. */
extern bool weir__run_marks;            /* atomic; changed with the world stopped */

/* Whether the thread that a signal interrupted at pc stands inside the allocator, whose caches
 * belong to threads: then it must not be taken off its thread. From: a handler on that thread. */
bool weir__mem_interrupted(const void *pc);

/* Whether the calling thread holds all locks of the allocator, because it forks: then it must not
 * be made to wait for anybody. From: also a handler on that thread. */
bool weir__mem_holds_all(void);

/* How many threads the allocator and the collector run; and that there are n more. */
unsigned weir__mem_threads(void);
void     weir__mem_threads_more(unsigned n);

/* Whether p is from malloc, and that is weir's. */
bool weir__mem_own(const void *p);

/* Calls fn for each object of weir__mem_new that is not in memory of weir's own. */
void weir__mem_each_foreign(void (*fn)(void *p, size_t size, void *arg), void *arg);

/* What weir_mem_read tells of the collector, written by it. */
struct mem_gc {
        int      percent;               /* const after start: of weir_run's options; 0: none */
        uint64_t live;                  /* atomic: bytes marked in the last cycle */
        uint64_t next;                  /* atomic: bytes in use at which the next one begins */
        uint64_t cycles, forced, pause_total, pause_last, pause_max;    /* atomic */
        uint64_t cpu;                   /* atomic: ns that marking took of cores, at most */
};
extern struct mem_gc weir__mem_gc;
void weir__mem_gc_paused(int64_t ns);

/* ---- hooks ---- */

struct mem_hooks {
        /* Collect garbage: the heap is about to grow beyond the limit, or there is no memory. From:
         * any thread that allocates, inside the allocator, without its locks. Filled by gc. */
        void (*collect)(void);

        /* weir__mem_since has reached weir__mem_trigger; called at each step from then on. From: a
         * thread that allocates collected objects, inside the allocator, without its locks. May
         * neither allocate nor park. Filled by gc. */
        void (*pace)(void);
};
extern struct mem_hooks weir__mem_hooks;

/* ---- reports ---- */

/* Called for sampled allocations and for the frees of sampled objects, when a profile wants them;
 * from the allocating thread, inside the allocator: must not allocate. */
struct mem_sampler {
        void (*allocated)(void *p, size_t size);
        void (*freed)(void *p);
};
/* Looks at what each size has in use and prints what became more; answers how many of them only
 * ever grow and were called suspects of a leak now. From: one thread, the monitor. */
struct out;
unsigned weir__growth_look(struct out *o);

void weir__mem_sample(const struct mem_sampler *sampler, size_t mean_bytes);

#endif
