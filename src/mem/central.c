/* Central lists: the spans of one class, between the page heap and the caches of the threads.
 *
 * What    One list per kind and size class. For malloc it hands out and takes back objects in
 *         batches; for the collected kinds whole spans, which a cache then owns.
 * Shape
 *         cache --batch--> transfer [ptr ptr ptr ...] --batch--> another cache
 *                              | overflow, drain
 *                          list of partial spans, each with a bit per free object --> page heap
 * States  Of a span:  partial  on the list: some objects free, no cache has it
 *                     full     no free object; of a collected kind on a list of full ones
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
#include "base/debug.h"

struct central weir__central[KINDS][BINS];
uint32_t       weir__sweep_parity;
uint64_t       weir__unswept;

bool weir__central_init(void)
{
        for (unsigned kind = 0; kind < KINDS; kind++)
                for (unsigned class = 1; class < classes_of(kind); class++) {
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

static void list_add(struct central *c, struct span *s, unsigned list)
{
        check(!s->listed);
        s->prev = NULL;
        s->next = c->list[list];
        if (s->next)
                s->next->prev = s;
        c->list[list] = s;
        s->listed = (uint8_t)list;
        c->partial += list_is_partial(list);
}

/* Where a span of a collected kind belongs in this cycle. */
static unsigned list_of(const struct span *s)
{
        return (s->nfree ? LIST_PARTIAL : LIST_FULL) + 2 * load_relaxed(&weir__sweep_parity);
}

static void list_remove(struct central *c, struct span *s)
{
        check(s->listed);
        if (s->prev)
                s->prev->next = s->next;
        else
                c->list[s->listed] = s->next;
        if (s->next)
                s->next->prev = s->prev;
        c->partial -= list_is_partial(s->listed);
        s->listed = LIST_NONE;
}

static void add_new(struct central *c, struct span *s)
{
        s->loose = 0;
        store_relaxed(&c->spans, c->spans + 1);
        owner_add(&c->grown, 1);        /* read without the lock by the metrics; so the next */
        c->nfree += s->objects;
        list_add(c, s, s->kind == MEM_MANUAL ? (unsigned)LIST_PARTIAL : list_of(s));
}

