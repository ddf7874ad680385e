/* The mutex.
 *
 * What    One word decides; goroutines that must wait stand in a list inside the mutex. As long as
 *         nobody ever had to wait, unlocking is a plain store.
 * Shape   word: in the low half LOCKED, SLOW and a count, in the high half WAITERS, WOKEN,
 *         STARVING, ASKED, SETTLED; a spin word for the list; a note of where the owner's stack is;
 *         the list's last record (circular, last->next is the first).
 * States  of the word:
 *           LOCKED    somebody owns the mutex
 *           WAITERS   the list is not empty (changed with the list's spin word held)
 *           WOKEN     one goroutine was woken, or spins, to compete: do not wake another
 *           STARVING  the mutex is handed from owner to the first waiter; nobody else may take it
 *           ASKED     somebody had to wait: who locks from now on unlocks by a locked instruction
 *           SLOW      and who locked last did so after ASKED. It keeps the inlined lock, which
 *                     wants the low half to be 0, away
 *           SETTLED   and who locked before ASKED has seen it, or will when he has unlocked
 *         Normal mode: who comes at the right moment gets it, the woken one competes and, when it
 *         loses, stands first in line again. A waiter that lost for a millisecond turns STARVING
 *         on, or who wakes it does when it must not (see Order); it goes off when a waiter that
 *         got it had waited less, or was the last.
 *         That part of the algorithm is Go's sync.Mutex.
 *         ASKED, SLOW and SETTLED go off together, with the unlock that is the WEIR_CALM_MAX-th
 *         since somebody stood in line. WAITERS may stay, with WOKEN: where one goroutine goes on
 *         for its time slice beside others that wait for a processor, that is the usual state.
 * Duty    A word with WAITERS and neither LOCKED nor WOKEN is the duty of whoever made it so:
 *         wake() sets WOKEN, by which one of several is chosen, and readies the first in line; with
 *         STARVING that one owns the mutex.
 * Order   The acquire of LOCKED pairs with the release that clears it. A record is its goroutine's
 *         until it is in the list, then the list's, then its waker's until ready.
 *         The unlock by a store, which is for a word of LOCKED and, at most, WAITERS with WOKEN,
 *         whom nobody needs to wake: it stores the low half, then reads the high one again; a
 *         waiter (or who takes WOKEN away) writes the high half, then reads the low one. Both
 *         would need a fence between the two, else both may see what was before, and the waiter
 *         sleeps beside a free mutex. The unlock has none. The first waiter makes up for it by a
 *         fence in every thread (settle(), membarrier(2)): who stored before it is seen by the
 *         waiter, who stores after it sees the waiter and comes to weir_mutex_unlocked_. Where SLOW
 *         or SETTLED is set no fence is needed: the one owner unlocks by a locked instruction, the
 *         other one sees at least ASKED after his store and then looks again by a locked
 *         instruction. STARVING is for SLOW ones only: the store of the others would let the
 *         inlined lock in. ASKED stays on while somebody in line is about to make the fence, for
 *         SETTLED tells of that ASKED.
 * Owner   The word could not hold him: it is 0 or 1 in the programs. The note is stored after the
 *         lock is taken, never taken back, and read when all goroutines are asleep. 16 bits of an
 *         address tell some ten thousand stacks apart; those that they do not are all named.
 * Cost    Uncontended: one locked instruction to lock, one store and two loads to unlock, all
 *         inlined in the caller by weir/sync.h: 2.3 ns where Go, with a locked instruction for
 *         each, takes 4.6. The note is free. The fence costs 0.3 us, and 10 to 30 while other
 *         threads of the process run: at most once in WEIR_CALM_MAX unlocks.
 *         Eight goroutines on one core, where mostly one goes on and the others wait for the core:
 *         4 ns for both, against 6 when each unlock in there was a locked instruction.
 *         What is stored as a half must be read as a half by who comes next, or the load waits for
 *         the store to reach the cache: those that are inlined take the halves one by one (a
 *         compare of the whole word made it 7 ns).
 * Mistakes An unlock of what is not locked changes nothing. Only where two unlocks of what was
 *         locked once meet within some nanoseconds may both pass: a store does not compare.
 * Not     Handing over always: each unlock of a contended mutex is then a switch. A futex: it would
 *         block the thread. The flags in one half with LOCKED: the store would wipe them out. Bias
 *         towards a goroutine, so that locking too is without a locked instruction: to take the
 *         bias away costs a signal, and mutexes that one goroutine alone uses are not what programs
 *         have. */
#include "sync/sync.h"
#include "base/debug.h"
#include "base/lock.h"
#include "os/os.h"
#include "time/time.h"
#include <weir/time.h>

