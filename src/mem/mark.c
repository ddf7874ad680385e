/* Marking: from words to objects, and from objects to what they point to.
 *
 * What    A word is a pointer if it lies in a span of a collected kind and in an object there that
 *         is in use: a subtraction, two loads, a multiplication. Such an object gets its mark bit;
 *         if it may hold pointers, its span is queued, once however many of its objects wait.
 * Shape   Grey objects are those marked and not scanned: two bitmaps per span. A queue is a list of
 *         spans through the spans themselves, first in first out, so that a span waits while more
 *         of its objects are marked, and is then scanned in one pass over memory that lies
 *         together; a pointer from one of its objects to another is followed at once, without a
 *         look-up (a tree of 64-byte objects that was built in order: 39 ms instead of 72). There
 *         is no stack of objects: nothing can overflow and nothing is allocated, whatever the shape
 *         of the heap.
 *         Several markers share the heap by address: each owns every n-th quarter of a MiB, and it
 *         alone touches the bits and the queue of spans that begin there. A pointer into another's
 *         part goes to it by a box, 255 at a time. So marking needs no locked instruction: two
 *         markers that set bits of the same words by locked ones spent half of their time on these
 *         lines.
 * States  Of a span:    0  not queued: none of its objects is grey, or its owner is scanning it
 *                       1  queued, in its owner's list
 *         Of a box:     the sender's while full is 0; the owner's while it is not.
 * Order   The sender fills a box and then stores its count (release); the owner reads the count
 *         (acquire), then the words, and stores 0 (release) when it has them.
 *         An idle marker raises `idle` under the lock. When all are, nobody sends, so whoever was
 *         last looks at all boxes: full ones are for their owners to wake up and empty, else it is
 *         the end. Who sends to an idle marker raises `turn` after the box.
 * Locks   team.lock: who is idle.
 * One past the end
 *         A pointer to the end of an object keeps it: C makes such pointers. Plain objects and
 *         arrays are a byte longer than was asked for, so theirs lie inside. For a single object of
 *         a declared type that would cost up to half of its size. There a word on a stack or in a
 *         register that points to the start of an object keeps the one before it too; elsewhere in
 *         memory it does not, for each node of a list would keep its neighbour: of a random graph
 *         28 % of what was dead stayed.
 * Beside the program
 *         Markers may run while the program does. What it allocates meanwhile is born, and passed
 *         over; pointers it stores come by shade.c, or are found when what was written is scanned
 *         again (rescan.c). No span of a collected kind goes away while marking is on; one of
 *         malloc's may, and another may be made in its place: what is read of it then is no worse
 *         than a word that happens to look like a pointer.
 * Cost    See docs/design/collector.md.
 * Not     A stack of objects with a bit for "overflowed, look everywhere": the bit is this queue. A
 *         header word per object: it would break the alignment that C expects of a size. Stealing
 *         between markers: then each bit is everybody's. */
#include "mem/heap.h"
#include "os/os.h"

enum {
        TYPES = 1 << 16,
        OWN_SHIFT = 18,                 /* an owner's piece of the heap */
        BOX = 255,
        BOXES = 8,                      /* from one marker to another */
        WAY = MARK_WAY,                 /* spans fetched before they are scanned */
        AHEAD = 8,                      /* pointers looked up before they are marked */
        SEQUEL = 1024,                  /* bytes: of what is scanned next much lies behind */
        PIECE = 64 << 10,               /* of a large object, where marking pauses */
};

struct mem_type *weir__mem_types;

struct box {
        uint32_t  full;                 /* atomic: how many words; 0: empty */
        uint32_t  pad;
        uintptr_t word[BOX];
};

/* From one marker to another. */
struct way {
        struct box box[BOXES];
        uint32_t   at, n;               /* only the sender: the box it fills, how far */
        uint32_t   next;                /* only the receiver: the box it empties next */
};

static struct {
        struct lock    lock;
        uint32_t       markers;         /* const while they mark; a power of two */
        uint32_t       idle;            /* atomic; lock: own to write: markers without work */
        uint32_t       over;            /* atomic; lock: own to write */
        uint32_t       turn;            /* atomic, futex: there may be work, or it is the end */
        struct marker *marker[MARKERS_MAX];     /* const while they mark */
        struct way    *way;             /* const: from a to b at a * MARKERS_MAX + b */
} team;

