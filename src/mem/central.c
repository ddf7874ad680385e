/* Central lists: the spans of one class, between the page heap and the caches of the threads.
 *
 * What    One list per kind and size class. For malloc it hands out and takes back objects in
 *         batches; for the collected kinds whole spans, which a cache then owns.
 * Shape
 *         cache --batch--> transfer [ptr ptr ptr ...] --batch--> another cache
 *                              | overflow, drain
 *                          list of partial spans, each with a bit per free object --> page heap
 * States  Of a span:  partial  on the list: some objects free, no cache has it
 *                     full     not on it: no free object
 *                     held     by one cache (collected kinds only), which alone touches free
 *                     A span whose objects are all free goes back to the page heap, but the last
 *                     partial one of a class, lest a program that allocates and frees one object
 *                     make and release a span each time.
 *         The law that the walker checks, per list:
 *           spans = grown - returned,  spans = partial + held + full,
 *           objects of its spans = free bits + transfer + in caches + in the program,
 *           and  in caches + in the program = taken - given  (malloc).
 * Locks   One per list; heap inside it. A span is made without the lock.
 * Cost    A batch through transfer is one lock and a copy of pointers: that is what a consumer that
 *         frees what a producer allocates pays. Bits instead of a list through the objects: the
 *         memory of a free object is not touched (half of these lines would miss), free objects
 *         come out in address order, a second free of one that is there already is seen, and the
 *         collector can tell free from used.
 * Not     Priorities among partial spans (the fullest first): the newest first needs no order to be
 *         kept, and on the mixed bench 1.10 bytes are resident per live byte, as with tcmalloc. */
#include "mem/heap.h"

struct central weir__central[KINDS][CLASSES];
uint32_t       weir__heap_epoch;

bool weir__central_init(void)
{
        for (unsigned kind = 0; kind < KINDS; kind++)
                for (unsigned class = 1; class < CLASSES; class++) {
                        struct central *c = &weir__central[kind][class];

                        lock_init(&c->lock, central);
                        if (kind != MEM_MANUAL)
                                continue;
                        /* 128 KiB, or 8192 bytes' worth of pointers. */
                        c->transfer_max = (uint32_t)MIN(MAX((512u << 10) / weir__class[class].size,
                                                            4u), 2048u);
                }
        return true;
}

/* ---- the list; lock: central is held ---- */

static void list_add(struct central *c, struct span *s)
{
        check(!s->listed);
        s->prev = NULL;
        s->next = c->list;
        if (c->list)
                c->list->prev = s;
        c->list = s;
        s->listed = LIST_PARTIAL;
        c->partial++;
}

static void full_add(struct central *c, struct span *s)
{
        check(!s->listed);
        s->next = NULL;
        s->prev = c->full_last;
        if (c->full_last)
                c->full_last->next = s;
        else
                c->full = s;
        c->full_last = s;
        s->listed = LIST_FULL;
}

static void list_remove(struct central *c, struct span *s)
{
        bool full = s->listed == LIST_FULL;

        check(s->listed);
        if (s->prev)
                s->prev->next = s->next;
        else if (full)
                c->full = s->next;
        else
                c->list = s->next;
        if (s->next)
                s->next->prev = s->prev;
        else if (full)
                c->full_last = s->prev;
        s->listed = LIST_NONE;
        c->partial -= !full;
}

static void add_new(struct central *c, struct span *s)
{
        s->loose = 0;
        c->spans++;
        c->grown++;
        c->nfree += s->objects;
        list_add(c, s);
}

/* Takes a wholly free span off the list; the caller releases it after the lock. */
static void retire(struct central *c, struct span *s)
{
        list_remove(c, s);
        s->loose = 1;
        c->spans--;
        c->returned++;
        c->nfree -= s->nfree;
}

/* ---- objects of malloc ---- */

