/* What the files of src/mem share: pages, spans, central lists, caches. Other folders use mem.h. */
#ifndef WEIR_MEM_HEAP_H
#define WEIR_MEM_HEAP_H

#include "mem/mem.h"

/* On by: the build options of the same names. */
#ifndef WEIR_MALLOC
#define WEIR_MALLOC 0
#endif
#ifndef WEIR_HARDEN
#define WEIR_HARDEN 0
#endif

enum {
        PAGE_SHIFT = 13,
        PAGE_SIZE = 1 << PAGE_SHIFT,
        HUGE_SIZE = 2 << 20,                    /* a huge page of the processor */
        HUGE_PAGES = HUGE_SIZE / PAGE_SIZE,
        ARENA_SIZE = 64 << 20,                  /* what the heap grows by */
        SLAB = 64 << 10,                        /* of structs of spans */
        SMALL_MAX = 65536,                      /* larger requests get a span of their own */
        FINE_MAX = 1024,                        /* up to here classes are looked up by 8 bytes */
        OBJECTS_MAX = 1024,                     /* of a span; bits of its bitmaps */
        KINDS = MEM_KINDS,
};

#define CLASS(number, bytes, pages, objects, magic) CLASS_##bytes,
enum { CLASS_NONE,
#include "mem/class.def"
       CLASSES };
#undef CLASS

/* Blocks of malloc that hold no pointers (weir_malloc_plain) have classes of their own behind the
 * others: the same sizes again. */
enum { BINS = 2 * CLASSES - 1 };

static inline unsigned plain_class(unsigned class)
{
        return class + CLASSES - 1;
}

/* How many classes a kind has, class 0 counted. */
static inline unsigned classes_of(unsigned kind)
{
        return kind == MEM_MANUAL ? (unsigned)BINS : (unsigned)CLASSES;
}

struct class {
        uint32_t size;          /* bytes of an object */
        uint16_t pages;         /* of a span */
        uint16_t objects;       /* in it */
        uint64_t magic;         /* (offset * magic) >> 40 is the index of an object */
};
extern const struct class weir__class[BINS];

/* The class of a request by (size + 7) / 8 up to FINE_MAX, by (size + 127) / 128 up to SMALL_MAX.
 * Const after the allocator's start. */
extern uint8_t weir__class_fine[FINE_MAX / 8 + 1];
extern uint8_t weir__class_coarse[SMALL_MAX / 128 + 1];

/* size <= SMALL_MAX. */
/* Before the start of the heap the tables are 0, and while another thread fills them perhaps: the
 * caches are empty then, so that the slow path starts the heap and asks again. */
static inline unsigned class_of_size(size_t size)
{
        return size <= FINE_MAX ? load_relaxed(&weir__class_fine[(size + 7) >> 3])
                                : load_relaxed(&weir__class_coarse[(size + 127) >> 7]);
}

/* The ones of a word. The compiler's own would be a call into its library where the processor is
 * not known to have an instruction for it; that lies outside of the runtime's text, and a goroutine
 * that is stopped there stops with the allocator's locks held. */
