/* What the scheduler's own files share; nothing above includes this. */
#ifndef WEIR_SCHED_STATE_H
#define WEIR_SCHED_STATE_H

#include "base/debug.h"
#include "base/lock.h"
#include "os/os.h"
#include "sched/sched.h"

/* WEIR_DEBUG=sched; below, the name is the scheduler's. */
static inline int64_t weir__debug_sched(void)
{
        return weir__debug.sched;
}

enum order { ORDER_USUAL, ORDER_SHUFFLED, ORDER_SEEDED };

/* What brings a goroutine that parks to the scheduler's loop. */
enum { ATTENTION_END = 1, ATTENTION_WORLD = 2 };

enum poller { POLLER_NONE, POLLER_BLOCKED, POLLER_WORKING };

/* Threads that wait for a processor. */
struct m_list {
        struct m *first, *last;         /* lock: sched */
        uint32_t  count;                /* atomic; lock: sched to write */
};

struct scheduler {
        /* Read by every ready and spawn, written when a thread goes idle or comes back. */
        uint32_t nidle __attribute__((aligned(CACHE_LINE)));    /* atomic; lock: sched to write */
        uint32_t spinning;              /* atomic: threads that look for work */
        uint32_t wake_credit; /* atomic: one wake for a lone runnable; the monitor renews */
        uint32_t shy;                   /* atomic: who went to sleep last found too little to do */
        uint32_t stopping;              /* atomic: the root function has returned */
        uint32_t attention;             /* atomic: that, or the world is to be stopped; see below */
        uint32_t scanning;              /* atomic: the collector reads stacks (scan.c); changed with
                                         * the world stopped */

        struct lock  lock __attribute__((aligned(CACHE_LINE)));
        struct p    *idle_p;            /* lock: sched */
        struct m    *idle_m;            /* lock: sched: asleep on m->wake */
        struct glist global;            /* lock: sched */
        uint32_t     nglobal;           /* atomic; lock: sched to write */
        struct g    *dead[33];          /* atomic; lock: sched to write: recycled goroutines */
        struct g    *cold[33];          /* the same, memory of their stacks returned */
        uint32_t     taken[33];         /* lock: sched: times somebody took from dead or cold */
        uint32_t     demand;            /* atomic: goroutines taken from there, or newly made */
        uint32_t     nthreads;          /* atomic; lock: sched to write */
        uint32_t     own_threads;       /* atomic: the caller of weir_run, and the monitor */
        uint32_t     blocked;           /* atomic: goroutines in blocking calls */
        uint32_t     locked_waiting;    /* atomic: threads that sleep with a goroutine of theirs */
        uint32_t     guests;            /* atomic: attached threads */
        struct m    *guest_list;        /* atomic; lock: sched to write: records that ever were of some */
        struct m    *free_m;            /* lock: sched: of threads that ended, linked by idle_next */

        struct m_list bound;            /* lock: sched: they came back from a call (bound.c) */
        struct m_list hogs;             /* lock: sched: they were stopped */
        struct g     *touched;          /* atomic: goroutines to be read again (scan.c) */
        bool          can_fence;        /* the collector's */
        struct m     *answers;          /* atomic: threads that gave a processor up (hold.c) */
        int           signal;           /* const after start: what asks a thread */
        void        (*on_signal)(int, siginfo_t *, void *); /* const after start: its handler */

        uint32_t  world;                /* atomic, futex: odd while the world is stopped (world.c) */
        uint32_t  halts;                /* atomic, futex: raised by a thread that stands */
        struct p *held;                 /* lock: sched: processors that nobody may have meanwhile */
        struct m *all_m;                /* atomic: every thread's record, a list that only grows */
        bool      can_ask;              /* const after start: a handler can tell where it is */
        int       caller_tid;           /* const after start: the thread that called weir_run */
        uintptr_t caller_sp, caller_tcb; /* the same: its stack above that */

