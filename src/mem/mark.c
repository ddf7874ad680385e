/* Marking: from words to objects, and from objects to what they point to.
 *
 * What    A word is a pointer if it lies in a span of a collected kind and in an object there that is
 *         in use: a subtraction, two loads, a multiplication. Such an object gets its mark bit; if it
 *         may hold pointers, its span is queued, once however many of its objects wait.
 * Shape   Grey objects are those marked and not scanned: two bitmaps per span. A queue is a list of
 *         spans through the spans themselves, first in first out, so that a span waits while more of
 *         its objects are marked, and is then scanned in one pass over memory that lies together.
 *         There is no stack of objects: nothing can overflow and nothing is allocated, whatever the
 *         shape of the heap.
 * States  Of a span:    0  not queued: none of its objects is grey, or a marker is scanning it
 *                       1  queued: it stands in exactly one list
 *         0 -> 1 by who marked an object there, by exchange, who queues it; 1 -> 0 by who took it from
 *         the list, before it looks at the bits. An object is scanned by the marker that set its
 *         scanned bit.
 * Order   Who marks sets the bit and then looks at `grey`; who scans clears `grey` and then looks at
 *         the bits; both with locked instructions, so that one of the two sees the other.
 * Locks   shared.lock: spans that a marker with many left for one that has none.
 * One past the end
 *         A pointer to the end of an object keeps it: C makes such pointers. Plain objects are a byte
 *         longer than was asked for, so theirs lie inside. For others, a word that points to the start
 *         of an object keeps the one before it too. Pointers in declared fields do not: there the
 *         program says what they are.
 * Cost    See docs/design/collector.md.
 * Not     A stack of objects with a bit for "overflowed, look everywhere": the bit is this queue. A
 *         header word per object: it would break the alignment that C expects of a size. */
#include "mem/heap.h"
#include "os/os.h"

enum { TYPES = 1 << 16, SHARE = 16 };

static struct mem_type *types;          /* by number; const once set */

static struct {
        struct lock  lock;
        struct span *first;             /* lock: own */
        uint32_t     markers;           /* const while they mark */
        uint32_t     idle;              /* atomic; lock: own to write: markers without work */
        uint32_t     turn;              /* atomic, futex: raised when there is work, or the end */
} shared;

void weir__mem_type(uint16_t number, const struct mem_type *type)
{
        if (!types) {
                struct mem_type *t = weir__os_map(TYPES * sizeof *types);

                if (!t)
                        weir__mem_exhausted(TYPES * sizeof *types);
                types = t;
        }
        types[number] = *type;
}

/* ---- one word ---- */

static inline void push(struct marker *m, struct span *s)
{
        s->grey_next = NULL;
        if (m->last)
                m->last->grey_next = s;
        else
                m->first = s;
        m->last = s;
        if (++m->count > m->peak)
                m->peak = m->count;
}

static inline void mark_object(struct marker *m, struct span *s, uint32_t i)
{
        uint64_t *marks = span_mark_bits(s) + i / 64, bit = UINT64_C(1) << (i % 64);

        if (load_relaxed(marks) & bit || load_relaxed(&span_free_bits(s)[i / 64]) & bit ||
            fetch_or_seq(marks, bit) & bit)
                return;
        m->objects++;
        m->bytes += s->size;
        if (s->kind != MEM_NOSCAN && !load_seq(&s->grey) && !exchange_seq(&s->grey, 1))
                push(m, s);
}

static inline struct span *collected_span(uintptr_t word)
{
        struct span *s = weir__span_of(word);

        return s && s->kind != MEM_MANUAL ? s : NULL;
}

static inline uint32_t index_of(const struct span *s, uintptr_t word)
{
        return s->class ? span_index(s, word) : 0;
}

static void mark_before(struct marker *m, uintptr_t word)
{
        struct span *s = collected_span(word - 1);
        uint32_t     i;

        if (!s || s->kind == MEM_PLAIN)
                return;
        i = index_of(s, word - 1);
        if (i < s->objects)
                mark_object(m, s, i);
}

/* A word of memory that nothing is known about. */
static inline void mark_word(struct marker *m, uintptr_t word)
{
        struct span *s;
        uint32_t     i;

        if ((word - weir__heap.base) >> PAGE_SHIFT >= weir__heap.pages)
                return;
        s = collected_span(word);
        if (s) {
                i = index_of(s, word);
                if (i < s->objects) {
                        mark_object(m, s, i);
                        if (likely(word != span_object(s, i)))
                                return;
                } else if (word != span_object(s, s->objects)) {
                        return;
                }
        } else if (word % 16) {
                return;
        }
        mark_before(m, word);
}

/* A field that the program declared to be a pointer. */
static inline void mark_field(struct marker *m, uintptr_t word)
{
        struct span *s = collected_span(word);
        uint32_t     i;

        if (!s)
                return;
        i = index_of(s, word);
        if (i < s->objects)
                mark_object(m, s, i);
}

no_sanitize void weir__mark_range(struct marker *m, uintptr_t low, uintptr_t high)
{
        const uintptr_t *at = (const uintptr_t *)ALIGN_UP(low, (uintptr_t)8);
        const uintptr_t *end = (const uintptr_t *)ALIGN_DOWN(high, (uintptr_t)8);
        uintptr_t        base = weir__heap.base;
        size_t           bytes = weir__heap.pages << PAGE_SHIFT;

        if (at >= end)
                return;
        m->words += (uint64_t)(end - at);
        for (; at < end; at++) {
                uintptr_t word = *(const volatile uintptr_t *)at;

                /* One past the end of the last page counts too. */
                if (unlikely(word - base <= bytes))
                        mark_word(m, word);
        }
}

