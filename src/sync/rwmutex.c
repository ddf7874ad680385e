/* The mutex of readers and writers.
 *
 * What    Any number of readers or one writer. A reader shows itself in a place of its processor's,
 *         so that readers do not meet; a writer looks through the places. As long as nobody wrote
 *         for a while, readers do so without a locked instruction.
 * Shape   The mutex: a mutex among writers, a state (WRITER, WAITING, FAST), the readers without a
 *         place, the line of readers, the writer that waits.
 *         Places: for each processor a small table, shared by all mutexes; those of one mutex are
 *         SIDE_BY_SIDE ones, a cache line, by a hash of its address. A goroutine takes the one that
 *         goes by its number, else the next: one that lost the processor while it reads keeps its
 *         own for long. `extra` counts the readers without a place: those that were let in from
 *         the line, or found all taken.
 *         A goroutine knows its place (g->reading), for it may leave it on another processor; which
 *         mutex it reads is what stands there.
 * States  of a place: free (0), then its reader's, who stores the mutex there and takes it away.
 *         Only what runs on the processor takes a free one.
 *         Of the mutex:
 *         WRITER    a writer has the mutex or waits for the readers to leave: no new readers
 *         WAITING   readers are in line (changed with the list's word held)
 *         FAST      readers need no fence, for a writer will make one for all threads
 *         A writer keeps WRITER from when it comes until it unlocks. Then all readers in line are
 *         let in at once, before the next writer may come: neither side starves.
 *         FAST goes with the first writer and comes back by a reader who finds that none has been
 *         there for CALM_NS, so that those fences take less than a hundredth of the time.
 * Locks   writers, then list; the list's word is held for some tens of instructions.
 * Order   A reader shows itself, then looks at the state; a writer sets WRITER (locked
 *         instruction), then looks at the places. One of them sees the other, if the reader's two
 *         are in order: without FAST by a locked instruction; with FAST by the fence in all threads
 *         (membarrier(2)) that the writer makes after it took FAST away: who showed himself before
 *         it is seen, who looks after it sees FAST gone, takes himself back and comes again.
 *         A reader that leaves does the same: with FAST by a plain store, without by a locked
 *         instruction. The one fence after FAST went does for both: who took himself away before it
 *         is seen, who looks at the state after it sees WRITER and wakes the writer.
 *         What readers read is before the store that frees their place (release), which the writer
 *         loads (acquire); what a writer wrote is before its unlock of the state (release).
 *         The places are not looked at in one moment. While WRITER is set, who takes one sees that
 *         and frees it again; so where each was free once, nobody reads. procs grows before a place
 *         of a new processor is used, and is read after WRITER is set.
 *         Where the system refuses the fence there is no FAST. If it does so later (a sandbox was
 *         closed), the writer that first learns it waits so long that what others stored before is
 *         seen by then.
 * Cost    Read lock and unlock: some loads and two stores each, on lines that only this processor
 *         writes, and no store that a later load waits for; without FAST a locked instruction each.
 *         Lock: one more than a mutex, a line per processor read, and where FAST was set the fence,
 *         0.3 us, or 10 to 30 while other threads of the process run.
 * Mistakes A goroutine that reads and locks to read again waits for ever once a writer came in
 *         between. Builds that check know who reads (up to READING_MAX at once) and panic at the
 *         second lock.
 *         One that unlocks for another one, which is allowed, is rare: the world is stopped to find
 *         out which place is that one's.
 * Not     One counter of readers, as in Go: its line goes from core to core. Counters
 *         of its own for each mutex and processor: zero must be a working mutex, and nobody frees
 *         one. Counts in the places: then each lock waits for the store of the unlock before it, 6
 *         ns for a pair where this is 3; and whoever leaves elsewhere makes two writers of one
 *         word. */
#include "sync/sync.h"
#include "base/debug.h"
#include "mem/mem.h"
#include "os/os.h"
#include <weir/time.h>

