/* Mistakes with locks, found while the program runs: WEIR_DEBUG=lockcheck.
 *
 * What    Each lock and unlock of a mutex or rwmutex comes by here. It is known who holds what
 *         since where; in which order locks were taken ever; and which locks were ever used.
 *           two orders   A was held when B was locked, and B, perhaps over others, when A was:
 *                        sometime each waits for the other. Told at the lock that closes the
 *                        circle, before it waits, whether or not it does this time.
 *           parked       a goroutine that holds a lock parks for something that is no lock, and all
 *                        who want the lock wait for that too
 *           copied       a lock that is not as new is used at a place where none was used before
 *           another's    (lockcheck=2) an unlock by another goroutine than the one that locked
 *         Each is told once, with the stacks of both sides, and the program goes on; a copy, which
 *         cannot do anything right, is a panic.
 * Shape   held: who holds what. order: which lock was locked while which was held, with the stacks
 *         of the first time. told: what was told, by a hash. seen: addresses of locks. All in fixed
 *         tables: what does not fit is not watched, and that is said once.
 * Locks   one word for all, held while a report is printed too.
 * Cost    Some microseconds for each lock: the walk up the stack. Off: a load and a branch that the
 *         header inlines.
 * Not     A lock that was freed leaves its order behind: another one at its address may be told of
 *         in its place. Locks by try have no order of their own: who does not wait is in no
 *         circle. */
#include "sync/sync.h"
#include "base/debug.h"
#include "os/os.h"
#include <unistd.h>

enum { HELD_MAX = 4096, ORDER_MAX = 4096, TOLD_MAX = 1024, SEEN_MAX = 1 << 16, CIRCLE_MAX = 16 };

struct held {
        const void        *lock;        /* NULL: free */
        const char        *what;
        uint64_t           id;          /* of the goroutine; 0: none */
        struct stack_shown at;
};

struct order {
        const void        *first, *then;
        const char        *first_what, *then_what;
        uint64_t           id;
        struct stack_shown first_at, then_at;
        bool               looked;      /* in this search */
};

static uint32_t     lock;
static struct held  *held;              /* lock: HELD_MAX; const once set, as the other two */
static uint32_t     nheld;              /* lock: entries from here on were never used */
static struct order *order;             /* lock: ORDER_MAX */
static uint32_t     norder;             /* lock */
static uint64_t     told[TOLD_MAX];     /* lock */
static uint32_t     ntold;              /* lock */
static const void **seen;               /* lock: SEEN_MAX, open addressing */
static uint32_t     nseen;              /* lock */
static bool         too_much;           /* lock: said so */

static uint64_t mix(uint64_t h, uint64_t v)
{
        h = (h ^ v) * UINT64_C(0x9E3779B97F4A7C15);
        return h ^ h >> 29;
}

static void say_too_much(const char *what)
{
        struct out o = { .fd = STDERR_FILENO };

        if (too_much)
                return;
        too_much = true;
        weir__out_print(&o, "lockcheck: too many %s; the rest is not watched\n", what);
        weir__out_flush(&o);
}

/* Whether this was not told before. */
static bool is_new(uint64_t hash)
{
        for (uint32_t i = 0; i < ntold; i++)
                if (told[i] == hash)
                        return false;
        if (ntold == TOLD_MAX)
                return false;
        told[ntold++] = hash;
        return true;
}

static uint64_t hash_stack(const struct stack_shown *s)
{
        uint64_t h = 1;

        for (uint32_t i = 0; i < s->n; i++)
                h = mix(h, (uintptr_t)s->pc[i]);
        return h;
}

static uint64_t own_id(void)
{
        const struct g *g = weir__sched_g();

        return g ? load_relaxed(&g->id) : 0;
}

/* ---- which locks there are ---- */

/* Whether it was there already. */
static bool see(const void *object)
{
        uint32_t at = (uint32_t)mix(7, (uintptr_t)object) % SEEN_MAX;

        while (seen[at] && seen[at] != object)
                at = (at + 1) % SEEN_MAX;
        if (seen[at])
                return true;
        if (nseen > SEEN_MAX / 2) {
                say_too_much("locks");
                return true;
        }
        seen[at] = object;
        nseen++;
        return false;
}

static _Noreturn void tell_copy(const void *object, const char *what)
{
        weir__panic("%s %p is a copy of one in use, or was not zero at first", what, object);
}

void weir__watch_place(const void *object, uint32_t *note, const char *what)
{
        uint32_t here = (uint32_t)mix(3, (uintptr_t)object) | 1, was = 0;

        if (!cas_relaxed(note, &was, here) && was != here)
                tell_copy(object, what);
}

void weir__watch_uses(const void *object, const char *what, bool untouched)
{
        bool known;

        word_take(&lock);
        known = see(object);
        word_drop(&lock);
        if (!known && !untouched)
                tell_copy(object, what);
}

/* ---- two orders ---- */

static struct order *find_order(const void *first, const void *then)
{
        for (uint32_t i = 0; i < norder; i++)
                if (order[i].first == first && order[i].then == then)
                        return &order[i];
        return NULL;
}

/* A way from one lock to another; how many steps, 0: there is none. */
static unsigned find_way(const void *from, const void *to, const struct order **way, unsigned depth)
{
        if (depth == CIRCLE_MAX)
                return 0;
        for (uint32_t i = 0; i < norder; i++) {
                unsigned n;

                if (order[i].first != from || order[i].looked)
                        continue;
                order[i].looked = true;
                way[depth] = &order[i];
                if (order[i].then == to)
                        return depth + 1;
                n = find_way(order[i].then, to, way, depth + 1);
                if (n)
                        return n;
        }
        return 0;
}

