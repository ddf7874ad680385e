/* Spans: runs of pages in use, cut into objects of one class or holding one large object.
 *
 * What    Makes and releases spans, keeps the table from page to span, changes large ones in place,
 *         or moves them.
 * Shape   The structs of spans lie in slabs of 64 KiB, aligned so, all with bitmaps of one length:
 *
 *         slab   | header | struct | struct | ...         one list per length of those with room
 *
 *         A struct may be read at any time by who has a stale pointer to it. So a slab stays mapped
 *         for good, but one without a struct in use loses its memory, all but the first page: what
 *         is read there then is 0, and says SPAN_NONE.
 * States  Of a slab:  full      on no list
 *                     partial   on the list of its length, at its head
 *                     empty     on the list, at its end; all but one of them have lost their memory
 * Order   A span is filled in before its pages point to it (release), and the pages of a malloc
 *         class get their class after that, so that who finds a class finds the span too. A
 *         released span keeps its entries in the table: the state says that they are stale. That
 *         saves the clearing, and readers must look at the state anyway.
 * Cost    Filling the table costs 8 bytes per page, 1 MiB for an object of 1 GiB.
 *         A large block that must move to grow is copied in steps, each of which gives the memory
 *         of the old place back before the next: 2 MiB of both are there at once and not all (a
 *         database that let a buffer double up to 200 MiB held 130 MiB more without that). It moves
 *         to where as much again is free behind it, so that the next time it need not.
 * Not     Moving the pages by mremap, as the C library does: what is moved remains a mapping of its
 *         own wherever it goes; of these a process has 65 530, and a second move must be made for
 *         each piece. */
#include "mem/heap.h"
#include "os/os.h"

enum {
        LENGTHS = 5,                    /* of bitmaps, in words: 1, 2, 4, 8, 16 */
        POOLS = 2 * LENGTHS,            /* by these; and again for spans with types */
        MOVE_LEAST = 4 << 20,           /* bytes of a block that is moved in steps */
        MOVE_STEP = HUGE_SIZE,
};

struct slab {
        struct slab *next, *prev;       /* lock: heap; the list of its pool */
        struct span *unused;            /* lock: heap; structs that were in use once, by next */
        uint32_t     used;              /* lock: heap; structs in use */
        uint32_t     fresh;             /* lock: heap; offset of the first never used */
        uint8_t      pool;              /* const */
        uint8_t      listed;            /* lock: heap */
};

static struct {
        struct slab *first, *last;      /* lock: heap; those with room */
        struct slab *empty;             /* lock: heap; the one empty slab that keeps its memory */
} pools[POOLS];

size_t weir__spans_used, weir__spans_large;

static unsigned pool_of(unsigned objects, bool typed)
{
        unsigned words = (objects + 63) / 64, i = 0;

        while (1u << i < words)
                i++;
        return i + typed * LENGTHS;
}

/* ---- slabs; lock: heap is held ---- */

static uint32_t struct_size(unsigned pool)
{
        bool typed = pool >= LENGTHS;

        return (uint32_t)(sizeof(struct span) +
                          (4 * sizeof(uint64_t) + typed * 64 * sizeof(uint16_t)) *
                                  (1u << pool % LENGTHS));
}

static bool has_room(const struct slab *b)
{
        return b->unused || b->fresh + struct_size(b->pool) <= SLAB;
}

static void slab_list(struct slab *b, bool at_end)
{
        struct slab *first = pools[b->pool].first, *last = pools[b->pool].last;

        b->listed = 1;
        b->prev = at_end ? last : NULL;
        b->next = at_end ? NULL : first;
        *(b->prev ? &b->prev->next : &pools[b->pool].first) = b;
        *(b->next ? &b->next->prev : &pools[b->pool].last) = b;
}

static void slab_unlist(struct slab *b)
{
        b->listed = 0;
        *(b->prev ? &b->prev->next : &pools[b->pool].first) = b->next;
        *(b->next ? &b->next->prev : &pools[b->pool].last) = b->prev;
}

static uint32_t first_struct(void)
{
        return ALIGN_UP((uint32_t)sizeof(struct slab), (uint32_t)CACHE_LINE);
}

static struct slab *slab_new(unsigned pool)
{
        struct slab *b = weir__fixed_slab();

        if (b) {
                b->pool = (uint8_t)pool;
                b->fresh = first_struct();
                slab_list(b, true);
        }
        return b;
}

static struct span *span_get(unsigned objects, bool typed)
{
        unsigned     pool = pool_of(objects, typed);
        struct slab *b = pools[pool].first;
        struct span *s;