#ifndef WEIR_PLACES_PROCS
#define WEIR_PLACES_PROCS PROCS_MAX     /* model tests take 4 */
#endif
#ifndef WEIR_RW_CALM_NS
#define WEIR_RW_CALM_NS 5000000         /* model tests take 0 */
#endif

enum { WRITER = 1, WAITING = 2, FAST = 4 };
enum { PLACES = 128, SIDE_BY_SIDE = 8, REFUSED_NS = 50 * 1000, SHIFT_AT = 20, LOOKS = 10,
       LOOK_PAUSES = 10 };

struct rwmutex {
        weir_mutex   writers;
        uint32_t     state;             /* atomic */
        uint32_t     list;              /* lock of line and writer */
        uint32_t     extra;             /* atomic: readers without a place */
        uint32_t     fast_at;           /* atomic: coarse time >> SHIFT_AT: FAST may be; 0: now */
        struct line  line;              /* lock: list: readers */
        struct line  writer;            /* lock: list: the writer that waits for readers to leave */
};

_Static_assert(sizeof(struct rwmutex) <= sizeof(weir_rwmutex), "weir_rwmutex is too small");

/* Atomic: the mutex that somebody reads who has this place; NULL: free. */
static const void *places[WEIR_PLACES_PROCS][PLACES] __attribute__((aligned(CACHE_LINE)));

static uint32_t procs;      /* atomic: processors whose places were used */
static bool     can_fence;  /* atomic: the system has not refused one */

static inline struct rwmutex *open_rwmutex(weir_rwmutex *m)
{
        return (struct rwmutex *)(void *)m;
}

/* The first of those for m, on any processor. */
static inline unsigned places_of(const struct rwmutex *m)
{
        return (unsigned)(((uintptr_t)m * UINT64_C(0x9E3779B97F4A7C15)) >> 60) * SIDE_BY_SIDE;
}

/* The one to try first. */
static inline unsigned place_of(const struct rwmutex *m, const struct g *g)
{
        return places_of(m) + (unsigned)load_relaxed(&g->id) % SIDE_BY_SIDE;
}

/* Whether what a goroutine keeps is a place where it reads m. */
static inline bool is_of(const struct rwmutex *m, const void *const *place)
{
        return place && load_relaxed(place) == m;
}

static slowpath void use_processor(struct p *p)
{
        uint32_t n = load_relaxed(&procs);

        while (n <= p->id && !cas_seq(&procs, &n, p->id + 1))
                ;
        p->readers = places[p->id];
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
        weir_sleep(REFUSED_NS);
}

/* ---- who reads ---- */

static bool has_readers(const struct rwmutex *m)
{
        unsigned at = places_of(m);

        for (uint32_t i = 0, n = load_seq(&procs); i < n; i++)
                for (unsigned k = at; k < at + SIDE_BY_SIDE; k++)
                        if (load_acquire(&places[i][k]) == m)   /* pairs with who leaves */
                                return true;
        return load_seq(&m->extra);
}

static bool take_extra(struct rwmutex *m)
{
        uint32_t old = load_relaxed(&m->extra);

        while (old)
                if (cas_seq(&m->extra, &old, old - 1))
                        return true;
        return false;
}

/* Where goroutine g keeps its place of m, or NULL. */
static inline const void ***record_of(const struct rwmutex *m, struct g *g)
{
        if (is_of(m, load_relaxed(&g->reading[0])))
                return &g->reading[0];
        return is_of(m, load_relaxed(&g->reading[1])) ? &g->reading[1] : NULL;
}

struct search {
        struct rwmutex *m;
        bool            found;
};

/* With the world stopped. */
static bool take_away(void *g, void *arg)
{
        struct search *s = arg;
        const void  ***r = record_of(s->m, g);

        if (!r)
                return true;
        store_release(*r, NULL);
        store_relaxed(r, NULL);
        s->found = true;
        return false;
}

