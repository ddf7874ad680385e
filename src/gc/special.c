/* Specials: what is tied to single objects from outside of them. Pins, finalizers, cleanups, weak
 * pointers.
 *
 * What    A record per tie, outside of everything that is scanned, found by the object's address.
 *         The collector goes through all of them: for roots that they are, and for those whose
 *         object has died.
 * Shape   Records lie in chunks and never move; a record is named by its number. Chains by hash
 *         lead to them. The hash grows by one chain per record (linear hashing), so that no
 *         insertion pays for a rehash of a million.
 *         A free record is on the free list; its generation tells that a name of it is stale.
 * States  Of a record, its kind, changed with the lock:
 *           FREE     on the free list
 *           PIN, FINAL, CLEANUP, WEAK    in the chain of its object
 *           RUN      in the queue of calls, in no chain: its object, or argument, is a root
 * Order   Beside the program the collector reads records without the lock, as they change. It finds
 *         the roots that were there when the cycle began; who makes a record later shades what it
 *         refers to (mem/shade.c), after the record is in its place.
 *         What has died is known once marking has ended, with the world stopped. Most of what lives
 *         is marked before: so all records are looked at beside the program, just before that stop
 *         (weir__special_look), and in it only the suspects, those whose object was not marked. An
 *         object that gets a record in between is shaded, so it lives through the cycle.
 *         In the stop, in this order: what objects with finalizers point to is marked; weak
 *         pointers to what is not marked become NULL; of what is not marked finalizers are queued,
 *         and it is marked; cleanups of what still is not are queued; records of weak pointers that
 *         died themselves go.
 * Locks   specials: chains, queue, free list. Taken inside of the runtime, so with the world
 *         stopped nobody has it.
 * Cost    A record is 48 bytes. Beside the program 5 to 20 ns for each in a cycle; in the stop some
 *         50 for each whose object died.
 * Not     Lists at the spans, as Go has them: the sweep would have to know. */
#include "gc/special.h"
#include "os/os.h"

#ifndef WEIR_SPECIAL_SHIFT
#define WEIR_SPECIAL_SHIFT 12           /* model tests, which have little memory, take 4 */
#endif

enum {
        CHUNK_SHIFT = WEIR_SPECIAL_SHIFT,
        CHUNK = 1 << CHUNK_SHIFT,
        CHUNKS = 16 * CHUNK,
        CHAINS_FIRST = CHUNK,
};

struct lock weir__special_lock = LOCK_INIT(specials);

static struct special **chunk;          /* atomic; lock: own to write; records by number */
static uint32_t         used;           /* atomic; lock: own to write; records ever, 0 is none */
static uint32_t         unused;         /* lock: own; the free list */
static uint32_t         alive;          /* lock: own; records in chains */

static uint32_t       **chain;          /* lock: own; first records, by hash */
static uint32_t         nchains;        /* lock: own */
static uint32_t         nlow;           /* lock: own; the largest power of two up to nchains */

struct special_queue weir__special_queue;

/* The collector's. */
static uint32_t suspects;               /* list by suspect */
static bool     looked;

/* ---- records ---- */

struct special *weir__special_at(uint32_t number)
{
        return &load_acquire(&load_acquire(&chunk)[number >> CHUNK_SHIFT])[number % CHUNK];
}

static slowpath _Noreturn void no_memory(void)
{
        weir__throw("no memory for %u pins, finalizers, cleanups and weak pointers", alive + 1);
}

static void *map_or_end(size_t size)
{
        void *p = weir__os_map(size);

        if (!p)
                no_memory();
        return p;
}

static uint32_t record_new(void)
{
        uint32_t number = unused;

        if (number) {
                unused = weir__special_at(number)->next;
                return number;
        }
        if (!chunk)
                store_release(&chunk, map_or_end(CHUNKS * sizeof *chunk));
        number = used + 1;
        if (number >> CHUNK_SHIFT == CHUNKS)
                no_memory();
        if (!chunk[number >> CHUNK_SHIFT])
                store_release(&chunk[number >> CHUNK_SHIFT],
                              map_or_end(CHUNK * sizeof(struct special)));
        store_release(&used, number);           /* pairs with the acquire in each() */
        return number;
}

