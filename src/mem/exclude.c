/* Memory that the program said holds no pointers to collected objects, and is not scanned.
 *
 * What    Ranges of globals, of named memory and of malloc's blocks. A word wholly inside of one is
 *         not looked at.
 * Shape   The program's table is sorted by address, with ranges that may overlap and come twice.
 *         The collector works with a copy in which they are joined, so that a look is a binary
 *         search and needs no lock.
 * Order   The copy is taken anew before each scan, after the pages for it were protected: who
 *         includes a range again and then writes there has either written before the protection,
 *         and is read with the new copy, or is found by the next round. A page with an excluded
 *         word is never noted as clean, so a later cycle reads it when it is included again.
 * Locks   excluded: the program's table. */
#include "mem/heap.h"
#include "os/os.h"
#include <errno.h>
#include <weir/gc.h>

struct excluded {
        uintptr_t low, high;
};

static struct lock      lock = LOCK_INIT(excluded);
static struct excluded *table;          /* lock: excluded */
static uint32_t         count, room;    /* lock: excluded; count: atomic */
static uint32_t         changes;        /* atomic; lock: excluded to write */

/* The collector's. */
static struct excluded *copy;
static uint32_t         copied, copy_room, seen;

/* More room for n; answers the new array, or the old one where there is no memory. */
static struct excluded *grow(struct excluded *old, uint32_t n, uint32_t *at_room)
{
        uint32_t         more = MAX(2 * *at_room, (uint32_t)(OS_PAGE / sizeof *old));
        struct excluded *new = weir__os_map(more * sizeof *new);

        if (!new)
                return old;
        if (old) {
                memcpy(new, old, n * sizeof *new);
                weir__os_unmap(old, *at_room * sizeof *old);
        }
        *at_room = more;
        return new;
}

/* The first range that begins at low or above. lock: excluded is held. */
static uint32_t place_of(uintptr_t low)
{
        uint32_t first = 0, last = count;

        while (first < last) {
                uint32_t middle = (first + last) / 2;

                if (table[middle].low < low)
                        first = middle + 1;
                else
                        last = middle;
        }
        return first;
}

int weir_gc_exclude(const void *addr, size_t size)
{
        uintptr_t low = (uintptr_t)addr;
        uint32_t  i;

        if (!low || size > UINTPTR_MAX - low)
                return -EINVAL;
        lock_take(&lock);
        if (count == room)
                table = grow(table, count, &room);
        if (count == room) {
                lock_drop(&lock);
                return -ENOMEM;
        }
        i = place_of(low);
        memmove(&table[i + 1], &table[i], (count - i) * sizeof *table);
        table[i] = (struct excluded){ low, low + size };
        store_relaxed(&count, count + 1);
        store_release(&changes, changes + 1);
        lock_drop(&lock);
        return 0;
}

int weir_gc_include(const void *addr, size_t size)
{
        uintptr_t low = (uintptr_t)addr;
        int       r = -ENOENT;

        lock_take(&lock);
        for (uint32_t i = place_of(low); r && i < count && table[i].low == low; i++)
                if (table[i].high == low + size) {
                        memmove(&table[i], &table[i + 1], (count - i - 1) * sizeof *table);
                        store_relaxed(&count, count - 1);
                        store_release(&changes, changes + 1);
                        r = 0;
                }
        lock_drop(&lock);
        return r;
}

void weir__exclude_forked(void)
{
        lock_init(&lock, excluded);
}

/* ---- the collector's ---- */

void weir__exclude_look(void)
{
        uint32_t n = 0;

        if (load_acquire(&changes) == seen)
                return;
        lock_take(&lock);
        seen = changes;
        copied = 0;                             /* without memory nothing is excluded */
        if (copy_room < count) {
                if (copy)
                        weir__os_unmap(copy, copy_room * sizeof *copy);
                copy = weir__os_map(room * sizeof *copy);
                copy_room = copy ? room : 0;
        }
        for (uint32_t i = 0; copy && i < count; i++) {
                if (n && table[i].low <= copy[n - 1].high)
                        copy[n - 1].high = MAX(copy[n - 1].high, table[i].high);
                else
                        copy[n++] = table[i];
        }
        copied = n;
        lock_drop(&lock);
}

/* The first joined range that ends behind at. */
static uint32_t behind(uintptr_t at)
{
        uint32_t first = 0, last = copied;

        while (first < last) {
                uint32_t middle = (first + last) / 2;

                if (copy[middle].high <= at)
                        first = middle + 1;
                else
                        last = middle;
        }
        return first;
}

bool weir__exclude_any(uintptr_t low, uintptr_t high)
{
        uint32_t i;

        if (likely(!copied))
                return false;
        i = behind(low);
        return i < copied && copy[i].low < high;
}

void weir__exclude_each(uintptr_t low, uintptr_t high,
                        void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg)
{
        for (uint32_t i = copied ? behind(low) : 0; i < copied && copy[i].low < high; i++) {
                /* A word that is only in part inside is looked at. */
                uintptr_t end = ALIGN_UP(copy[i].low, sizeof(void *));

                if (low < end)
                        fn(low, MIN(end, high), arg);
                low = MAX(low, ALIGN_DOWN(copy[i].high, sizeof(void *)));
        }
        if (low < high)
                fn(low, high, arg);
}

static void mark(uintptr_t low, uintptr_t high, void *arg)
{
        weir__mark_range(arg, low, high);
}

void weir__mark_allowed(struct marker *m, uintptr_t low, uintptr_t high)
{
        if (likely(!copied))
                weir__mark_range(m, low, high);
        else
                weir__exclude_each(low, high, mark, m);
}