/* The same for a goroutine that has ended since. */
static bool take_left_behind(const struct rwmutex *m)
{
        for (uint32_t i = 0, n = load_seq(&procs); i < n; i++)
                for (unsigned k = 0; k < PLACES; k++)
                        if (load_relaxed(&places[i][k]) == m) {
                                store_release(&places[i][k], NULL);
                                return true;
                        }
        return false;
}

/* The caller has no place: it got in without one, or unlocks for another goroutine. */
static slowpath void leave_without_place(struct rwmutex *m)
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

/* Nobody wrote for a while. */
static inline bool is_calm(const struct rwmutex *m)
{
        uint32_t at = load_relaxed(&m->fast_at);

        return !at || (int32_t)(now_at() - at) >= 0;
}

/* Readers may do without the fence. */
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

enum { NO_PLACE = PLACES };

/* The next free one of a processor's, when that at `at` is taken. */
static noinline unsigned other_place(const void *const *readers, unsigned at)
{
        for (unsigned k = 1; k < SIDE_BY_SIDE; k++)
                if (!load_relaxed(&readers[at ^ k]))
                        return at ^ k;
        return NO_PLACE;
}

/* By a locked instruction; with whatever place and record there is. */
static slowpath bool try_read_slow(struct rwmutex *m, struct g *g)
{
        struct p     *p = self()->p;
        unsigned      at = place_of(m, g);
        const void ***r = &g->reading[0], **place;

        if (load_relaxed(&m->state) & WRITER)
                return false;
        if (!load_relaxed(&m->state) && is_calm(m))
                make_fast(m);
        if (!p->readers)
                use_processor(p);
        if (load_relaxed(r))
                r++;
        if (load_relaxed(&p->readers[at]))
                at = other_place(p->readers, at);
        if (load_relaxed(r) || at == NO_PLACE)
                return read_without_place(m);
        place = &p->readers[at];
        (void)exchange_seq(place, m);
        if (likely(!(load_seq(&m->state) & WRITER))) {
                store_relaxed(r, place);
                return true;
        }
        store_release(place, NULL);
        left(m);
        return false;
}

/* A reader that found another state after it took its place. */
static slowpath void take_back(struct rwmutex *m, const void **place)
{
        (void)exchange_seq(place, NULL);
        if (load_seq(&m->state) & WRITER)
                left(m);
}

