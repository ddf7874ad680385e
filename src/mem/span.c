/* Spans: runs of pages in use, cut into objects of one class or holding one large object.
 *
 * What    Makes and releases spans, keeps the table from page to span, changes large ones in place.
 * Order   A span is filled in before its pages point to it (release), and the pages of a malloc
 *         class get their class after that, so that who finds a class finds the span too. A
 *         released span keeps its entries in the table: the state says that they are stale. That
 *         saves the clearing, and readers must look at the state anyway.
 * Cost    Filling the table costs 8 bytes per page, 1 MiB for an object of 1 GiB. */
#include "mem/heap.h"
#include "os/os.h"

/* Unused structs, with types or without, by the words of their bitmaps: 1, 2, 4, 8, 16. */
static struct span *unused[2][5];       /* lock: heap */

static unsigned pool_of(unsigned objects)
{
        unsigned words = (objects + 63) / 64, i = 0;

        while (1u << i < words)
                i++;
        return i;
}

/* lock: heap is held. */
static struct span *span_get(unsigned objects, bool typed)
{
        unsigned     i = pool_of(objects), words = 1u << i;
        struct span *s = unused[typed][i];

        if (s) {
                unused[typed][i] = s->next;
                return s;
        }
        s = weir__fixed_alloc(sizeof *s + (3 * sizeof(uint64_t) + typed * 64 * sizeof(uint16_t)) *
                                                  words);
        if (s) {
                s->words = (uint8_t)words;
                s->types = typed ? (uint16_t *)(s->bits + 3 * words) : NULL;
        }
        return s;
}

/* lock: heap is held. */
static void span_put(struct span *s)
{
        struct span **list = &unused[s->types != NULL][pool_of(s->words * 64u)];

        s->next = *list;
        *list = s;
}

static void map_pages(struct span *s, size_t first, size_t n)
{
        size_t page = (s->start - weir__heap.base) >> PAGE_SHIFT;

        for (size_t i = first; i < first + n; i++)
                store_release(&weir__heap.spans[page + i], s);  /* pairs with weir__span_of() */
}

/* Fills in a struct for pages that were just allocated. lock: heap is held. */
static void span_init(struct span *s, size_t page, size_t pages, unsigned kind, unsigned class)
{
        s->start = weir__heap.base + (page << PAGE_SHIFT);
        s->pages = (uint32_t)pages;
        s->class = (uint8_t)class;
        s->kind = (uint8_t)kind;
        s->listed = s->cached = s->guarded = s->sampled = 0;
        s->loose = class != 0;
        s->next = s->prev = NULL;
        s->hint = 0;
        if (class) {
                s->size = weir__class[class].size;
                s->objects = weir__class[class].objects;
                s->magic = weir__class[class].magic;
        } else {
                s->size = pages << PAGE_SHIFT;
                s->objects = 1;
                s->magic = 0;
        }
        s->nfree = s->objects;
        s->epoch = load_relaxed(&weir__heap_epoch);
        for (unsigned i = 0; i < s->words; i++) {
                unsigned left = s->objects > i * 64 ? s->objects - i * 64 : 0;

                span_free_bits(s)[i] = left >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1;
                span_mark_bits(s)[i] = 0;
                span_scan_bits(s)[i] = 0;
        }
        if (s->types)
                memset(s->types, 0, s->objects * sizeof *s->types);
        store_relaxed(&s->state, SPAN_USED);
        map_pages(s, 0, pages);
        if (class && kind == MEM_MANUAL)
                for (size_t i = 0; i < pages; i++)
                        store_relaxed(&weir__heap.class_of[page + i], (uint8_t)class);
}

static struct span *span_make(unsigned kind, unsigned class, size_t pages, size_t align,
                              bool *ret_zero)
{
        struct span *s;
        ptrdiff_t    page;

        weir__mem_lock(&weir__heap_lock);
        s = span_get(class ? weir__class[class].objects : 1, kind == MEM_TYPED);
        page = s ? weir__page_alloc(pages, align, ret_zero) : -1;
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
        return span_make(kind, class, pages, 1, &zero);
}

struct span *weir__span_new_large(unsigned kind, size_t size, size_t align, bool *ret_zero)
{
        size_t       pages = size / PAGE_SIZE + (size % PAGE_SIZE != 0);
        struct span *s;

        weir__limit_grow(size);
        s = span_make(kind, CLASS_NONE, MAX(pages, 1u), MAX(align >> PAGE_SHIFT, 1u), ret_zero);
        if (s) {
                s->nfree = 0;
                span_free_bits(s)[0] = 0;
                store_relaxed(&s->asked, size);
        }
        return s;
}

void weir__span_release(struct span *s)
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
        weir__page_free(page, s->pages);
        span_put(s);
        weir__mem_unlock(&weir__heap_lock);
        weir__scavenge_wake();
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
                weir__page_free(page + want, have - want);
        weir__mem_unlock(&weir__heap_lock);
        if (want < have)
                weir__scavenge_wake();
        return done;
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
                if (s->kind != MEM_MANUAL)
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
