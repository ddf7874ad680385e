/* The mutex of readers and writers.
 *
 * What    Any number of readers or one writer. Readers count themselves in a place of their
 *         processor's, so that they do not meet; a writer adds the places up.
 * Shape   The mutex: a mutex among writers, a state (WRITER, WAITING), the readers that were let in
 *         from the line, the line of readers, the writer that waits.
 *         Places: for each processor a small table, shared by all mutexes; a place holds the
 *         mutex's address and a count. A reader whose place another mutex has counts itself in the
 *         mutex. The number of readers is the sum of all these counts. A reader that unlocks takes
 *         one away wherever it finds one, for it may have moved to another processor: counts are
 *         alike.
 * States  WRITER    a writer has the mutex or waits for the readers to leave: no new readers
 *         WAITING   readers are in line (changed with the list's word held)
 *         A writer keeps WRITER from when it comes until it unlocks. Then all readers in line are
 *         let in at once, before the next writer may come: neither side starves.
 * Locks   writers, then list; the list's word is held for some tens of instructions.
 * Order   A reader counts itself (locked instruction), then looks at WRITER; a writer sets WRITER
 *         (locked instruction), then looks at the counts. One of them sees the other. A reader that
 *         sees WRITER takes its count back, and like one that unlocks wakes the writer if it was
 *         the last.
 *         The sum is not taken at one moment. While WRITER is set, all that is added is taken away
 *         again by who added it, from the same place if it is still there; so a place that was 0
 *         holds no more than what is about to be taken back, and where all were 0 nobody reads.
 *         procs grows before a place of a new processor is used, and is read after WRITER is set.
 * Cost    Read lock and unlock: a locked instruction each, on a line that only this processor
 *         writes. Lock: one more than a mutex, and a line per processor read.
 * Mistakes A goroutine that reads and locks to read again waits for ever once a writer came in
 *         between. Builds that check know who reads (up to READING_MAX at once) and panic at the
 *         second lock.
 * Not     One counter of readers, as in Go: its line goes from core to core. Counters
 *         of its own for each mutex and processor: zero must be a working mutex, and nobody frees
 *         one. */
#include "sync/sync.h"

#ifndef WEIR_PLACES_PROCS
#define WEIR_PLACES_PROCS PROCS_MAX     /* model tests take 4 */
#endif

enum { WRITER = 1, WAITING = 2 };
enum { PLACES = 64, COUNT_BITS = 16, LOOKS_MAX = 100000 };

#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)

struct rwmutex {
        weir_mutex   writers;
        uint32_t     state;             /* atomic */
        uint32_t     list;              /* lock of line and writer */
        uint32_t     extra;             /* atomic: readers without a place */
        uint32_t     unused;
        struct line  line;              /* lock: list: readers */
        struct line  writer;            /* lock: list: the writer that waits for readers to leave */
};

_Static_assert(sizeof(struct rwmutex) <= sizeof(weir_rwmutex), "weir_rwmutex is too small");

/* Atomic: address of the mutex << COUNT_BITS | count; 0: free. */
static uint64_t places[WEIR_PLACES_PROCS][PLACES] __attribute__((aligned(CACHE_LINE)));
static uint32_t procs;          /* atomic: processors whose places were used */

static inline struct rwmutex *open_rwmutex(weir_rwmutex *m)
{
        return (struct rwmutex *)(void *)m;
}

static inline uint64_t name_of(const struct rwmutex *m)
{
        return (uint64_t)(uintptr_t)m << COUNT_BITS;
}

static inline unsigned place_of(const struct rwmutex *m)
{
        return (unsigned)(((uintptr_t)m * UINT64_C(0x9E3779B97F4A7C15)) >> 58);
}

static inline uint64_t *own_place(const struct rwmutex *m)
{
        return &places[self()->p->id][place_of(m)];
}

static slowpath void use_processor(uint32_t id)
{
        uint32_t n = load_relaxed(&procs);

        while (n <= id && !cas_seq(&procs, &n, id + 1))
                ;
}

/* ---- counting ---- */

/* Counts one reader more. */
static inline void count_up(struct rwmutex *m, uint64_t *place)
{
        uint64_t old = load_relaxed(place), name = name_of(m);

        for (;;) {
                if (old && ((old ^ name) >> COUNT_BITS || (old & COUNT_MASK) == COUNT_MASK)) {
                        fetch_add_seq(&m->extra, 1);
                        return;
                }
                if (likely(cas_seq(place, &old, old ? old + 1 : name + 1)))
                        return;
        }
}

/* One less, if this place has one of m. */
static inline bool take_from(const struct rwmutex *m, uint64_t *place)
{
        uint64_t old = load_relaxed(place), name = name_of(m);

        while (old && !((old ^ name) >> COUNT_BITS))
                if (likely(cas_seq(place, &old, old == name + 1 ? 0 : old - 1)))
                        return true;
        return false;
}