static inline unsigned popcount(uint64_t w)
{
        w -= (w >> 1) & UINT64_C(0x5555555555555555);
        w = (w & UINT64_C(0x3333333333333333)) + ((w >> 2) & UINT64_C(0x3333333333333333));
        w = (w + (w >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
        return (unsigned)((w * UINT64_C(0x0101010101010101)) >> 56);
}

/* ---- locks: lock.c ---- */

/* A lock of the allocator. Between the two handlers of fork all of them are held by the forking
 * thread, which may go on allocating (other handlers do): for it they then count as free. */
void weir__mem_lock(struct lock *l);
void weir__mem_unlock(struct lock *l);

/* All of them, in the order of their ranks; for fork, exact reports and walks. */
void weir__mem_lock_all(void);
void weir__mem_unlock_all(void);

/* ---- spans ---- */

/* A run of pages that is in use. The struct lies outside of it and its memory is never given back,
 * so that a stale pointer to one can be read and then be found stale.
 *
 *   SPAN_NONE   unused struct, on the free list of its pool (lock: heap)
 *   SPAN_USED   pages are allocated; small: owned by the central list of kind and class, or by the
 *               cache that took it (collected kinds only); large: by whoever holds the object
 *
 * free has a bit for each object that the central list may hand out; what a cache or the program
 * holds has a 0. nfree counts its bits. */
struct span {
        uintptr_t    start;             /* const while used */
        size_t       size;              /* const while used: bytes of an object */
        uint64_t     magic;             /* const while used; 0: large */
        uint32_t     pages;             /* const while used, but for a large one's resize */
        uint32_t     objects;           /* const while used */
        uint32_t     nfree;             /* lock: central */
        uint32_t     hint;              /* lock: central; words of free before it are 0 */
        uint8_t      class;             /* const while used; 0: large */
        uint8_t      kind;              /* const while used */
        uint8_t      state;             /* atomic */
        uint8_t      words;             /* const: of each bitmap */
        uint8_t      listed;            /* lock: central; the list that it is on, see below */
        uint8_t      cached;            /* lock: central; held by a cache */
        uint8_t      loose;             /* lock: central; small: not counted by its list yet or
                                         * any more */
        uint8_t      guarded;           /* const while used; harden: the last page is a guard */
        uint8_t      sampled;           /* const while used: its free is reported */
        uint8_t      unscanned;         /* atomic; malloc's: by its word it holds no pointers */
        uint8_t      parity;            /* large, collected: of the cycle it was swept in; atomic */
        uint32_t     version;           /* odd while a struct is filled in anew; atomic */
        struct span *next, *prev;       /* lock: central; of an unused struct: lock: heap */
        size_t       asked;             /* large: bytes requested, for the reports; atomic */
        struct span *grey_next;         /* its owner's while marking (mark.c) */
        uint16_t    *types;             /* const; typed: what each object is */
        uint32_t     grey;              /* its owner's while marking: it is in the queue */
        uint64_t     bits[];            /* free, mark, scanned (mark.c), born; then types */
};

enum { SPAN_NONE, SPAN_USED };

/* The lists of a central list. Those of malloc know only the first. Of the collected kinds a cycle
 * sweeps from one pair into the other (weir__sweep_parity): what is on the pair of the last cycle
 * is not swept yet. */
enum { LIST_NONE, LIST_PARTIAL, LIST_FULL, LIST_PARTIAL_1, LIST_FULL_1, LISTS };

static inline bool list_is_partial(unsigned list)
{
        return list == LIST_PARTIAL || list == LIST_PARTIAL_1;
}

static inline uint64_t *span_free_bits(struct span *s)
{
        return s->bits;
}

static inline uint64_t *span_mark_bits(struct span *s)
{
        return s->bits + s->words;
}

static inline uint64_t *span_scan_bits(struct span *s)
{
        return s->bits + 2 * s->words;
}

/* Objects allocated while marking is on: they outlive the cycle unmarked. Written by who allocates
 * from the span, so that the marks are their marker's alone. */
static inline uint64_t *span_born_bits(struct span *s)
{
        return s->bits + 3 * s->words;
}

static inline uint32_t span_index(const struct span *s, uintptr_t addr)
{
        return (uint32_t)(((addr - s->start) * s->magic) >> 40);
}

static inline uintptr_t span_object(const struct span *s, uint32_t index)
{
        return s->start + index * s->size;
}

static inline size_t span_bytes(const struct span *s)
{
        return (size_t)s->pages << PAGE_SHIFT;
}

/* ---- the page heap: page.c ---- */

/* What the fast paths read, in one cache line. Const after start. */
struct heap_map {
        uintptr_t     base;             /* of the reserved range; aligned to ARENA_SIZE */
        size_t        pages;            /* reserved; 0 before start */
        uint8_t      *class_of;         /* per page: the class of a malloc span, else 0 */
        struct span **spans;            /* per page; stale where the page is free */
        uint8_t      *watch;            /* per page: WATCH_ bits; atomic */
} __attribute__((aligned(CACHE_LINE)));
extern struct heap_map weir__heap;

/* What the collector has to know of a page whose writes it cannot see. What a page of a released
 * span was stays until it is used anew.
 *
 *   WATCH_ON      of a kind without a barrier: malloc's (but of malloc's plain classes) or plain
 *   WATCH_CLEAN   malloc's, and when it was last scanned no word in it was a pointer to collected
 *                 memory; the collector's alone, but for a page that is taken into use */
enum { WATCH_ON = 1, WATCH_CLEAN = 2 };

/* The conservation law of pages: used + idle + leaving + released = grown. */
struct heap_pages {
        size_t grown;                   /* opened for use */
        size_t used;                    /* in spans */
        size_t idle;                    /* free, the kernel still backs them */
        size_t leaving;                 /* on their way from idle to released */
        size_t released;                /* free, fresh or given back */
        size_t tlb;                     /* of those grown: of huge pages that were set aside */
};
extern struct heap_pages weir__heap_pages;      /* lock: heap; read relaxed */
extern struct lock       weir__heap_lock;

bool weir__page_init(void);

/* n pages whose first is aligned to align pages (a power of two), where `room` more follow that are
 * free, if that can be had. Answers the page number, or -1 when there is no memory; *ret_zero: they
 * read as zero. lock: heap is held.
 * free: gone says that the kernel has nothing behind them any more. */
ptrdiff_t weir__page_alloc(size_t n, size_t align, size_t room, bool *ret_zero);
void      weir__page_free(size_t page, size_t n, bool gone);

/* Takes the n pages that follow, if all are free. lock: heap is held. */
bool weir__page_extend(size_t page, size_t n, bool *ret_zero);

/* Gives up to `want` idle pages back to the kernel, from the highest address down, beginning below
 * *cursor and moving it (0: start over). Takes lock heap. Answers how many pages it gave back. */
size_t weir__page_release(size_t *cursor, size_t want, bool whole_huge);

bool weir__page_is_free(size_t page);           /* lock: heap is held */
void weir__page_check(void);                    /* all locks are held */

/* ---- span.c ---- */

/* A span of a class, all objects free; NULL without memory. */
struct span *weir__span_new(unsigned kind, unsigned class);

/* A span of one object. *ret_zero: its memory reads as zero. */
struct span *weir__span_new_large(unsigned kind, size_t size, size_t align, bool *ret_zero);
void         weir__span_release(struct span *s);

/* Changes how many pages a large span has, in place. False: there is no room. */
bool weir__span_resize(struct span *s, size_t size);

/* A large span of malloc's that holds no pointers from now on. */
void weir__span_unscanned(struct span *s);

/* The same content in a large span of more bytes, and s is released; both are hardly in memory at
 * once. NULL: s is not one that is moved so, or there is no room; it is as it was. */
struct span *weir__span_move(struct span *s, size_t size);

extern size_t weir__spans_used;         /* lock: heap; structs in use */

/* The span that holds addr, or NULL. From: anywhere; what it answers holds as long as the object
 * does. */
static inline struct span *weir__span_of(uintptr_t addr)
{
        size_t       pages = load_acquire(&weir__heap.pages);   /* pairs with reserve()'s release */
        size_t       page = (addr - load_relaxed(&weir__heap.base)) >> PAGE_SHIFT;
        struct span *s;

        if (page >= pages)
                return NULL;
        s = load_acquire(&weir__heap.spans[page]);      /* pairs with the release in span.c */
        if (!s || load_relaxed(&s->state) != SPAN_USED ||
            addr - load_relaxed(&s->start) >= (size_t)load_relaxed(&s->pages) << PAGE_SHIFT)
                return NULL;
        return s;
}

/* Calls fn for each span in address order. The heap must not change meanwhile (the caller holds
 * all locks, or is alone). */
void weir__span_each(void (*fn)(struct span *s, void *arg), void *arg);

/* The next spans from *page on that hold one large object of a collected kind, at most n; moves
 * *page behind them. Answers how many, 0 at the end. Takes lock heap. */
size_t weir__span_list(size_t *page, struct span **ret, size_t n);

/* How many of those there are. */
extern size_t weir__spans_large;        /* lock: heap */

/* ---- metadata: fixed.c ---- */

/* Zeroed memory, aligned to 16, that is never given back; NULL without memory. Takes lock fixed. */
void *weir__fixed_alloc(size_t size);
/* The same for SLAB bytes, aligned to as much. */
void *weir__fixed_slab(void);
extern struct lock weir__fixed_lock;
uint64_t weir__fixed_bytes(void);

/* ---- central lists: central.c ---- */

struct central {
        struct lock  lock;
        uint32_t     spans;             /* atomic; lock: own to write: spans of this list there are */
        uint32_t     partial;           /* lock: own; of them on the lists of partial ones */
        uint32_t     held;              /* lock: own; of them in caches (collected kinds) */
        uint32_t     ntransfer;         /* lock: own; objects in transfer */
        uint32_t     transfer_max;      /* const after start */
        uint64_t     nfree;             /* lock: own; free bits of all its spans */
        uint64_t     taken;             /* lock: own; objects handed to caches, ever */
        uint64_t     given;             /* lock: own; objects come back, ever */
        uint64_t     grown;             /* lock: own; spans made, ever */
        uint64_t     returned;          /* lock: own; spans given to the page heap, ever */
        uint64_t     refills;           /* lock: own; batches or spans that caches took, ever */
        void       **transfer;          /* lock: own; whole batches on their way between caches */
        struct span *list[LISTS];       /* lock: own; spans that no cache holds; LIST_NONE: none */
} __attribute__((aligned(CACHE_LINE)));
extern struct central weir__central[KINDS][BINS];

bool weir__central_init(void);

/* Up to n objects of a malloc class. Answers how many; 0: no memory. */
unsigned weir__central_take(unsigned class, void **ret, unsigned n);
void     weir__central_give(unsigned class, void *const *objects, unsigned n);

/* Puts objects in transfer back into their spans, and empty spans back to the page heap. */
void weir__central_drain(void);

/* A span of a collected class with free objects, which then is the caller's alone; NULL: no memory.
 * Give it back with the bits of what was not used set again. */
struct span *weir__central_take_span(unsigned kind, unsigned class);
void         weir__central_give_span(struct span *s);

/* Sweeps up to n spans of the list that were not swept in this cycle: makes free what is not
 * marked, and the marks clear. Answers how many spans. */
unsigned weir__central_sweep(unsigned kind, unsigned class, unsigned n);

/* The pair of lists that the spans of this cycle are on: 0 or 1. */
extern uint64_t weir__unswept;         /* atomic: spans that a sweep has not come to */
extern uint32_t weir__sweep_parity;     /* atomic; changed with the world stopped */

/* Marks one object as free; false: a cache holds the span. Takes lock central. */
bool weir__central_drop(struct span *s, uint32_t i);

/* ---- caches: cache.c ---- */

/* What one thread holds of one malloc class: a stack of pointers that grows upwards. The word below
 * base is NULL for good, so that a pop that finds NULL has found the bottom. */
struct bin {
        void   **top;           /* atomic, only the owner writes: one past the newest */
        void   **high;          /* only the owner: where the stack is full */
        uint64_t mallocs;       /* atomic, only the owner writes: objects handed out, ever */
        void   **base;          /* const */
};

/* A stretch of free zeroed slots of one collected class. */
struct run {
        char        *next, *end;        /* only the owner */
        uint16_t    *types;             /* only the owner: of next; typed only */
        struct span *span;              /* held by this cache; NULL: none */
        uint32_t     at;                /* the object to look for free ones from */
};

struct cache {
        struct bin    bin[BINS];        /* bin 0 is empty and full */
        struct run  (*run)[CLASSES];    /* per kind but manual; NULL before the first use */
        char         *tiny, *tiny_end;  /* only the owner: the block that tiny ones are cut from */
        uint32_t      busy;             /* only the owner: inside of a slow path */
        uint32_t      trim;             /* atomic: somebody asks to hold less */
        uint64_t      rand;             /* only the owner */
        uint64_t      collected;        /* atomic, only the owner writes: objects, ever */
        uint64_t      collected_bytes;  /* atomic, only the owner writes */
        uint64_t      large, large_bytes;       /* atomic, only the owner writes: mallocs, ever */
        uint64_t      large_frees;              /* atomic, only the owner writes */
        uint64_t      taken[BINS];      /* atomic, only the owner writes: objects from central */
        uint64_t      given[BINS];      /* atomic, only the owner writes: objects to central */
        int64_t       sample;           /* only the owner: bytes to the next sampled allocation */
        struct cache *next;             /* const once in the list of all */
        struct cache *spare;            /* lock: caches; those without a thread */
        struct shades *shades;          /* only the owner; with the world stopped the collector */
        bool          orphan;           /* lock: caches; without a thread */
};

/* Of this thread. Before its first allocation and after its end it is weir__cache_closed, whose
 * bins are all empty and full at once, so that each fast path ends in its slow one. */
extern __thread struct cache *weir__cache __attribute__((tls_model("initial-exec")));

/* The same but for MODE_SLOW, where weir__cache stays closed. */
extern __thread struct cache *weir__cache_own __attribute__((tls_model("initial-exec")));
extern struct cache weir__cache_closed;

/* The runs of typed objects of this thread's cache; without a cache empty ones. */
extern __thread struct run *weir__run_typed __attribute__((tls_model("initial-exec")));
extern struct run weir__run_closed[];
extern struct lock   weir__caches_lock;
extern struct cache *weir__caches;      /* atomic: a list that only grows */

/* This thread's own, made when it has none; weir__cache_closed at the thread's end or without
 * memory. */
struct cache *weir__cache_get(void);

/* One object of a malloc class, from the cache filled up, or NULL without memory. */
void *weir__cache_refill(struct cache *c, unsigned class);

/* Puts an object into a bin that was full. */
void weir__cache_spill(struct cache *c, unsigned class, void *p);

/* Gives all that the cache holds to the central lists. From: its owner, or while it has none. */
void weir__cache_flush(struct cache *c);

void weir__cache_trim(struct cache *c);
void weir__cache_init(void);
void weir__mem_fork_init(void);

/* Gives back the runs of a cache. */
void weir__run_flush(struct cache *c);

/* ---- start: init.c ---- */

/* What the slow paths have to look at; 0 most of the time. */
enum {
        MODE_SANITIZER = 1,     /* only in malloc.c: a sanitizer's malloc serves this process */
        MODE_HARDEN = 2,
        MODE_TRACE = 4,
        MODE_SAMPLE = 8,
        MODE_TINY = 16,         /* caches of 2, and a walk after each operation */
        MODE_FAIL = 32,         /* the n-th request for pages fails; walks too */
};
extern uint32_t weir__mem_mode;         /* atomic; but for SAMPLE const after start */

/* Whether allocations must all go through the slow path. */
#define MODE_SLOW (MODE_HARDEN | MODE_TRACE | MODE_SAMPLE | MODE_WALK)
#define MODE_WALK (MODE_TINY | MODE_FAIL)

/* Makes the allocator ready. From: any thread, any number of times. False: no address space. */
bool weir__mem_start(void);

/* ---- reports ---- */

/* Ends the process because the program broke the rules of malloc; from: any thread. */
_Noreturn void weir__mem_abort(const char *fmt, ...)
        __attribute__((format(printf, 1, 2), __cold__));

/* What collected objects hold after their death, with WEIR_DEBUG=gcpoison. */
enum { POISON_DEAD = 0xDB };

/* ---- slice.c ---- */

/* A marker begins; with slice.on, after each piece of its work, it asks whether to pause. */
void weir__slice_begin(struct marker *m);
void weir__slice_ask(struct marker *m);

/* ---- shade.c ---- */

extern struct lock weir__shades_lock;
/* Where stacks are (weir__mark_apart). */
extern struct apart {
        uintptr_t low, bytes;           /* atomic */
        void (*pointed)(uintptr_t word);
} weir__apart;

void weir__shades_forked(void);         /* the child has no collector */
void weir__exclude_forked(void);        /* the same */

/* ---- harden.c ---- */

void  *weir__harden_alloc(size_t size, size_t align, bool *ret_zero);
void   weir__harden_free(void *p);
size_t weir__harden_size(const void *p);
extern struct lock weir__quarantine_lock;

/* What malloc.c lends to it: a block of any class, not counted twice; and its way back. */
void *weir__block_alloc(struct cache *c, size_t size, size_t align, bool *ret_zero);
void  weir__block_free(struct cache *c, void *p);

/* ---- watch.c ---- */

bool  weir__sample_due(struct cache *c, size_t size);
void *weir__sample_alloc(struct cache *c, size_t size, size_t align, bool *ret_zero);
void  weir__sample_freed(void *p);
void  weir__memtrace(const char *what, const void *p, size_t size);

/* ---- limit.c, scavenge.c ---- */

/* Gives idle memory back now: all of it, or huge pages only. Answers how many bytes. */
size_t weir__mem_release(bool all);

/* Ends the process: no memory for a request of so many bytes; with a report. */
_Noreturn void weir__mem_exhausted(size_t size) __attribute__((__cold__));

/* Called with no lock held when the heap is about to grow by so many bytes. Works toward the soft
 * limit, in the calling thread when the limit is near. */
void weir__limit_grow(size_t bytes);

/* Called with no lock held after pages became idle. */
void weir__scavenge_wake(void);

void weir__scavenge_start(void);
void weir__scavenge_forked(void);

/* Reads the limits of the cgroup. True: the group has met one of them since the last time. */
bool weir__limit_refresh(void);

/* Bytes that the process holds through the allocator. */
uint64_t weir__mem_held(void);

/* The rows of the table per class with the most stranded bytes. */
void weir__report_classes(struct out *o, unsigned most);

const char *weir__kind_name(unsigned kind, unsigned class);

/* Of one kind and size: objects in use, without those that caches hold; its spans, how many of them
 * are partly free. */
struct heap_use {
        uint64_t objects;
        uint32_t spans, partial;
};
void weir__heap_used(struct heap_use ret[KINDS][BINS]);

/* Collected objects swept, ever. */
extern uint64_t weir__swept, weir__swept_bytes;         /* atomic */
void weir__limit_init(void);
void weir__stats_init(void);

extern size_t weir__mem_soft;           /* atomic; SIZE_MAX: none */
extern const char *weir__limit_root;    /* before the paths of cgroups; "" but in tests */

/* ---- check.c ---- */

/* Derives every invariant of the heap anew and throws where one does not hold. Takes all locks. */
void weir__mem_check(void);

/* Called at the end of slow operations, and of all under MODE_WALK, with no lock held: walks when
 * the build or a switch asks for it. */
void weir__mem_check_maybe(void);

#endif