        if (!b && !(b = slab_new(pool)))
                return NULL;
        if (pools[pool].empty == b)
                pools[pool].empty = NULL;
        s = b->unused;
        if (s) {
                b->unused = s->next;
        } else {
                s = (struct span *)(void *)((char *)b + b->fresh);
                b->fresh += struct_size(pool);
                s->words = (uint8_t)(1u << pool % LENGTHS);
                s->types = typed ? (uint16_t *)(s->bits + 4 * s->words) : NULL;
        }
        b->used++;
        weir__spans_used++;
        if (!has_room(b))
                slab_unlist(b);
        return s;
}

static void span_put(struct span *s)
{
        struct slab *b = (struct slab *)(void *)((uintptr_t)s & ~(uintptr_t)(SLAB - 1));

        s->next = b->unused;
        b->unused = s;
        weir__spans_used--;
        if (b->listed && b->used > 1) {
                b->used--;
                return;
        }
        if (b->listed)
                slab_unlist(b);
        b->used--;
        slab_list(b, !b->used);
        if (b->used)
                return;
        if (!pools[b->pool].empty) {
                pools[b->pool].empty = b;
                return;
        }
        b->unused = NULL;
        b->fresh = first_struct();
        (void)weir__os_forget((char *)b + OS_PAGE, SLAB - OS_PAGE);
}

/* ---- */

static void map_pages(struct span *s, size_t first, size_t n)
{
        size_t  page = (s->start - weir__heap.base) >> PAGE_SHIFT;
        bool    scanned = s->kind == MEM_PLAIN || (s->kind == MEM_MANUAL && !s->unscanned);
        uint8_t watch = scanned ? WATCH_ON : 0;

        for (size_t i = first; i < first + n; i++) {
                store_relaxed(&weir__heap.watch[page + i], watch);
                store_release(&weir__heap.spans[page + i], s);  /* pairs with weir__span_of() */
        }
}

/* Fills in a struct for pages that were just allocated. lock: heap is held. */
static void span_init(struct span *s, size_t page, size_t pages, unsigned kind, unsigned class)
{
        store_relaxed(&s->version, s->version + 1);
        __atomic_thread_fence(__ATOMIC_RELEASE);        /* pairs with weir__mem_find() */
        store_relaxed(&s->start, weir__heap.base + (page << PAGE_SHIFT));
        store_relaxed(&s->pages, (uint32_t)pages);
        s->class = (uint8_t)class;
        store_relaxed(&s->kind, (uint8_t)kind);
        store_relaxed(&s->parity, (uint8_t)load_relaxed(&weir__sweep_parity));
        s->listed = s->cached = s->guarded = s->sampled = 0;
        store_relaxed(&s->unscanned, (uint8_t)(class >= CLASSES));
        s->loose = class != 0;
        s->next = s->prev = NULL;
        s->hint = 0;
        if (class) {
                store_relaxed(&s->size, (size_t)weir__class[class].size);
                store_relaxed(&s->objects, (uint32_t)weir__class[class].objects);
                store_relaxed(&s->magic, weir__class[class].magic);
        } else {
                store_relaxed(&s->size, pages << PAGE_SHIFT);
                store_relaxed(&s->objects, 1u);
                store_relaxed(&s->magic, (uint64_t)0);
                owner_add(&weir__spans_large, (size_t)(kind != MEM_MANUAL));
        }
        s->nfree = class ? s->objects : 0;              /* who asks for a large one has it */
        for (unsigned i = 0; i < s->words; i++) {
                unsigned left = s->nfree > i * 64 ? s->nfree - i * 64 : 0;

                store_relaxed(&span_free_bits(s)[i],
                              left >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1);
                store_relaxed(&span_mark_bits(s)[i], (uint64_t)0);
                span_scan_bits(s)[i] = 0;
                store_relaxed(&span_born_bits(s)[i], (uint64_t)0);
        }
        if (s->types)
                memset(s->types, 0, s->objects * sizeof *s->types);
        store_release(&s->version, s->version + 1);
        store_relaxed(&s->state, SPAN_USED);
        map_pages(s, 0, pages);
        if (class && kind == MEM_MANUAL)
                for (size_t i = 0; i < pages; i++)
                        store_relaxed(&weir__heap.class_of[page + i], (uint8_t)class);
}

/* room: pages that are better free behind it. */
static struct span *span_make(unsigned kind, unsigned class, size_t pages, size_t align,
                              size_t room, bool *ret_zero)
{
        struct span *s;
        ptrdiff_t    page;

        weir__mem_lock(&weir__heap_lock);
        s = span_get(class ? weir__class[class].objects : 1, kind == MEM_TYPED);
        page = s ? weir__page_alloc(pages, align, room, ret_zero) : -1;
        if (page >= 0) {
                span_init(s, (size_t)page, pages, kind, class);
        } else if (s) {
                span_put(s);
                s = NULL;
        }
        weir__mem_unlock(&weir__heap_lock);
        return s;
}

struct span *weir__span_new(unsigned kind, unsigned class)
{
        size_t pages = weir__class[class].pages;
        bool   zero;

