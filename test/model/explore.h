/* The explorer of interleavings; explore.c says how it works. */
#ifndef WEIR_MODEL_EXPLORE_H
#define WEIR_MODEL_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MODEL_THREADS = 6, MODEL_MUTANTS = 12 };

/* Orders, as bits: acquire 1, release 2, the total order 4. */
enum model_order { MODEL_RELAXED = 0, MODEL_ACQUIRE = 1, MODEL_RELEASE = 2, MODEL_SEQ = 7 };
enum model_rmw { MODEL_XCHG, MODEL_ADD, MODEL_SUB, MODEL_OR, MODEL_AND };

/* What a mutation does to the operation at a place.
 *
 *   RELAX   its order becomes relaxed; of a locked instruction also the fence goes
 *   SKIP    a store is not made
 *   TEAR    a read-modify-write becomes a load and a store, between which others may run; of a
 *           compare-exchange, what is compared may be gone when it writes
 *   BLIND   a compare-exchange does not compare
 *   FORCE   a load answers `value` whatever it reads: a check that is no longer there */
enum model_mutation { MUTATE_NONE, MUTATE_RELAX, MUTATE_SKIP, MUTATE_TEAR, MUTATE_BLIND,
                      MUTATE_FORCE };

/* A place in the source where an atomic operation is. */
struct site {
        const char *file, *func, *op;
        int         line;
        int         mutation;
        uint64_t    value;
} __attribute__((aligned(64)));         /* no gaps in the section, whatever compilers align to */

struct mutant {
        const char         *site;       /* FUNCTION:OPERATION(OPERAND) */
        enum model_mutation what;
        uint64_t            value;
};

/* A test: threads that run the shipped code, and what must hold.
 * setup and finish run alone, before and after the threads. */
struct scenario {
        const char   *name;
        void        (*setup)(void);
        void        (*thread[MODEL_THREADS])(void);
        void        (*finish)(void);
        void        (*stuck)(void);     /* nobody can run: fails unless it says that this is right */
        unsigned      bound;            /* deviations from the straight way, at most */
        struct mutant mutants[MODEL_MUTANTS];
};

int model_main(int argc, char **argv, const struct scenario *scenarios, size_t n);

/* ---- for scenarios ---- */

void model_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* The claim of a scenario; a false one ends the exploration with the steps that led there. */
#define must(cond) ((cond) ? (void)0 : model_fail("%s:%d: not true: %s", __FILE__, __LINE__, #cond))

void *model_alloc(size_t size);         /* zeroed; gone with the execution */
int   model_self(void);                 /* index of the running thread, -1 in setup and finish */
void  model_set_self(void *m);          /* what weir__arch_self answers in this thread from now on */
void  model_set_self_of(int thread, void *m);

/* Waits until ready(arg), which looks at memory and nothing else. */
void model_wait(bool (*ready)(void *arg), void *arg);

/* The same; false: nobody else could run, and time passed. */
bool model_wait_timed(bool (*ready)(void *arg), void *arg);

/* The running thread looks in vain: others run before its next operation. */
void model_yield(void);

/* In a setup: the halves of the word of 4 bytes at p are written apart, too. */
void model_split(const void *p);

/* What membarrier does. */
void model_fence_all(void);

/* Ends the running thread. */
void model_exit(void) __attribute__((noreturn));

/* ---- for the fake atomic.h ---- */

uint64_t model_load(const void *p, unsigned size, enum model_order o, const struct site *s);
void     model_store(void *p, unsigned size, uint64_t v, enum model_order o, const struct site *s);
uint64_t model_rmw(void *p, unsigned size, enum model_rmw what, uint64_t v, enum model_order o,
                   const struct site *s);
bool     model_cas(void *p, unsigned size, uint64_t *e, uint64_t v, enum model_order o,
                   enum model_order failed, const struct site *s);
void     model_count(void *p, unsigned size, uint64_t v);

#endif
