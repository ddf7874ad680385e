/* Questions about single objects of the heap, and the end of one whose owner is certain.
 *
 * Not     Freeing of small objects by hand: their span may be in the hands of another thread's
 *         cache, which alone touches its bits; the sweep gets them. */
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

void weir__mem_drop(void *p)
{
        struct span *s = weir__span_of((uintptr_t)p);
        size_t       size;

        if (!s || s->class)
                return;
        check(s->kind != MEM_MANUAL && s->start == (uintptr_t)p);
        size = span_bytes(s);
        weir__span_release(s);
        fetch_add_relaxed(&weir__swept, 1);
        fetch_add_relaxed(&weir__swept_bytes, size);
}
