/* What the files of src/data share. Nothing here holds a lock or needs a processor: unlike the rest
 * of the runtime, this code counts as the program's own when a goroutine is to be interrupted (it
 * is built to be outside of the section weir_text), and a fault in it is a panic like any other. */
#ifndef WEIR_DATA_DATA_H
#define WEIR_DATA_DATA_H

#include "arch/arch.h"
#include "base/counter.h"
#include "gc/gc.h"
#include "mem/mem.h"
#include "sched/sched.h"

/* The place for the write barrier of bulk moves: memory of a kind, inside an object, has got n
 * bytes of other objects' contents. Plain memory needs none, nor does memory without pointers; only
 * MEM_TYPED will, which nothing here makes yet. */
static inline void moved(enum mem_kind kind, const void *to, size_t n)
{
        (void)kind;
        (void)to;
        (void)n;
}

/* memmove into an object of a kind; the lengths may be 0 and the addresses NULL then. */
static inline void move_into(enum mem_kind kind, void *to, const void *from, size_t n)
{
        if (n)
                memmove(to, from, n);
        moved(kind, to, n);
}

#endif
