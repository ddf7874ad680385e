/* The thread of the OS. */
#ifndef WEIR_SCHED_M_H
#define WEIR_SCHED_M_H

#include "sched/g.h"

/* State of a thread: with a processor it runs or looks for goroutines; without one it sleeps on
 * `wake` (on sched.idle_m, owned by sched.lock), is in the poller, or runs a blocking call. */
struct m {
        struct g  *g;           /* only this thread: what it runs; &g0 in the scheduler itself */
        struct p  *p;           /* only this thread: NULL while it has no processor */
        struct g   g0;          /* the scheduler's own context, on the thread's own stack */
        int       *err;         /* const after start: this thread's errno */
        uint32_t   wake;        /* atomic, futex: 1 once it may go on */
        bool       spinning;    /* only this thread: looks for work, counted in sched.spinning */
        struct p  *next_p;      /* whoever wakes it, before wake: the processor to take */
        struct m  *idle_next;   /* lock: sched */
        int        tid;         /* const after start */
        uint32_t   id;          /* const */

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
