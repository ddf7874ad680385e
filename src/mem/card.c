/* Cards: which parts of the heap hold declared pointers that were stored since the last collection.
 *
 * What    A minor collection takes what outlived the last one as marked and scanned already. Of
 *         those old objects it has to look at the ones that were written since, for a young object
 *         may hang on them alone. Plain objects and blocks of malloc are found by the kernel's
 *         record of written pages (gc/watch.c). For declared types weir_set notes the place itself:
 *         a page of the kernel's is 4 KiB at best and 2 MiB where pages are huge, and one store
 *         would have all objects there looked at.
 * Shape   A byte per 512 bytes of the heap; a byte that is not 0 says that a pointer was stored
 *         there. The program's code writes it without a call (weir/gc.h). There are two tables. The
 *         first stop of a collection gives the program the one that is clear; the collector reads
 *         and clears the other beside it. What is stored while it marks stands so in the table of
 *         the next collection, and that must be: it may be the one pointer to an object that is
 *         born meanwhile, which stays young.
 * Order   The card is written before the pointer is. A thread that is stopped between the two has
 *         the value in a register, where the collection finds it and makes it old; stopped after
 *         both it has left its trace. The other way round there would be a moment with neither.
 *         A store that comes late, by a thread that took the address of a table before a stop,
 *         leaves its card in the wrong one: its value is in a register in that stop, and old after
 *         it. While marking is on, stores go by the runtime (shade.c), where no thread is stopped.
 * Cost    A store: a subtraction, a comparison, a store of a byte; 0.6 ns. A collection reads the
 *         table, 2 MiB per GiB of heap, and the old objects of each card that is set. A table is
 *         1/512 of the heap as far as it was touched.
 * Not     A list of the places stored to, which is longer than the table when the same are stored
 *         to over and over. Asking whether the object is old, and the value young, before the card
 *         is written: two look-ups for each store, where most are to young objects. */
#include "mem/heap.h"
#include "os/os.h"
#include <weir/gc.h>

struct weir__gc_cards weir__gc_cards;

enum { CARDS_PER_PAGE = PAGE_SIZE >> WEIR_CARD_SHIFT_ };

static uint8_t *other;                  /* the collector's; the program's is weir__gc_cards.card */

bool weir__cards_init(void)
{
        size_t   size = weir__heap.pages * CARDS_PER_PAGE;
        uint8_t *two;

        if (!other) {
                two = weir__os_map(2 * size);
                if (!two)
                        return false;
                other = two + size;
                store_relaxed(&weir__gc_cards.card, two);
                weir__gc_cards.base = weir__heap.base;
                /* Who sees this sees the others: no store looks before a stop has been. */
                weir__gc_cards.bytes = weir__heap.pages << PAGE_SHIFT;
        }
        return true;
}

void weir__cards_swap(void)
{
        uint8_t *theirs = weir__gc_cards.card;

        store_relaxed(&weir__gc_cards.card, other);
        other = theirs;
}

void weir__cards_set(const void *p, size_t size)
{
        uintptr_t at = (uintptr_t)p - weir__gc_cards.base;
        uint8_t  *card = load_relaxed(&weir__gc_cards.card);

        if (at < weir__gc_cards.bytes && size - 1 < weir__gc_cards.bytes - at)
                for (size_t i = at >> WEIR_CARD_SHIFT_; i <= (at + size - 1) >> WEIR_CARD_SHIFT_; i++)
                        store_relaxed(&card[i], (uint8_t)1);
}

void weir__mem_stores(const void *slot, const void *value)
{
        if (load_relaxed(&weir__gc_barrier) == BARRIER_MARK)
                weir__mem_shade(value);
        weir__cards_set(slot, sizeof value);
}

/* Calls fn for each card of the collector's table that is set, and clears it. */
static size_t take_all(void (*fn)(struct marker *m, uintptr_t low), struct marker *m)
{
        size_t end = (load_relaxed(&weir__heap_pages.grown) * CARDS_PER_PAGE) / 8, n = 0;
        uint64_t *words = (uint64_t *)(void *)other;

        for (size_t w = 0; w < end; w++) {
                if (likely(!load_relaxed(&words[w])))
                        continue;
                for (size_t i = 8 * w; i < 8 * w + 8; i++)
                        if (load_relaxed(&other[i])) {
                                store_relaxed(&other[i], (uint8_t)0);
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
