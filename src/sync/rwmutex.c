/* The mutex of readers and writers.
 *
 * What    Any number of readers or one writer. Readers count themselves in a place of their
 *         processor's, so that they do not meet; a writer adds the places up. As long as nobody wrote
 *         for a while, they do so without a locked instruction.
 * Shape   The mutex: a mutex among writers, a state (WRITER, WAITING, FAST), the readers without a
 *         place, the line of readers, the writer that waits.
 *         Places: for each processor a small table, shared by all mutexes. A place holds a mutex's
 *         address and two counts: readers that came (or left again, on that processor), which only
 *         the processor writes, and readers that left elsewhere, which anybody adds to. It is free
 *         when both are equal. The number of readers is the sum of the differences and of `extra`:
 *         those that were let in from the line, or whose place another mutex had.
 *         A goroutine knows where it counted itself (g->reading), for it may move in between, and
 *         takes itself away there.
 * States  WRITER    a writer has the mutex or waits for the readers to leave: no new readers
 *         WAITING   readers are in line (changed with the list's word held)
 *         FAST      readers need no fence, for a writer will make one for all threads
 *         A writer keeps WRITER from when it comes until it unlocks. Then all readers in line are
 *         let in at once, before the next writer may come: neither side starves.
 *         FAST goes with the first writer and comes back by a reader who finds that none has been
 *         there for CALM_NS, so that those fences take less than a hundredth of the time.
 * Locks   writers, then list; the list's word is held for some tens of instructions.
 * Order   A reader counts itself, then looks at the state; a writer sets WRITER (locked instruction),
 *         then looks at the counts. One of them sees the other, if the reader's two are in order:
 *         without FAST by a locked instruction; with FAST by the fence in all threads
 *         (membarrier(2)) that the writer makes after it took FAST away: who counted himself before
 *         it is seen, who looks after it sees FAST gone, takes himself back and comes again.
 *         A reader that leaves takes itself away by a plain store, then looks at WRITER. A writer
 *         that found readers makes that fence before it looks for the last time and parks: who
 *         leaves before it is seen, who leaves after it sees WRITER and wakes it.
 *         What readers read is before the store of their count (release), which the writer loads
 *         (acquire); what a writer wrote is before its unlock of the state (release).
 *         The sum is not taken at one moment. While WRITER is set, what is added is taken away again
 *         by who added it; of one place the readers that came are read before those that left
 *         elsewhere, so the difference is never less than who is there, and where all were 0 nobody
 *         reads. procs grows before a place of a new processor is used, and is read after WRITER is
 *         set.
 *         Where the system refuses the fence there is no FAST, who leaves uses a locked instruction,
 *         and a writer waits by looking again and again.
 * Cost    Read lock and unlock: three loads, two stores and a branch each, on lines that only this
 *         processor writes; without FAST one locked instruction for both. Lock: one more than a
 *         mutex, a line per processor read, and where FAST was set or readers are there a fence, 0.3
 *         us, or 10 to 30 while other threads of the process run.
 * Mistakes A goroutine that reads and locks to read again waits for ever once a writer came in
 *         between. Builds that check know who reads (up to READING_MAX at once) and panic at the
 *         second lock.
 *         One that unlocks for another one, which is allowed, is rare: the world is stopped to find
 *         out where that one counted itself.
 * Not     One counter of readers, as in Go: its line goes from core to core. Counters
 *         of its own for each mutex and processor: zero must be a working mutex, and nobody frees
 *         one. Readers that are alike, of which any is taken away: then two processors write one
 *         count, and each write is a locked instruction. */
#include "sync/sync.h"
#include "base/debug.h"
#include "os/os.h"
#include <weir/time.h>

#ifndef WEIR_PLACES_PROCS
#define WEIR_PLACES_PROCS PROCS_MAX     /* model tests take 4 */
#endif
#ifndef WEIR_RW_CALM_NS
#define WEIR_RW_CALM_NS 5000000         /* model tests take 0 */
#endif

