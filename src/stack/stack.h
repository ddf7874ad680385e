/* Stacks of goroutines: reserved, guarded, recycled, found again by address. */
#ifndef WEIR_STACK_STACK_H
#define WEIR_STACK_STACK_H

#include "base/base.h"

/* What keeps an overflow from the neighbour; stack.c says when which. */
enum stack_guard { STACK_ADVISED, STACK_DENIED, STACK_CANARY };

/* One stack. It lives in a slot of a slab for ever; only who owns it changes. */
struct stack {
        char    *low;           /* lowest usable byte; the guard lies below */
        char    *high;          /* end of what the goroutine may use; its struct g begins here */
        uint32_t class;         /* log2 of the usable size */
        enum stack_guard guard;
};

enum {
        STACK_MIN = 16 * 1024,
        STACK_DEFAULT = 256 * 1024,
        STACK_GUARD = 8 * 4096,
        STACK_SPARE = 7 * 4096,         /* of the guard, for unwinding an overflow */
};
#define STACK_MAX (UINT64_C(1) << 30)

/* How many bytes above `high` belong to the stack's owner (for the struct g). Multiple of 64;
 * a sanitizer keeps something there, too. */
#define STACK_HEAD (384 + 64 * (WEIR_TSAN || WEIR_ASAN))

/* The class that holds size bytes (0: the default). False: over STACK_MAX. */
bool weir__stack_class(size_t size, uint32_t *ret);

/* Carves a new stack of the class; its memory is zero. Stacks are recycled by their owners, never
 * given back. -ENOMEM: no address space is left. -ENOBUFS: WEIR_DEBUG=guard=strict and it cannot be
 * guarded. From: any thread. */
int weir__stack_carve(uint32_t class, struct stack *ret);

/* Slots of one slab that belong to who carved them and are not stacks yet. Zero: none. */
struct stack_run {
        const void *slab;
        uint32_t    index, count;
};

/* The same, taking several slots at once where they are guarded so: their guards are made in one
 * call and without a lock. What is left waits in *run for the next time; all calls with one run are
 * for one class. From: who owns the run. */
int weir__stack_carve_run(uint32_t class, struct stack_run *run, struct stack *ret);

/* Whether something was written below a stack with a canary. From: any thread. */
bool weir__stack_canary_broken(const struct stack *s);

/* Makes the STACK_SPARE bytes below s->low usable, and a guard again, empty. False: s has a canary,
 * or the kernel refuses. From: the thread that runs on s, signal handlers included. */
bool weir__stack_open(const struct stack *s);
bool weir__stack_close(const struct stack *s);

/* How many bytes of s were ever touched since its memory was last returned; whole pages.
 * From: any thread. A system call. */
size_t weir__stack_used(const struct stack *s);

/* Gives the memory of s below keep back. Answers how many bytes went, from the lowest that there
 * were. From: who owns s, and keep is not above what is in use. One or two system calls. */
size_t weir__stack_return(const struct stack *s, const void *keep);

/* Calls fn with the head of every stack ever carved, until it answers false. The heads stay
 * readable for ever. From: any thread, signal handlers included. */
void weir__stack_each(bool (*fn)(void *head, void *arg), void *arg);

/* [*low, *high): where all stacks are that were carved so far, among other things. None: empty. */
void weir__stack_extent(uintptr_t *low, uintptr_t *high);

/* The stack whose slot, guard included, holds addr. *ret_in_guard: addr lies in its guard.
 * From: any thread, signal handlers included. */
bool weir__stack_find(const void *addr, struct stack *ret, bool *ret_in_guard);

/* ---- bound.c: how deep goroutines went, by entry function ---- */

void weir__stack_note_use(void (*entry)(void *), size_t used, uint32_t class);

/* Calls fn for each entry function noted, with the deepest use, the largest class and how many
 * goroutines. From: any thread. */
void weir__stack_each_use(void (*fn)(void (*entry)(void *), size_t used, uint32_t class,
                                     uint64_t count, void *arg), void *arg);

/* ---- one after the other, from where the cursor stands; zero: from the newest slab ---- */

struct stack_cursor {
        const void *slab;
        uint32_t    index;
};

/* The next carved stack. False: it was the last, and the cursor is zero again. */
bool weir__stack_next(struct stack_cursor *c, struct stack *ret);

uint64_t weir__stack_sys(void);
uint64_t weir__stack_unguarded(void);
uint64_t weir__stack_returned(void);

#endif
