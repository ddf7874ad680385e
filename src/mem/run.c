/* Objects of the collected kinds: zeroed, never freed by hand, swept when the collector says so.
 *
 * What    A thread allocates from a run: a stretch of neighbouring free slots of one span, cleared
 *         in one go. A span that a cache holds belongs to that cache alone, so that taking a run
 *         needs no lock. Objects without pointers of less than 16 bytes are packed into blocks of
 *         16.
 * Shape
 *         span   |used|used| run: next -> .... end |used| free | free |
 *         The slots of a run count as used from the moment it is taken. A conservative pointer into
 *         one keeps 0 bytes alive for a cycle and finds no pointer there. What is left of it goes
 *         back when the cache is flushed.
 * Order   Whoever sweeps has flushed the caches first and keeps their threads from allocating, or
 *         sweeps spans that no cache holds. Objects taken while marking is on are to be marked by
 *         the run: weir__run_marks is set by the collector with the world stopped.
 * Cost    The common case is a load, an addition, a comparison and a store, no counter: the counts
 *         are made where runs are. Clearing 4 KiB at a time stays in the first level cache.
 * Not     A free list through the objects: a sweep would touch all of them. Clearing at the sweep:
 *         the memory would be cold again when it is handed out. */
#include "mem/heap.h"

enum { RUN_BYTES = 4096, TINY_BLOCK = 16 };

bool     weir__run_marks;
uint64_t weir__swept, weir__swept_bytes;

static slowpath _Noreturn void exhausted(size_t size)
{
        weir__mem_exhausted(size);
}

static struct run *runs_of(struct cache *c)
{
        if (unlikely(!c->run)) {
                c->run = weir__fixed_alloc((KINDS - 1) * sizeof *c->run);
                if (!c->run)
                        exhausted((KINDS - 1) * sizeof *c->run);
        }
        return c->run[0];
}

/* The next stretch of free slots of the span from r->at on, at most most of them, or false. */
static bool find_run(struct run *r, uint32_t most)
{
        struct span *s = r->span;
        uint64_t    *bits = span_free_bits(s);

        for (uint32_t w = r->at / 64, words = (s->objects + 63) / 64; w < words; w++) {
                uint64_t free = w == r->at / 64 ? bits[w] & (~UINT64_C(0) << r->at % 64) : bits[w];
                uint64_t rest, taken;
                uint32_t first, n;

                if (!free)
                        continue;
                first = (uint32_t)__builtin_ctzll(free);
                rest = ~(free >> first);
                n = MIN(rest ? (uint32_t)__builtin_ctzll(rest) : 64, most);
                taken = (n == 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1) << first;
                bits[w] &= ~taken;
                if (load_relaxed(&weir__run_marks))
                        span_mark_bits(s)[w] |= taken;
                r->at = w * 64 + first + n;
                r->next = (char *)span_object(s, w * 64 + first);
                r->end = r->next + n * s->size;
                return true;
        }
        return false;
}

static noinline void *run_refill(struct cache *c, unsigned kind, unsigned class)
{
        struct run *r = &c->run[kind - 1][class];
        uint32_t    size = weir__class[class].size;
        char       *p;

        while (!r->span || !find_run(r, MAX(RUN_BYTES / size, 1u))) {
                if (r->span)
                        weir__central_give_span(r->span);
                r->next = r->end = NULL;
                r->at = 0;
                r->span = weir__central_take_span(kind, class);
                if (!r->span)
                        exhausted(size);
        }
        memset(r->next, 0, (size_t)(r->end - r->next));
        owner_add(&c->collected, (size_t)(r->end - r->next) / size);
        owner_add(&c->collected_bytes, (size_t)(r->end - r->next));
        p = r->next;
        r->next += size;
        weir__mem_check_maybe();
        return p;
}

static slowpath void *alloc_large(struct cache *c, unsigned kind, size_t size, bool clear)
{
        bool         zero;
        struct span *s = size <= PTRDIFF_MAX ? weir__span_new_large(kind, size, 1, &zero) : NULL;

        if (!s)
                exhausted(size);
        if (clear && !zero)
                memset((void *)s->start, 0, size);
        if (load_relaxed(&weir__run_marks))
                span_mark_bits(s)[0] = 1;
        owner_add(&c->collected, 1);
        owner_add(&c->collected_bytes, span_bytes(s));
        return (void *)s->start;
}

