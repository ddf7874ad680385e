/* All that weir asks of a CPU: the stack switch, its register picture, the thread pointer of the
 * runtime, and the unwinder that walks a C stack by the compiler's own tables. */
#ifndef WEIR_ARCH_ARCH_H
#define WEIR_ARCH_ARCH_H

#include "base/base.h"

/* ---- switch.S ---- */

/* A stack that is not running.
 *
 *   on_cpu 1   the thread that runs (or is leaving) this context owns it; sp means nothing
 *   on_cpu 0   saved: whoever took its goroutine from a queue may switch to it
 *
 *   0 -> 1  the thread that switches to it, before it does      1 -> 0  the switch itself, after
 *   the last register is saved (release; pairs with the acquire in weir__sched_switch()) */
struct context {
        void    *sp;            /* only the owner, by on_cpu */
        uint32_t on_cpu;        /* atomic */
        uint32_t flags;         /* atomic; whose context it is says what they mean; see g.h */
};

/* Leaves the running context, saving it in *from, and resumes *to. Comes back when somebody
 * switches to *from, possibly on another thread. */
void weir__arch_switch(struct context *from, struct context *to);

/* Makes *c a context that calls fn(arg) on the stack that ends at top (16-aligned), with the
 * floating-point control words of the caller. fn must not return. */
void weir__arch_context_init(struct context *c, void *top, void (*fn)(void *), void *arg);

/* ---- the thread pointer ---- */

/* This thread's struct m, NULL on threads that are not the runtime's. Read by an instruction that
 * no compiler may move over a switch or cache, unlike a variable declared __thread. */
static inline void *weir__arch_self(void)
{
        void *m;

        __asm__ volatile("movq weir__arch_m@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0"
                         : "=&r"(m) : : "memory");
        return m;
}

void weir__arch_set_self(void *m);

/* Where the C library keeps this thread: its thread-local variables lie just below. */
static inline uintptr_t weir__arch_tcb(void)
{
        uintptr_t tcb;

        __asm__ volatile("movq %%fs:0, %0" : "=r"(tcb));
        return tcb;
}

/* ---- registers and unwinding ---- */

enum { ARCH_REGS = 17 };                /* DWARF numbers; 16 is the return address */
enum { ARCH_SP = 7, ARCH_PC = 16 };

struct regs {
        uint64_t r[ARCH_REGS];
};

/* The registers of the caller at its call of this function. */
void weir__arch_capture(struct regs *ret);

/* The registers of a context that is not running, read through weir__os_peek. */
bool weir__arch_context_regs(const struct context *c, struct regs *ret);

/* The registers in a ucontext that a signal handler was given. */
void weir__arch_signal_regs(const void *ucontext, struct regs *ret);

/* Makes the interrupted code, when the signal handler that was given ucontext returns, call fn(arg)
 * on the stack below sp, as if the interrupted instruction had done so: unwinders and dumps go from
 * fn to it, and know it for interrupted. fn must not return. Needs 256 bytes at sp. */
void weir__arch_signal_call(void *ucontext, uintptr_t sp, void (*fn)(void *), void *arg);

/* A walk up one C stack. Memory of the stack is read only through weir__os_peek, some at a time, so
 * that the stack may belong to a goroutine that runs on meanwhile: the walk then ends early or
 * tells nonsense, and never faults. */
struct walk {
        struct regs regs;
        bool        after_call; /* regs' address follows a call; else it is the interrupted one */
        uintptr_t   seen_at;    /* what of the stack is in seen[] */
        size_t      seen_size;
        char        seen[1024];
};

static inline void weir__arch_walk_start(struct walk *w, const struct regs *r, bool after_call)
{
        w->regs = *r;
        w->after_call = after_call;
        w->seen_size = 0;
}

/* Goes on to the caller's frame. False: outermost, or no table knows the way. Takes no lock but the
 * loader's, needs no malloc. */
bool weir__arch_walk_next(struct walk *w);

/* An address inside the instruction that the frame is at, for looking up its symbol and line. */
static inline const void *weir__arch_walk_pc(const struct walk *w)
{
        return (const void *)(uintptr_t)(w->regs.r[ARCH_PC] - w->after_call);
}

#endif