        weir__limit_grow(pages << PAGE_SHIFT);
        return span_make(kind, class, pages, 1, 0, &zero);
}

struct span *weir__span_new_large(unsigned kind, size_t size, size_t align, bool *ret_zero)
{
        size_t       pages = size / PAGE_SIZE + (size % PAGE_SIZE != 0);
        struct span *s;

        weir__limit_grow(size);
        s = span_make(kind, CLASS_NONE, MAX(pages, 1u), MAX(align >> PAGE_SHIFT, 1u), 0,
                      ret_zero);
        if (s)
                store_relaxed(&s->asked, size);
        return s;
}

/* gone: the kernel has the memory already. */
static void release(struct span *s, bool gone)
{
        size_t page = (s->start - weir__heap.base) >> PAGE_SHIFT;

        if (s->guarded)
                (void)weir__os_protect((char *)s->start + span_bytes(s) - PAGE_SIZE, PAGE_SIZE,
                                       false);
        weir__mem_lock(&weir__heap_lock);
        if (s->class && s->kind == MEM_MANUAL)
                for (size_t i = 0; i < s->pages; i++)
                        store_relaxed(&weir__heap.class_of[page + i], 0);
        store_relaxed(&s->state, SPAN_NONE);
        owner_add(&weir__spans_large, -(size_t)(!s->class && s->kind != MEM_MANUAL));
        weir__page_free(page, s->pages, gone);
        span_put(s);
        weir__mem_unlock(&weir__heap_lock);
        weir__scavenge_wake();
}

void weir__span_release(struct span *s)
{
        release(s, false);
}

bool weir__span_resize(struct span *s, size_t size)
{
        size_t page = (s->start - weir__heap.base) >> PAGE_SHIFT;
        size_t want = size / PAGE_SIZE + (size % PAGE_SIZE != 0), have = s->pages;
        bool   zero, done = true;

        if (want > UINT32_MAX || s->guarded)
                return false;
        if (want > have)
                weir__limit_grow((want - have) << PAGE_SHIFT);
        weir__mem_lock(&weir__heap_lock);
        if (want > have && (done = weir__page_extend(page + have, want - have, &zero)))
                map_pages(s, have, want - have);
        if (done) {
                store_relaxed(&s->pages, (uint32_t)want);
                s->size = want << PAGE_SHIFT;
                store_relaxed(&s->asked, size);
        }
        if (want < have)
                weir__page_free(page + want, have - want, false);
        weir__mem_unlock(&weir__heap_lock);
        if (want < have)
                weir__scavenge_wake();
        return done;
}

void weir__span_unscanned(struct span *s)
{
        weir__mem_lock(&weir__heap_lock);
        store_relaxed(&s->unscanned, 1);
        map_pages(s, 0, s->pages);
        weir__mem_unlock(&weir__heap_lock);
}

struct span *weir__span_move(struct span *s, size_t size)
{
        size_t       pages = size / PAGE_SIZE + (size % PAGE_SIZE != 0), have = span_bytes(s);
        size_t       step = MOVE_STEP - (s->start & (MOVE_STEP - 1));
        struct span *to;
        bool         zero, gone = true;

        if (s->class || s->guarded || s->sampled || have < MOVE_LEAST || size <= have)
                return NULL;
        weir__limit_grow(size - have);
        to = span_make(s->kind, CLASS_NONE, pages, HUGE_PAGES, pages, &zero);
        if (!to)
                return NULL;
        store_relaxed(&to->asked, size);
        if (s->unscanned)
                weir__span_unscanned(to);
        for (size_t done = 0; done < have; step = MOVE_STEP) {
                step = MIN(step, have - done);
                memcpy((char *)to->start + done, (char *)s->start + done, step);
                gone &= weir__os_forget((char *)s->start + done, step);
                done += step;
        }
        release(s, gone);
        return to;
}

size_t weir__span_list(size_t *page, struct span **ret, size_t n)
{
        size_t got = 0;

        weir__mem_lock(&weir__heap_lock);
        while (*page < weir__heap_pages.grown && got < n) {
                struct span *s = weir__heap.spans[*page];

                if (!s || s->state != SPAN_USED ||
                    s->start != weir__heap.base + (*page << PAGE_SHIFT)) {
                        ++*page;
                        continue;
                }
                *page += s->pages;
                if (s->kind != MEM_MANUAL && !s->class)
                        ret[got++] = s;
        }
        weir__mem_unlock(&weir__heap_lock);
        return got;
}

void weir__span_each(void (*fn)(struct span *s, void *arg), void *arg)
{
        for (size_t page = 0; page < weir__heap_pages.grown;) {
                struct span *s = weir__heap.spans[page];

                if (s && s->state == SPAN_USED &&
                    s->start == weir__heap.base + (page << PAGE_SHIFT)) {
                        page += s->pages;
                        fn(s, arg);
                } else {
                        page++;
                }
        }
}