void weir__mem_type(uint16_t number, const struct mem_type *type)
{
        if (!weir__mem_types) {
                struct mem_type *t = weir__os_map(TYPES * sizeof *weir__mem_types);

                if (!t)
                        weir__mem_exhausted(TYPES * sizeof *weir__mem_types);
                weir__mem_types = t;
        }
        weir__mem_types[number] = *type;
        if (type->size <= SMALL_MAX) {
                unsigned class = class_of_size(type->size);

                weir__mem_types[number].class = class;
                weir__mem_types[number].slot = weir__class[class].size;
        }
}

/* ---- one word ---- */

static inline void push(struct marker *m, struct span *s)
{
        s->grey = 1;
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

        if ((*marks | load_relaxed(&span_born_bits(s)[i / 64])) & bit)
                return;
        store_relaxed(marks, *marks | bit);     /* who stores pointers reads it (shade.c) */
        m->objects++;
        store_relaxed(&m->bytes, m->bytes + s->size);
        if (s->kind != MEM_NOSCAN && !s->grey)
                push(m, s);
}

static inline bool in_use(struct span *s, uint32_t i)
{
        return !(load_relaxed(&span_free_bits(s)[i / 64]) >> (i % 64) & 1);
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

/* Who touches the bits of a span. A span lies in one piece or begins in it; pointers into the rest
 * of a large one go to the owner of its start. */
static inline uint32_t owner_of(const struct span *s)
{
        return (uint32_t)(s->start >> OWN_SHIFT) & (team.markers - 1);
}

static slowpath void send_box(struct marker *m, struct way *way);

static inline void send(struct marker *m, uint32_t to, uintptr_t word)
{
        struct way *way = &team.way[m->id * MARKERS_MAX + to];
        struct box *b = &way->box[way->at];

        b->word[way->n] = word;
        if (unlikely(++way->n == BOX))
                send_box(m, way);
}

/* An object of a span, by a word that points to or into it. */
static inline void mark_at(struct marker *m, struct span *s, uintptr_t word)
{
        uint32_t i = index_of(s, word);

        if (i < s->objects && in_use(s, i)) {
                mark_object(m, s, i);
        }
}

static inline void mark_or_send(struct marker *m, struct span *s, uintptr_t word)
{
        uint32_t to = owner_of(s);

        if (likely(to == m->id))
                mark_at(m, s, word);
        else
                send(m, to, word);
}

static void mark_before(struct marker *m, uintptr_t word)
{
        struct span *s = collected_span(word - 1);

        if (s && s->kind != MEM_PLAIN)
                mark_or_send(m, s, word - 1);
}

/* A word of a stack, which may be the end of what it points to. */
static inline void mark_stack_word(struct marker *m, uintptr_t word)
{
        struct span *s = collected_span(word);
        uint32_t     i;

        if (s) {
                i = index_of(s, word);
                if (i < s->objects)
                        mark_or_send(m, s, word);
                if (likely(word != span_object(s, i)))
                        return;
        } else if (word % 8) {
                return;
        }
        mark_before(m, word);
}

/* ---- words that lead elsewhere ---- */

struct apart weir__apart;

void weir__mark_apart(uintptr_t low, uintptr_t high, void (*pointed)(uintptr_t word))
{
        store_relaxed(&weir__apart.low, low);
        store_relaxed(&weir__apart.bytes, low < high ? high - low : 0);
        weir__apart.pointed = pointed;
}

static noinline void point_apart(uintptr_t word)
{
        weir__apart.pointed(word);
}

static inline void look_apart(uintptr_t word)
{
        if (unlikely(word - load_relaxed(&weir__apart.low) < load_relaxed(&weir__apart.bytes)))
                point_apart(word);
}

/* ---- some at a time, so that the memory for one comes while others are worked on ---- */

static inline void settle(struct marker *m, uint32_t k)
{
        struct span *s = m->ahead[k].span;
        uintptr_t    word = m->ahead[k].word;

        /* The entry of the page may have been a stale one. */
        if (s && load_relaxed(&s->state) == SPAN_USED && word - s->start < span_bytes(s) &&
            s->kind != MEM_MANUAL) {
                m->found++;
                mark_or_send(m, s, word);
        }
}

static inline void mark_field(struct marker *m, uintptr_t word)
{
        size_t       page = (word - weir__heap.base) >> PAGE_SHIFT;
        struct span *s;
        uint32_t     k;

        if (word - m->in_start < m->in_bytes) {
                __builtin_prefetch((const void *)word);
                m->found++;
                mark_at(m, m->in, word);
                return;
        }
        if (unlikely(page >= weir__heap.pages)) {
                look_apart(word);
                return;
        }
        s = load_relaxed(&weir__heap.spans[page]);
        if (unlikely(!s))
                return;
        __builtin_prefetch(s);
        __builtin_prefetch((char *)s + CACHE_LINE);
        __builtin_prefetch((char *)s + 2 * CACHE_LINE);
        k = m->at++ % AHEAD;
        settle(m, k);
        m->ahead[k].word = word;
        m->ahead[k].span = s;
}

void weir__mark_settle(struct marker *m)
{
        for (uint32_t k = 0; k < AHEAD; k++) {
                settle(m, k);
                m->ahead[k].span = NULL;
        }
}

static inline __attribute__((__always_inline__)) no_sanitize void
mark_range(struct marker *m, uintptr_t low, uintptr_t high, bool stack)
{
        const uintptr_t *at = (const uintptr_t *)ALIGN_UP(low, (uintptr_t)8);
        const uintptr_t *end = (const uintptr_t *)ALIGN_DOWN(high, (uintptr_t)8);
        uintptr_t        base = weir__heap.base;
        size_t           bytes = weir__heap.pages << PAGE_SHIFT;
        uintptr_t        apart = load_relaxed(&weir__apart.low);
        size_t           apart_bytes = load_relaxed(&weir__apart.bytes);

        if (at >= end)
                return;
        m->words += (uint64_t)(end - at);
        for (; at < end; at++) {
                uintptr_t word = *(const volatile uintptr_t *)at;

                /* One past the end of the last page counts too. */
                if (likely(word - base > bytes)) {
                        if (unlikely(word - apart < apart_bytes))
                                point_apart(word);
                        continue;
                }
                if (stack)
                        mark_stack_word(m, word);
                else
                        mark_field(m, word);
        }
}

no_sanitize void weir__mark_range(struct marker *m, uintptr_t low, uintptr_t high)
{
        mark_range(m, low, high, false);
}

no_sanitize void weir__mark_stack(struct marker *m, uintptr_t low, uintptr_t high)
{
        mark_range(m, low, high, true);
}

void weir__mark_pointer(struct marker *m, const void *p)
{
        struct span *s = collected_span((uintptr_t)p);

        if (s)
                mark_or_send(m, s, (uintptr_t)p);
        else
                look_apart((uintptr_t)p);
}

/* ---- one object ---- */

static inline no_sanitize void scan_elements(struct marker *m, uintptr_t at, size_t size,
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

static no_sanitize void scan_typed(struct marker *m, uintptr_t at, size_t size,
                                   const struct mem_type *t)
{
        if (unlikely(t->tail)) {
                scan_elements(m, at, t->size, t);
                at += t->from;
                size -= t->from;
                t = t->tail;
        }
        scan_elements(m, at, size, t);
}

/* In pieces, between which a slice may end. */
static slowpath void scan_pieces(struct marker *m, uintptr_t at, size_t size,
                                 const struct mem_type *t)
{
        size_t piece = t ? MAX(PIECE / t->size, (size_t)1) * t->size : PIECE;

        for (size_t n; size; at += n, size -= n) {
                n = MIN(size, piece);
                if (t)
                        scan_elements(m, at, n, t);
                else
                        weir__mark_range(m, at, at + n);
                weir__slice_ask(m);
        }
}

static inline void scan_object(struct marker *m, struct span *s, uint32_t i)
{
        uintptr_t at = span_object(s, i);
        size_t    size = s->class ? s->size : load_relaxed(&s->asked);

        if (unlikely(m->slice.on) && !s->class) {
                const struct mem_type *t =
                        s->kind == MEM_TYPED && s->types[i] ? &weir__mem_types[s->types[i]] : NULL;

                if (!t || !t->tail) {
                        scan_pieces(m, at, size, t);
                        return;
                }
        }
        __builtin_prefetch((const void *)(at + SEQUEL));
        if (s->kind == MEM_TYPED && s->types[i])
                scan_typed(m, at, size, &weir__mem_types[s->types[i]]);
        else
                weir__mark_range(m, at, at + size);
}

/* The first line of each object that is grey now. */
static void fetch_objects(struct span *s)
{
        uint64_t *marks = span_mark_bits(s), *scanned = span_scan_bits(s);

        for (unsigned w = 0; w < s->words; w++)
                for (uint64_t grey = marks[w] & ~scanned[w]; grey; grey &= grey - 1)
                        __builtin_prefetch((const void *)span_object(
                                s, w * 64 + (unsigned)__builtin_ctzll(grey)));
}

/* What is grey in one word of its bits, and what becomes so there meanwhile. */
static bool scan_word(struct marker *m, struct span *s, unsigned w)
{
        uint64_t *marks = span_mark_bits(s), *scanned = span_scan_bits(s);
        bool      any = false;

        for (uint64_t grey; (grey = marks[w] & ~scanned[w]); any = true) {
                scanned[w] |= grey;
                for (; grey; grey &= grey - 1)
                        scan_object(m, s, w * 64 + (unsigned)__builtin_ctzll(grey));
        }
        return any;
}

/* Until none of its objects is grey: pointers from one to another are followed at once. */
static void scan_span(struct marker *m, struct span *s)
{
        unsigned w, last = 0;

        m->in = s;
        m->in_start = s->start;
        m->in_bytes = span_bytes(s);
        for (w = 0; w < s->words; w++)
                if (scan_word(m, s, w))
                        last = w;
        for (bool again = last > 0; again;) {
                again = false;
                for (w = 0; w < s->words; w++)
                        again |= scan_word(m, s, w);
        }
        m->in_bytes = 0;
        s->grey = 0;
}

/* The next span of the queue, on its way to be scanned: its bits are fetched when it comes in, and
 * its objects when it is half way. */
static struct span *next_span(struct marker *m)
{
        struct span *s = m->first, *half = m->way[(m->way_at + WAY / 2) % WAY];
        struct span *done = m->way[m->way_at];

        if (s) {
                m->first = s->grey_next;
                if (!m->first)
                        m->last = NULL;
                m->count--;
                for (int i = 0; i < 6; i++)
                        __builtin_prefetch((const char *)s + i * CACHE_LINE);
                if (m->first)
                        __builtin_prefetch(&m->first->grey_next);
        }
        if (half)
                fetch_objects(half);
        m->way[m->way_at] = s;
        m->way_at = (m->way_at + 1) % WAY;
        return done;
}

void weir__mark_inside(struct marker *m, const void *p)
{
        struct span *s = collected_span((uintptr_t)p);

        if (!s || s->kind == MEM_NOSCAN)
                return;
        scan_object(m, s, index_of(s, (uintptr_t)p));
        weir__mark_settle(m);
}

/* ---- between markers ---- */

static inline void look_ahead(uintptr_t word)
{
        size_t page = (word - weir__heap.base) >> PAGE_SHIFT;

        if (page < weir__heap.pages) {
                const char *s = (const char *)load_relaxed(&weir__heap.spans[page]);

                __builtin_prefetch(s);
                __builtin_prefetch(s + 2 * CACHE_LINE);
        }
}

/* Empties what others sent; sends nothing itself. Answers whether there was anything. */
static bool receive(struct marker *m)
{
        bool some = false;

        for (uint32_t from = 0; from < team.markers; from++) {
                struct way *way = &team.way[from * MARKERS_MAX + m->id];
                struct box *b = &way->box[way->next];
                uint32_t    n;

                while ((n = load_acquire(&b->full))) {  /* pairs with the release in post() */
                        for (uint32_t i = 0; i < n; i++) {
                                struct span *s;

                                if (i + AHEAD < n)
                                        look_ahead(b->word[i + AHEAD]);
                                if ((s = collected_span(b->word[i])))
                                        mark_at(m, s, b->word[i]);
                        }
                        store_release(&b->full, 0);     /* pairs with the acquire in post() */
                        way->next = (way->next + 1) % BOXES;
                        b = &way->box[way->next];
                        some = true;
                }
        }
        return some;
}

static void raise_turn(void)
{
        fetch_add_seq(&team.turn, 1);
        weir__os_futex_wake(&team.turn, INT32_MAX);
}

/* Hands the box over that is being filled. */
static void post(struct marker *m, struct way *way)
{
        struct box *b = &way->box[way->at];

        store_seq(&b->full, way->n);
        way->n = 0;
        way->at = (way->at + 1) % BOXES;
        if (load_seq(&team.idle))
                raise_turn();
        /* The next one may still be full; what others sent is to be taken meanwhile, or two would
         * wait for each other. receive() sends nothing: it only marks what is its own. */
        while (load_acquire(&way->box[way->at].full)) {
                if (!m->draining)               /* roots: there is nobody but this one yet */
                        (void)receive(team.marker[(way - team.way) % MARKERS_MAX]);
                else if (!receive(m))
                        weir__spin_pause();
        }
}

static slowpath void send_box(struct marker *m, struct way *way)
{
        post(m, way);
}

static void post_all(struct marker *m)
{
        for (uint32_t to = 0; to < team.markers; to++) {
                struct way *way = &team.way[m->id * MARKERS_MAX + to];

                if (way->n)
                        post(m, way);
        }
}

static bool any_box_full(void)
{
        for (uint32_t i = 0; i < MARKERS_MAX * team.markers; i++)
                for (uint32_t k = 0; i % MARKERS_MAX < team.markers && k < BOXES; k++)
                        if (load_seq(&team.way[i].box[k].full))
                                return true;
        return false;
}

/* Waits for what others send. False: all are done. */
static bool wait_for_others(struct marker *m)
{
        bool over, full;

        lock_take(&team.lock);
        store_seq(&team.idle, team.idle + 1);
        full = team.idle == team.markers && any_box_full();
        if (team.idle == team.markers && !full)
                store_seq(&team.over, 1);
        lock_drop(&team.lock);
        if (full || load_seq(&team.over))
                raise_turn();
        for (;;) {
                uint32_t turn = load_seq(&team.turn);
                bool     mine = false;

                over = load_seq(&team.over);
                for (uint32_t from = 0; !over && from < team.markers; from++) {
                        struct way *way = &team.way[from * MARKERS_MAX + m->id];

                        mine |= load_seq(&way->box[way->next].full) != 0;
                }
                if (over || mine)
                        break;
                weir__os_futex_wait(&team.turn, turn, -1);
        }
        if (over)
                return false;
        lock_take(&team.lock);
        store_seq(&team.idle, team.idle - 1);
        lock_drop(&team.lock);
        return true;
}

bool weir__mark_begin(struct marker *markers, uint32_t n)
{
        if (n > 1 && !team.way &&
            !(team.way = weir__os_map(MARKERS_MAX * MARKERS_MAX * sizeof *team.way)))
                return false;
        lock_init(&team.lock, marking);
        check(n && !(n & (n - 1)) && n <= MARKERS_MAX);
        team.markers = n;
        store_relaxed(&team.idle, 0);
        store_relaxed(&team.over, 0);
        for (uint32_t i = 0; i < n; i++) {
                markers[i].id = i;
                team.marker[i] = &markers[i];
        }
        return true;
}

void weir__mark_drain(struct marker *m)
{
        m->draining = true;
        weir__slice_begin(m);
        do {
                for (struct span *s;;) {
                        for (uint32_t idle = 0; idle < WAY;) {
                                if (!m->first)
                                        idle++;
                                else
                                        idle = 0;
                                s = next_span(m);
                                if (s)
                                        scan_span(m, s);
                                if (unlikely(m->slice.on))
                                        weir__slice_ask(m);
                                if (unlikely(team.markers > 1) && m->count % 16 == 0)
                                        receive(m);
                        }
                        weir__mark_settle(m);
                        if (m->first || (team.markers > 1 && receive(m)))
                                continue;
                        break;
                }
                if (team.markers == 1)
                        break;
                post_all(m);
        } while (m->first || receive(m) || wait_for_others(m));
        m->draining = false;
        m->slice.on = false;
}

/* Variables that are no roots, by address; the first is where the allocator has the start of its
 * heap, which is the address of the first object there may be. */
static struct {
        uintptr_t low, high;
} apart[16] = { { (uintptr_t)&weir__heap, (uintptr_t)(&weir__heap + 1) } };
static unsigned napart = 1;             /* const after constructors */

void weir__mem_no_roots(const void *p, size_t size)
{
        uintptr_t low = (uintptr_t)p;
        unsigned  i = napart;

        if (napart == COUNT(apart))
                return;                         /* then it is one */
        for (; i && apart[i - 1].low > low; i--)
                apart[i] = apart[i - 1];
        apart[i].low = low;
        apart[i].high = low + size;
        napart++;
}

void weir__mem_each_root(uintptr_t low, uintptr_t high,
                         void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg)
{
        for (unsigned i = 0; i < napart && low < high; i++) {
                if (apart[i].high <= low || apart[i].low >= high)
                        continue;
                if (apart[i].low > low)
                        fn(low, apart[i].low, arg);
                low = apart[i].high;
        }
        if (low < high)
                fn(low, high, arg);
}

static void mark_variables(uintptr_t low, uintptr_t high, void *arg)
{
        weir__mark_range(arg, low, high);
}

void weir__mark_globals(struct marker *m, uintptr_t low, uintptr_t high)
{
        weir__mem_each_root(low, high, mark_variables, m);
}

bool weir__mark_is(const void *p)
{
        struct span *s = collected_span((uintptr_t)p);
        uint32_t     i;

        if (!s)
                return false;
        i = index_of(s, (uintptr_t)p);
        return i < s->objects && (load_seq(&span_mark_bits(s)[i / 64]) |
                                  load_relaxed(&span_born_bits(s)[i / 64])) >> (i % 64) & 1;
}

/* ---- minor collections ---- */

/* Of the elements in [at, end) those that lie in [low, high), a part of each will do. */
static void scan_some(struct marker *m, uintptr_t at, uintptr_t end, uintptr_t low, uintptr_t high,
                      const struct mem_type *t)
{
        uintptr_t from = low > at ? at + (low - at) / t->size * t->size : at;

        if (high <= at)
                return;
        end = MIN(end, at + (high - at + t->size - 1) / t->size * t->size);
        if (from < end)
                scan_elements(m, from, end - from, t);
}

/* An old object, as far as it lies in [low, high). */
static void scan_old(struct marker *m, const struct span *s, uint32_t i, uintptr_t low,
                     uintptr_t high)
{
        const struct mem_type *t = weir__mem_type_of(s->types[i]);
        uintptr_t              at = span_object(s, i), end;

        if (!s->types[i])
                return;
        end = at + (s->class ? s->size : load_relaxed(&s->asked));
        if (unlikely(t->tail)) {
                scan_some(m, at, at + t->size, low, high, t);
                at += t->from;
                t = t->tail;
        }
        scan_some(m, at, end, low, high, t);
}

void weir__mark_old_again(struct marker *m, uintptr_t low, uintptr_t high)
{
        struct span *s = load_acquire(&weir__heap.spans[(low - weir__heap.base) >> PAGE_SHIFT]);
        uint32_t     first, last;

        if (!s || load_relaxed(&s->state) != SPAN_USED || s->kind != MEM_TYPED ||
            low - load_relaxed(&s->start) >= span_bytes(s))
                return;
        first = index_of(s, low);
        last = MIN(index_of(s, high - 1), s->objects - 1);
        /* Most cards are of young objects alone. */
        for (uint32_t w = first / 64; w <= last / 64; w++) {
                uint64_t old = span_mark_bits(s)[w];

                if (w == first / 64)
                        old &= ~UINT64_C(0) << first % 64;
                if (w == last / 64)
                        old &= ~UINT64_C(0) >> (63 - last % 64);
                for (; old; old &= old - 1)
                        scan_old(m, s, w * 64 + (uint32_t)__builtin_ctzll(old), low, high);
        }
}

void weir__marks_clear(void)
{
        enum { SOME = 512 };            /* pages, between which others get the lock */
        size_t page = 0;

        while (page < load_relaxed(&weir__heap_pages.grown)) {
                size_t end = page + SOME;

                weir__mem_lock(&weir__heap_lock);
                end = MIN(end, weir__heap_pages.grown);
                while (page < end) {
                        struct span *s = weir__heap.spans[page];

                        if (!s || s->state != SPAN_USED ||
                            s->start != weir__heap.base + (page << PAGE_SHIFT)) {
                                page++;
                                continue;
                        }
                        page += s->pages;
                        if (s->kind == MEM_MANUAL)
                                continue;
                        for (unsigned w = 0; w < s->words; w++) {
                                store_relaxed(&span_mark_bits(s)[w], 0);
                                store_relaxed(&span_scan_bits(s)[w], 0);
                        }
                }
                weir__mem_unlock(&weir__heap_lock);
        }
}
