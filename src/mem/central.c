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
        s->listed = 1;
        c->partial++;
}

static void list_remove(struct central *c, struct span *s)
{
        check(s->listed);
        if (s->prev)
                s->prev->next = s->next;
        else
                c->list = s->next;
        if (s->next)
                s->next->prev = s->prev;
        s->listed = 0;
        c->partial--;
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

struct span *weir__central_take_span(unsigned kind, unsigned class)
{
        struct central *c = &weir__central[kind][class];
        struct span    *s;

        weir__mem_lock(&c->lock);
        s = c->list;
        if (!s) {
                weir__mem_unlock(&c->lock);
                s = weir__span_new(kind, class);
                weir__mem_lock(&c->lock);
                if (s)
                        add_new(c, s);
                else
                        s = c->list;
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
        weir__mem_unlock(&c->lock);
}

bool weir__central_drop(struct span *s, uint32_t i)
{
        struct central *c = &weir__central[s->kind][s->class];
        bool            held, empty = false;

        weir__mem_lock(&c->lock);
        held = s->cached;
        if (!held) {
                span_free_bits(s)[i / 64] |= UINT64_C(1) << (i % 64);
                s->hint = MIN(s->hint, i / 64);
                c->nfree++;
                if (!s->nfree++)
                        list_add(c, s);
                empty = s->nfree == s->objects && c->partial > 1;
                if (empty)
                        retire(c, s);
        }
        weir__mem_unlock(&c->lock);
        if (empty)
                weir__span_release(s);
        return !held;
}

size_t weir__central_sweep(struct span *s)
{
        struct central *c = &weir__central[s->kind][s->class];
        uint64_t       *bits = span_free_bits(s), *marks = span_mark_bits(s);
        uint32_t        nfree = 0, before;

        weir__mem_lock(&c->lock);
        before = s->nfree;
        if (s->cached) {
                weir__mem_unlock(&c->lock);
                return 0;
        }
        for (unsigned i = 0; i < s->words; i++) {
                unsigned left = s->objects > i * 64 ? s->objects - i * 64 : 0;
                uint64_t valid = left >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1;

                bits[i] = ~marks[i] & valid;
                marks[i] = 0;
                nfree += popcount(bits[i]);
        }
        s->nfree = nfree;
        s->hint = 0;
        c->nfree += nfree - before;
        if (nfree && !s->listed)
                list_add(c, s);
        else if (!nfree && s->listed)
                list_remove(c, s);
        if (nfree == s->objects)
                retire(c, s);
        weir__mem_unlock(&c->lock);
        if (nfree == s->objects)
                weir__span_release(s);
        return nfree - before;
}