        struct p **procs;               /* const after start; its first nall words are set */
        uint32_t   nprocs;              /* atomic; lock: sched to write: how many may run */
        uint32_t   nall;                /* atomic; lock: sched to write: made so far, never fewer */
        uint32_t   nretired;            /* atomic; lock: sched to write: made, and not to run now */
        bool       procs_default;       /* atomic: follow the limits of the system */
        int64_t    start_again; /* lock: sched: no new thread before, the system refused one */
        uint32_t   stack_class;         /* const after start: the default */
        uint64_t   stacks_odd;          /* atomic: bytes that living goroutines have beyond the
                                         * default, modulo 2^64 */

        uint32_t poller;                /* atomic: enum poller */
        int64_t  poll_until;            /* atomic: when the blocked poller wakes by itself */
        int64_t  last_poll;             /* atomic */

        uint32_t running;               /* atomic: the first thread was started */
        uint32_t monitor;               /* atomic, futex: raised to wake the monitor */
        uint32_t monitor_deep;          /* atomic: it sleeps until it is raised */
        uint32_t monitor_reads;         /* atomic: it reads files, and holds blocks of malloc */
        uint32_t dump_wanted;           /* atomic: SIGQUIT asked; by the process of this number */
        uint32_t root_done;             /* atomic: the root function has returned */
        uint32_t root_exited;           /* atomic: the root goroutine called weir_go_exit */
        int      root_result;           /* the root goroutine's, before root_done */
        int64_t  started_at;            /* const after start */
        int64_t  spin_ns;               /* const after start */
        enum order order;               /* const after start: who runs next (order.c) */
};

extern struct scheduler weir__sched;
#define sched weir__sched

/* ---- runq.c ---- */
void      weir__runq_next(struct p *p, struct g *g);            /* owner: g runs next */
void      weir__runq_put(struct p *p, struct g *g);             /* owner: at the tail */
struct g *weir__runq_get(struct p *p);                          /* owner: next, else head */
struct g *weir__runq_get_fair(struct p *p, int64_t now);        /* owner: at a wide look */
uint32_t  weir__runq_room(const struct p *p);                   /* owner: free slots of the ring */
void      weir__runq_put_list(struct p *p, struct glist *l);    /* owner */
void      weir__runq_put_spawned(struct p *p, struct g *g);     /* owner: newest first */
bool      weir__runq_empty(const struct p *p);                  /* any thread */
bool      weir__runq_lone(const struct p *p);                   /* owner: at most one runnable */
bool      weir__runq_ring_empty(const struct p *p);             /* any thread */
unsigned  weir__runq_size(const struct p *p);                   /* any thread */
void      weir__runq_drain(struct p *p, struct glist *l);       /* any thread */
struct g *weir__runq_steal_spawned(struct p *to, struct p *from);       /* owner of to */
struct g *weir__runq_steal(struct p *to, struct p *from, bool next_too); /* the same, the others */

/* The global queue. */
void      weir__global_put_list(struct glist *l);               /* any thread */
struct g *weir__global_get(struct p *p, unsigned max);          /* one returned, others to p */
void      weir__global_fetch(struct p *p, unsigned max);        /* all to p */
void      weir__global_take_all(struct glist *l);               /* any thread; appends */

/* ---- park.c ---- */
void weir__sched_switch(struct m *m, struct g *from, struct g *to);
struct g *weir__sched_pick(struct m *m);        /* a local goroutine, or NULL: look wider */

static inline bool weir__all_idle(void)
{
        return load_seq(&sched.nidle) + load_seq(&sched.nretired) == load_seq(&sched.nall);
}

/* Threads that sleep or block with a goroutine of theirs: they serve no other. */
static inline uint32_t weir__threads_held(void)
{
        return load_relaxed(&sched.blocked) + load_relaxed(&sched.bound.count) +
               load_relaxed(&sched.hogs.count) + load_relaxed(&sched.locked_waiting) +
               load_relaxed(&sched.guests);
}