/* lock: central is held. */
static unsigned take_bits(struct central *c, struct span *s, void **ret, unsigned n)
{
        uint64_t *bits = span_free_bits(s);
        unsigned  got = 0, w = s->hint;

        while (got < n && got < s->nfree) {
                uint64_t word = bits[w];

                if (!word) {
                        w++;
                        continue;
                }
                for (; word && got < n; word &= word - 1)
                        ret[got++] = (void *)span_object(s, w * 64 +
                                                         (unsigned)__builtin_ctzll(word));
                bits[w] = word;
        }
        s->hint = w;
        s->nfree -= got;
        c->nfree -= got;
        if (!s->nfree)
                list_remove(c, s);
        return got;
}

unsigned weir__central_take(unsigned class, void **ret, unsigned n)
{
        struct central *c = &weir__central[MEM_MANUAL][class];
        unsigned        got = 0;

        weir__mem_lock(&c->lock);
        if (c->ntransfer) {
                got = MIN(n, c->ntransfer);
                c->ntransfer -= got;
                memcpy(ret, c->transfer + c->ntransfer, got * sizeof *ret);
        }
        while (got < n) {
                struct span *s = c->list;

                if (!s) {
                        if (got)
                                break;
                        weir__mem_unlock(&c->lock);
                        s = weir__span_new(MEM_MANUAL, class);
                        weir__mem_lock(&c->lock);
                        if (s)
                                add_new(c, s);
                        else if (!c->list)              /* another thread may have freed one */
                                break;
                        continue;
                }
                got += take_bits(c, s, ret + got, n - got);
        }
        c->taken += got;
        weir__mem_unlock(&c->lock);
        return got;
}

/* Sets the bit of one object. Answers the span if it is to be released. lock: central is held. */
static struct span *give_one(struct central *c, void *p)
{
        struct span *s = load_relaxed(&weir__heap.spans[((uintptr_t)p - weir__heap.base) >>
                                                        PAGE_SHIFT]);
        uint32_t     i = span_index(s, (uintptr_t)p), w = i / 64;
        uint64_t     bit = UINT64_C(1) << (i % 64);
        uint64_t    *bits = span_free_bits(s);

        check(s->state == SPAN_USED && s->class && span_object(s, i) == (uintptr_t)p);
        if (unlikely(bits[w] & bit))
                weir__mem_abort("free of %p, which is free already (%zu bytes)", p, s->size);
        bits[w] |= bit;
        if (w < s->hint)
                s->hint = w;
        c->nfree++;
        if (!s->nfree++)
                list_add(c, s);
        if (s->nfree < s->objects || c->partial == 1)
                return NULL;
        retire(c, s);
        return s;
}

/* Releases spans linked by next; without a lock. */
static void release_all(struct span *s)
{
        while (s) {
                struct span *next = s->next;

                weir__span_release(s);
                s = next;
        }
}

static struct span *give_bits(struct central *c, void *const *objects, unsigned n)
{
        struct span *empty = NULL;

        for (unsigned i = 0; i < n; i++) {
                struct span *s = give_one(c, objects[i]);

                if (s) {
                        s->next = empty;
                        empty = s;
                }
        }
        return empty;
}

void weir__central_give(unsigned class, void *const *objects, unsigned n)
{
        struct central *c = &weir__central[MEM_MANUAL][class];
        struct span    *empty = NULL;

        if (!load_relaxed(&c->transfer)) {
                void **t = weir__fixed_alloc(c->transfer_max * sizeof *t);

                weir__mem_lock(&c->lock);
                if (!c->transfer)               /* two at once: one table is lost */
                        store_relaxed(&c->transfer, t);
        } else {
                weir__mem_lock(&c->lock);
        }
        c->given += n;
        if (c->transfer && c->ntransfer + n <= c->transfer_max &&
            !(load_relaxed(&weir__mem_mode) & MODE_TINY)) {
                memcpy(c->transfer + c->ntransfer, objects, n * sizeof *objects);
                c->ntransfer += n;
        } else {
                empty = give_bits(c, objects, n);
        }
        weir__mem_unlock(&c->lock);
        release_all(empty);
}

/* The empty spans of a list, off it. lock: central is held. */
static struct span *retire_empty(struct central *c)
{
        struct span *empty = NULL, *next;

