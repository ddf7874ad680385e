/* The box: an atomic pointer with a type.
 *
 * What    Two words: the type, which the first store sets by a compare-exchange, and the pointer.
 * Order   The type is set before the first pointer is stored (release), so who finds a pointer
 *         (acquire) finds the type. Of two first stores of different types one sets the type and
 *         the other panics, and no pointer of a wrong type is ever there.
 *         While the collector marks, a pointer that is stored and the one that goes are told to it,
 *         as by weir_set. Nobody stops the world in here, so that it does not matter which comes
 *         first, the exchange or the telling. Of a compare-exchange that fails the new one was told
 *         in vain, which costs nothing but a mark.
 * Cost    Load: two loads and a compare, inlined. Store: an exchange.
 * Not     The type beside each value, as in Go's interfaces: two words cannot be loaded at once,
 *         and the type never changes. Types by address alone: WEIR_TYPE in a header makes one in
 *         each file. */
#include "sync/sync.h"
#include "gc/gc.h"
#include <weir/box.h>

static bool same_type(const weir_type *a, const weir_type *b)
{
        return a == b || (a->size == b->size && !strcmp(a->name, b->name));
}

void weir_box_check_(const weir_box *b, const weir_type *t, const char *call)
{
        const weir_type *is = load_acquire(&b->type_);

        if (is && !same_type(is, t))
                weir__panic("%s: box %p is of %s, not of %s", call, (const void *)b, is->name,
                            t->name);
}

static inline void begin(weir_box *b, const weir_type *t, const void *value, const char *call)
{
        const weir_type *is = load_relaxed(&b->type_);

        if (unlikely(!value))
                weir__panic("%s: NULL for box %p", call, (void *)b);
        if (unlikely(!is && cas_seq(&b->type_, &is, t)))
                return;
        if (unlikely(is != t))
                weir_box_check_(b, t, call);
}

/* A pointer that comes or goes. */
static inline void tell(const weir_box *b, const void *value)
{
        if (unlikely(load_relaxed(&weir__gc_barrier)))
                weir__mem_stores(&b->held, value);
}

void *weir_box_swap_type(weir_box *b, const weir_type *t, void *value)
{
        void *old;

        begin(b, t, value, "weir_box_swap");
        tell(b, value);
        old = exchange_seq(&b->held, value);    /* pairs with the acquire of weir_box_load */
        tell(b, old);
        return old;
}

void weir_box_store_type(weir_box *b, const weir_type *t, void *value)
{
        begin(b, t, value, "weir_box_store");
        tell(b, value);
        tell(b, exchange_seq(&b->held, value));    /* pairs with the acquire of weir_box_load */
}

bool weir_box_cas_type(weir_box *b, const weir_type *t, void *old, void *value)
{
        void *found = old;

        begin(b, t, value, "weir_box_cas");
        tell(b, value);
        if (!cas_seq(&b->held, &found, value))  /* pairs with the acquire of weir_box_load */
                return false;
        tell(b, old);
        return true;
}