/* The header inlines the uncontended case around the functions defined here. */
#undef weir_mutex_lock
#undef weir_mutex_unlock

#ifndef WEIR_CALM_MAX
#define WEIR_CALM_MAX 0x3fff            /* model tests take 1 */
#endif

enum {
        LOCKED = 1,
        SLOW = 2,
        CALM_ONE = 4,
        CALM = 0xfffc,                  /* unlocks since somebody stood in line, times CALM_ONE */
        WAITERS = 1 << 16,
        WOKEN = 2 << 16,
        STARVING = 4 << 16,
        ASKED = 8 << 16,
        SETTLED = 16 << 16,
};
enum { SPINS = 4, SPIN_PAUSES = 30, STARVE_NS = 1000 * 1000, POLL_NS = 50 * 1000, LOOK_MAX = 64 };

struct record {
        struct record *next, *prev;     /* lock: list_lock */
        struct g      *g;               /* const */
        bool           in_line;         /* lock: list_lock */
        bool           settles;         /* lock: list_lock: about to make the fence */
        bool           starves;         /* const while in_line */
        bool           woken;           /* waker: by wake(), not by the deadline; WOKEN is yours */
        bool           handed;          /* waker: the mutex is yours (STARVING) */
};

struct mutex {
        union {
                uint32_t word;          /* atomic */
                uint16_t half[2];       /* atomic: its low and its high half */
        };
        uint16_t       list_lock;       /* spin word */
        uint16_t       owner;           /* atomic: bits 16 to 31 of an address on its stack */
        struct record *last;            /* lock: list_lock */
};

_Static_assert(sizeof(struct mutex) <= sizeof(weir_mutex), "weir_mutex is too small");
_Static_assert(offsetof(struct mutex, owner) == 6, "weir/sync.h stores it there");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "weir/sync.h: half[0] is the low one");

/* One wait with a deadline. */
struct alarm {
        struct timer   timer;
        struct mutex  *m;
        struct record *r;
};

static bool can_fence;                  /* atomic: the system has not refused one */

static inline struct mutex *open_mutex(weir_mutex *m)
{
        return (struct mutex *)(void *)m;
}

static inline bool may_fence(void)
{
        return load_relaxed(&can_fence) && weir__debug.membarrier;
}

static inline void note_owner(struct mutex *m)
{
        char here;

        store_relaxed(&m->owner, (uint16_t)((uintptr_t)&here >> 16));
}

/* ---- the list ---- */

static bool is_untouched(const struct mutex *m)
{
        return !load_relaxed(&m->word) && !load_relaxed(&m->owner);
}

static void list_take(struct mutex *m)
{
        uint16_t free_ = 0;

        for (unsigned i = 0; !cas_acquire(&m->list_lock, &free_, 1); i++) {
                free_ = 0;
                if (i < 200)
                        weir__spin_pause();
                else
                        weir__os_yield();
        }
}

static void list_drop(struct mutex *m)
{
        store_release(&m->list_lock, 0);
}

static void push(struct mutex *m, struct record *r, bool first)
{
        struct record *last = m->last;

        r->in_line = true;
        if (!last) {
                r->next = r->prev = r;
                m->last = r;
                return;
        }
        r->prev = last;
        r->next = last->next;
        r->next->prev = r;
        last->next = r;
        if (!first)
                m->last = r;
}

/* Takes r out; clears WAITERS with the last one. Called with the list's lock. */
static void take_out(struct mutex *m, struct record *r)
{
        r->in_line = false;
        if (r->next == r) {
                m->last = NULL;
                fetch_and_relaxed(&m->word, ~(uint32_t)WAITERS);
                return;
        }
        r->prev->next = r->next;
        r->next->prev = r->prev;
        if (m->last == r)
                m->last = r->prev;
}

/* ---- waking ---- */

/* To a starving waiter that is out of line and could not set STARVING, for the owner was not SLOW.
 * False: somebody has locked it meanwhile. */
static slowpath bool hand_over(struct mutex *m)
{
        uint32_t old = load_relaxed(&m->word);

        do {
                if (old & LOCKED)
                        return false;
        } while (!cas_relaxed(&m->word, &old, old | STARVING | ASKED | SLOW));
        return true;
}

