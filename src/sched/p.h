/* The processor: the right to run goroutines, with the queue of those that wait for it. */
#ifndef WEIR_SCHED_P_H
#define WEIR_SCHED_P_H

#include "base/counter.h"
#include "base/lock.h"
#include "sched/g.h"

#ifndef WEIR_RUNQ_SIZE
#define WEIR_RUNQ_SIZE 256      /* model tests take 4 */
#endif

enum {
        RUNQ_SIZE = WEIR_RUNQ_SIZE,
        SPAWNED_FIRST = WEIR_RUNQ_SIZE, /* slots of the deque of started goroutines, at first ... */
        SPAWNED_MAX = 1 << 16,  /* ... and at most */
        PROCS_MAX = 1024,
        SLICE = 61,             /* switches between two looks at what is not local, at most */
        WIDE_NS = 5000000,      /* time between two such looks, at most, and a switch longer */
        START_EVERY = 4,        /* switches between two looks at started goroutines, at most */
        AGED_NS = 10000000,     /* one that was started so long ago runs before newer ones, ... */
        AGE_EVERY_NS = 1000000, /* ... one in this time, and one more for so many that wait */
        AGE_SHARE = 1024,
        G_CACHE = 64,           /* dead goroutines kept per processor */
};

/* State of a processor.
 *
 *   IDLE     on the idle list, owned by sched.lock
 *   RUNNING  owned by one thread, its m->p
 *   RETIRED  one too many since the number was lowered (procs.c), owned by sched.lock
 *
 *   IDLE -> RUNNING, RUNNING -> IDLE under sched.lock; a blocking call hands it from thread to
 *   thread */
enum p_state { P_IDLE, P_RUNNING, P_RETIRED };

struct m;
struct timers;
struct spawned;

struct p {
        /* The owner's line: nobody else reads it, so a thief that looks around takes nothing
         * away. */
        uint32_t  budget;               /* only the owner: switches until the next wide look */
        uint32_t  ndead;                /* only the owner */
        struct g *dead;                 /* only the owner: recycled goroutines, default stack */
        struct stack_run run;           /* only the owner: slots for more of them */
        int64_t   wide_due;             /* only the owner: coarse time of the next wide look */
        int64_t   aged_at;              /* only the owner: coarse time of the last aging */
        uint64_t  next_id, last_id;     /* only the owner: goroutine ids it may still give */
        uint64_t  rand;                 /* only the owner */
        bool      turn;                 /* only the owner: the global queue's turn, when the ring is full */
        const void **readers;           /* only the owner: where readers of an rwmutex show themselves */

        /* What thieves look at. */
        struct g *runnext __attribute__((aligned(CACHE_LINE)));
                                        /* atomic: runs next, inherits the slice; anyone takes it */
        uint32_t  head;                 /* atomic: next to dequeue; advanced by compare-exchange */
        uint32_t  tail;                 /* atomic: only the owner writes */
        uint32_t  state;                /* atomic: enum p_state */
        uint32_t  id;                   /* const */
        struct m *m;                    /* atomic: the thread that runs it, as far as it is known */
        int64_t   stopped_at;           /* atomic: when a goroutine was last stopped here, ... */
        int64_t   stopped_for;          /* atomic: ... and how long it had had the processor */

        int64_t        timer_when __attribute__((aligned(CACHE_LINE)));
                                        /* atomic: earliest timer, INT64_MAX: none; lock: timers */
        struct timers *timers;          /* const: the time layer's */
        struct p      *idle_next;       /* lock: sched */

        struct counters counters __attribute__((aligned(CACHE_LINE)));

        struct g *ring[RUNQ_SIZE] __attribute__((aligned(CACHE_LINE)));        /* atomic slots */

        struct {
                int64_t        bottom __attribute__((aligned(CACHE_LINE)));
                                                /* atomic: only the owner writes */
                struct spawned *slots;          /* atomic: only the owner writes; see runq.c */
                int64_t        top __attribute__((aligned(CACHE_LINE)));
                                                /* atomic: advanced by compare-exchange */
        } spawned;
};

#endif