/* The usual ways in: with FAST, and without. */
static inline __attribute__((__always_inline__)) bool try_read_fast(struct rwmutex *m, struct m *t)
{
        const void **readers = t->p->readers, **place;
        struct g    *g = t->g;
        uint32_t     state = load_relaxed(&m->state);
        unsigned     at = place_of(m, g);

        if (unlikely(!readers) || unlikely(load_relaxed(&g->reading[0]) != NULL))
                return false;
        if (unlikely(load_relaxed(&readers[at]) != NULL) &&
            (at = other_place(readers, at)) == NO_PLACE)
                return false;
        place = &readers[at];
        if (likely(state == FAST)) {
                store_release(place, m);
                fence_compiler();       /* the other half of this pair is in begin_writing() */
        } else {
                if (state || is_calm(m))
                        return false;
                (void)exchange_seq(place, m);
        }
        if (likely(load_acquire(&m->state) == state)) { /* pairs with the release of make_fast */
                store_relaxed(&g->reading[0], place);
                return true;
        }
        take_back(m, place);
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

/* Waits in line for the writer to unlock, who lets it in. */
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

static bool is_untouched(const struct rwmutex *m)
{
        return !load_relaxed(&m->state) && !load_relaxed(&m->extra) && !m->writers.state_[0];
}

static slowpath void rlock_slow(struct rwmutex *m)
{
        struct g *g = weir__sched_need_g("weir_rwmutex_rlock");

        check_recursion(m, g);
        if (watching())
                weir__watch_locks(m, "rwmutex", is_untouched(m));
        if (!try_read_slow(m, g))
                read_slow(m, g, NO_DEADLINE);
        note_reader(m, g);
        watch_locked(m, "rwmutex");
        keep_frame();
}

/* The running goroutine's thread, where it has a processor. */
static inline struct m *usual(void)
{
        struct m *t = self();

        return WEIR_CHECK < 1 && !watching() && likely(t && t->p && t->g != &t->g0) ? t : NULL;
}

void weir_rwmutex_rlock(weir_rwmutex *pub)
{
        struct m *t = usual();

        if (unlikely(!t || !try_read_fast(open_rwmutex(pub), t)))
                rlock_slow(open_rwmutex(pub));
}

bool weir_rwmutex_try_rlock(weir_rwmutex *pub)
{
        struct rwmutex *m = open_rwmutex(pub);
        struct g       *g = weir__sched_need_g("weir_rwmutex_try_rlock");

        if (!try_read_fast(m, self()) && !try_read_slow(m, g))
                return false;
        note_reader(m, g);
        watch_locked(m, "rwmutex");
        return true;
}

int weir_rwmutex_rlock_until(weir_rwmutex *pub, weir_time deadline)
{
        struct rwmutex *m = open_rwmutex(pub);
        struct g       *g = weir__sched_need_g("weir_rwmutex_rlock_until");

        if (watching())
                weir__watch_locks(m, "rwmutex", is_untouched(m));
        if (!try_read_fast(m, self()) && !try_read_slow(m, g) && !read_slow(m, g, deadline))
                return WEIR_ETIMEOUT;
        note_reader(m, g);
        watch_locked(m, "rwmutex");
        keep_frame();
        return 0;
}

static slowpath void runlock_slow(struct rwmutex *m)
{
        struct g *g = weir__sched_need_g("weir_rwmutex_runlock");
        const void ***r = record_of(m, g), **place;

        forget_reader(m, g);
        if (watching())
                weir__watch_unlocks(m, "rwmutex");
        if (r) {
                place = load_relaxed(r);
                store_relaxed(r, NULL);
                (void)exchange_seq(place, NULL);
        } else {
                leave_without_place(m);
        }
        if (load_seq(&m->state) & WRITER)
                left(m);
}

void weir_rwmutex_runlock(weir_rwmutex *pub)
{
        struct rwmutex *m = open_rwmutex(pub);
        struct m       *t = usual();
        const void    **place;

        if (unlikely(!t) || unlikely(!is_of(m, place = load_relaxed(&t->g->reading[0])))) {
                runlock_slow(m);
                return;
        }
        store_relaxed(&t->g->reading[0], NULL);
        if (likely(load_relaxed(&m->state) == FAST)) {
                store_release(place, NULL);
                fence_compiler();       /* the other half of this pair is in begin_writing() */
        } else {
                (void)exchange_seq(place, NULL);
        }
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

/* Readers on other processors are gone soon, mostly. */
static bool gone_soon(const struct rwmutex *m)
{
        for (int i = 0; i < LOOKS && load_relaxed(&procs) > 1; i++) {
                for (int k = 0; k < LOOK_PAUSES; k++)
                        weir__spin_pause();
                if (!has_readers(m))
                        return true;
        }
        return false;
}

/* WRITER is set by the caller: waits for those who read. */
static slowpath bool await_readers(struct rwmutex *m, struct g *g, int64_t deadline)
{
        struct waiting w = { .g = g };

        if (gone_soon(m))
                return true;
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

static bool reads(const void *on, const struct g *g)
{
        return is_of(on, load_relaxed(&g->reading[0])) || is_of(on, load_relaxed(&g->reading[1]));
}

static void tell_readers(const void *on, struct object_told *ret)
{
        (void)on;
        ret->reads = reads;
}

static __attribute__((constructor)) void init(void)
{
        weir__sched_hooks.object_tell[WHY_RLOCK] = weir__mutex_tell;   /* writers' comes first */
        weir__sched_hooks.object_tell[WHY_WLOCK] = tell_readers;
        can_fence = weir__os_fence_all_init();
        weir__mem_no_roots(places, sizeof places);
}