static void *alloc_tiny(struct cache *c, size_t size)
{
        size_t align = size & 7 ? size & 3 ? size & 1 ? 1 : 2 : 4 : 8;
        char  *p = (char *)ALIGN_UP((uintptr_t)c->tiny, align);

        if (c->tiny && (size_t)(c->tiny_end - p) >= size && p <= c->tiny_end) {
                c->tiny = p + size;
                return p;
        }
        p = weir__mem_alloc(MEM_NOSCAN, TINY_BLOCK);
        c->tiny = p + size;
        c->tiny_end = p + TINY_BLOCK;
        return p;
}

void *weir__mem_alloc(enum mem_kind kind, size_t size)
{
        struct cache *c = weir__cache_own;
        struct run   *r;
        unsigned      class;
        char         *p;

        if (unlikely(!c || !c->run)) {
                c = weir__cache_get();
                if (c == &weir__cache_closed)
                        exhausted(size);
                runs_of(c);
        }
        check(kind > MEM_MANUAL && kind < MEM_KINDS);
        if (kind == MEM_NOSCAN && size < TINY_BLOCK)
                return alloc_tiny(c, size);
        if (unlikely(size > SMALL_MAX))
                return alloc_large(c, kind, size, true);
        class = class_of_size(size);
        r = &c->run[kind - 1][class];
        p = r->next;
        if (unlikely(p == r->end))
                return run_refill(c, kind, class);
        r->next = p + weir__class[class].size;
        return p;
}

void *weir__mem_alloc_dirty(size_t size)
{
        struct cache *c;

        if (size <= SMALL_MAX)
                return weir__mem_alloc(MEM_NOSCAN, size);
        c = weir__cache_get();
        if (c == &weir__cache_closed)
                exhausted(size);
        return alloc_large(c, MEM_NOSCAN, size, false);
}

void weir__run_flush(struct cache *c)
{
        c->tiny = c->tiny_end = NULL;
        for (unsigned kind = 1; c->run && kind < KINDS; kind++)
                for (unsigned class = 1; class < CLASSES; class++) {
                        struct run *r = &c->run[kind - 1][class];
                        uint32_t    i, n;

                        if (!r->span)
                                continue;
                        n = (uint32_t)((size_t)(r->end - r->next) / r->span->size);
                        i = n ? span_index(r->span, (uintptr_t)r->next) : 0;
                        owner_add(&c->collected, -(uint64_t)n);
                        owner_add(&c->collected_bytes, -(uint64_t)(r->end - r->next));
                        for (; n; n--, i++) {
                                span_free_bits(r->span)[i / 64] |= UINT64_C(1) << (i % 64);
                                span_mark_bits(r->span)[i / 64] &= ~(UINT64_C(1) << (i % 64));
                        }
                        weir__central_give_span(r->span);
                        *r = (struct run){ 0 };
                }
}

/* ---- sweep ---- */

/* Answers how many objects of the span became free. */
static size_t sweep_one(struct span *s)
{
        size_t size = s->size, freed = 1;

        if (s->class) {
                freed = weir__central_sweep(s);
        } else if (span_mark_bits(s)[0]) {
                span_mark_bits(s)[0] = 0;
                freed = 0;
        } else {
                weir__span_release(s);
        }
        fetch_add_relaxed(&weir__swept_bytes, freed * size);
        return freed;
}

size_t weir__mem_sweep(void)
{
        struct span *list[128];
        size_t       freed = 0, page = 0, n;

        if (weir__cache_own)
                weir__run_flush(weir__cache_own);
        while ((n = weir__span_list(&page, list, COUNT(list))))
                for (size_t i = 0; i < n; i++)
                        freed += sweep_one(list[i]);
        fetch_add_relaxed(&weir__swept, freed);
        weir__mem_check_maybe();
        return freed;
}

bool weir__mem_mark(const void *p)
{
        struct span *s = weir__span_of((uintptr_t)p);
        uint32_t     i;
        uint64_t     bit;

        if (!s || s->kind == MEM_MANUAL)
                return false;
        i = s->class ? span_index(s, (uintptr_t)p) : 0;
        bit = UINT64_C(1) << (i % 64);
        if (i >= s->objects || span_free_bits(s)[i / 64] & bit)
                return false;
        return !(fetch_or_relaxed(&span_mark_bits(s)[i / 64], bit) & bit);
}
