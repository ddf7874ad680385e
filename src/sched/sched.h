/* What the layers above may ask of the scheduler. */
#ifndef WEIR_SCHED_SCHED_H
#define WEIR_SCHED_SCHED_H

#include "base/base.h"
#include "base/counter.h"
#include "sched/g.h"
#include "sched/m.h"
#include "sched/p.h"
#include "sched/world.h"

struct weir_panic_info;

/* ---- park and ready (park.c) ---- */

/* The running goroutine, NULL when the caller is not on one. */
static inline struct g *weir__sched_g(void)
{
        struct m *m = self();

        return m && m->g != &m->g0 ? m->g : NULL;
}

/* Takes a processor again for a goroutine that lost its own while it held it for long (hold.c), or
 * panics. Answers the goroutine. */
struct g *weir__sched_regain(const char *call) slowpath;

/* The running goroutine. Panics "not on a goroutine" naming the call where there is none, and in
 * weir_blocking, where there is no processor. */
static inline struct g *weir__sched_need_g(const char *call)
{
        struct m *m = self();

        if (unlikely(!m || !m->p || m->g == &m->g0))
                return weir__sched_regain(call);
        return m->g;
}

/* Whether weir__sched_need_g would answer at once. */
static inline bool weir__sched_on_g(void)
{
        const struct m *m = self();

        return m && m->p && m->g != &m->g0;
}

/* For calls from any thread: panics in the child of a fork, where there is no runtime. */
void weir__sched_need_runtime(const char *call);

/* Marks the running goroutine parked. After this it must publish itself where its waker will look
 * (or have done so under a lock that it still holds), drop that lock, and call weir__sched_park.
 * From here on its waker may ready it, even before it has left its thread. */
void weir__sched_park_begin(struct g *g, enum why why, const void *on);

/* After park_begin, of memory on g's stack: others in the runtime hold its address while g is parked,
 * and may write to it only if they ready g. So that address is no sign that g's variables may be
 * written by others (scan.c). At most once for each park_begin; not to tell costs only time. */
static inline void weir__sched_own(struct g *g, const void *p, size_t size)
{
#ifndef WEIR_MODEL      /* only the collector reads it: two more steps for nothing */
        store_relaxed(&g->own, p);
        store_relaxed(&g->own_size, (uint32_t)size);
#endif
        (void)g, (void)p, (void)size;
}

/* Takes a park_begin back. Only before the goroutine published itself anywhere. */
void weir__sched_park_cancel(struct g *g);

/* Runs other goroutines until somebody readies this one. */
void weir__sched_park(struct g *g);

/* Makes a parked goroutine runnable. Exactly one caller may do so for each park.
 * From: any thread; not from signal handlers. */
void weir__sched_ready(struct g *g);

/* Goroutines taken out of PARKED, on their way to a queue. */
struct glist {
        struct g *first, *last;
        unsigned  count;
};

static inline void weir__glist_push(struct glist *l, struct g *g)
{
        g->next = NULL;
        if (l->last)
                l->last->next = g;
        else
                l->first = g;
        l->last = g;
        l->count++;
}

