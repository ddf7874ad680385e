/* The thread of the OS. */
#ifndef WEIR_SCHED_M_H
#define WEIR_SCHED_M_H

#include "sched/g.h"

/* What is known of a goroutine that held its processor while others waited. */
struct hold {
        uint64_t    id;                 /* of the goroutine */
        void      (*fn)(void *);        /* its entry */
        int64_t     since, ns;          /* when it began, how long it took */
        const void *pc[16];             /* where it was, innermost first */
        uint32_t    frames;
        bool        computed;           /* else it was in a call */
};

/* Where a thread stands, for the collector: its stack from sp up is in use, and its registers are
 * there or in the extra range. */
struct halt {
        uintptr_t sp;                   /* 0: nothing of it is in use */
        uintptr_t extra_low, extra_high;
        uintptr_t tcb;                  /* of threads that are not the runtime's: weir__arch_tcb() */
};

/* State of a thread: with a processor it runs or looks for goroutines; without one it sleeps on
 * `wake` (on sched.idle_m, owned by sched.lock), is in the poller, or runs a blocking call. */
struct m {
        struct g  *g;           /* only this thread: what it runs; &g0 in the scheduler itself */
        struct p  *p;           /* only this thread: NULL while it has no processor */
        int       *err;         /* const after start: this thread's errno */
        struct g   g0;          /* the scheduler's own context, on the thread's own stack */
        uint32_t   wake;        /* atomic, futex: 1 once it may go on */
        bool       spinning;    /* only this thread: looks for work, counted in sched.spinning */
        bool       shy;         /* only this thread: takes no started goroutine before shy_until */
        uint32_t   vain;        /* only this thread: steals of those in vain, one after the other */
        int64_t    shy_until;   /* only this thread */
        struct p  *stole_from;  /* only this thread: the last steal that was not weighed yet, ... */
        int64_t    stole_at;    /* ... when it was */
        uint64_t   stole_when;  /* ... and at which switch of that processor */
        struct p  *next_p;      /* whoever wakes it, before wake: the processor to take */
        struct m  *idle_next;   /* lock: sched */
        int        tid;         /* atomic; const while the thread lives */
        bool       ending;      /* only this thread: its locked goroutine has ended */

        /* A thread of the program that is attached (lock.c). */
        bool       guest;       /* atomic: it is attached */
        bool       listed;      /* lock: sched: in sched.guest_list, for good */
        struct m  *guest_next;  /* const while listed */
        uint32_t   attached;    /* only this thread: open calls of weir_thread_attach */
        struct g   own;         /* its goroutine, which has no stack of ours */
        uint32_t   id;          /* const */

        /* Threads that wait for a processor of their own accord (bound.c). */
        struct m *bound_next;   /* lock: sched */

        /* What the monitor asks of a thread that holds its processor for long, and what the signal
         * handler answers (hold.c). */
        uint32_t      ask;      /* atomic: enum ask, 0 once it was looked at */
        uint32_t      answer;   /* atomic: on the monitor's list of answers */
        uint64_t      ask_at;   /* the monitor's, before ask: the processor's switches then */
        int64_t       asked, asked_cpu; /* the monitor's: when, and what it had used of a core */
        struct p     *given;    /* atomic: the processor it gave up; whoever takes it from here has it */
        struct m     *answer_next; /* whoever pushed it on the list of answers, then the monitor */
        uint32_t      interrupts; /* atomic, only this thread's handler: signals of the runtime */
        bool          lost;     /* only this thread: its goroutine goes on without a processor */
        bool          stopped;  /* before given: it waits in the handler, until it has one again */
        struct regs   stop_regs;        /* while g->stopped points here */
        struct hold   hold;     /* the handler's and, once it answered, who files it */

        /* Stopping the world (world.c). */
        struct m   *all_next;   /* const once listed */
        bool        in_all;     /* only this thread */
        uint32_t    alive;      /* atomic: a thread has this record */
        uint32_t    halted;     /* atomic: it stands at halt */
        uint32_t    asleep;     /* atomic: it waits for a processor at halt */
        uintptr_t   tcb;        /* const while alive */
        struct halt halt;       /* before halted and asleep */

        /* What a dump asks of a running thread, answered by the signal handler. */
        uint32_t    look;       /* atomic: 1 asked, 2 answered */
        struct regs look_regs;  /* the handler's, until look is 2 */
        struct g   *look_g;     /* the same */
};

static inline struct m *self(void)
{
        return weir__arch_self();
}

#endif
