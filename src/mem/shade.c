/* Shades: pointers that stores by weir_set made or overwrote while marking is on.
 *
 * What    Two cases hide an object from a marker that runs beside the program. A pointer to it is
 *         put into an object that has been scanned, and the one that it came from goes; or the last
 *         pointer to it that the marker would have come by is overwritten, and it lives on in a
 *         register. So who stores while marking is on tells the marker the new value and the old
 *         one (Yuasa's and Dijkstra's barriers together; Clements and Hudson, "Eliminate STW stack
 *         re-scanning", Go proposal 17503). Stacks and plain memory have no barrier: they are
 *         scanned again (gc/cycle.c).
 * Shape   A thread puts the addresses into a buffer of its own, found by its cache. A full buffer
 *         goes to a list; the marker empties it, and it goes to a list of spare ones. Objects that
 *         are marked, born, or no objects at all are not put there.
 * States  Of a buffer:  filling  its thread's; with the world stopped the collector's
 *                       full     on the list `full`
 *                       spare    on the list `spare`
 * Locks   shades: both lists.
 * Cost    A store while marking is off: a load and a branch. On: two lookups, each ending in most
 *         cases at a mark.
 * Not     Marking in the barrier: then marks are everybody's, and each takes a locked instruction
 *         in the marker's loop, where half of a collection goes. A bound on the buffers with
 *         waiting for the marker: the store would park, or stall a thread that the marker waits
 *         for. What a program may have outstanding is 8 bytes for each white object it stored. */
#include "mem/heap.h"

enum { SHADES = 1021 };

struct shades {
        struct shades *next;            /* lock: shades */
        uint32_t       n;               /* whose it is */
        uintptr_t      word[SHADES];
};

_Static_assert(sizeof(struct shades) <= PAGE_SIZE, "a buffer of shades is a page of the heap");

uint32_t weir__gc_barrier;

struct lock weir__shades_lock = LOCK_INIT(shades);

static struct shades *full, *spare;     /* full: atomic; both lock: shades */

static void hand_over(struct shades *b)
{
        weir__mem_lock(&weir__shades_lock);
        b->next = full;
        store_relaxed(&full, b);
        weir__mem_unlock(&weir__shades_lock);
}

static struct shades *get(void)
{
        struct shades *b;

        weir__mem_lock(&weir__shades_lock);
        b = spare;
        if (b)
                spare = b->next;
        weir__mem_unlock(&weir__shades_lock);
        if (!b)
                b = weir__fixed_alloc(sizeof *b);
        if (!b)
                weir__mem_exhausted(sizeof *b);
        b->n = 0;
        return b;
}

/* Whether marking has still to come to the object that word points into. */
static bool is_white(uintptr_t word)
{
        struct span *s = weir__span_of(word);
        uint32_t     i;
        uint64_t     done;

        if (!s || load_relaxed(&s->kind) == MEM_MANUAL)
                return false;
        i = s->class ? span_index(s, word) : 0;
        if (i >= s->objects)
                return false;
        done = load_relaxed(&span_born_bits(s)[i / 64]) | load_relaxed(&span_mark_bits(s)[i / 64]) |
               load_relaxed(&span_free_bits(s)[i / 64]);
        return !(done >> (i % 64) & 1);
}

/* The address of a variable on a stack, which others may write to by it. */
static bool is_apart(uintptr_t word)
{
        return word - load_relaxed(&weir__apart.low) < load_relaxed(&weir__apart.bytes);
}

void weir__mem_shade(const void *p)
{
        struct cache *c;

        if (!load_relaxed(&weir__run_marks) || !(is_white((uintptr_t)p) || is_apart((uintptr_t)p)))
                return;
        c = weir__cache_get();
        if (unlikely(c == &weir__cache_closed)) {
                /* At the end of the thread, without memory: a buffer for one. */
                struct shades *b = get();

                b->word[b->n++] = (uintptr_t)p;
                hand_over(b);
                return;
        }
        if (unlikely(c->shades && c->shades->n == SHADES)) {
                hand_over(c->shades);
                c->shades = NULL;
        }
        if (unlikely(!c->shades))
                c->shades = get();
        c->shades->word[c->shades->n++] = (uintptr_t)p;
}

no_sanitize void weir__mem_shade_stack(uintptr_t low, uintptr_t high, uintptr_t own_low,
                                       uintptr_t own_high)
{
        uintptr_t base = weir__heap.base, bytes = weir__heap.pages << PAGE_SHIFT;

        for (uintptr_t at = ALIGN_UP(low, (uintptr_t)8); at + 8 <= high; at += 8) {
                uintptr_t word = *(const volatile uintptr_t *)at;

                if (unlikely(word - base <= bytes)) {
                        weir__mem_shade((const void *)word);
                        weir__mem_shade((const void *)(word - 1));      /* it may be the end */
                } else if (unlikely(is_apart(word)) && word - own_low >= own_high - own_low) {
                        weir__mem_shade((const void *)word);
                }
        }
}

static size_t empty(struct shades *b, struct marker *m)
{
        size_t n = b->n;

        for (size_t i = 0; i < n; i++)
                weir__mark_pointer(m, (const void *)b->word[i]);
        b->n = 0;
        return n;
}

size_t weir__mark_shaded(struct marker *m)
{
        struct shades *list, *last = NULL;
        size_t         n = 0;

        if (!load_relaxed(&full))
                return 0;
        weir__mem_lock(&weir__shades_lock);
        list = full;
        store_relaxed(&full, NULL);
        weir__mem_unlock(&weir__shades_lock);
        for (struct shades *b = list; b; last = b, b = b->next)
                n += empty(b, m);
        if (last) {
                weir__mem_lock(&weir__shades_lock);
                last->next = spare;
                spare = list;
                weir__mem_unlock(&weir__shades_lock);
        }
        return n;
}

size_t weir__mark_shaded_rest(struct marker *m)
{
        size_t n = weir__mark_shaded(m);

        for (struct cache *c = load_acquire(&weir__caches); c; c = c->next)
                if (c->shades)
                        n += empty(c->shades, m);
        return n;
}

void weir__shades_forked(void)
{
        store_relaxed(&weir__gc_barrier, 0u);
        store_relaxed(&weir__run_marks, false);
}