/* The duty of who left the mutex free with goroutines in line. */
static void wake(struct mutex *m, uint32_t old)
{
        struct record *r;

        do {
                if (!(old & WAITERS) || (old & (LOCKED | WOKEN)))
                        return;
        } while (!cas_relaxed(&m->word, &old, old | WOKEN));
        list_take(m);
        r = m->last ? m->last->next : NULL;
        if (!r) {                       /* the last waiter gave up while we looked */
                fetch_and_relaxed(&m->word, ~(uint32_t)WOKEN);
                list_drop(m);
                return;
        }
        take_out(m, r);
        r->woken = true;
        r->handed = (old & STARVING) || (r->starves && hand_over(m));
        list_drop(m);
        weir__sched_ready(r->g);
}

/* ---- waiting ---- */

/* One step of active waiting: worth it while the owner may be running on another processor. */
static bool spin(struct mutex *m, uint32_t old, unsigned *spins, bool *awake)
{
        if ((old & (LOCKED | STARVING)) != LOCKED || *spins >= SPINS || !weir__sched_may_spin())
                return false;
        if (!*awake && (old & (WOKEN | WAITERS)) == WAITERS &&
            cas_relaxed(&m->word, &old, old | WOKEN))
                *awake = true;
        for (int i = 0; i < SPIN_PAUSES; i++)
                weir__spin_pause();
        ++*spins;
        return true;
}

/* The system refuses what it granted at the start (a sandbox was closed): out of line again, unless
 * somebody has seen r there. True: so it is. */
static slowpath bool do_without(struct mutex *m, struct record *r)
{
        bool seen;

        store_relaxed(&can_fence, false);
        list_take(m);
        seen = !r->in_line;
        if (!seen) {
                take_out(m, r);
                weir__sched_park_cancel(r->g);  /* nobody else will ready it */
        }
        list_drop(m);
        return seen;
}

/* The goroutine of r stands in line of a mutex whose owner may be about to unlock it by a store.
 * False: it stands there no more and is not parked. */
static slowpath bool settle(struct mutex *m, struct record *r)
{
        uint32_t old;

        old = load_relaxed(&m->word) & (SETTLED | SLOW);
        if (!old) {                             /* else it is no longer needed */
                weir__count(mutex_fences, 1);
                if (unlikely(!weir__os_fence_all()))
                        return do_without(m, r);
        }
        list_take(m);
        r->settles = false;
        if (old) {
                list_drop(m);
                return true;
        }
        /* Out of line already: somebody has seen it. While it is there and settles, ASKED is the
         * one that came before the fence. */
        old = load_relaxed(&m->word);
        while (r->in_line && (old & LOCKED) && !cas_relaxed(&m->word, &old, old | SETTLED))
                ;
        list_drop(m);
        if (!(old & LOCKED))
                wake(m, old);
        return true;
}

/* Stands in line unless the mutex became free. The goroutine is marked parked then. */
static bool stand_in_line(struct mutex *m, struct record *r, bool first, bool starving, bool *awake)
{
        uint32_t old, new;

        list_take(m);
        old = load_relaxed(&m->word);
        do {
                if (!(old & (LOCKED | STARVING))) {
                        list_drop(m);
                        return false;
                }
                new = (old & ~(uint32_t)(CALM | (*awake ? WOKEN : 0))) | WAITERS | ASKED;
                if (starving && (old & LOCKED) && (old & SLOW))
                        new |= STARVING;
        } while (!cas_relaxed(&m->word, &old, new));
        *awake = false;
        r->woken = r->handed = false;
        r->starves = starving;
        r->settles = (new & LOCKED) && !(new & (SETTLED | SLOW));
        push(m, r, first);
        weir__sched_park_begin(r->g, WHY_MUTEX, m);
        weir__sched_own(r->g, r, sizeof *r);
        list_drop(m);
        weir__count(mutex_parks, 1);
        if (!(new & LOCKED))
                wake(m, new);
        else if (!(new & (SETTLED | SLOW)))
                return settle(m, r);
        return true;
}

/* WOKEN went off while somebody waits, and the owner may unlock by a store that does not tell
 * him. */
static slowpath void look_after(struct mutex *m)
{
        uint32_t old;

        weir__count(mutex_fences, 1);
        if (may_fence() && weir__os_fence_all()) {
                wake(m, fetch_or_seq(&m->word, 0));
                return;
        }
        store_relaxed(&can_fence, false);
        while (((old = load_acquire(&m->word)) & (LOCKED | SLOW)) == LOCKED)
                weir_sleep(POLL_NS);
        wake(m, old);
}

/* Without a fence nobody may sleep beside an owner that may unlock by a store: until the mutex was
 * locked once more, which sets SLOW, who waits looks again and again. */
static slowpath void look_again(struct mutex *m)
{
        fetch_or_relaxed(&m->word, (uint32_t)ASKED);
        weir_sleep(POLL_NS);
}

