/* Stacks of goroutines: reserved, guarded, recycled, found again by address. */
#ifndef WEIR_STACK_STACK_H
#define WEIR_STACK_STACK_H

#include "base/base.h"

/* One stack. It lives in a slot of a slab for ever; only who owns it changes. */
struct stack {
        char    *low;           /* lowest usable byte; the guard lies below */
        char    *high;          /* end of what the goroutine may use; its struct g begins here */
        uint32_t class;         /* log2 of the usable size */
        bool     guarded;
};

enum {
        STACK_MIN = 16 * 1024,
        STACK_DEFAULT = 256 * 1024,
};
#define STACK_MAX (UINT64_C(1) << 30)

/* How many bytes above `high` belong to the stack's owner (for the struct g). Multiple of 64. */
#define STACK_HEAD 320

/* The class that holds size bytes (0: the default). False: over STACK_MAX. */
bool weir__stack_class(size_t size, uint32_t *ret);

/* Carves a new stack of the class; its memory is zero. False: no address space is left, or
 * WEIR_DEBUG=guard=strict and it cannot be guarded. Stacks are recycled by their owners, never
 * given back. From: any thread. */
bool weir__stack_carve(uint32_t class, struct stack *ret);

/* Calls fn with the head of every stack ever carved, until it answers false. The heads stay
 * readable for ever. From: any thread, signal handlers included. */
void weir__stack_each(bool (*fn)(void *head, void *arg), void *arg);

/* The stack whose slot, guard included, holds addr. *ret_in_guard: addr lies in its guard.
 * From: any thread, signal handlers included. */
bool weir__stack_find(const void *addr, struct stack *ret, bool *ret_in_guard);

uint64_t weir__stack_sys(void);
uint64_t weir__stack_unguarded(void);

#endif
