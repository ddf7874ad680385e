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
 * Order   A cycle of the collector, as seen from here:
 *           weir__mem_sweep_some until it answers 0        marks are clear
 *           world stopped: weir__mem_mark_begin            what is taken from now on is born
 *           marking, beside threads that allocate
 *           world stopped: weir__mem_sweep_begin           what is neither marked nor born is free
 *           allocations sweep what they need, weir__mem_sweep_some the rest
 *         Marks are a marker's and what is born while it marks is the allocating thread's, in
 *         words of its own: neither needs a locked instruction. weir__mem_find reads a span that
 *         may be released and filled in anew meanwhile: the span's version, odd for the time of
 *         that, tells; a pointer to such a span is a stale one, for what holds a live object does
 *         not go.
 * Cost    The common case is a load, an addition, a comparison and a store, no counter: the counts
 *         are made where runs are. Clearing 4 KiB at a time stays in the first level cache.
 * Not     A free list through the objects: a sweep would touch all of them. Clearing at the sweep:
 *         the memory would be cold again when it is handed out. */
#include "mem/heap.h"
#include "base/debug.h"

enum { RUN_BYTES = 4096, TINY_BLOCK = 16 };

bool     weir__run_marks, weir__mem_sticky;
uint64_t weir__swept, weir__swept_bytes;
uint64_t weir__mem_since, weir__mem_trigger = UINT64_MAX;

/* Bytes that become the program's, or a cache's for it. */
static void count(size_t bytes)
{
        if (fetch_add_relaxed(&weir__mem_since, bytes) + bytes >=
                    load_relaxed(&weir__mem_trigger) && weir__mem_hooks.pace)
                weir__mem_hooks.pace();
}

static slowpath _Noreturn void exhausted(size_t size)
{
        weir__mem_exhausted(size);
}

struct run                weir__run_closed[CLASSES];
__thread struct run      *weir__run_typed __attribute__((tls_model("initial-exec"))) =
        weir__run_closed;

/* This thread's cache, with runs. */
static slowpath struct cache *cache_with_runs(size_t size)
{
        struct cache *c = weir__cache_get();

        if (c == &weir__cache_closed)
                exhausted(size);
        c = weir__cache_own;
        if (!c->run) {
                c->run = weir__fixed_alloc((KINDS - 1) * sizeof *c->run);
                if (!c->run)
                        exhausted((KINDS - 1) * sizeof *c->run);
        }
        weir__run_typed = c->run[MEM_TYPED - 1];
        return c;
}

/* Objects of a span that this thread allocates from need no mark in this cycle. */
static void born(struct span *s, uint32_t w, uint64_t bits)
{
        store_relaxed(&span_born_bits(s)[w], span_born_bits(s)[w] | bits);
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
                /* Before the object is handed out: who finds a pointer to it may mark it. */
                store_relaxed(&bits[w], bits[w] & ~taken);
                if (unlikely(load_relaxed(&weir__run_marks)))
                        born(s, w, taken);
                r->at = w * 64 + first + n;
                r->next = (char *)span_object(s, w * 64 + first);
                r->end = r->next + n * s->size;
                r->types = s->types ? s->types + w * 64 + first : NULL;
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
                count((size_t)r->span->nfree * size);
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
                born(s, 0, 1);
        owner_add(&c->collected, 1);
        owner_add(&c->collected_bytes, span_bytes(s));
        count(span_bytes(s));
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

        if (unlikely(!c || !c->run))
                c = cache_with_runs(size);
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

void *weir__mem_alloc_typed(uint16_t type, size_t size)
{
        struct cache *c = weir__cache_own;
        struct run   *r;
        char         *p;

        if (unlikely(size > SMALL_MAX)) {
                p = weir__mem_alloc(MEM_TYPED, size);
                weir__span_of((uintptr_t)p)->types[0] = type;
                return p;
        }
        if (unlikely(!c || !c->run))
                c = cache_with_runs(size);
        r = &c->run[MEM_TYPED - 1][class_of_size(size)];
        p = r->next;
        if (unlikely(p == r->end))
                p = run_refill(c, MEM_TYPED, class_of_size(size));
        else
                r->next = p + r->span->size;
        *r->types++ = type;
        return p;
}

/* Of an empty run the next object is the end, which without a cache holds of all. */
void *weir__mem_alloc_one(uint16_t type)
{
        const struct mem_type *t = weir__mem_type_of(type);
        struct run            *r = &weir__run_typed[t->class];
        char                  *p = r->next;

        if (unlikely(p == r->end))
                return weir__mem_alloc_typed(type, t->size);
        r->next = p + t->slot;
        *r->types++ = type;
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
                                uint64_t  bit = UINT64_C(1) << (i % 64);
                                uint64_t *bits = &span_free_bits(r->span)[i / 64];

                                store_relaxed(bits, *bits | bit);
                                fetch_and_relaxed(&span_born_bits(r->span)[i / 64], ~bit);
                        }
                        weir__central_give_span(r->span);
                        *r = (struct run){ 0 };
                }
}

/* ---- sweep ---- */

/* Where the next large span is looked for; whoever holds the word looks. */
static uint32_t large_word;
static size_t   large_page;             /* lock: large_word */

