/* The walker: derives every invariant of the heap anew and throws where one does not hold.
 *
 * What    Per page: bits, counts and summaries agree (page.c). Per span: inside the heap, its pages
 *         in use and pointing to it, nfree = the bits of free, its class in the table of bytes.
 *         Per central list, with s over its spans:
 *           spans = number of s = grown - returned = partial + held + full
 *           listed spans are exactly those with free objects that no cache holds
 *           sum of objects = free bits + transfer + (taken - given)             (malloc)
 *           taken - given >= what caches hold; the rest is the program's
 *         Pages: the pages of all spans together = used. As many structs are in use as spans.
 * Order   Takes all locks. Caches of other threads change meanwhile, so what they hold is compared
 *         only in one direction, and not at all when one is under way. */
#include "mem/heap.h"
#include "base/debug.h"

struct walk {
        size_t   pages, count;
        uint32_t spans[KINDS][BINS], partial[KINDS][BINS], held[KINDS][BINS];
        uint64_t objects[KINDS][BINS], nfree[KINDS][BINS];
};

static void check_span(struct span *s, void *arg)
{
        struct walk *w = arg;
        size_t       page = (s->start - weir__heap.base) >> PAGE_SHIFT;
        uint32_t     nfree = 0;

        for (size_t i = 0; i < s->pages; i++) {
                if (weir__page_is_free(page + i))
                        weir__throw("page %zu of the span at %p is free", i, (void *)s->start);
                if (weir__heap.spans[page + i] != s)
                        weir__throw("page %zu of the span at %p points to another span", i,
                                    (void *)s->start);
                if (weir__heap.class_of[page + i] != (s->kind == MEM_MANUAL ? s->class : 0))
                        weir__throw("page %zu of the span at %p has class %u, not %u", i,
                                    (void *)s->start, weir__heap.class_of[page + i], s->class);
        }
        w->pages += s->pages;
        w->count++;
        if (!s->class || s->loose)
                return;
        for (unsigned i = 0; i < s->words; i++) {
                uint64_t bits = span_free_bits(s)[i];
                unsigned left = s->objects > i * 64 ? s->objects - i * 64 : 0;

                nfree += popcount(bits);
                if (left < 64 && bits >> left)
                        weir__throw("the span at %p has free bits beyond its objects",
                                    (void *)s->start);
                if (i < s->hint && bits && !s->cached)
                        weir__throw("the span at %p has free bits before its hint",
                                    (void *)s->start);
        }
        w->spans[s->kind][s->class]++;
        w->objects[s->kind][s->class] += s->objects;
        if (s->cached) {
                w->held[s->kind][s->class]++;
                if (s->listed)
                        weir__throw("the span at %p is cached and listed", (void *)s->start);
                return;
        }
        w->nfree[s->kind][s->class] += nfree;
        if (nfree != s->nfree)
                weir__throw("the span at %p says %u free, its bits %u", (void *)s->start, s->nfree,
                            nfree);
        if (s->kind == MEM_MANUAL ? s->listed != (nfree ? LIST_PARTIAL : LIST_NONE)
                                  : !s->listed || list_is_partial(s->listed) != (nfree != 0))
                weir__throw("the span at %p with %u free objects is on list %u", (void *)s->start,
                            nfree, s->listed);
        w->partial[s->kind][s->class] += list_is_partial(s->listed);
}

static void check_central(const struct walk *w, unsigned kind, unsigned class)
{
        struct central *c = &weir__central[kind][class];
        uint64_t        out = c->taken - c->given, cached = 0;
        uint32_t        listed = 0, partial = 0;

        if (c->spans != w->spans[kind][class] || c->spans != c->grown - c->returned ||
            c->partial != w->partial[kind][class] || c->held != w->held[kind][class] ||
            c->nfree != w->nfree[kind][class])
                weir__throw("class %u of kind %u: %u spans (%u partial, %u held, %llu free) by its "
                            "list, %u (%u, %u, %llu) by a walk, %llu by growth", class, kind,
                            c->spans, c->partial, c->held, (unsigned long long)c->nfree,
                            w->spans[kind][class], w->partial[kind][class], w->held[kind][class],
                            (unsigned long long)w->nfree[kind][class],
                            (unsigned long long)(c->grown - c->returned));
        for (unsigned i = 0; i < LISTS; i++)
                for (struct span *s = c->list[i], *prev = NULL; s; prev = s, s = s->next) {
                        if (s->prev != prev || !i || s->listed != i || s->class != class ||
                            s->kind != kind)
                                weir__throw("class %u of kind %u: list %u is broken at %p", class,
                                            kind, i, (void *)s);
                        listed++;
                        partial += list_is_partial(i);
                }
        if (partial != c->partial || (kind != MEM_MANUAL && listed + c->held != c->spans))
                weir__throw("class %u of kind %u: %u spans on its lists, %u of them partial, not "
                            "%u", class, kind, listed, partial, c->partial);
        if (kind != MEM_MANUAL)
                return;
        if (w->objects[kind][class] != c->nfree + c->ntransfer + out)
                weir__throw("class %u: %llu objects are not %llu free + %u in transfer + %llu out",
                            class, (unsigned long long)w->objects[kind][class],
                            (unsigned long long)c->nfree, c->ntransfer, (unsigned long long)out);
        for (uint32_t i = 0; i < c->ntransfer; i++) {
                struct span *s = weir__span_of((uintptr_t)c->transfer[i]);

                if (!s || s->class != class)
                        weir__throw("class %u has %p in transfer, which is none of it", class,
                                    c->transfer[i]);
        }
        if (weir__cache_own) {
                const struct bin *b = &weir__cache_own->bin[class];

                for (void **slot = b->base; slot < b->top; slot++, cached++) {
                        struct span *s = weir__span_of((uintptr_t)*slot);

                        if (!s || s->class != class || s->kind != MEM_MANUAL)
                                weir__throw("class %u has %p in a cache, which is none of it",
                                            class, *slot);
                }
                if (cached > out)
                        weir__throw("class %u: a cache holds %llu, but only %llu are out", class,
                                    (unsigned long long)cached, (unsigned long long)out);
        }
}

void weir__mem_check(void)
{
        static struct walk w;                   /* all locks */

        if (!weir__mem_start())
                return;
        weir__mem_lock_all();
        memset(&w, 0, sizeof w);
        weir__page_check();
        weir__span_each(check_span, &w);
        if (w.pages != weir__heap_pages.used)
                weir__throw("the spans have %zu pages, %zu are in use", w.pages,
                            weir__heap_pages.used);
        if (w.count != weir__spans_used)
                weir__throw("%zu structs of spans are in use, but there are %zu spans",
                            weir__spans_used, w.count);
        for (unsigned kind = 0; kind < KINDS; kind++)
                for (unsigned class = 1; class < classes_of(kind); class++)
                        check_central(&w, kind, class);
        weir__mem_unlock_all();
}

/* Every operation while the heap is small, then ever fewer: a walk costs as much as the heap is
 * large. */
void weir__mem_check_maybe(void)
{
        static uint32_t calls;                  /* atomic */

        if (likely(WEIR_CHECK < 3 && !(load_relaxed(&weir__mem_mode) & MODE_WALK)))
                return;
        if (fetch_add_relaxed(&calls, 1) % (1 + load_relaxed(&weir__heap_pages.used) / 64) == 0)
                weir__mem_check();
}