enum { WRITER = 1, WAITING = 2, FAST = 4 };
enum { PLACES = 64, COUNT_BITS = 16, POLL_NS = 50 * 1000, SHIFT_AT = 16 };

#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)

struct rwmutex {
        weir_mutex   writers;
        uint32_t     state;             /* atomic */
        uint32_t     list;              /* lock of line and writer */
        uint32_t     extra;             /* atomic: readers without a place */
        uint32_t     fast_at;           /* atomic: coarse time >> SHIFT_AT, from when on FAST may be */
        struct line  line;              /* lock: list: readers */
        struct line  writer;            /* lock: list: the writer that waits for readers to leave */
};

_Static_assert(sizeof(struct rwmutex) <= sizeof(weir_rwmutex), "weir_rwmutex is too small");

struct place {
        uint64_t came;          /* atomic; only the processor writes: mutex << COUNT_BITS | count */
        uint32_t left;          /* atomic: count, of which the last COUNT_BITS matter */
        uint32_t unused;
};

static struct place places[WEIR_PLACES_PROCS][PLACES] __attribute__((aligned(CACHE_LINE)));
static uint32_t     procs;      /* atomic: processors whose places were used */
static bool         can_fence;  /* atomic: the system has not refused one */

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

static slowpath void use_processor(uint32_t id)
{
        uint32_t n = load_relaxed(&procs);

        while (n <= id && !cas_seq(&procs, &n, id + 1))
                ;
}

static inline bool may_fence(void)
{
        return load_relaxed(&can_fence) && weir__debug.membarrier;
}

/* After it each store of others is seen that they made before, and they see those of the caller.
 * Without it, what a processor has stored is seen at the latest when its thread has left it. */
static slowpath void fence_all(void)
{
        if (likely(may_fence() && weir__os_fence_all()))
                return;
        store_relaxed(&can_fence, false);
        weir_sleep(POLL_NS);
}

/* ---- counting ---- */

/* How many readers are in a place. */
static inline uint32_t there(const struct place *p, uint64_t came)
{
        return (uint32_t)(came - load_acquire(&p->left)) & COUNT_MASK;
}

static bool has_readers(const struct rwmutex *m)
{
        unsigned at = place_of(m);

        for (uint32_t i = 0, n = load_seq(&procs); i < n; i++) {
                const struct place *p = &places[i][at];
                uint64_t            came = load_acquire(&p->came);      /* pairs with count_down */

                if (came >> COUNT_BITS == name_of(m) >> COUNT_BITS && there(p, came))
                        return true;
        }
        return load_seq(&m->extra);
}

/* Counts one reader more in the running processor's place. What to store there, or 0: it cannot. */
static inline uint64_t one_more(const struct rwmutex *m, const struct place *p)
{
        uint64_t came = load_relaxed(&p->came), name = name_of(m);
        uint32_t n = there(p, came);

        if (unlikely((came ^ name) >> COUNT_BITS ? n : n == COUNT_MASK))
                return 0;
        return name | ((came + 1) & COUNT_MASK);
}

static inline uint64_t one_less(uint64_t came)
{
        return (came & ~COUNT_MASK) | ((came - 1) & COUNT_MASK);
}

static bool take_extra(struct rwmutex *m)
{
        uint32_t old = load_relaxed(&m->extra);

        while (old)
                if (cas_seq(&m->extra, &old, old - 1))
                        return true;
        return false;
}

/* Takes away who counted itself in the place of processor id. */
static inline void count_down(const struct rwmutex *m, uint32_t id)
{
        struct place *p = &places[id][place_of(m)];

        if (likely(self()->p->id == id))
                store_release(&p->came, one_less(load_relaxed(&p->came)));
        else
                fetch_add_seq(&p->left, 1);
}

