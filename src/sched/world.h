/* Stopping the world, for the collector. */
#ifndef WEIR_SCHED_WORLD_H
#define WEIR_SCHED_WORLD_H

#include "sched/g.h"

/* What a stopped thread holds that may be a pointer: memory, lowest address first. */
struct world_range {
        uintptr_t low, high;
};

typedef void world_visit_fn(struct world_range r, void *arg);

/* Stops all threads that may run code of the program. On return none does, and none runs in the
 * runtime but the monitor, the threads that look at the poller, and those of the allocator: no lock
 * of the memory, no processor's queue is held or half changed. Takes 10 to 100 us.
 *
 * Another stop under way is waited for, during which the caller counts as stopped.
 * From: a goroutine, in the runtime, holding no lock of it; or a quiet thread of the runtime.
 * Parks: no. */
void weir__world_stop(void);
void weir__world_start(void);

/* With the world stopped: waits until the runtime's own threads hold no block of malloc; none does
 * from there on until the world is started. */
void weir__world_quiet(void);

/* Stops here if the world is to be stopped. For loops of the runtime that last: between two of
 * their steps. From: a thread with a processor, holding no lock. */
void weir__world_poll(void);

/* With the world stopped: calls fn for each range of memory that a thread of the process uses as
 * its stack, for its registers and its thread-local variables, and that a goroutine has as its
 * stack. */
void weir__world_each(world_visit_fn *fn, void *arg);

/* The same without the stacks of goroutines that no thread stands on. */
void weir__world_threads(world_visit_fn *fn, void *arg);

/* ---- scan.c: those beside the program ---- */

/* From now on it is known which goroutines run, or may, and into whose stacks words point that are
 * marked. whole: all memory is, not only what was written. With the world stopped. */
void weir__scan_begin(bool whole);

/* Calls fn for the stacks of all goroutines that do not run; then for those that ran since they
 * were visited and do not now, and answers how many had. From: one thread that holds no lock; fn
 * sees memory that may change. */
void   weir__scan_parked(world_visit_fn *fn, void *arg);
size_t weir__scan_again(world_visit_fn *fn, void *arg);

/* The same for all that are left, but for what weir__world_threads visits. With the world
 * stopped. */
size_t weir__scan_end(world_visit_fn *fn, void *arg);

/* After weir__scan_end, the world still stopped: the same for stacks that others may have written
 * to since they were read. Marking what was visited may find more of them: until it answers 0. */
size_t weir__scan_shared(world_visit_fn *fn, void *arg);

/* Nothing is marked any more. */
void weir__scan_over(void);

/* ---- stuck.c: goroutines that nothing can wake; with the world stopped ---- */

struct stuck_ops {
        world_visit_fn *visit;                          /* memory that a goroutine has as its stack */
        bool (*reached)(const void *obj, void *arg);    /* obj is, from what was visited */
        void (*follow)(void *arg);                      /* finds what that reaches */
        void (*stuck)(struct g *g, void *arg);          /* nothing can wake this one */
        void  *arg;
};

/* After weir__world_threads: visits the stacks of all goroutines that no thread stands on, those
 * that may be stuck last, and tells which are. Answers how many. */
size_t weir__stuck_find(const struct stuck_ops *o);

/* Prints a parked goroutine with its stack and where it was started. From: any thread. */
void weir__dump_parked(struct out *o, struct g *g);

/* How long stops took until all stood, and which threads could not be stopped; for the trace. */
struct world_stats {
        int64_t  stop_ns;               /* the last one */
        uint32_t threads;               /* of the process, then */
        uint32_t unstopped;             /* of them, that block the signal; their stacks were read as
                                         * they were */
};
extern struct world_stats weir__world_stats;

#endif