static void print_order(struct out *o, const char *begin, const struct order *e)
{
        weir__out_print(o, "        %s goroutine %llu had locked %s %p at\n", begin,
                        (unsigned long long)e->id, e->first_what, e->first);
        weir__sched_stack_print(o, &e->first_at);
        weir__out_print(o, "            and locked %s %p at\n", e->then_what, e->then);
        weir__sched_stack_print(o, &e->then_at);
}

static void look_for_circle(const struct order *e)
{
        const struct order *way[CIRCLE_MAX];
        struct out          o = { .fd = STDERR_FILENO };
        uintptr_t           a = (uintptr_t)e->first, b = (uintptr_t)e->then;
        unsigned            n;

        for (uint32_t i = 0; i < norder; i++)
                order[i].looked = false;
        n = find_way(e->then, e->first, way, 0);
        if (!n || !is_new(mix(mix(11, MIN(a, b)), MAX(a, b))))
                return;
        weir__out_print(&o, "lockcheck: two orders of locks: %s %p and %s %p\n", e->first_what,
                        e->first, e->then_what, e->then);
        print_order(&o, "now", e);
        for (unsigned i = 0; i < n; i++)
                print_order(&o, "before", way[i]);
        weir__out_flush(&o);
}

static void note_order(const struct held *h, const void *then, const char *what,
                       const struct stack_shown *at)
{
        struct order *e;

        if (find_order(h->lock, then))
                return;
        if (norder == ORDER_MAX) {
                say_too_much("orders of locks");
                return;
        }
        e = &order[norder++];
        *e = (struct order){ h->lock, then, h->what, what, h->id, h->at, *at, false };
        look_for_circle(e);
}

/* ---- who holds what ---- */

void weir__watch_locks(const void *object, const char *what, bool untouched)
{
        uint64_t           id = own_id();
        struct stack_shown at;
        bool               known;

        weir__sched_stack(&at);
        word_take(&lock);
        known = see(object);
        for (uint32_t i = 0; id && i < nheld; i++)
                if (held[i].lock && held[i].id == id && held[i].lock != object)
                        note_order(&held[i], object, what, &at);
        word_drop(&lock);
        if (!known && !untouched)
                tell_copy(object, what);
}

void weir__watch_locked(const void *object, const char *what)
{
        uint64_t           id = own_id();
        struct stack_shown at;
        uint32_t           i = 0;

        weir__sched_stack(&at);
        word_take(&lock);
        (void)see(object);
        while (i < nheld && held[i].lock)
                i++;
        if (i == HELD_MAX) {
                say_too_much("locks held");
        } else {
                held[i] = (struct held){ object, what, id, at };
                nheld = MAX(nheld, i + 1);
        }
        word_drop(&lock);
}

static void tell_another(const struct held *h, uint64_t id)
{
        struct out         o = { .fd = STDERR_FILENO };
        struct stack_shown at;

        weir__sched_stack(&at);
        if (!is_new(mix(mix(13, hash_stack(&at)), hash_stack(&h->at))))
                return;
        weir__out_print(&o, "lockcheck: goroutine %llu unlocks %s %p, locked by goroutine %llu\n",
                        (unsigned long long)id, h->what, h->lock, (unsigned long long)h->id);
        weir__out_print(&o, "        locked at\n");
        weir__sched_stack_print(&o, &h->at);
        weir__out_print(&o, "        unlocked at\n");
        weir__sched_stack_print(&o, &at);
        weir__out_flush(&o);
}

void weir__watch_unlocks(const void *object, const char *what)
{
        uint64_t     id = own_id();
        struct held *h = NULL;

        (void)what;
        word_take(&lock);
        for (uint32_t i = 0; i < nheld; i++)
                if (held[i].lock == object) {
                        h = &held[i];
                        if (h->id == id)
                                break;
                }
        if (h && h->id != id && weir__debug.lockcheck >= 2)
                tell_another(h, id);
        if (h)
                h->lock = NULL;
        word_drop(&lock);
}

/* ---- parked ---- */

static bool is_lock(enum why why)
{
        return why == WHY_MUTEX || why == WHY_RLOCK || why == WHY_WLOCK;
}

static void tell_parked(const struct held *h, const struct stack_shown *at)
{
        struct out o = { .fd = STDERR_FILENO };

        if (!is_new(mix(mix(17, hash_stack(at)), hash_stack(&h->at))))
                return;
        weir__out_print(&o, "lockcheck: goroutine %llu parks while it has %s %p locked\n",
                        (unsigned long long)h->id, h->what, h->lock);
        weir__out_print(&o, "        locked at\n");
        weir__sched_stack_print(&o, &h->at);
        weir__out_print(&o, "        parked at\n");
        weir__sched_stack_print(&o, at);
        weir__out_flush(&o);
}

static void parks(struct g *g)
{
        uint64_t           id = load_relaxed(&g->id);
        struct stack_shown at = { .n = 0 };

        if (is_lock(load_relaxed(&g->why)))
                return;
        word_take(&lock);
        for (uint32_t i = 0; i < nheld; i++)
                if (held[i].lock && held[i].id == id) {
                        if (!at.n)
                                weir__sched_stack(&at);
                        tell_parked(&held[i], &at);
                }
        word_drop(&lock);
}

/* The tables are made only where they are used: as variables they would be looked through for
 * pointers in each collection. */
static __attribute__((constructor)) void init(void)
{
        bool wanted = weir__debug_early("lockcheck", 0) != 0;

        weir__sched_hooks.parks = parks;
        if (wanted) {
                held = weir__os_map(HELD_MAX * sizeof *held);
                order = weir__os_map(ORDER_MAX * sizeof *order);
                seen = weir__os_map(SEEN_MAX * sizeof *seen);
                wanted = held && order && seen;
        }
        store_relaxed(&weir__lock_watch, wanted);
}
