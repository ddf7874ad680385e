/* Scanning what has no barrier: blocks of malloc, and plain objects that were written since they
 * were scanned.
 *
 * What    Blocks of malloc are roots, and hold pointers like anything else; nobody tells when one
 *         is stored there, nor in a plain object. So they are scanned, and scanned again where the
 *         kernel says that a page was written after that (os/linux/dirty.c). What a page held when
 *         it was written last has then been seen.
 *         A page of malloc's that holds no pointer to collected memory is noted as clean. It is not
 *         looked at in later cycles until it is written: a large cache costs its pages' table, not
 *         its content.
 * Blocks that are free
 *         but wait in a cache, or between caches: what they held before they were freed counts no
 *         more. They are noted in a bitmap of the collector's own. Beside the program the lists are
 *         read as they change: a block found there was free at some time after its page was
 *         protected, so what is stored in it later shows as a write.
 * Not     Clearing what is freed, as other collectors do: free would touch memory that the program
 *         has left for good.
 */
#include "mem/heap.h"
#include "os/os.h"

enum { GRANULE_SHIFT = 3 };             /* the smallest block of malloc */

static uint64_t *skipped;               /* the collector's: a bit per granule of the heap */

void weir__mem_extent(uintptr_t *low, uintptr_t *high)
{
        *low = load_relaxed(&weir__heap.base);
        *high = *low + (load_relaxed(&weir__heap_pages.grown) << PAGE_SHIFT);
}

/* ---- blocks that wait ---- */

static void skip(const void *block)
{
        size_t at = ((uintptr_t)block - weir__heap.base) >> GRANULE_SHIFT;

        if (at < weir__heap.pages << (PAGE_SHIFT - GRANULE_SHIFT))
                skipped[at / 64] |= UINT64_C(1) << (at % 64);
}

static inline bool is_skipped(uintptr_t block)
{
        size_t at = (block - weir__heap.base) >> GRANULE_SHIFT;

        return skipped && skipped[at / 64] >> (at % 64) & 1;
}

void weir__mark_skip_begin(void)
{
        if (!skipped)
                skipped = weir__os_map(weir__heap.pages << (PAGE_SHIFT - GRANULE_SHIFT - 3));
        if (!skipped)
                return;                         /* they are taken as in use */
        for (struct cache *c = load_acquire(&weir__caches); c; c = c->next)
                for (unsigned i = 1; i < CLASSES; i++) {
                        void **top = load_relaxed(&c->bin[i].top);

                        for (void **b = c->bin[i].base; b < top; b++)
                                skip(load_relaxed(b));
                }
        for (unsigned i = 1; i < CLASSES; i++) {
                struct central *c = &weir__central[MEM_MANUAL][i];

                weir__mem_lock(&c->lock);
                for (uint32_t k = 0; k < c->ntransfer; k++)
                        skip(c->transfer[k]);
                weir__mem_unlock(&c->lock);
        }
}

void weir__mark_skip_end(void)
{
        uintptr_t low, high;

        weir__mem_extent(&low, &high);
        if (skipped)
                (void)weir__os_forget(skipped, ALIGN_UP((high - low) >> (GRANULE_SHIFT + 3),
                                                        (uintptr_t)OS_PAGE));
}

/* ---- parts of a span ---- */

static void scan_part(struct marker *m, uintptr_t at, size_t size, uintptr_t low, uintptr_t high)
{
        low = MAX(low, at);
        high = MIN(high, at + size);
        if (low < high)
                weir__mark_allowed(m, low, high);
}

/* What blocks in use of a malloc span hold in [low, high), which lies in it. */
static void scan_blocks(struct marker *m, struct span *s, uintptr_t low, uintptr_t high)
{
        uint32_t last;

        if (!s->class) {
                scan_part(m, s->start, load_relaxed(&s->asked), low, high);
                return;
        }
        last = MIN(span_index(s, high - 1), s->objects - 1);
        for (uint32_t i = span_index(s, low); i <= last; i++) {
                uintptr_t at = span_object(s, i);

                if (!(load_relaxed(&span_free_bits(s)[i / 64]) >> (i % 64) & 1) && !is_skipped(at))
                        scan_part(m, at, s->size, low, high);
        }
}

/* The same for plain objects that are scanned or born; others will be. */
static void scan_objects(struct marker *m, struct span *s, uintptr_t low, uintptr_t high)
{
        uint32_t first = s->class ? span_index(s, low) : 0;
        uint32_t last = s->class ? MIN(span_index(s, high - 1), s->objects - 1) : 0;

        for (uint32_t i = first; i <= last; i++) {
                uint64_t done = span_scan_bits(s)[i / 64] |
                                load_relaxed(&span_born_bits(s)[i / 64]);

                if (done >> (i % 64) & 1)
                        scan_part(m, span_object(s, i), s->class ? s->size : load_relaxed(&s->asked),
                                  low, high);
        }
}

/* ---- all of malloc ---- */

