/* What the explorer's own files share: explore.c, memory.c, judge.c. */
#ifndef TEST_MODEL_STATE_H
#define TEST_MODEL_STATE_H

#include "explore.h"
#include "arch/arch.h"
#include <setjmp.h>

enum {
        T = MODEL_THREADS,
        LOCS = 192,             /* atomic words in one execution */
        HISTORY = 48,           /* stores of a word that can still be read */
        STREAK = 300,           /* steps after which a thread that runs on gives way */
        STEPS = 3000,           /* more: the threads wait for one another in loops */
        DEPTH = 2000,
        STACK = 64 * 1024,
        HEAP = 256 * 1024,
        CLOCKS = 4096,
        SHADOW = 8192,
        CONTEXTS = 16,
        SPLITS = 4,
        SECONDS = 60,           /* of a processor, for one exploration */
};

struct clock {
        uint16_t vc[T];
        uint16_t view[LOCS];
};

struct store {
        uint64_t            value;
        const struct clock *message;    /* NULL: the store releases nothing */
};

struct loc {
        uintptr_t    addr;
        unsigned     size, n;
        uint16_t     base;      /* number of the first store kept */
        uint16_t     total;     /* newest that is in the total order of sequential consistency */
        uint16_t     known;     /* its entry among the words known from earlier executions */
        struct store s[HISTORY];
};

/* A word as earlier executions have seen it. */
struct known {
        uintptr_t addr;
        int       owner;
        bool      shared;       /* from the next execution on: `next` */
        bool      next;
};

enum state { RUN, YIELDED, WAITING, DONE };

struct thread {
        struct context ctx;
        struct clock   clock;
        enum state     state;
        bool         (*ready)(void *arg);
        void          *arg;
        bool           timed, timed_out, yielding;
        void          *self;
        struct context *leaving;        /* of the shipped code: cleared once it is left */
        bool          *leaving_saved;
};

/* A context of the shipped code: where it really is. */
struct shipped {
        struct context *key;
        struct context  raw;
        bool            saved;
        void          (*fn)(void *);
        void           *arg;
        char           *stack;
};

struct decision {
        uint16_t n, taken;
};

struct shadow {
        uintptr_t key;
        uint32_t  run;
        uint8_t   writer;
        uint16_t  wrote;
        uint16_t  awrote[T], read[T], aread[T];
};

/* Everything of the explorer is in one mapping, out of the way of the snapshot. */
struct explorer {
        const struct scenario *sc;
        bool            running, failed, trace, asking;
        int             cur;
        unsigned        threads;
        struct thread   thread[T];
        struct context  main;
        jmp_buf         env;

        struct decision decision[DEPTH];
        unsigned        depth, len, spent, steps, streak;
        uint64_t        executions;
        bool            learned;

        struct known    known[LOCS * 4];
        unsigned        nknown;
        struct loc      loc[LOCS];
        unsigned        nloc;
        const void     *split[SPLITS];  /* words whose halves are written apart */
        unsigned        nsplit;
        struct clock    total;          /* of the fences */
        struct clock    clock[CLOCKS];
        unsigned        nclock;

        struct shipped  shipped[CONTEXTS];
        unsigned        nshipped, nstack;

        struct shadow   shadow[SHADOW];
        uint32_t        run;

        size_t          heap_used;
        char            message[512];
        char            heap[HEAP] __attribute__((aligned(64)));
        char            stacks[T + CONTEXTS][STACK] __attribute__((aligned(64)));
};

extern struct explorer *X;

/* ---- explore.c ---- */

/* Whether threads are being explored; not so in constructors, setup and finish. */
static inline bool model_running(void)
{
        return X && X->running;
}

/* One of n; 0 is the straight way. free_: it counts as no deviation. */
unsigned model_choose(unsigned n, bool free_);

/* To the next way. False: there is none. */
bool model_advance(void);

/* Before an operation on a word; shared: another thread touches it as well. */
void model_point(bool shared);

/* From the running thread, or from none, to this one. */
void model_switch_to(int to);

/* A line of the execution that is explained. */
void model_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define say(...) \
        do { \
                if (X->trace) \
                        model_say(__VA_ARGS__); \
        } while (0)

#endif
