/* WEIR_DEBUG=gccheck=1: the second look at what a collection has marked.
 *
 * What    At the end of a cycle, with the world stopped, each pointer of each marked object leads to
 *         a marked object, or that would be lost. A field of a declared type that leads elsewhere
 *         was stored by other means than weir_set: the type, the object, the offset are named. A
 *         plain object may be stored to by any means: there the mistake is the collector's.
 * Cost    Each object in use is looked at, each pointer looked up as weir__mem_find does: some
 *         30 ns each, in the stop.
 * Not     Reporting all: the first is fatal, for after it the heap is what it is by accident. */
#include "mem/heap.h"

static bool would_be_lost(uintptr_t word, struct mem_object *o)
{
        return weir__mem_find((void *)word, o) && o->kind != MEM_MANUAL && !weir__mark_is((void *)word);
}

static size_t size_of(const struct span *s)
{
        return s->class ? s->size : load_relaxed(&s->asked);
}

static no_sanitize void check_elements(uintptr_t at, size_t size, const struct mem_type *t)
{
        struct mem_object o;

        for (uintptr_t end = at + size, e = at; e + t->size <= end; e += t->size)
                for (uint32_t k = 0; k < t->n; k++)
                        if (would_be_lost(*(const volatile uintptr_t *)(e + t->at[k]), &o))
                                weir__throw("gccheck: %s at %p: the pointer at offset %u was not "
                                            "stored by weir_set, and the object at %p would be "
                                            "lost", t->name ? t->name : "object", (void *)e,
                                            t->at[k], o.base);
}

static void check_object(struct span *s, uint32_t i)
{
        const struct mem_type *t = &weir__mem_types[s->types[i]];
        uintptr_t              at = span_object(s, i);

        if (!s->types[i])
                return;
        check_elements(at, t->tail ? t->size : size_of(s), t);
        if (t->tail)
                check_elements(at + t->from, size_of(s) - t->from, t->tail);
}

static no_sanitize void check_plain(struct span *s, uint32_t i)
{
        uintptr_t         at = span_object(s, i), end = at + size_of(s);
        struct mem_object o;

        if (weir__exclude_any(at, end))
                return;
        for (; at + sizeof at <= end; at += sizeof at)
                if (would_be_lost(*(const volatile uintptr_t *)at, &o))
                        weir__throw("gccheck: the word at %p of the plain object %p was not "
                                    "scanned, and the object at %p would be lost", (void *)at,
                                    (void *)span_object(s, i), o.base);
}

static void check_span(struct span *s, void *arg)
{
        void (*look)(struct span *of, uint32_t i) = s->kind == MEM_TYPED ? check_object : check_plain;

        (void)arg;
        if (s->kind != MEM_TYPED && s->kind != MEM_PLAIN)
                return;
        for (uint32_t i = 0; i < s->objects; i++)
                if (!(load_relaxed(&span_free_bits(s)[i / 64]) >> (i % 64) & 1) &&
                    weir__mark_is((void *)span_object(s, i)))
                        look(s, i);
}

void weir__mark_check(void)
{
        weir__span_each(check_span, NULL);
}