void weir__special_free(uint32_t number)
{
        struct special *s = weir__special_at(number);

        store_relaxed(&s->kind, SPECIAL_FREE);
        store_relaxed(&s->obj, 0);
        store_relaxed(&s->arg, NULL);
        s->count = 0;
        s->generation++;
        s->next = unused;
        unused = number;
}

/* ---- chains ---- */

static uint32_t hash(uintptr_t obj)
{
        return (uint32_t)(obj * UINT64_C(0x9E3779B97F4A7C15) >> 32);
}

static uint32_t *chain_at(uint32_t i)
{
        return &chain[i >> CHUNK_SHIFT][i % CHUNK];
}

static uint32_t *chain_of(uintptr_t obj)
{
        uint32_t i = hash(obj) & (2 * nlow - 1);

        return chain_at(i < nchains ? i : i & (nlow - 1));
}

/* One chain more: half of another one's. */
static void add_chain(void)
{
        uint32_t  i = nchains, *from = chain_at(i - nlow), *to;

        if (i >> CHUNK_SHIFT == CHUNKS)
                return;
        if (!chain[i >> CHUNK_SHIFT])
                chain[i >> CHUNK_SHIFT] = map_or_end(CHUNK * sizeof **chain);
        to = chain_at(i);
        while (*from) {
                struct special *s = weir__special_at(*from);

                if ((hash(s->obj) & (2 * nlow - 1)) == i) {
                        uint32_t number = *from;

                        *from = s->next;
                        s->next = *to;
                        *to = number;
                } else {
                        from = &s->next;
                }
        }
        nchains++;
        if (nchains == 2 * nlow)
                nlow = nchains;
}

uint32_t weir__special_find(uintptr_t obj, enum special_kind kind)
{
        for (uint32_t number = nchains ? *chain_of(obj) : 0; number;) {
                struct special *s = weir__special_at(number);

                if (s->obj == obj && s->kind == kind)
                        return number;
                number = s->next;
        }
        return 0;
}

uint32_t weir__special_add(uintptr_t obj, enum special_kind kind, void (*fn)(void *), void *arg)
{
        uint32_t        number = record_new(), *first;
        struct special *s = weir__special_at(number);

        if (!chain) {
                chain = map_or_end(CHUNKS * sizeof *chain);
                for (uint32_t i = 0; i < CHAINS_FIRST; i += CHUNK)
                        chain[i >> CHUNK_SHIFT] = map_or_end(CHUNK * sizeof **chain);
                nchains = nlow = CHAINS_FIRST;
        }
        s->fn = fn;
        store_relaxed(&s->obj, obj);
        store_relaxed(&s->arg, arg);
        store_release(&s->kind, (uint8_t)kind);
        if (++alive > nchains)
                add_chain();
        first = chain_of(obj);
        s->next = *first;
        *first = number;
        return number;
}

void weir__special_unlink(uint32_t number)
{
        uint32_t *at = chain_of(weir__special_at(number)->obj);

        while (*at != number)
                at = &weir__special_at(*at)->next;
        *at = weir__special_at(number)->next;
        alive--;
}

uint64_t weir__special_count(void)
{
        uint64_t n;

        lock_take(&weir__special_lock);
        n = alive;
        lock_drop(&weir__special_lock);
        return n;
}

void weir__special_forked(void)
{
        lock_init(&weir__special_lock, specials);
}

/* ---- the queue ---- */

void weir__special_queue_add(uint32_t number)
{
        struct special *s = weir__special_at(number);

        store_relaxed(&s->kind, SPECIAL_RUN);
        s->next = 0;
        if (weir__special_queue.last)
                weir__special_at(weir__special_queue.last)->next = number;
        else
                weir__special_queue.first = number;
        weir__special_queue.last = number;
}

