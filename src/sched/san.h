/* Announcing stacks to the sanitizers, so that each goroutine is a fiber of its own to them. In
 * other builds these vanish. Nothing here hides anything from a sanitizer. */
#ifndef WEIR_SCHED_SAN_H
#define WEIR_SCHED_SAN_H

#include "sched/g.h"

#if WEIR_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

static inline void san_leave(struct g *from, struct g *to)
{
        bool dying = load_relaxed(&from->state) == G_DEAD;

        __sanitizer_start_switch_fiber(dying ? NULL : &from->fake_stack, to->stack.low,
                                       (size_t)(to->stack.high - to->stack.low));
}

static inline void san_arrived(struct g *g)
{
        __sanitizer_finish_switch_fiber(g->fake_stack, NULL, NULL);
}

static inline void san_born(struct g *g)
{
        g->fake_stack = NULL;
        __asan_unpoison_memory_region(g->stack.low, (size_t)(g->stack.high - g->stack.low));
}

#elif WEIR_TSAN
#include <sanitizer/tsan_interface.h>

static inline void san_leave(struct g *from, struct g *to)
{
        __tsan_release(&from->ctx.on_cpu);      /* what the switch does, in assembly, after this */
        __tsan_switch_to_fiber(to->fiber, 0);
}

static inline void san_arrived(struct g *g)
{
        (void)g;
}

static inline void san_born(struct g *g)
{
        /* Another goroutine, another fiber: the old one's call stack was never unwound, and its
         * past is not the new one's. */
        if (g->fiber)
                __tsan_destroy_fiber(g->fiber);
        g->fiber = __tsan_create_fiber(0);
}

#else

static inline void san_leave(struct g *from, struct g *to)
{
        (void)from;
        (void)to;
}

static inline void san_arrived(struct g *g)
{
        (void)g;
}

static inline void san_born(struct g *g)
{
        (void)g;
}

#endif

#endif