        for (struct span *s = c->list; s; s = next) {
                next = s->next;
                if (s->nfree == s->objects) {
                        retire(c, s);
                        s->next = empty;
                        empty = s;
                }
        }
        return empty;
}

void weir__central_drain(void)
{
        for (unsigned class = 1; class < CLASSES; class++) {
                struct central *c = &weir__central[MEM_MANUAL][class];
                struct span    *empty = NULL, *more;

                weir__mem_lock(&c->lock);
                if (c->ntransfer)
                        empty = give_bits(c, c->transfer, c->ntransfer);
                c->ntransfer = 0;
                more = retire_empty(c);
                weir__mem_unlock(&c->lock);
                release_all(empty);
                release_all(more);
        }
}

/* ---- spans of the collected kinds ---- */

/* lock: central is held, and s is in no cache. */
static uint32_t sweep(struct central *c, struct span *s)
{
        uint64_t *bits = span_free_bits(s), *marks = span_mark_bits(s);
        uint64_t *scanned = span_scan_bits(s);
        uint32_t  nfree = 0, freed;

        for (unsigned i = 0; i < s->words; i++) {
                unsigned left = s->objects > i * 64 ? s->objects - i * 64 : 0;
                uint64_t valid = left >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1;

                store_relaxed(&bits[i], ~marks[i] & valid);
                marks[i] = scanned[i] = 0;
                nfree += popcount(bits[i]);
        }
        freed = nfree - s->nfree;
        c->nfree += freed;
        s->nfree = nfree;
        s->hint = 0;
        s->epoch = weir__heap_epoch;
        list_remove(c, s);
        if (nfree)
                list_add(c, s);
        else
                full_add(c, s);
        fetch_add_relaxed(&weir__swept, freed);
        fetch_add_relaxed(&weir__swept_bytes, freed * s->size);
        return freed;
}

/* A span with free objects, found by sweeping some if need be. lock: central is held. */
static struct span *pick(struct central *c)
{
        enum { TRIES = 64 };
        struct span *s;

        while ((s = c->list)) {
                if (s->epoch != weir__heap_epoch)
                        sweep(c, s);
                if (s->nfree)
                        return s;
        }
        for (int i = 0; i < TRIES && (s = c->full) && s->epoch != weir__heap_epoch; i++) {
                sweep(c, s);
                if (s->nfree)
                        return s;
        }
        return NULL;
}

struct span *weir__central_take_span(unsigned kind, unsigned class)
{
        struct central *c = &weir__central[kind][class];
        struct span    *s;

        weir__mem_lock(&c->lock);
        s = pick(c);
        if (!s) {
                weir__mem_unlock(&c->lock);
                s = weir__span_new(kind, class);
                weir__mem_lock(&c->lock);
                if (s)
                        add_new(c, s);
                else
                        s = pick(c);
        }
        if (s) {
                list_remove(c, s);
                s->cached = 1;
                c->held++;
                c->nfree -= s->nfree;
        }
        weir__mem_unlock(&c->lock);
        return s;
}

void weir__central_give_span(struct span *s)
{
        struct central *c = &weir__central[s->kind][s->class];
        uint32_t        nfree = 0;

        for (unsigned i = 0; i < s->words; i++)
                nfree += popcount(span_free_bits(s)[i]);
        weir__mem_lock(&c->lock);
        s->cached = 0;
        c->held--;
        s->nfree = nfree;
        s->hint = 0;
        c->nfree += nfree;
        if (nfree)
                list_add(c, s);
        else
                full_add(c, s);
        weir__mem_unlock(&c->lock);
}

size_t weir__central_sweep(struct span *s)
{
        struct central *c = &weir__central[s->kind][s->class];
        uint32_t        freed;
        bool            empty;

        weir__mem_lock(&c->lock);
        if (s->cached || s->loose || s->epoch == weir__heap_epoch) {
                weir__mem_unlock(&c->lock);
                return 0;
        }
        freed = sweep(c, s);
        empty = s->nfree == s->objects;
        if (empty)
                retire(c, s);
        weir__mem_unlock(&c->lock);
        if (empty)
                weir__span_release(s);
        return freed;
}