static bool take_extra(struct rwmutex *m)
{
        uint32_t old = load_relaxed(&m->extra);

        while (old)
                if (cas_seq(&m->extra, &old, old - 1))
                        return true;
        return false;
}

static bool take_anywhere(struct rwmutex *m)
{
        unsigned at = place_of(m);

        if (take_extra(m))
                return true;
        for (uint32_t i = 0, n = load_seq(&procs); i < n; i++)
                if (take_from(m, &places[i][at]))
                        return true;
        return false;
}

/* One less, from wherever: others may take what this one passed, and leave theirs behind it. */
static slowpath void count_down_slow(struct rwmutex *m)
{
        for (unsigned looks = 0; !take_anywhere(m); looks++)
                if (looks == LOOKS_MAX)
                        weir__panic("read unlock of rwmutex %p, which nobody has locked to read",
                                    (void *)m);
}

static inline void count_down(struct rwmutex *m, uint64_t *place)
{
        if (unlikely(!take_from(m, place)))
                count_down_slow(m);
}

static bool has_readers(const struct rwmutex *m)
{
        unsigned at = place_of(m);

        for (uint32_t i = 0, n = load_seq(&procs); i < n; i++)
                if (load_seq(&places[i][at]) >> COUNT_BITS == name_of(m) >> COUNT_BITS)
                        return true;
        return load_seq(&m->extra);
}

/* ---- who reads, in builds that check ---- */

#if WEIR_CHECK >= 1

enum { READING_MAX = 512 };

static struct {
        uint32_t lock;
        uint32_t used;                  /* lock: entries from here on were never used */
        struct {
                uint64_t              id;       /* of the goroutine; 0: a free entry */
                const struct rwmutex *m;
        } entry[READING_MAX];           /* lock */
} reading;

static void check_recursion(const struct rwmutex *m, const struct g *g)
{
        bool found = false;

        word_take(&reading.lock);
        for (uint32_t i = 0; i < reading.used; i++)
                found |= reading.entry[i].m == m && reading.entry[i].id == g->id;
        word_drop(&reading.lock);
        if (found)
                weir__panic("recursive read lock of rwmutex %p: with a writer in between it would "
                            "never end", (const void *)m);
}

static void note_reader(const struct rwmutex *m, const struct g *g)
{
        uint32_t i = 0;

        word_take(&reading.lock);
        while (i < reading.used && reading.entry[i].id)
                i++;
        if (i < READING_MAX) {
                reading.entry[i].id = g->id;
                reading.entry[i].m = m;
                reading.used = MAX(reading.used, i + 1);
        }
        word_drop(&reading.lock);
}

/* The goroutine's own note, else one of another, for which it unlocks. */
static void forget_reader(const struct rwmutex *m, const struct g *g)
{
        uint32_t at = READING_MAX;

        word_take(&reading.lock);
        for (uint32_t i = 0; i < reading.used; i++)
                if (reading.entry[i].id && reading.entry[i].m == m) {
                        at = i;
                        if (reading.entry[i].id == g->id)
                                break;
                }
        if (at < READING_MAX)
                reading.entry[at].id = 0;
        word_drop(&reading.lock);
}

#else

#define check_recursion(m, g) ((void)(m), (void)(g))
#define note_reader(m, g)     ((void)(m), (void)(g))
#define forget_reader(m, g)   ((void)(m), (void)(g))

#endif

/* ---- readers ---- */

/* A reader has left while a writer is there. */
static slowpath void left(struct rwmutex *m)
{
        struct waiting *w = NULL;

        word_take(&m->list);
        if (m->writer.last && !has_readers(m))
                w = weir__line_take(&m->writer);
        word_drop(&m->list);
        if (w)
                weir__sched_ready(w->g);
}

static inline bool try_read(struct rwmutex *m)
{
        uint64_t *place = own_place(m);
        uint32_t  id = self()->p->id;

        if (unlikely(load_relaxed(&m->state) & WRITER))
                return false;
        if (unlikely(id >= load_relaxed(&procs)))
                use_processor(id);
        count_up(m, place);
        if (likely(!(load_seq(&m->state) & WRITER)))
                return true;
        count_down(m, place);
        left(m);
        return false;
}

/* Sets WAITING where WRITER is set; both at once, for a writer without WAITING unlocks without a
 * look at the line. With the list's word. */
static bool ask_writer(struct rwmutex *m)
{
        uint32_t old = load_relaxed(&m->state);

        while (old & WRITER)
                if (cas_seq(&m->state, &old, old | WAITING))
                        return true;
        return false;
}

/* Waits in line for the writer to unlock, who counts it in. */
static slowpath bool read_slow(struct rwmutex *m, struct g *g, int64_t deadline)
{
        struct waiting w = { .g = g };

        do {
                if (deadline != NO_DEADLINE && weir__sched_now() >= deadline)
                        return false;
                word_take(&m->list);
                if (ask_writer(m))
                        return weir__line_wait(&m->line, &m->list, &w, WHY_RLOCK, m, deadline);
                word_drop(&m->list);
        } while (!try_read(m));
        return true;
}

