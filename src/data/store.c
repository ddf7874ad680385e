/* Checked stores and casts: WEIR_DEBUG=checkptr=1, weir_store and weir_cast.
 *
 * What    A store into weir's range of addresses is good when all its bytes are in one block that
 *         is in use. Other addresses (stacks, globals, mappings of the program) are not judged:
 *         what is not mapped faults by itself, and the reserved range of the heap has no right of
 *         access where nothing is.
 * Cost    Off: one load and a branch that is not taken. On: some 10 ns.
 * Not     Every store of the program, which is a compiler's work: the address sanitizer. */
#include "data/data.h"
#include "base/debug.h"
#include "mem/mem.h"
#include <weir/go.h>
#include <weir/mem.h>

bool        weir_store_checks;          /* const after start */
static bool strict;                     /* const after start */

__attribute__((constructor)) static void read_switch(void)
{
        weir_store_checks = weir__debug_early("checkptr", 0) != 0;
        strict = weir__debug_early("checkptr", 0) > 1;
}

int weir_mem_block(const void *p, void **ret_start, size_t *ret_size)
{
        struct mem_object o;

        if (!weir__mem_find(p, &o))
                return -ENOENT;
        if (ret_start)
                *ret_start = o.base;
        if (ret_size)
                *ret_size = o.size;
        return 0;
}

void weir_store_check(const volatile void *p, size_t size)
{
        const char       *at = (const char *)p;
        struct mem_object o;
        uintptr_t         low, high;

        weir__mem_extent(&low, &high);
        if ((uintptr_t)at + size <= low || (uintptr_t)at >= high)
                return;
        if (!weir__mem_find(at, &o))
                weir_panic("weir_store: %zu bytes at %p, where the heap has no block in use", size,
                           (const void *)at);
        if (size > o.size - (size_t)(at - (const char *)o.base))
                weir_panic("weir_store: %zu bytes at %p, where the block has %zu left", size,
                           (const void *)at, o.size - (size_t)(at - (const char *)o.base));
}

void *weir_cast_check(const void *p, size_t size, size_t alignment, const char *type)
{
        struct mem_object o;
        uintptr_t         at = (uintptr_t)p, low, high;

        if (!p)
                return NULL;
        if (unlikely(at & (alignment - 1)))
                weir_panic("weir_cast: %p is not aligned to the %zu bytes of %s", p, alignment,
                           type);
        weir__mem_extent(&low, &high);
        if (at + size <= low || at >= high) {
                if (unlikely(strict))
                        weir_panic("weir_cast: %p is not in the heap, so that nobody knows whether "
                                   "a %s of %zu bytes is there", p, type, size);
                return (void *)at;
        }
        if (unlikely(!weir__mem_find(p, &o)))
                weir_panic("weir_cast: %s at %p, where the heap has no block in use", type, p);
        if (unlikely(size > o.size - (at - (uintptr_t)o.base)))
                weir_panic("weir_cast: a %s has %zu bytes, the block has %zu left at %p", type,
                           size, o.size - (size_t)(at - (uintptr_t)o.base), p);
        return (void *)at;
}