void weir__mark_pointer(struct marker *m, const void *p)
{
        mark_field(m, (uintptr_t)p);
}

/* ---- one object ---- */

static no_sanitize void scan_typed(struct marker *m, uintptr_t at, size_t size,
                                   const struct mem_type *t)
{
        for (uintptr_t end = at + size; at + t->size <= end; at += t->size) {
                for (uint32_t i = 0; i < t->n; i++) {
                        uintptr_t word = *(const volatile uintptr_t *)(at + t->at[i]);

                        if (word)
                                mark_field(m, word);
                }
                m->words += t->n;
        }
}

static void scan_object(struct marker *m, struct span *s, uint32_t i)
{
        uintptr_t at = span_object(s, i);
        size_t    size = s->class ? s->size : load_relaxed(&s->asked);

        if (s->kind == MEM_TYPED && load_relaxed(&s->types[i]))
                scan_typed(m, at, size, &types[load_relaxed(&s->types[i])]);
        else
                weir__mark_range(m, at, at + size);
}

static void scan_span(struct marker *m, struct span *s)
{
        uint64_t *marks = span_mark_bits(s), *scanned = span_scan_bits(s);

        (void)exchange_seq(&s->grey, 0);
        for (unsigned w = 0; w < s->words; w++) {
                uint64_t grey;

                /* Scanning may mark more in the same word. */
                while ((grey = load_seq(&marks[w]) & ~load_relaxed(&scanned[w]))) {
                        grey &= ~fetch_or_seq(&scanned[w], grey);
                        for (; grey; grey &= grey - 1)
                                scan_object(m, s, w * 64 + (unsigned)__builtin_ctzll(grey));
                }
        }
}

void weir__mark_inside(struct marker *m, const void *p)
{
        struct span *s = collected_span((uintptr_t)p);

        if (s && s->kind != MEM_NOSCAN)
                scan_object(m, s, index_of(s, (uintptr_t)p));
}

/* ---- the whole ---- */

void weir__mark_begin(uint32_t markers)
{
        lock_init(&shared.lock, marking);
        shared.first = NULL;
        shared.markers = markers;
        store_relaxed(&shared.idle, 0);
}

/* Leaves the older half of the queue to those that have nothing. */
static slowpath void share(struct marker *m)
{
        struct span *first = m->first, *last = first;
        uint32_t     n = m->count / 2;

        for (uint32_t i = 1; i < n; i++)
                last = last->grey_next;
        m->first = last->grey_next;
        m->count -= n;
        lock_take(&shared.lock);
        last->grey_next = shared.first;
        shared.first = first;
        lock_drop(&shared.lock);
        fetch_add_seq(&shared.turn, 1);
        weir__os_futex_wake(&shared.turn, INT32_MAX);
}

/* Takes some of what others left. False: all have nothing. */
static slowpath bool fetch(struct marker *m)
{
        bool idle = false;

        for (;;) {
                uint32_t turn = load_seq(&shared.turn);

                lock_take(&shared.lock);
                if (shared.first) {
                        for (int i = 0; i < SHARE && shared.first; i++) {
                                struct span *s = shared.first;

                                shared.first = s->grey_next;
                                push(m, s);
                        }
                        store_seq(&shared.idle, shared.idle - idle);
                        lock_drop(&shared.lock);
                        return true;
                }
                store_seq(&shared.idle, shared.idle + !idle);
                idle = true;
                if (shared.idle == shared.markers) {
                        lock_drop(&shared.lock);
                        fetch_add_seq(&shared.turn, 1);
                        weir__os_futex_wake(&shared.turn, INT32_MAX);
                        return false;
                }
                lock_drop(&shared.lock);
                weir__os_futex_wait(&shared.turn, turn, -1);
        }
}

void weir__mark_drain(struct marker *m)
{
        do
                for (struct span *s; (s = m->first);) {
                        m->first = s->grey_next;
                        if (!m->first)
                                m->last = NULL;
                        m->count--;
                        scan_span(m, s);
                        if (m->count > 2 * SHARE && load_relaxed(&shared.idle))
                                share(m);
                }
        while (fetch(m));
}

bool weir__mark_is(const void *p)
{
        struct span *s = collected_span((uintptr_t)p);
        uint32_t     i;

        if (!s)
                return false;
        i = index_of(s, (uintptr_t)p);
        return i < s->objects && load_seq(&span_mark_bits(s)[i / 64]) >> (i % 64) & 1;
}

bool weir__mem_find(const void *p, uintptr_t *ret_start, size_t *ret_size)
{
        struct span *s = collected_span((uintptr_t)p);
        uint32_t     i;

        if (!s)
                return false;
        i = index_of(s, (uintptr_t)p);
        if (i >= s->objects || load_relaxed(&span_free_bits(s)[i / 64]) >> (i % 64) & 1)
                return false;
        *ret_start = span_object(s, i);
        *ret_size = s->class ? s->size : load_relaxed(&s->asked);
        return true;
}

/* ---- malloc ---- */

static void mark_manual(struct span *s, void *arg)
{
        struct marker *m = arg;

        if (s->kind != MEM_MANUAL)
                return;
        if (!s->class) {
                weir__mark_range(m, s->start, s->start + load_relaxed(&s->asked));
                return;
        }
        for (uint32_t i = 0; i < s->objects; i++)
                if (!(span_free_bits(s)[i / 64] >> (i % 64) & 1))
                        weir__mark_range(m, span_object(s, i), span_object(s, i) + s->size);
}

void weir__mark_malloc(struct marker *m)
{
        weir__span_each(mark_manual, m);
}
