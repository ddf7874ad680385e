/* Questions about single objects of the heap, and the end of one whose owner is certain.
 *
 * Order   While a sweep is not finished nothing is freed here: its counts are of what it found.
 *         Whoever begins one has stopped those who could be inside.
 * Not     Freeing an object in a span that another thread's cache holds: that thread alone touches
 *         the bits of free objects, without a lock; the sweep gets it. Packed objects (tiny ones
 *         without pointers): they share a slot. */
#include "mem/heap.h"

size_t weir__mem_round(size_t size)
{
        if (size > PTRDIFF_MAX - PAGE_SIZE)
                return size;
        if (size > SMALL_MAX || !weir__mem_start())
                return ALIGN_UP(size, (size_t)PAGE_SIZE);
        return size ? weir__class[class_of_size(size)].size : 0;
}

size_t weir__mem_room(const void *p)
{
        struct span *s = weir__span_of((uintptr_t)p);
        uint32_t     i;

        if (!s)
                return SIZE_MAX;
        if (!s->class)
                return s->start + span_bytes(s) - (uintptr_t)p;
        i = span_index(s, (uintptr_t)p);
        return i < s->objects ? span_object(s, i) + s->size - (uintptr_t)p : 0;
}

/* A run of this thread allocates from the span: its bits are this thread's. The slots of the run
 * itself have been taken and are not found again. */
static bool drop_own(struct span *s, uint32_t i)
{
        struct cache *c = weir__cache_own;
        struct run   *r;

        if (!c || !c->run)
                return false;
        r = &c->run[s->kind - 1][s->class];
        if (r->span != s)
                return false;
        store_relaxed(&span_free_bits(s)[i / 64],
                      span_free_bits(s)[i / 64] | UINT64_C(1) << (i % 64));
        r->at = MIN(r->at, i);
        return true;
}

void weir__mem_drop(void *p)
{
        struct span *s = weir__span_of((uintptr_t)p);
        uint64_t     bit;
        uint32_t     i;
        size_t       size;

        if (!s || s->kind == MEM_MANUAL || load_relaxed(&weir__unswept) ||
            load_relaxed(&weir__run_marks))
                return;
        if (!s->class) {
                size = span_bytes(s);
                check(s->start == (uintptr_t)p);
                weir__span_release(s);
        } else {
                i = span_index(s, (uintptr_t)p);
                bit = UINT64_C(1) << (i % 64);
                size = s->size;
                check(span_object(s, i) == (uintptr_t)p && !(span_free_bits(s)[i / 64] & bit));
                fetch_and_relaxed(&span_mark_bits(s)[i / 64], ~bit);
                fetch_and_relaxed(&span_scan_bits(s)[i / 64], ~bit);
                if (!drop_own(s, i) && !weir__central_drop(s, i))
                        return;
        }
        fetch_add_relaxed(&weir__swept, 1);
        fetch_add_relaxed(&weir__swept_bytes, size);
}