/* The pages of a malloc span, one by one: which are clean is known of each. */
static void scan_manual(struct marker *m, struct span *s, size_t page, bool stopped)
{
        size_t end = MIN(page + load_relaxed(&s->pages), load_relaxed(&weir__heap_pages.grown));

        for (; page < end; page++) {
                uint8_t  *watch = &weir__heap.watch[page];
                uintptr_t low = weir__heap.base + (page << PAGE_SHIFT);
                uint64_t  before;

                if (!stopped && load_relaxed(watch) & WATCH_CLEAN)
                        continue;
                weir__mark_settle(m);
                before = m->found;
                scan_blocks(m, s, low, low + PAGE_SIZE);
                weir__mark_settle(m);
                if (!stopped && m->found == before && !weir__exclude_any(low, low + PAGE_SIZE))
                        store_relaxed(watch, load_relaxed(watch) | WATCH_CLEAN);
        }
}

void weir__mark_malloc(struct marker *m, bool stopped)
{
        size_t pages = load_relaxed(&weir__heap_pages.grown);

        for (size_t page = 0; page < pages; page++) {
                struct span *s;

                if (!(load_relaxed(&weir__heap.watch[page]) & WATCH_ON))
                        continue;
                s = load_acquire(&weir__heap.spans[page]);
                if (!s || load_relaxed(&s->state) != SPAN_USED || s->kind != MEM_MANUAL ||
                    load_relaxed(&s->start) != weir__heap.base + (page << PAGE_SHIFT))
                        continue;
                scan_manual(m, s, page, stopped);
        }
}

/* ---- for leaks ---- */

struct block_visit {
        void (*fn)(void *p, size_t size, void *arg);
        void  *arg;
};

static void visit_blocks(struct span *s, void *arg)
{
        const struct block_visit *v = arg;

        if (s->kind != MEM_MANUAL)
                return;
        for (uint32_t i = 0; i < s->objects; i++) {
                uintptr_t at = span_object(s, i);

                if (!(load_relaxed(&span_free_bits(s)[i / 64]) >> (i % 64) & 1) && !is_skipped(at))
                        v->fn((void *)at, s->class ? s->size : load_relaxed(&s->asked), v->arg);
        }
}

void weir__mem_each_block(void (*fn)(void *p, size_t size, void *arg), void *arg)
{
        struct block_visit v = { fn, arg };

        weir__span_each(visit_blocks, &v);
}

/* ---- what was written ---- */

void weir__mark_again(struct marker *m, uintptr_t low, uintptr_t high, bool blocks)
{
        while (low < high) {
                size_t       page = (low - weir__heap.base) >> PAGE_SHIFT;
                uintptr_t    end = MIN(weir__heap.base + ((page + 1) << PAGE_SHIFT), high);
                struct span *s = load_acquire(&weir__heap.spans[page]);

                if (s && load_relaxed(&s->state) == SPAN_USED &&
                    low - load_relaxed(&s->start) < span_bytes(s)) {
                        if (s->kind == MEM_PLAIN)
                                scan_objects(m, s, low, end);
                        else if (s->kind == MEM_MANUAL && blocks)
                                scan_blocks(m, s, low, end);
                }
                low = end;
        }
        weir__mark_settle(m);
}

/* ---- which pages ---- */

/* The first page from `page` on that is watched, or is not; eight at a time. The table begins at a
 * multiple of eight and has an entry for each page reserved. */
static size_t next_page(size_t page, size_t pages, bool on)
{
        enum { EIGHT = sizeof(uint64_t) };
        const uint8_t *watch = weir__heap.watch;
        const uint64_t all = UINT64_C(0x0101010101010101) * WATCH_ON, none = on ? 0 : all;

        while (page < pages) {
                if (page % EIGHT == 0 &&
                    (load_relaxed((const uint64_t *)(const void *)&watch[page]) & all) == none)
                        page += EIGHT;
                else if (!(load_relaxed(&watch[page]) & WATCH_ON) == on)
                        page++;
                else
                        break;
        }
        return MIN(page, pages);
}

void weir__mem_each_watched(void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg)
{
        size_t pages = load_relaxed(&weir__heap_pages.grown), page = 0, first;

        while ((first = next_page(page, pages, true)) < pages) {
                page = next_page(first, pages, false);
                fn(weir__heap.base + (first << PAGE_SHIFT), weir__heap.base + (page << PAGE_SHIFT),
                   arg);
        }
}

void weir__mem_written(uintptr_t low, uintptr_t high)
{
        size_t page = (low - weir__heap.base) >> PAGE_SHIFT;
        size_t end = (high - 1 - weir__heap.base) >> PAGE_SHIFT;

        for (; page <= end; page++) {
                uint8_t *watch = &weir__heap.watch[page];

                if (load_relaxed(watch) & WATCH_CLEAN)
                        store_relaxed(watch, load_relaxed(watch) & (uint8_t)~WATCH_CLEAN);
        }
}
