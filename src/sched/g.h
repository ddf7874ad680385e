/* The goroutine. */
#ifndef WEIR_SCHED_G_H
#define WEIR_SCHED_G_H

#include "arch/arch.h"
#include "base/base.h"
#include "stack/stack.h"

struct m;
struct p;
struct weir_case;

enum { G_NAME_MAX = 63, LOCKS_MAX = UINT16_MAX };

/* State of a goroutine.
 *
 *   DEAD      on a free list, or being set up by its starter: the list's or starter's
 *   RUNNABLE  in exactly one queue, which owns it
 *   RUNNING   owned by the thread whose m->g it is
 *   PARKED    owned by what it waits for: whoever takes its record from there may ready it
 *   BLOCKED   running C code on a thread that gave its processor away; owned by that thread
 *
 *   DEAD -> RUNNABLE      starter              RUNNABLE -> RUNNING   the thread that dequeued it
 *   RUNNING -> RUNNABLE   itself, yield        RUNNING -> PARKED     itself, before it publishes
 *   PARKED -> RUNNABLE    the one waker        RUNNING <-> BLOCKED   its thread
 *   RUNNING -> DEAD       itself, at its end
 *
 * A goroutine may be readied, queued and dequeued while the thread that parked it is still on its
 * stack; context.on_cpu tells when that is over, and who dequeued it waits for that. */
enum g_state { G_DEAD, G_RUNNABLE, G_RUNNING, G_PARKED, G_BLOCKED };

/* What a parked goroutine waits for: reason and the words of a dump. */
enum why {
#define WHY_TABLE \
        WHY(NONE, "nothing") \
        WHY(SEND, "chan send") \
        WHY(RECV, "chan receive") \
        WHY(SEND_NIL, "chan send (nil chan)") \
        WHY(RECV_NIL, "chan receive (nil chan)") \
        WHY(SELECT, "select") \
        WHY(SELECT_EMPTY, "select (no cases)") \
        WHY(SLEEP, "sleep") \
        WHY(MUTEX, "mutex") \
        WHY(RLOCK, "rwmutex (to read)") \
        WHY(WLOCK, "rwmutex (to write)") \
        WHY(COND, "cond") \
        WHY(SEMA, "semaphore") \
        WHY(WG, "wait group") \
        WHY(LATCH, "latch") \
        WHY(BARRIER, "barrier") \
        WHY(ONCE, "once") \
        WHY(CTX, "context") \
        WHY(GROUP, "group") \
        WHY(FLIGHT, "flight") \
        WHY(READ, "IO read") \
        WHY(WRITE, "IO write") \
        WHY(ACCEPT, "IO accept") \
        WHY(CONNECT, "IO connect")
#define WHY(name, text) WHY_##name,
        WHY_TABLE
#undef WHY
        WHY_COUNT
};

/* In ctx.flags. A switch looks at those of both sides with one branch; where one is set, it goes
 * the long way. */
enum {
        CTX_G0 = 1,             /* const: the thread's own context, no goroutine */
        CTX_CANARY = 2,         /* const: its stack has a canary, to be looked at when it leaves */
        CTX_TIMED = 8,          /* its waker's until it runs: since says when it became ready */
        CTX_SCANNED = 16,       /* the collector read its stack (scan.c); cleared by who touches it */
        CTX_TRIM = 4,           /* the monitor's: memory below its frames goes back; wait */
};

/* A frame of weir_protect, on the stack of the goroutine that called it. */
struct protect;

struct g {
        /* The line that a switch and a park touch; the first frames lie just below it. */
        struct context ctx;
        uint32_t       state;           /* atomic: enum g_state */
        int            saved_errno;     /* while not running */
        struct g      *next;            /* whose list or queue it is in */
        struct m      *m;               /* atomic: the thread it runs on, NULL otherwise */
        uint32_t       switches;        /* atomic, only the thread that runs it writes */
        uint16_t       why;             /* atomic: enum why, while parked */
        uint16_t       locks;           /* atomic, only itself: open calls of weir_thread_lock */
        const void    *wait_on;         /* atomic: the object, while parked */
        int64_t        since;           /* atomic: coarse time of the last park */

        uint64_t        id;             /* atomic: unique, from 1; 0 while dead */
        void          (*fn)(void *);    /* atomic; const while alive: entry function */
        void           *arg;            /* const while alive */
        const char     *name;           /* atomic; const while alive; NULL or on its own stack */
        void          (*after)(void *); /* only itself: called with after_arg once fn returned */
        void           *after_arg;
        struct protect *protect;        /* only itself: innermost weir_protect */
        bool            spare_open;     /* only itself: an overflow is being unwound */
        int             fault_sig;      /* only itself: the fault that is about to panic */
        int             fault_code;     /* the same: si_code */
        void           *fault_addr;     /* the same: si_addr */
        void           *fault_pc;       /* the same: the instruction */
        char            exception[32] __attribute__((aligned(16)));
                                        /* only itself: the unwinder's, while it exits */
        uint32_t        trimmed;        /* only the monitor: switches + 1 at the last return */
        uint64_t        starter_id;     /* atomic; const while alive; 0: the runtime */
        uint64_t        trace[3];       /* only itself, and dumps: trace id and span (trace.c) */
        const void     *site;           /* atomic; const while alive: the call that started it */
        struct stack    stack;          /* const */
        struct g       *scan_next;      /* whoever listed it, then the collector */
        uint32_t        scan_listed;    /* atomic: it is on the list of touched ones */
        uint32_t        shared_in;      /* atomic: the cycle in which it was last on that list */
        struct g       *shared_next;    /* whoever listed it, then the collector */
        uint32_t        shared_at;      /* atomic: the epoch in which its frames were last pointed to */
        uint32_t        told_in;        /* who switches to it: the cycle in which it first ran */
        uint32_t        read_in;        /* the collector: the cycle whose last stop read its stack */
        uint32_t        own_size;       /* atomic, only itself: bytes at own; since it parked */
        const void     *own;            /* atomic, only itself: on its stack, the runtime's alone */
        struct m       *thread;         /* while locks is not 0: the thread it stays on */
        struct m       *stopped;        /* atomic: in whose handler it waits, registers there */
        uint32_t        no_preempt;     /* atomic, only itself: calls of weir_preempt_disable */
        uint32_t        parked_on;      /* only itself, then who dequeued it: m->id + 1 of its thread
                                         * at the last park, with WEIR_DEBUG=migrate */
        const void    **reading[2];     /* atomic, only itself: places it has, see sync/rwmutex.c */
        const struct weir_case *wait_cases;     /* while it is parked in a select: its cases */
        size_t          wait_ncases;    /* the same */
        uint64_t        leak_told;      /* whoever runs a cycle: its id once it was reported */
        bool            wait_timed;     /* only itself: while parked, a deadline or a context may wake it */
        uint32_t        refused;        /* who dequeued it: how often that thread let it pass */
#if WEIR_TSAN
        void *fiber;                    /* const while alive */
#endif
#if WEIR_ASAN
        void *fake_stack;               /* while not running */
#endif
};

_Static_assert(offsetof(struct g, id) == CACHE_LINE, "the hot part of a goroutine is one line");
_Static_assert(sizeof(struct g) <= STACK_HEAD, "a goroutine outgrew the head of its stack");

#endif