/* ---- the collector ---- */

void weir__special_roots(struct marker *m)
{
        uint32_t n = load_acquire(&used);       /* pairs with the release in record_new() */

        for (uint32_t i = 1; i <= n; i++) {
                struct special *s = weir__special_at(i);

                switch (load_acquire(&s->kind)) {
                case SPECIAL_PIN:
                        weir__mark_pointer(m, (const void *)load_relaxed(&s->obj));
                        break;
                case SPECIAL_RUN:
                        weir__mark_pointer(m, (const void *)load_relaxed(&s->obj));
                        weir__mark_pointer(m, load_relaxed(&s->arg));
                        break;
                case SPECIAL_CLEANUP:
                        weir__mark_pointer(m, load_relaxed(&s->arg));
                        break;
                default:
                        break;
                }
        }
}

void weir__special_each(void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg)
{
        for (uint32_t i = 1; i <= used; i++) {
                struct special *s = weir__special_at(i);

                if (s->kind == SPECIAL_PIN || s->kind == SPECIAL_RUN)
                        fn((uintptr_t)&s->obj, (uintptr_t)(&s->obj + 1), arg);
                if (s->kind == SPECIAL_CLEANUP || s->kind == SPECIAL_RUN)
                        fn((uintptr_t)&s->arg, (uintptr_t)(&s->arg + 1), arg);
        }
}

static inline bool is_dead(const struct special *s)
{
        return !weir__mark_is((const void *)load_relaxed(&s->obj));
}

void weir__special_look(void)
{
        uint32_t n = load_acquire(&used);       /* the same */

        suspects = 0;
        for (uint32_t i = 1; i <= n; i++) {
                struct special *s = weir__special_at(i);
                uint8_t         kind = load_acquire(&s->kind);

                if (kind != SPECIAL_FINAL && kind != SPECIAL_CLEANUP && kind != SPECIAL_WEAK)
                        continue;
                if (!is_dead(s) && (kind != SPECIAL_WEAK || weir__mark_is(load_relaxed(&s->arg))))
                        continue;
                s->suspect = suspects;
                suspects = i;
        }
        looked = true;
}

/* Calls what follows for each suspect s that still is of a kind; i is its number. */
#define EACH_SUSPECT(i, s, of) \
        for (uint32_t i = suspects, i##_next; i && (i##_next = weir__special_at(i)->suspect, 1); \
             i = i##_next) \
                for (struct special *s = weir__special_at(i); s && s->kind == (of); s = NULL)

void weir__final_mark(struct marker *m)
{
        if (!looked)
                weir__special_look();
        EACH_SUSPECT(i, s, SPECIAL_FINAL)
                if (is_dead(s))
                        weir__mark_inside(m, (const void *)s->obj);
}

size_t weir__final_queue(struct marker *m)
{
        size_t found = 0;

        EACH_SUSPECT(i, s, SPECIAL_WEAK)
                if (is_dead(s)) {
                        weir__weak_clear(s->arg);
                        weir__special_unlink(i);
                        weir__special_free(i);
                }
        /* All of them, and only then are they marked: two may share a slot. */
        EACH_SUSPECT(i, s, SPECIAL_FINAL)
                if (is_dead(s)) {
                        weir__special_unlink(i);
                        weir__special_queue_add(i);
                        found++;
                }
        EACH_SUSPECT(i, s, SPECIAL_RUN)
                weir__mark_pointer(m, (const void *)s->obj);
        EACH_SUSPECT(i, s, SPECIAL_CLEANUP)
                if (is_dead(s)) {
                        weir__special_unlink(i);
                        store_relaxed(&s->obj, 0);
                        weir__special_queue_add(i);
                        found++;
                }
        EACH_SUSPECT(i, s, SPECIAL_WEAK)
                if (!weir__mark_is(s->arg)) {
                        weir__special_unlink(i);
                        weir__special_free(i);
                }
        suspects = 0;
        looked = false;
        return found;
}
