/* What the files of src/gc share, and what the layers above may use. */
#ifndef WEIR_GC_GC_H
#define WEIR_GC_GC_H

#include "mem/mem.h"
#include "sched/sched.h"
#include <weir/gc.h>

/* ---- type.c ---- */

/* The number of a declared type; panics where its fields make no sense. */
uint16_t weir__gc_type(const weir_type *t);

/* ---- special.c ---- */

/* Marks what is pinned, the arguments of cleanups, and what calls that wait to be made are about.
 * Once in a cycle, after its first stop, or in its only one. */
void weir__special_roots(struct marker *m);

/* With the world stopped, calls fn for the words that weir__special_roots marks. */
void weir__special_each(void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg);

/* Beside the program, when most is marked: looks for objects that seem to have died. */
void weir__special_look(void);

/* In the last stop, when all roots are marked: marks what objects with finalizers point to. */
void weir__final_mark(struct marker *m);

/* The same, when all that is marked has been followed: clears weak pointers, queues finalizers and
 * cleanups of what is not marked, and marks objects that are to be finalized. Answers how many
 * calls were queued. */
size_t weir__final_queue(struct marker *m);

/* How many pins, finalizers, cleanups and weak pointers there are. From: any thread. */
uint64_t weir__special_count(void);

/* ---- final.c ---- */

/* With the world running, after each cycle: starts a goroutine for what was queued, and for what
 * is left because a call has ended its goroutine, or does not return. */
void weir__final_run(size_t queued);

/* ---- root.c ---- */

/* The globals of all loaded images, found while the loader cannot change them: calls stopped() as
 * soon as it cannot. */
void weir__roots_find(void (*stopped)(void));

/* With the world stopped: marks what the program holds outside of the collected heap. */
void weir__roots_mark(struct marker *m);

/* The same but for stacks, registers and thread-local variables. */
void weir__roots_mark_but_stacks(struct marker *m);

/* With the world stopped, calls fn for what is not excluded of globals and named memory, and for
 * words of the runtime that keep what they name. */
void weir__roots_each(void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg);

/* The same in parts: globals, named ranges, objects of the runtime; what threads hold; the stacks
 * of goroutines that ran since they were read, also beside the program. */
void   weir__roots_mark_last(struct marker *m);
void   weir__roots_mark_threads(struct marker *m);
size_t weir__roots_mark_touched(struct marker *m, bool stopped);

/* In the last stop, when all else is marked: stacks that others may have written to since. Answers
 * how many; to be called again when what they hold is marked, until there are none. */
size_t weir__roots_mark_shared(struct marker *m);

/* Beside the program: all but what threads hold, and malloc's blocks. */
void weir__roots_mark_beside(struct marker *m);

/* ---- watch.c ---- */

/* Shortly before the first stop of a cycle, where there are minor ones: parts what was written before
 * it from what is after. */
void weir__watch_before(void);

/* Begins to note writes, and marks what malloc's blocks hold. minor: only what plain memory holds
 * that was written since the last collection stopped the world first. */
void weir__watch_begin(struct marker *m, bool minor);

/* Whether all writes to plain memory since the last collection are noted. */
bool weir__watch_is_whole(void);

/* Marks what was written since; answers how many pages. The second with the world stopped, for all
 * that is left. */
size_t weir__watch_round(struct marker *m);
size_t weir__watch_end(struct marker *m);

/* ---- history.c ---- */

/* Notes a cycle, and prints the line of gcpacertrace. From: whoever ran it. */
void weir__history_add(const weir_gc_cycle *c);

/* ---- fork.c ---- */

/* Sees to it that the calls for any thread work in the child of a fork. Once. */
void weir__gc_fork_init(void);
void weir__cycle_forked(void);          /* these: the child's part of each file */
void weir__roots_forked(void);
void weir__special_forked(void);
void weir__history_forked(void);

/* ---- markers.c ---- */

/* Who marks in this cycle; the first is the caller's own. */
extern struct marker weir__markers[];
extern uint32_t      weir__nmarkers;    /* atomic; the cycle's to write: a power of two */

/* Before words are marked: markers for a cycle, at most `most`, as many as have a thread. */
void weir__markers_gather(uint32_t most);

/* By all of them, what is reachable from what is marked. */
void weir__markers_drain(void);

void weir__markers_forked(void);

/* ---- cycle.c ---- */

struct gc_hooks {
        /* A cycle begins: drops what is kept for reuse alone. Called with the world stopped, before
         * anything is marked; must neither allocate nor take a lock. */
        void (*begin)(void);

        /* The cycle is over. Called by the thread that ran it, the world running; must not park. */
        void (*ended)(void);
};
extern struct gc_hooks weir__gc_hooks;  /* filled by sync, for pools */

/* 1 once enough was allocated for a cycle. */
extern uint32_t weir__gc_wanted;        /* atomic */

/* Runs a cycle when it is time for one. From: a goroutine, where it may be stopped. */
void weir__gc_poll(void);

/* The same for who may be made to wait until a cycle has caught up. */
void weir__gc_poll_and_wait(void);

static inline void weir__gc_poll_anywhere(void)
{
        struct m *m;

        if (unlikely(load_relaxed(&weir__gc_wanted)) && (m = self()) && m->p && m->g != &m->g0)
                weir__gc_poll();
}

/* weir__mem_alloc, for objects of the layers above: a cycle may run first. From: any thread. */
static inline void *weir__gc_new(enum mem_kind kind, size_t size)
{
        weir__gc_poll_anywhere();
        return weir__mem_alloc(kind, size);
}

/* The same, aligned to a cache line. */
void *weir__gc_new_line(enum mem_kind kind, size_t size);

/* The same for an object without pointers that may hold anything. */
static inline void *weir__gc_new_dirty(size_t size)
{
        weir__gc_poll_anywhere();
        return weir__mem_alloc_dirty(size);
}

#endif