/* Takes a wholly free span off the list; the caller releases it after the lock. */
static void retire(struct central *c, struct span *s)
{
        list_remove(c, s);
        s->loose = 1;
        store_relaxed(&c->spans, c->spans - 1);
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
                store_relaxed(&bits[w], word);          /* the collector reads it */
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
                struct span *s = c->list[LIST_PARTIAL];

                if (!s) {
                        if (got)
                                break;
                        weir__mem_unlock(&c->lock);
                        s = weir__span_new(MEM_MANUAL, class);
                        weir__mem_lock(&c->lock);
                        if (s)
                                add_new(c, s);
                        else if (!c->list[LIST_PARTIAL])        /* else another thread freed one */
                                break;
                        continue;
                }
                got += take_bits(c, s, ret + got, n - got);
        }
        c->taken += got;
        owner_add(&c->refills, 1);
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
        store_relaxed(&bits[w], bits[w] | bit);
        if (w < s->hint)
                s->hint = w;
        c->nfree++;
        if (!s->nfree++)
                list_add(c, s, LIST_PARTIAL);
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

        for (struct span *s = c->list[LIST_PARTIAL]; s; s = next) {
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
        for (unsigned class = 1; class < BINS; class++) {
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

enum { SWEEP_MOST = 64 };       /* spans that an allocation sweeps before it takes a new one */

/* WEIR_DEBUG=gcpoison: objects of a span that die. */
static slowpath void poison(const struct span *s, unsigned word, uint64_t dead)
{
        for (; dead; dead &= dead - 1)
                memset((void *)span_object(s, word * 64 + (unsigned)__builtin_ctzll(dead)), POISON_DEAD,
                       s->size);
}

/* Turns the marks of a span into its free bits; answers how many objects became free. lock: central
 * is held. */
static uint32_t sweep(struct central *c, struct span *s)
{
        uint64_t *bits = span_free_bits(s), *marks = span_mark_bits(s);
        uint64_t *scanned = span_scan_bits(s), *born = span_born_bits(s);
        uint32_t  before = s->nfree, nfree = 0;

        for (unsigned i = 0; i < (s->objects + 63) / 64; i++) {
                unsigned left = s->objects - i * 64;
                uint64_t valid = left >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1;
                uint64_t free = ~(load_relaxed(&marks[i]) | load_relaxed(&born[i])) & valid;
                uint64_t keep = weir__mem_sticky ? load_relaxed(&marks[i]) : 0;

                if (unlikely(weir__debug.gcpoison))
                        poison(s, i, free & ~bits[i]);
                store_relaxed(&bits[i], free);
                store_relaxed(&marks[i], keep);
                store_relaxed(&born[i], 0);
                scanned[i] = keep;
                nfree += popcount(free);
        }
        list_remove(c, s);
        s->nfree = nfree;
        s->hint = 0;
        c->nfree += nfree - before;
        list_add(c, s, list_of(s));
        fetch_add_relaxed(&weir__unswept, -UINT64_C(1));
        fetch_add_relaxed(&weir__swept, nfree - before);
        fetch_add_relaxed(&weir__swept_bytes, (uint64_t)(nfree - before) * s->size);
        return nfree - before;
}

/* The next span that was not swept in this cycle, those with free objects first. lock: central is
 * held. */
static struct span *unswept(const struct central *c)
{
        unsigned other = 2 * (load_relaxed(&weir__sweep_parity) ^ 1);

        return c->list[LIST_PARTIAL + other] ? c->list[LIST_PARTIAL + other]
                                             : c->list[LIST_FULL + other];
}

/* A span with free objects that is there already, swept now if need be. lock: central is held. */
static struct span *find_span(struct central *c)
{
        unsigned     mine = LIST_PARTIAL + 2 * load_relaxed(&weir__sweep_parity);
        struct span *s;

        for (unsigned i = 0; !c->list[mine] && i < SWEEP_MOST && (s = unswept(c)); i++)
                sweep(c, s);
        return c->list[mine];
}

struct span *weir__central_take_span(unsigned kind, unsigned class)
{
        struct central *c = &weir__central[kind][class];
        struct span    *s;

        weir__mem_lock(&c->lock);
        s = find_span(c);
        if (!s) {
                weir__mem_unlock(&c->lock);
                s = weir__span_new(kind, class);
                weir__mem_lock(&c->lock);
                if (s)
                        add_new(c, s);
                else
                        s = find_span(c);
        }
        if (s) {
                list_remove(c, s);
                s->cached = 1;
                c->held++;
                owner_add(&c->refills, 1);
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
        list_add(c, s, list_of(s));
        weir__mem_unlock(&c->lock);
}

bool weir__central_drop(struct span *s, uint32_t i)
{
        struct central *c = &weir__central[s->kind][s->class];
        bool            now, empty = false;

        weir__mem_lock(&c->lock);
        /* Not swept yet: the sweep finds it without a mark, and frees it. */
        now = !s->cached && s->listed == list_of(s);
        if (now) {
                uint64_t *bits = &span_free_bits(s)[i / 64];

                store_relaxed(bits, *bits | UINT64_C(1) << (i % 64));
                s->hint = MIN(s->hint, i / 64);
                c->nfree++;
                if (!s->nfree) {
                        list_remove(c, s);
                        s->nfree++;
                        list_add(c, s, list_of(s));
                } else {
                        s->nfree++;
                }
                empty = s->nfree == s->objects && c->partial > 1;
                if (empty)
                        retire(c, s);
        }
        weir__mem_unlock(&c->lock);
        if (empty)
                weir__span_release(s);
        return now;
}

unsigned weir__central_sweep(unsigned kind, unsigned class, unsigned n)
{
        struct central *c = &weir__central[kind][class];
        struct span    *empty = NULL, *s;
        unsigned        done = 0;

        weir__mem_lock(&c->lock);
        for (; done < n && (s = unswept(c)); done++) {
                sweep(c, s);
                if (s->nfree == s->objects) {
                        retire(c, s);
                        s->next = empty;
                        empty = s;
                }
        }
        weir__mem_unlock(&c->lock);
        release_all(empty);
        return done;
}
