/* The mutex.
 *
 * What    One word decides; goroutines that must wait stand in a list inside the mutex.
 * Shape   word (LOCKED, WAITERS, WOKEN, STARVING), a spin word for the list, a note of where the
 *         owner's stack is, the list's last record (circular: last->next is the first).
 * States  of the word:
 *           LOCKED    somebody owns the mutex
 *           WAITERS   the list is not empty (changed with the list's spin word held)
 *           WOKEN     one goroutine was woken, or spins, to compete: do not wake another
 *           STARVING  the mutex is handed from owner to the first waiter; nobody else may take it
 *         Normal mode: who comes at the right moment gets it, the woken one competes and, when it
 *         loses, stands first in line again. A waiter that lost for a millisecond turns STARVING
 *         on; it goes off when a waiter that got it had waited less, or was the last.
 *         The algorithm is that of Go's sync.Mutex.
 * Order   The acquire of LOCKED pairs with the release that clears it. A record is its goroutine's
 *         until it is in the list, then the list's, then its waker's until ready.
 * Owner   The word could not hold him: it is 0 or 1 in the programs. The note is stored after the lock
 *         is taken, never taken back, and read when all goroutines are asleep. 16 bits of an address
 *         tell some ten thousand stacks apart; those that they do not are all named.
 * Cost    Uncontended: one locked instruction to lock, one to unlock, both inlined in the caller by
 *         weir/sync.h; calls make it 5 to 10 % dearer, and then it is dearer than Go's.
 *         Unlocking compares before it stores (lock cmpxchg, as many instructions as lock xadd):
 *         the word of a mutex that is not locked must not change, not even for the moment until the
 *         mistake is seen, because others lock it meanwhile and find what they left.
 * Not     Handing over always: each unlock of a contended mutex is then a switch. A futex: it would
 *         block the thread. */
#include "sync/sync.h"
#include "base/lock.h"
#include "os/os.h"

/* The header inlines the uncontended case around the functions defined here. */
#undef weir_mutex_lock
#undef weir_mutex_unlock

enum { LOCKED = 1, WAITERS = 2, WOKEN = 4, STARVING = 8 };
enum { SPINS = 4, SPIN_PAUSES = 30, STARVE_NS = 1000 * 1000 };

struct record {
        struct record *next;
        struct g      *g;
        bool           handed;          /* waker: the mutex is yours (STARVING) */
};

struct mutex {
        uint32_t       word;            /* atomic */
        uint16_t       list_lock;       /* spin word */
        uint16_t       owner;           /* atomic: bits 16 to 31 of an address on its stack */
        struct record *last;            /* lock: list_lock */
};

_Static_assert(sizeof(struct mutex) <= sizeof(weir_mutex), "weir_mutex is too small");
_Static_assert(offsetof(struct mutex, owner) == 6, "weir/sync.h stores it there");

static inline struct mutex *open_mutex(weir_mutex *m)
{
        return (struct mutex *)(void *)m;
}

static inline void note_owner(struct mutex *m)
{
        char here;

        store_relaxed(&m->owner, (uint16_t)((uintptr_t)&here >> 16));
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
        if (!m->last) {
                r->next = r;
                m->last = r;
                return;
        }
        r->next = m->last->next;
        m->last->next = r;
        if (!first)
                m->last = r;
}

/* Takes the first record out; clears WAITERS with the last one. Called with the list's lock. */
static struct record *pop(struct mutex *m)
{
        struct record *r;

        if (!m->last)
                return NULL;
        r = m->last->next;
        if (r == m->last) {
                m->last = NULL;
                fetch_and_relaxed(&m->word, ~(uint32_t)WAITERS);
        } else {
                m->last->next = r->next;
        }
        return r;
}

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

