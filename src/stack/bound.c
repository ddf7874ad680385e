/* How deep goroutines went, by entry function: the table behind WEIR_DEBUG=stackuse=1.
 *
 * Order   An entry is claimed by a compare-exchange of its function and stays; the numbers in it
 *         only grow, by compare-exchange or addition. Nobody waits.
 * Not     Measuring without being asked: a look at which pages were touched is a system call, ten
 *         times as long as the whole life of a small goroutine. */
#include "stack/stack.h"

enum { ENTRIES = 1024 };

static struct {
        void   (*entry)(void *);        /* atomic */
        size_t   used;                  /* atomic */
        uint32_t class;                 /* atomic */
        uint64_t count;                 /* atomic */
} table[ENTRIES];

void weir__stack_note_use(void (*entry)(void *), size_t used, uint32_t class)
{
        size_t   at = ((uintptr_t)entry * UINT64_C(0x9E3779B97F4A7C15)) >> 54;
        size_t   deepest;
        uint32_t largest;

        for (size_t i = 0; i < ENTRIES; i++, at = (at + 1) % ENTRIES) {
                void (*found)(void *) = load_relaxed(&table[at].entry);

                if (!found && cas_relaxed(&table[at].entry, &found, entry))
                        found = entry;
                if (found != entry)
                        continue;
                deepest = load_relaxed(&table[at].used);
                while (deepest < used && !cas_relaxed(&table[at].used, &deepest, used))
                        ;
                largest = load_relaxed(&table[at].class);
                while (largest < class && !cas_relaxed(&table[at].class, &largest, class))
                        ;
                fetch_add_relaxed(&table[at].count, 1);
                return;
        }
}

void weir__stack_each_use(void (*fn)(void (*entry)(void *), size_t used, uint32_t class,
                                     uint64_t count, void *arg), void *arg)
{
        for (size_t i = 0; i < ENTRIES; i++) {
                void (*entry)(void *) = load_relaxed(&table[i].entry);

                if (entry)
                        fn(entry, load_relaxed(&table[i].used), load_relaxed(&table[i].class),
                           load_relaxed(&table[i].count), arg);
        }
}