void weir_rwmutex_rlock(weir_rwmutex *pub)
{
        struct rwmutex *m = open_rwmutex(pub);
        struct g       *g = weir__sched_need_g("weir_rwmutex_rlock");

        check_recursion(m, g);
        if (unlikely(!try_read(m))) {
                read_slow(m, g, NO_DEADLINE);
                keep_frame();
        }
        note_reader(m, g);
}

bool weir_rwmutex_try_rlock(weir_rwmutex *pub)
{
        struct rwmutex *m = open_rwmutex(pub);
        struct g       *g = weir__sched_need_g("weir_rwmutex_try_rlock");

        if (!try_read(m))
                return false;
        note_reader(m, g);
        return true;
}

int weir_rwmutex_rlock_until(weir_rwmutex *pub, weir_time deadline)
{
        struct rwmutex *m = open_rwmutex(pub);
        struct g       *g = weir__sched_need_g("weir_rwmutex_rlock_until");

        if (!try_read(m) && !read_slow(m, g, deadline))
                return WEIR_ETIMEOUT;
        note_reader(m, g);
        keep_frame();
        return 0;
}

void weir_rwmutex_runlock(weir_rwmutex *pub)
{
        struct rwmutex *m = open_rwmutex(pub);
        struct g       *g = weir__sched_need_g("weir_rwmutex_runlock");

        forget_reader(m, g);
        count_down(m, own_place(m));
        if (unlikely(load_seq(&m->state) & WRITER))
                left(m);
}

/* ---- writers ---- */

/* Lets the readers in line in, and new ones too. */
static slowpath void admit(struct rwmutex *m)
{
        struct waiting *w, *first = NULL, **end = &first;

        word_take(&m->list);
        for (uint32_t n = 0;; n++) {
                w = weir__line_take(&m->line);
                if (!w) {
                        fetch_add_seq(&m->extra, n);
                        break;
                }
                w->next = NULL;
                *end = w;
                end = &w->next;
        }
        store_seq(&m->state, 0);
        word_drop(&m->list);
        while ((w = first)) {
                first = w->next;
                weir__sched_ready(w->g);
        }
}

static inline void end_writing(struct rwmutex *m)
{
        uint32_t writer = WRITER;

        if (unlikely(!cas_seq(&m->state, &writer, 0))) {        /* the release for readers */
                if (!(writer & WRITER))
                        weir__panic("unlock of unlocked rwmutex %p", (void *)m);
                admit(m);
        }
}

/* WRITER is set by the caller: waits for those who read. */
static slowpath bool await_readers(struct rwmutex *m, struct g *g, int64_t deadline)
{
        struct waiting w = { .g = g };

        word_take(&m->list);
        if (!has_readers(m)) {
                word_drop(&m->list);
                return true;
        }
        if (deadline != NO_DEADLINE && weir__sched_now() >= deadline) {
                word_drop(&m->list);
                return false;
        }
        return weir__line_wait(&m->writer, &m->list, &w, WHY_WLOCK, m, deadline);
}

void weir_rwmutex_lock(weir_rwmutex *pub)
{
        struct rwmutex *m = open_rwmutex(pub);
        struct g       *g = weir__sched_need_g("weir_rwmutex_lock");

        weir_mutex_lock(&m->writers);
        fetch_or_seq(&m->state, (uint32_t)WRITER);
        if (unlikely(has_readers(m)))
                await_readers(m, g, NO_DEADLINE);
        keep_frame();
}

bool weir_rwmutex_try_lock(weir_rwmutex *pub)
{
        struct rwmutex *m = open_rwmutex(pub);

        weir__sched_need_g("weir_rwmutex_try_lock");
        if (has_readers(m) || !weir_mutex_try_lock(&m->writers))
                return false;
        fetch_or_seq(&m->state, (uint32_t)WRITER);
        if (likely(!has_readers(m)))
                return true;
        end_writing(m);
        weir_mutex_unlock(&m->writers);
        return false;
}

int weir_rwmutex_lock_until(weir_rwmutex *pub, weir_time deadline)
{
        struct rwmutex *m = open_rwmutex(pub);
        struct g       *g = weir__sched_need_g("weir_rwmutex_lock_until");
        int             r = weir_mutex_lock_until(&m->writers, deadline);

        if (r < 0)
                return r;
        fetch_or_seq(&m->state, (uint32_t)WRITER);
        if (unlikely(has_readers(m)) && !await_readers(m, g, deadline)) {
                end_writing(m);
                weir_mutex_unlock(&m->writers);
                r = WEIR_ETIMEOUT;
        }
        keep_frame();
        return r;
}

void weir_rwmutex_unlock(weir_rwmutex *pub)
{
        struct rwmutex *m = open_rwmutex(pub);

        weir__sched_need_g("weir_rwmutex_unlock");
        end_writing(m);
        weir_mutex_unlock(&m->writers);
}