enum { TIMED_EVERY = 64 };                      /* one in so many is measured */
void weir__sched_time(struct g *g) slowpath;    /* g is ready from now on; before it is queued */

/* ---- order.c ---- */
void      weir__order_init(void);               /* at start, WEIR_DEBUG is read */
uint64_t  weir__order_rand(uint32_t id);        /* what the numbers of processor id begin with */
uint32_t  weir__order_budget(struct p *p);      /* owner: where the order is not the usual one */
void      weir__order_tell(struct out *o);      /* the seed, for who reads why the program died */
void      weir__order_shuffle(struct p *p);     /* owner: with ORDER_SHUFFLED, at a wide look */
/* The rest is for ORDER_SEEDED, and for who has the processor but where it says so. */
uint32_t  weir__order_gather(struct p *p);      /* from all queues; how many are runnable */
uint32_t  weir__order_draw(uint32_t n);         /* a number below n */
struct g *weir__order_take(uint32_t i);         /* one of those gathered */
uint32_t  weir__order_count(void);              /* any thread: how many are gathered */
void      weir__order_step(void);               /* one more switch or look at the clock */
void      weir__order_jump(struct p *p, int64_t when);  /* of the clock */
int64_t   weir__sched_clock(void);              /* any thread, order: as weir__sched_now, no step */

/* ---- find.c ---- */
void weir__sched_loop(struct m *m);             /* until a locked goroutine ended on this thread */
void weir__sched_wake(void);                    /* a thread for an idle processor, if none looks */
void weir__sched_wake_for(struct p *p);         /* after a ready or spawn on p */
bool weir__sched_poll(int64_t ns, struct glist *ready);

/* ---- procs.c ---- */
int  weir__procs_make(uint32_t n);              /* at start; -errno */
void weir__procs_follow(int64_t now);           /* the monitor: the system's limits */
bool weir__p_retired(struct p *p);              /* owner: p is one too many, and is gone now */

/* ---- thread.c ---- */
struct p *weir__p_idle_get(void);               /* with the lock */
void      weir__p_idle_put(struct p *p);        /* with the lock */
void      weir__m_take_p(struct m *m, struct p *p);
struct p *weir__m_drop_p(struct m *m);
int       weir__m_give(struct p *p, bool spinning);     /* p to a sleeping or new thread */
struct m *weir__m_new(void);                    /* NULL: no memory */
void      weir__m_begin(struct m *m);           /* for the calling thread */
void      weir__m_free(struct m *m);            /* its thread is ending */
void      weir__m_hand(struct m *m, struct p *p);       /* p to m, which waits in m_sleep */
void      weir__m_sleep(struct m *m);                   /* until somebody gives it a processor */

/* ---- bound.c ---- */
void weir__bound_wait(struct m *m);             /* until the calling thread has a processor */
void weir__bound_add(struct m *m, bool hog);    /* for another thread that waits in m_sleep */
bool weir__bound_serve(struct m *m, bool hogs); /* gives m's processor to one that waits */
struct m *weir__bound_get(bool hogs);           /* with the lock: who waited longest, or NULL */
void weir__slice_start(struct p *p);            /* owner: a fresh budget */

/* ---- lock.c ---- */
void weir__p_release(struct p *p);              /* a processor that nobody has: to who needs it */
void weir__lock_wait(struct m *m, struct g *g); /* a locked goroutine: until it was readied */
void weir__lock_yield(struct m *m, struct g *g);
void weir__guest_each(bool (*fn)(void *g, void *arg), void *arg);       /* any thread: for dumps */

/* ---- world.c ---- */
void weir__world_stand(void);                   /* until the world runs */
bool weir__world_asked(struct m *m, const void *ucontext);      /* the signal handler */
void weir__world_note(struct m *m, const void *ucontext, const struct regs *r); /* the same */
void weir__world_forked(void);          /* the parent, after fork */
void weir__world_init(void);