/* The mutex was handed to this goroutine: STARVING keeps all others away until LOCKED is set.
 * False: it did not, for somebody unlocked what was not his, and it is a woken one like others. */
static bool accept_hand(struct mutex *m, bool starving)
{
        uint32_t old = load_relaxed(&m->word), new;

        do {
                if (unlikely(old & LOCKED))
                        return false;
                check((old & (STARVING | WOKEN)) == (STARVING | WOKEN));
                new = (old | LOCKED | SLOW) & ~(uint32_t)WOKEN;
                if (!starving || !(old & WAITERS))
                        new &= ~(uint32_t)STARVING;
        } while (!cas_acquire(&m->word, &old, new));
        return true;
}

/* What the word becomes when it is locked: who takes it after ASKED knows of it. */
static inline uint32_t taken(uint32_t old)
{
        return old | LOCKED | (old & ASKED ? SLOW : 0);
}

/* On the scheduler's stack. */
static void on_deadline(struct timer *t)
{
        struct alarm *a = CONTAINER_OF(t, struct alarm, timer);
        bool          there;

        list_take(a->m);
        there = a->r->in_line;
        if (there)
                take_out(a->m, a->r);
        list_drop(a->m);
        if (there)
                weir__sched_ready(a->r->g);
}

/* Stands in line until a waker or the deadline comes. False: the mutex became free before. */
static bool wait(struct mutex *m, struct record *r, bool first, bool starving, bool *awake,
                 int64_t deadline)
{
        struct alarm a = { .m = m, .r = r };

        if (!stand_in_line(m, r, first, starving, awake))
                return false;
        if (deadline != INT64_MAX) {
                r->g->wait_timed = true;
                weir__timer_start(&a.timer, deadline, 0, on_deadline);
        }
        weir__sched_park(r->g);
        if (deadline != INT64_MAX) {
                weir__timer_stop(&a.timer);
                r->g->wait_timed = false;
        }
        return true;
}

/* The deadline has passed: the others' wake, if it was this goroutine that was woken, goes on. */
static bool give_up(struct mutex *m, bool awake)
{
        uint32_t old = load_relaxed(&m->word), new;

        if (!awake)
                return false;
        do
                new = (old & ~(uint32_t)WOKEN) | (old & WAITERS ? ASKED : 0);
        while (!cas_seq(&m->word, &old, new));
        if ((new & (LOCKED | WAITERS)) == (LOCKED | WAITERS) && !(new & (SETTLED | SLOW)))
                look_after(m);
        else
                wake(m, new);
        return false;
}

/* False: the deadline came first. */
static slowpath bool lock_slow(struct mutex *m, struct g *g, int64_t deadline)
{
        struct record r = { .g = g };
        int64_t       since = 0;
        bool          waited = false, starving = false, awake = false;
        unsigned      spins = 0;

        for (;;) {
                uint32_t old = load_relaxed(&m->word);

                if (spin(m, old, &spins, &awake))
                        continue;
                if (!(old & (LOCKED | STARVING))) {
                        if (cas_acquire(&m->word, &old,
                                        taken(old) & ~(uint32_t)(awake ? WOKEN : 0)))
                                return true;
                        continue;
                }
                if (!since)
                        since = weir__sched_now();
                if (deadline != INT64_MAX && weir__sched_now() >= deadline)
                        return give_up(m, awake);
                if (unlikely(!may_fence()) && !(old & (SETTLED | SLOW))) {
                        look_again(m);
                        continue;
                }
                if (!wait(m, &r, waited, starving, &awake, deadline))
                        continue;
                waited = true;
                starving = starving || weir__sched_now() - since > STARVE_NS;
                if (r.handed && accept_hand(m, starving))
                        return true;
                awake = r.woken;
                spins = 0;
        }
}

/* ---- the calls ---- */

/* Whether the unlock of such a word is more than to say that it is free. */
static inline bool needs_more(uint32_t word)
{
        return (word & STARVING) || (word & (WAITERS | WOKEN)) == WAITERS;
}

/* The inlined one in weir/sync.h takes what is free as try_lock does, else comes here. */
void weir_mutex_lock(weir_mutex *pub)
{
        struct mutex *m = open_mutex(pub);
        uint32_t      old;

        if (watching())
                weir__watch_locks(m, "mutex", is_untouched(m));
        old = load_relaxed(&m->word);
        if ((old & (LOCKED | STARVING)) || !cas_acquire(&m->word, &old, taken(old))) {
                lock_slow(m, weir__sched_need_g("weir_mutex_lock"), INT64_MAX);
                keep_frame();
        }
        note_owner(m);
        watch_locked(m, "mutex");
}