/* Sweeps large objects; answers how many. */
static unsigned sweep_large(unsigned n)
{
        struct span *list[16];
        unsigned     done = 0;
        uint8_t      parity = (uint8_t)load_relaxed(&weir__sweep_parity);
        size_t       got;

        word_take(&large_word);
        while (done < n && (got = weir__span_list(&large_page, list, MIN(COUNT(list), n - done))))
                for (size_t i = 0; i < got; i++) {
                        struct span *s = list[i];

                        if (load_relaxed(&s->parity) == parity)
                                continue;
                        done++;
                        fetch_add_relaxed(&weir__unswept, -UINT64_C(1));
                        store_relaxed(&s->parity, parity);
                        if (load_relaxed(&span_mark_bits(s)[0]) | load_relaxed(&span_born_bits(s)[0])) {
                                uint64_t keep = weir__mem_sticky ? load_relaxed(&span_mark_bits(s)[0]) : 0;

                                store_relaxed(&span_mark_bits(s)[0], keep);
                                span_scan_bits(s)[0] = keep;
                                store_relaxed(&span_born_bits(s)[0], 0);
                                continue;
                        }
                        if (unlikely(weir__debug.gcpoison))
                                memset((void *)s->start, POISON_DEAD, span_bytes(s));
                        fetch_add_relaxed(&weir__swept, 1);
                        fetch_add_relaxed(&weir__swept_bytes, span_bytes(s));
                        weir__span_release(s);
                }
        word_drop(&large_word);
        return done;
}

unsigned weir__mem_sweep_some(unsigned n)
{
        unsigned done = 0;

        if (!load_relaxed(&weir__unswept))
                return 0;
        for (unsigned kind = 1; done < n && kind < KINDS; kind++)
                for (unsigned class = 1; done < n && class < CLASSES; class++)
                        done += weir__central_sweep(kind, class, n - done);
        if (done < n)
                done += sweep_large(n - done);
        return done;
}

void weir__mem_mark_begin(void)
{
        check(!load_relaxed(&weir__unswept));
        store_relaxed(&weir__run_marks, true);
        /* What is left of a run counts as in use, and will be handed out without another look. */
        for (struct cache *c = load_acquire(&weir__caches); c; c = c->next)
                for (unsigned kind = 1; c->run && kind < KINDS; kind++)
                        for (unsigned class = 1; class < CLASSES; class++) {
                                const struct run *r = &c->run[kind - 1][class];
                                uint32_t          i, n;

                                if (!r->span || r->next == r->end)
                                        continue;
                                n = (uint32_t)((size_t)(r->end - r->next) / r->span->size);
                                i = span_index(r->span, (uintptr_t)r->next);
                                for (; n; n--, i++)
                                        born(r->span, i / 64, UINT64_C(1) << (i % 64));
                        }
}

/* The marks are complete: all that is on a list is to be swept. */
static void begin(void)
{
        uint64_t n = 0;

        check(!load_relaxed(&weir__unswept));
        for (unsigned kind = 1; kind < KINDS; kind++)
                for (unsigned class = 1; class < CLASSES; class++) {
                        struct central *c = &weir__central[kind][class];

                        weir__mem_lock(&c->lock);       /* a thread may be ending */
                        n += c->spans - c->held;
                        weir__mem_unlock(&c->lock);
                }
        n += load_relaxed(&weir__spans_large);
        large_page = 0;
        store_relaxed(&weir__unswept, n);
        store_relaxed(&weir__mem_since, 0);
        store_relaxed(&weir__sweep_parity, load_relaxed(&weir__sweep_parity) ^ 1);
}

void weir__mem_sweep_begin(void)
{
        while (weir__mem_sweep_some(UINT32_MAX))
                ;
        for (struct cache *c = load_acquire(&weir__caches); c; c = c->next)
                weir__run_flush(c);
        store_relaxed(&weir__run_marks, false);
        begin();
}

size_t weir__mem_sweep(void)
{
        uint64_t before = load_relaxed(&weir__swept);

        if (weir__cache_own)
                weir__run_flush(weir__cache_own);
        begin();
        while (weir__mem_sweep_some(UINT32_MAX))
                ;
        weir__mem_check_maybe();
        return load_relaxed(&weir__swept) - before;
}

/* ---- find and mark ---- */

bool weir__mem_find(const void *p, struct mem_object *ret)
{
        uintptr_t    addr = (uintptr_t)p, start;
        struct span *s = weir__span_of(addr);
        uint32_t     version, i, objects;
        uint64_t     magic;
        size_t       size;

        if (!s)
                return false;
        version = load_acquire(&s->version);    /* pairs with the release in span_init() */
        start = load_relaxed(&s->start);
        magic = load_relaxed(&s->magic);
        size = load_relaxed(&s->size);
        objects = load_relaxed(&s->objects);
        ret->kind = load_relaxed(&s->kind);
        i = (uint32_t)(((addr - start) * magic) >> 40);
        if (i >= objects || load_relaxed(&span_free_bits(s)[i / 64]) >> (i % 64) & 1)
                return false;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (version & 1 || load_relaxed(&s->version) != version)
                return false;
        ret->base = (void *)(start + i * size);
        ret->size = size;
        ret->span = s;
        ret->index = i;
        return true;
}

bool weir__mem_mark_object(const struct mem_object *o)
{
        uint64_t  bit = UINT64_C(1) << (o->index % 64);
        uint64_t *word = &span_mark_bits(o->span)[o->index / 64];

        return !(load_relaxed(word) & bit) && !(fetch_or_relaxed(word, bit) & bit);
}

bool weir__mem_mark(const void *p)
{
        struct mem_object o;

        return weir__mem_find(p, &o) && o.kind != MEM_MANUAL && weir__mem_mark_object(&o);
}