/* Where goroutine g counted itself, or NULL. */
static inline uint64_t *record_of(const struct rwmutex *m, struct g *g)
{
        if (likely(load_relaxed(&g->reading[0]) >> COUNT_BITS == name_of(m) >> COUNT_BITS))
                return &g->reading[0];
        return load_relaxed(&g->reading[1]) >> COUNT_BITS == name_of(m) >> COUNT_BITS ? &g->reading[1] : NULL;
}

struct search {
        struct rwmutex *m;
        bool            found;
};

/* With the world stopped. */
static bool take_away(void *g, void *arg)
{
        struct search *s = arg;
        uint64_t      *record = record_of(s->m, g);

        if (!record)
                return true;
        fetch_add_seq(&places[*record & COUNT_MASK][place_of(s->m)].left, 1);
        store_relaxed(record, (uint64_t)0);
        s->found = true;
        return false;
}

/* The same for a goroutine that has ended since. */
static bool take_left_behind(const struct rwmutex *m)
{
        for (uint32_t i = 0, n = load_seq(&procs); i < n; i++) {
                struct place *p = &places[i][place_of(m)];
                uint64_t      came = load_relaxed(&p->came);

                if (came >> COUNT_BITS == name_of(m) >> COUNT_BITS && there(p, came)) {
                        fetch_add_seq(&p->left, 1);
                        return true;
                }
        }
        return false;
}

/* The caller has no place: it was counted without one, or unlocks for another goroutine. */
static slowpath void count_down_slow(struct rwmutex *m)
{
        struct search s = { .m = m };

        if (take_extra(m))
                return;
        weir__world_stop();
        s.found = take_extra(m);
        if (!s.found)
                weir__sched_each(take_away, &s);
        if (!s.found)
                s.found = take_left_behind(m);
        weir__world_start();
        if (!s.found)
                weir__panic("read unlock of rwmutex %p, which nobody has locked to read",
                            (void *)m);
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

static inline uint32_t now_at(void)
{
        return (uint32_t)(load_relaxed(&weir__sched_coarse) >> SHIFT_AT);
}

/* Nobody wrote for a while: readers may do without the fence. */
static slowpath void make_fast(struct rwmutex *m)
{
        uint32_t none = 0;

        if (may_fence())
                cas_seq(&m->state, &none, FAST);
}

static slowpath bool read_without_place(struct rwmutex *m)
{
        fetch_add_seq(&m->extra, 1);
        if (likely(!(load_seq(&m->state) & WRITER)))
                return true;
        if (!take_extra(m))
                weir__throw("rwmutex %p: a reader is gone", (void *)m);
        left(m);
        return false;
}

/* By a locked instruction. */
static slowpath bool try_read_slow(struct rwmutex *m, struct g *g)
{
        uint32_t      id = self()->p->id;
        struct place *p = &places[id][place_of(m)];
        uint64_t     *record = &g->reading[0], came;

        if (load_relaxed(&m->state) & WRITER)
                return false;
        if (!load_relaxed(&m->state) && (int32_t)(now_at() - load_relaxed(&m->fast_at)) >= 0)
                make_fast(m);
        if (id >= load_relaxed(&procs))
                use_processor(id);
        if (*record)
                record++;
        came = one_more(m, p);
        if (*record || !came)
                return read_without_place(m);
        exchange_seq(&p->came, came);
        if (likely(!(load_seq(&m->state) & WRITER))) {
                store_relaxed(record, name_of(m) | id);
                return true;
        }
        store_release(&p->came, one_less(came));
        left(m);
        return false;
}

static inline bool try_read(struct rwmutex *m, struct g *g)
{
        uint32_t      id = self()->p->id;
        struct place *p = &places[id][place_of(m)];
        uint64_t      came;

        if (unlikely(load_relaxed(&m->state) != FAST || g->reading[0] || !(came = one_more(m, p)) ||
                     id >= load_relaxed(&procs)))
                return try_read_slow(m, g);
        store_release(&p->came, came);
        fence_compiler();               /* the other half of this pair is in begin_writing() */
        if (likely(load_acquire(&m->state) == FAST)) {  /* pairs with the release of make_fast */
                store_relaxed(&g->reading[0], name_of(m) | id);
                return true;
        }
        store_release(&p->came, one_less(came));
        left(m);
        return try_read_slow(m, g);
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
        } while (!try_read_slow(m, g));
        return true;
}

