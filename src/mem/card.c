/* Cards: which parts of the heap hold declared pointers that were stored since the last collection.
 *
 * What    A minor collection takes what outlived the last one as marked and scanned already. Of
 *         those old objects it has to look at the ones that were written since, for a young object
 *         may hang on them alone. Plain objects and blocks of malloc are found by the kernel's
 *         record of written pages (gc/watch.c). For declared types weir_set notes the place itself:
 *         a page of the kernel's is 4 KiB at best and 2 MiB where pages are huge, and one store
 *         would have all objects there looked at.
 * Shape   A byte per 512 bytes of the heap, in one table; a byte that is not 0 says that a pointer
 *         was stored there. The program's code writes it without a call (weir/gc.h).
 * Order   The card is written before the pointer is. A thread that is stopped between the two has
 *         the value in a register, where the collection finds it; stopped after both it has left
 *         its trace. The other way round there would be a moment with neither.
 *         The collector reads and clears cards in its first part, when stores have begun to tell
 *         their values instead (shade.c). One that comes late, by a thread that had decided before,
 *         is looked at in the next collection, for nothing.
 * Cost    A store: a subtraction, a comparison, a store of a byte; 0.6 ns. A collection reads the
 *         table, 2 MiB per GiB of heap, and the old objects of each card that is set. The table is
 *         1/512 of the heap as far as it was touched.
 * Not     A list of the places stored to, which is longer than the table when the same are stored
 *         to over and over. Asking whether the object is old, and the value young, before the card
 *         is written: two look-ups for each store, where most are to young objects. */
#include "mem/heap.h"
#include "os/os.h"
#include <weir/gc.h>

struct weir__gc_cards weir__gc_cards;

enum { CARDS_PER_PAGE = PAGE_SIZE >> WEIR_CARD_SHIFT_ };

bool weir__cards_init(void)
{
        if (!weir__gc_cards.card) {
                weir__gc_cards.card = weir__os_map(weir__heap.pages * CARDS_PER_PAGE);
                if (!weir__gc_cards.card)
                        return false;
                weir__gc_cards.base = weir__heap.base;
                weir__gc_cards.bytes = weir__heap.pages << PAGE_SHIFT;
        }
        return true;
}

void weir__mem_stores(const void *slot, const void *value)
{
        uintptr_t at = (uintptr_t)slot - weir__gc_cards.base;

        if (load_relaxed(&weir__gc_barrier) == BARRIER_MARK)
                weir__mem_shade(value);
        else if (at < weir__gc_cards.bytes)
                store_relaxed(&weir__gc_cards.card[at >> WEIR_CARD_SHIFT_], (uint8_t)1);
}

/* Calls fn for each card that is set, and clears it. */
static size_t take_all(void (*fn)(struct marker *m, uintptr_t low), struct marker *m)
{
        size_t end = (load_relaxed(&weir__heap_pages.grown) * CARDS_PER_PAGE) / 8, n = 0;
        uint64_t *words = (uint64_t *)(void *)weir__gc_cards.card;

        for (size_t w = 0; w < end; w++) {
                if (likely(!load_relaxed(&words[w])))
                        continue;
                for (size_t i = 8 * w; i < 8 * w + 8; i++)
                        if (load_relaxed(&weir__gc_cards.card[i])) {
                                store_relaxed(&weir__gc_cards.card[i], (uint8_t)0);
                                n++;
                                if (fn)
                                        fn(m, weir__heap.base + (i << WEIR_CARD_SHIFT_));
                        }
        }
        return n;
}

static void scan_card(struct marker *m, uintptr_t low)
{
        weir__mark_old_again(m, low, low + (1 << WEIR_CARD_SHIFT_));
}

size_t weir__mark_cards(struct marker *m)
{
        size_t n = take_all(scan_card, m);

        weir__mark_settle(m);
        return n;
}

void weir__cards_clear(void)
{
        (void)take_all(NULL, NULL);
}
