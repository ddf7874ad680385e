/* Memory of the allocator itself: structs that are never given back, cut from larger mappings, so
 * that a pointer to one can be read at any later time. */
#include "mem/heap.h"
#include "os/os.h"

enum { PIECE = 256 << 10, SLABS = 64 };

struct lock weir__fixed_lock = LOCK_INIT(fixed);
static char    *next, *end;             /* lock: fixed */
static char    *slabs, *slabs_end;      /* lock: fixed */
static uint64_t mapped;                 /* atomic, lock: fixed writes */

void *weir__fixed_alloc(size_t size)
{
        void *p = NULL;

        size = ALIGN_UP(size, (size_t)16);
        weir__mem_lock(&weir__fixed_lock);
        if ((size_t)(end - next) < size) {
                size_t piece = MAX(ALIGN_UP(size, (size_t)OS_PAGE), (size_t)PIECE);
                char  *m = weir__os_map(piece);

                if (!m)
                        goto out;
                owner_add(&mapped, piece);
                if (size > PIECE / 2) {         /* the current piece is not lost for it */
                        p = m;
                        goto out;
                }
                next = m;
                end = m + piece;
        }
        p = next;
        next += size;
out:
        weir__mem_unlock(&weir__fixed_lock);
        return p;
}

void *weir__fixed_slab(void)
{
        void *p = NULL;

        weir__mem_lock(&weir__fixed_lock);
        if (slabs == slabs_end) {
                char *m = weir__os_map(SLABS * SLAB + SLAB);

                if (!m)
                        goto out;
                slabs = (char *)ALIGN_UP((uintptr_t)m, (uintptr_t)SLAB);
                slabs_end = slabs + SLABS * SLAB;
        }
        p = slabs;
        slabs += SLAB;
        owner_add(&mapped, SLAB);
out:
        weir__mem_unlock(&weir__fixed_lock);
        return p;
}

uint64_t weir__fixed_bytes(void)
{
        return load_relaxed(&mapped);
}