/* Stands in line unless the mutex became free. Answers whether it waited. */
static bool stand_in_line(struct mutex *m, struct record *r, bool first, bool starving, bool awake)
{
        uint32_t old;

        list_take(m);
        old = load_relaxed(&m->word);
        do {
                if (!(old & (LOCKED | STARVING))) {
                        list_drop(m);
                        return false;
                }
        } while (!cas_relaxed(&m->word, &old,
                              (old & ~(uint32_t)(awake ? WOKEN : 0)) | WAITERS |
                                      (starving && (old & LOCKED) ? STARVING : 0)));
        r->handed = false;
        push(m, r, first);
        weir__sched_park_begin(r->g, WHY_MUTEX, m);
        list_drop(m);
        weir__count(mutex_parks, 1);
        weir__sched_park(r->g);
        return true;
}

/* The mutex was handed to this goroutine: STARVING keeps all others away until LOCKED is set. */
static void accept_hand(struct mutex *m, bool starving)
{
        uint32_t old = load_relaxed(&m->word), new;

        do {
                check((old & (LOCKED | STARVING)) == STARVING);
                new = old | LOCKED;
                if (!starving || !(old & WAITERS))
                        new &= ~(uint32_t)STARVING;
        } while (!cas_acquire(&m->word, &old, new));
}

static slowpath void lock_slow(struct mutex *m, struct g *g)
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
                                        (old | LOCKED) & ~(uint32_t)(awake ? WOKEN : 0)))
                                return;
                        continue;
                }
                if (!since)
                        since = weir__sched_now();
                if (!stand_in_line(m, &r, waited, starving, awake))
                        continue;
                waited = true;
                starving = starving || weir__sched_now() - since > STARVE_NS;
                if (r.handed) {
                        accept_hand(m, starving);
                        return;
                }
                awake = true;
                spins = 0;
        }
}

void weir_mutex_lock(weir_mutex *pub)
{
        struct mutex *m = open_mutex(pub);
        uint32_t      free_ = 0;

        if (unlikely(!cas_acquire(&m->word, &free_, LOCKED))) {
                lock_slow(m, weir__sched_need_g("weir_mutex_lock"));
                keep_frame();
        }
        note_owner(m);
}

bool weir_mutex_try_lock(weir_mutex *pub)
{
        struct mutex *m = open_mutex(pub);
        uint32_t      old = load_relaxed(&m->word);

        if ((old & (LOCKED | STARVING)) || !cas_acquire(&m->word, &old, old | LOCKED))
                return false;
        note_owner(m);
        return true;
}

static slowpath void unlock_slow(struct mutex *m, uint32_t old)
{
        struct record *r;

        do {
                if (!(old & LOCKED))
                        weir__panic("unlock of unlocked mutex %p", (void *)m);
        } while (!cas_release(&m->word, &old, old - LOCKED));
        old -= LOCKED;
        if (!(old & STARVING))
                do {
                        if (!(old & WAITERS) || (old & (LOCKED | WOKEN | STARVING)))
                                return;
                } while (!cas_relaxed(&m->word, &old, old | WOKEN));
        list_take(m);
        r = pop(m);
        if (!r) {                               /* the last waiter got it while we looked */
                fetch_and_relaxed(&m->word, ~(uint32_t)WOKEN);
                list_drop(m);
                return;
        }
        r->handed = old & STARVING;
        list_drop(m);
        weir__sched_ready(r->g);
}

void weir_mutex_unlock(weir_mutex *pub)
{
        struct mutex *m = open_mutex(pub);
        uint32_t      old = LOCKED;

        if (unlikely(!cas_release(&m->word, &old, 0))) {
                unlock_slow(m, old);
                keep_frame();
        }
}

/* ---- for a report of a deadlock ---- */

static bool tell(const void *on, enum why why, struct object_told *ret)
{
        const struct mutex *m = on;

        if (why == WHY_WG)
                return weir__wg_tell(on, ret);
        if (why != WHY_MUTEX)
                return false;
        ret->locked = load_relaxed(&m->word) & LOCKED;
        ret->owner = load_relaxed(&m->owner);
        return true;
}

static __attribute__((constructor)) void fill_hooks(void)
{
        weir__sched_hooks.object_tell = tell;
}