/* ---- scan.c ---- */
void weir__scan_enter(struct g *g);             /* it is about to run, while scanning is on */
void weir__scan_touch(struct g *g) slowpath;    /* it is about to run, or something was put on its
                                                 * stack; before anybody else can have it */

/* ---- hold.c ---- */
void weir__hold_init(void);
enum held { HELD_NOT, HELD_COMPUTING, HELD_PERHAPS, HELD_BLOCKED };
enum held weir__hold_watch(int64_t now);        /* the monitor, each round: what it met */
void weir__hold_collect(void);                  /* the monitor: processors that were given up */
bool weir__hold_asked(struct m *m, const void *ucontext);       /* the signal handler */
void weir__hold_print(struct out *o);           /* those that held a processor too long */

/* ---- sysmon.c ---- */
void weir__monitor_run(void);                   /* until the root function has returned */
void weir__monitor_raise(void);                 /* any thread, signal handlers */

/* ---- growth.c ---- */
void weir__growth_watch(int64_t now);           /* the monitor, each round, WEIR_DEBUG=growth */

/* ---- dump.c, name.c, waits.c ---- */
const char *weir__dump_why(uint32_t why);
void weir__dump_all(struct out *o);
void weir__dump_waits(struct out *o);           /* objects, and who waits for each */
/* One goroutine from its registers; the frames before the one that returns to from are left out
 * (NULL: none). */
void weir__dump_g(struct out *o, struct g *g, const struct regs *regs, bool after_call, void *from);
void weir__dump_init(void);
void weir__dump_stackuse(struct out *o);
void weir__dump_clean_name(char *name);         /* to what the user wrote */
const char *weir__dump_entry_name(const struct g *g, char *buf, size_t size);

/* ---- spawn.c ---- */
void weir__sched_first_frame(void *g);
void weir__sched_run_root(void *root);
_Noreturn void weir__sched_finish(struct g *g);         /* itself, its function is over */
void weir__sched_note_use(struct g *g);                 /* itself, WEIR_DEBUG=stackuse */
uint64_t weir__sched_new_id(struct p *p);
bool weir__sched_spawn_ahead(struct p *p);      /* owner: makes dead ones, if many are wanted */
struct g *weir__sched_spawn_root(struct p *p, void (*fn)(void *), void *arg, size_t stack_size);

/* ---- trim.c ---- */
/* Gives memory of stacks back, a bounded number of them; answers whether there is more to do, now
 * or soon. Called by the monitor in each round. */
bool weir__trim_round(int64_t now, bool idle);
void weir__trim_init(void);

/* ---- watch.c: WEIR_DEBUG=lockcheck ---- */
void weir__watch_init(void);
void weir__watch_parks(struct g *g);                    /* when it is on, on the stack of g */

/* ---- panic.c ---- */
/* Turns the fault noted in the running goroutine into a panic. Called by weir__arch_signal_call. */
void weir__panic_fault(void *g);
void weir__panic_die_once(void);                        /* the first comes back, others never */
bool weir__panic_is_caught(const struct g *g);          /* a panic of g would be, by weir_protect */
uintptr_t weir__panic_frame(const struct g *g);         /* where the unwinding of g stops first */

/* ---- fork.c ---- */
extern bool weir__sched_forked;                 /* this process is a fork's child, without a runtime */
void           weir__fork_init(void);
_Noreturn void weir__fork_ended(struct g *g, int root_result); /* g returned from its entry there */
void           weir__hold_forked(void);         /* these: the child's part of each file */
void           weir__dump_forked(void);
void           weir__fault_forked(void);

/* ---- fault.c ---- */
void weir__fault_message(const struct g *g, char *ret, size_t size);
void weir__fault_init(void);
_Noreturn void weir__fault_canary(struct g *g);         /* something was written below its stack */

#endif