void weir_rwmutex_rlock(weir_rwmutex *pub)
{
        struct rwmutex *m = open_rwmutex(pub);
        struct g       *g = weir__sched_need_g("weir_rwmutex_rlock");

        check_recursion(m, g);
        if (unlikely(!try_read(m, g))) {
                read_slow(m, g, NO_DEADLINE);
                keep_frame();
        }
        note_reader(m, g);
}

bool weir_rwmutex_try_rlock(weir_rwmutex *pub)
{
        struct rwmutex *m = open_rwmutex(pub);
        struct g       *g = weir__sched_need_g("weir_rwmutex_try_rlock");

        if (!try_read(m, g))
                return false;
        note_reader(m, g);
        return true;
}

int weir_rwmutex_rlock_until(weir_rwmutex *pub, weir_time deadline)
{
        struct rwmutex *m = open_rwmutex(pub);
        struct g       *g = weir__sched_need_g("weir_rwmutex_rlock_until");

        if (!try_read(m, g) && !read_slow(m, g, deadline))
                return WEIR_ETIMEOUT;
        note_reader(m, g);
        keep_frame();
        return 0;
}

void weir_rwmutex_runlock(weir_rwmutex *pub)
{
        struct rwmutex *m = open_rwmutex(pub);
        struct g       *g = weir__sched_need_g("weir_rwmutex_runlock");
        uint64_t       *record = record_of(m, g);

        forget_reader(m, g);
        if (likely(record)) {
                uint32_t id = (uint32_t)(*record & COUNT_MASK);

                store_relaxed(record, (uint64_t)0);
                count_down(m, id);
        } else {
                count_down_slow(m);
        }
        if (unlikely(!load_relaxed(&can_fence)))
                fetch_or_seq(&m->state, 0);
        fence_compiler();               /* the other half of this pair is in await_readers() */
        if (unlikely(load_acquire(&m->state) & WRITER))
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

/* Sets WRITER; from now on no new reader gets in, and all that are in are seen by has_readers. */
static inline void begin_writing(struct rwmutex *m)
{
        uint32_t old = load_relaxed(&m->state);

        while (!cas_seq(&m->state, &old, (old | WRITER) & ~(uint32_t)FAST))
                ;
        store_relaxed(&m->fast_at, now_at() + (WEIR_RW_CALM_NS >> SHIFT_AT));
        if (old & FAST)
                fence_all();
}

/* Without the fence: until they are seen to be gone. */
static slowpath bool look_for_readers(struct rwmutex *m, int64_t deadline)
{
        while (has_readers(m)) {
                if (deadline != NO_DEADLINE && weir__sched_now() >= deadline)
                        return false;
                weir_sleep(POLL_NS);
        }
        return true;
}

/* WRITER is set by the caller: waits for those who read. */
static slowpath bool await_readers(struct rwmutex *m, struct g *g, int64_t deadline)
{
        struct waiting w = { .g = g };

        if (may_fence())
                fence_all();
        if (!may_fence())
                return look_for_readers(m, deadline);
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
        begin_writing(m);
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
        begin_writing(m);
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
        begin_writing(m);
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

/* ---- for a report of a deadlock ---- */

bool weir__rwmutex_reads(const void *on, const struct g *g)
{
        const struct rwmutex *m = on;
        uint64_t              name = name_of(m) >> COUNT_BITS;

        return load_relaxed(&g->reading[0]) >> COUNT_BITS == name ||
               load_relaxed(&g->reading[1]) >> COUNT_BITS == name;
}

static __attribute__((constructor)) void init(void)
{
        can_fence = weir__os_fence_all_init();
}