/* Counts in the block of the current processor, else in the shared one. */
#define weir__count(name, n) \
        do { \
                struct m *count_m_ = self(); \
                if (count_m_ && count_m_->p) \
                        count_in(&count_m_->p->counters, name, n); \
                else \
                        weir__counter_shared(COUNTER_##name, (uint64_t)(n)); \
        } while (0)

/* Whether waiting in a loop for another goroutine makes sense: there are several processors, and
 * nothing else to run on this one. */
bool weir__sched_may_spin(void);

/* How many processors there are now. From: any thread. */
uint32_t weir__sched_procs(void);

/* The time that goroutines see: the system's, or that of WEIR_DEBUG=sched (order.c). From: any
 * thread. */
int64_t weir__sched_now(void);

/* A recent time for the price of a load: some milliseconds old at most, ten while little runs. */
extern int64_t weir__sched_coarse;      /* atomic */

/* ---- starting (spawn.c) ---- */

/* For size: args is handed to fn as it is, nothing is copied. */
#define SPAWN_POINTER SIZE_MAX

/* Starts fn(copy of args) as a new goroutine; after(after_arg) runs on it once fn has returned.
 * site is the program's call that asks for it, or NULL. Panics on a bad size or option. */
void weir__sched_spawn(const void *site, void (*fn)(void *), const void *args, size_t size,
                       size_t stack_size, const char *name, void (*after)(void *),
                       void *after_arg);

/* Calls fn for each goroutine there ever was, until it answers false; attached threads count as one
 * each. With the world stopped, or for what may be out of date. */
void weir__sched_each(bool (*fn)(void *g, void *arg), void *arg);

/* Panics if arguments of size bytes do not fit on a stack of the default size. */
void weir__sched_check_args(size_t size);

/* The same for the runtime itself. From: the scheduler's stack, with a processor (timers). */
void weir__sched_spawn_inside(void (*fn)(void *), const void *args, size_t size);

/* The trace of the running goroutine (trace.c), to be kept by what starts another one later; and
 * that one takes it. Without a goroutine: none. */
static inline void weir__sched_trace_take(uint64_t ret[3])
{
        struct g *g = weir__sched_g();

        for (int i = 0; i < 3; i++)
                ret[i] = g ? load_relaxed(&g->trace[i]) : 0;
}

static inline void weir__sched_trace_put(const uint64_t trace[3])
{
        struct g *g = weir__sched_g();

        for (int i = 0; i < 3; i++)
                store_relaxed(&g->trace[i], trace[i]);
}

/* Starts fn(NULL) from a thread of the runtime that is none of the scheduler's. False: no address
 * space. */
bool weir__sched_spawn_outside(void (*fn)(void *), const char *name);

/* ---- threads that block (block.c) ---- */

/* Gives the processor away and takes one back. Between the two the goroutine keeps its thread and
 * must call nothing of the runtime. */
void weir__sched_block_enter(void);
void weir__sched_block_exit(void);

/* ---- name.c ---- */

/* Prints where a call is, by its return address: function, distance, file and line as far as they
 * are known. From: any thread. */
void weir__dump_place(struct out *o, const void *site);

/* ---- panic.c ---- */

/* The caller's mistake, found by the runtime; like weir_panic. */
_Noreturn void weir__panic(const char *fmt, ...) __attribute__((format(printf, 1, 2), __cold__));

/* weir_protect for a caller that has something to do and then goes on with what it held up: besides
 * 0 and WEIR_EPANIC it answers 1 for a weir_go_exit. */
int weir__panic_hold(void (*fn)(void *arg), void *arg, struct weir_panic_info *ret);
_Noreturn void weir__panic_again(int held, const struct weir_panic_info *info);

/* What is known of an object that goroutines are parked on. */
struct object_told {
        bool     locked;                /* a mutex: somebody owns it, ... */
        uint16_t owner;                 /* ... with bits 16 to 31 of an address on its stack */
        int32_t  count;                 /* a wait group: what is not done yet */
        bool   (*reads)(const void *on, const struct g *g);     /* an rwmutex: whether g reads it */
};

/* ---- watch.c: a stack, for reports ---- */

enum { STACK_SHOWN = 12 };

struct stack_shown {
        const void *pc[STACK_SHOWN];
        uint32_t    n;
};

/* Where the caller stands: from the public call on, or from the frame that the return address site
 * lies in. */
void weir__sched_stack(struct stack_shown *ret);
void weir__sched_stack_from(struct stack_shown *ret, const void *site);
void weir__sched_stack_print(struct out *o, const struct stack_shown *s);

/* ---- watch.c: WEIR_DEBUG=lockcheck, of locks of the layers above, called when that is on ---- */

/* The caller is about to lock `lock`, and will wait for it. Panics when it is a copy of one in use:
 * not `untouched`, and never seen here before. */
void weir__watch_locks(const void *lock, const char *what, bool untouched);

/* The same of another object, that nobody locks. */
void weir__watch_uses(const void *object, const char *what, bool untouched);

/* It has locked it, or unlocks it. */
void weir__watch_locked(const void *lock, const char *what);
void weir__watch_unlocks(const void *lock, const char *what);

/* Panics when the object is a copy of one in use; *note is its, 0 at first. Also when it is off. */
void weir__watch_place(const void *object, uint32_t *note, const char *what);

/* ---- hooks, filled in by the upper layers before the first goroutine runs ---- */

struct sched_hooks {
        /* net: what a descriptor's event makes runnable. Called with or without a processor, by one
         * thread at a time for one event; must not park. Appends to *ready goroutines that it took
         * out of their parking place, whose state is still PARKED. */
        void (*poll_event)(void *data, unsigned what, struct glist *ready);

        /* net: whether any descriptor is watched, so that looking at the poller makes sense.
         * Called from any thread. */
        bool (*poll_open)(void);

        /* net: whether any goroutine is parked on a descriptor. Called by the monitor. */
        bool (*poll_parked)(void);

        /* time: runs the timers of p that are due at now. Called by a thread with a processor (p or
         * another), on the scheduler's stack; must not park. Answers how many ran. */
        unsigned (*timers_run)(struct p *p, int64_t now);

        /* time: gives a new processor its heap. Called once per processor, at start. */
        void (*timers_init)(struct p *p);

        /* gc: by the monitor, in each round of an order that is not from a seed; must not park. */
        void (*tick)(int64_t now);

        /* gc: the root function has returned, and goes on being the root goroutine. Called on
         * that. */
        void (*root_ends)(void);

        /* sync: by what a goroutine is parked for, fills *ret for the object that it is parked on.
         * Called by the monitor when all goroutines are asleep. NULL: nothing is known of such. */
        void (*object_tell[WHY_COUNT])(const void *on, struct object_told *ret);
};

extern struct sched_hooks weir__sched_hooks;

/* Tells the scheduler that a timer of p became the earliest there; wakes a poller that would sleep
 * past it. */
void weir__sched_timer_earlier(int64_t when);

#endif