bool weir_mutex_try_lock(weir_mutex *pub)
{
        struct mutex *m = open_mutex(pub);
        uint16_t      free_ = 0;

        if (watching())
                weir__watch_uses(m, "mutex", is_untouched(m));
        if (!cas_acquire(&m->half[0], &free_, LOCKED)) {
                uint32_t old = load_relaxed(&m->word);

                if ((old & (LOCKED | STARVING)) || !cas_acquire(&m->word, &old, taken(old)))
                        return false;
        }
        note_owner(m);
        watch_locked(m, "mutex");
        return true;
}

int weir_mutex_lock_until(weir_mutex *pub, weir_time deadline)
{
        struct mutex *m = open_mutex(pub);

        if (watching())
                weir__watch_locks(m, "mutex", is_untouched(m));
        if (!weir_mutex_try_lock(pub)) {
                struct g *g = weir__sched_need_g("weir_mutex_lock_until");

                if (!lock_slow(m, g, deadline))
                        return WEIR_ETIMEOUT;
                note_owner(m);
                watch_locked(m, "mutex");
                keep_frame();
        }
        return 0;
}

static slowpath _Noreturn void not_locked(const struct mutex *m)
{
        weir__panic("unlock of unlocked mutex %p", (const void *)m);
}

/* With the list's lock: whether nobody in line is about to make the fence. */
static bool nobody_settles(const struct mutex *m)
{
        const struct record *r = m->last;

        for (int i = 0; i < LOOK_MAX; i++, r = r->next)
                if (!r || r->next == m->last)
                        return !r || !r->settles;
                else if (r->settles)
                        return false;
        return false;                           /* not worth more looks */
}

/* The unlock that ends a contention, but for those that wait still. */
static slowpath void unlock_calmly(struct mutex *m)
{
        uint32_t old, new;
        bool     calm;

        list_take(m);
        old = load_relaxed(&m->word);
        calm = may_fence() && nobody_settles(m);
        do {
                if (!(old & LOCKED)) {
                        list_drop(m);
                        not_locked(m);
                }
                new = calm && !needs_more(old) ? old & (WAITERS | WOKEN)
                                               : ((old & ~(uint32_t)CALM) - LOCKED) | SLOW;
        } while (!cas_release(&m->word, &old, new));
        list_drop(m);
        wake(m, new);
}

/* By a locked instruction. */
static slowpath void unlock_slow(struct mutex *m, uint32_t old)
{
        uint32_t new;

        do {
                if (!(old & LOCKED))
                        not_locked(m);
                new = old - LOCKED;
                if (!(old & ASKED))
                        continue;
                new |= SLOW;
                if (needs_more(old))
                        continue;
                if ((old & CALM) < WEIR_CALM_MAX * CALM_ONE) {
                        new += CALM_ONE;
                } else if (old & WAITERS) {
                        unlock_calmly(m);
                        return;
                } else {
                        new = old & WOKEN;
                }
        } while (!cas_release(&m->word, &old, new));
        wake(m, new);
}

/* After an unlock by a store has found flags. They may be older than what they tell of: the store
 * is brought before the next look. */
void weir_mutex_unlocked_(weir_mutex *pub)
{
        struct mutex *m = open_mutex(pub);

        wake(m, fetch_or_seq(&m->word, 0));
}

/* The inlined one in weir/sync.h is the same where nobody waits. */
void weir_mutex_unlock(weir_mutex *pub)
{
        struct mutex *m = open_mutex(pub);
        uint32_t      high;

        if (watching()) {
                weir__watch_uses(m, "mutex", is_untouched(m));
                weir__watch_unlocks(m, "mutex");
        }
        high = (uint32_t)load_relaxed(&m->half[1]) << 16;
        if (unlikely(load_relaxed(&m->half[0]) != LOCKED || (high & ASKED) || needs_more(high))) {
                unlock_slow(m, load_relaxed(&m->word));
                keep_frame();
                return;
        }
        store_release(&m->half[0], 0);          /* pairs with the acquire of who locks next */
        fence_compiler();                       /* the other half of this pair is in settle() */
        if (unlikely((uint32_t)load_relaxed(&m->half[1]) << 16 != high))
                weir_mutex_unlocked_(pub);
}

/* ---- for a report of a deadlock ---- */

void weir__mutex_tell(const void *on, struct object_told *ret)
{
        const struct mutex *m = on;

        ret->locked = load_relaxed(&m->word) & LOCKED;
        ret->owner = load_relaxed(&m->owner);
}

static __attribute__((constructor)) void init(void)
{
        weir__sched_hooks.object_tell[WHY_MUTEX] = weir__mutex_tell;
        can_fence = weir__os_fence_all_init();
}
