/* Panic, protect, exit: how a goroutine leaves functions without returning from them.
 *
 * What    weir_protect leaves a record with a jump buffer on its stack; weir_panic unwinds to it,
 *         running the cleanup handlers and destructors of the frames between, then jumps. A fault
 *         becomes a panic at the instruction that faulted (fault.c brings it here). weir_go_exit
 *         does the same from record to record, and behind the outermost one ends the goroutine.
 * States  of a record (pr->what): PANIC, or EXIT once weir_go_exit unwinds to it. A handler that
 *         panics on the way starts anew from where it stands, to the same record: the last panic is
 *         the one that is told, but it does not stop an exit.
 * Order   All of it happens on one goroutine; there is nothing to share.
 * Cost    weir_protect: a _setjmp, about 5 ns, nothing while no panic happens.
 * Not     Unwinding with an unwinder of our own: the personality routines of C and C++ belong to
 *         the compiler's. It is referred to weakly: a program that has handlers to run was linked
 *         with it, and for one that has none the jump alone is the same. So a C program needs only
 *         libc. A record in the first frame of each goroutine, for weir_go_exit to jump to: every
 *         start would pay for what few do; the end of the unwinding is as good a place to stop. */
#include "sched/state.h"
#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>
#include <unwind.h>
#include <weir/go.h>

#pragma weak _Unwind_ForcedUnwind
#pragma weak _Unwind_GetCFA

_Static_assert(sizeof(struct _Unwind_Exception) <= sizeof ((struct g *)0)->exception, "too small");

enum what { PANIC = 1, EXIT };

struct protect {
        struct protect                *up;
        uintptr_t                      frame;   /* of weir_protect, on the real stack */
        enum what                      what;
        uint32_t                       no_preempt;      /* as it was */
        bool                           hold;    /* weir__panic_hold: goes on with what it catches */
        jmp_buf                        jmp;
        weir_panic_info                info;
        struct _Unwind_Exception       exception;
};

static _Noreturn void die(struct g *g, const char *message, void *pc);

/* What a C++ `catch (...)` that does not throw on calls: the panic would be lost half-way. */
static void not_thrown_on(_Unwind_Reason_Code code, struct _Unwind_Exception *e)
{
        (void)code;
        (void)e;
        die(weir__sched_g(), "a catch (...) took a panic or weir_go_exit and did not throw it on",
            NULL);
}

static const struct _Unwind_Exception fresh = {
        .exception_class = 0x7765697200000000,
        .exception_cleanup = not_thrown_on,
};

static _Unwind_Reason_Code stop_at_protect(int version, _Unwind_Action actions,
                                           _Unwind_Exception_Class class,
                                           struct _Unwind_Exception *e,
                                           struct _Unwind_Context *context, void *arg)
{
        struct protect *pr = arg;

        (void)version;
        (void)class;
        (void)e;
        if ((actions & _UA_END_OF_STACK) || _Unwind_GetCFA(context) > pr->frame)
                _longjmp(pr->jmp, 1);
        return _URC_NO_REASON;
}

static _Noreturn void unwind_to(struct protect *pr)
{
        if (_Unwind_ForcedUnwind && _Unwind_GetCFA) {
                pr->exception = fresh;
                (void)_Unwind_ForcedUnwind(&pr->exception, stop_at_protect, pr);
        }
        _longjmp(pr->jmp, 1);                           /* no tables at all */
}

/* One dying goroutine speaks; the others wait for the end. */
void weir__panic_die_once(void)
{
        static int dying;               /* atomic */

        if (exchange_seq(&dying, 1))
                for (;;)
                        pause();
}

static _Noreturn void die(struct g *g, const char *message, void *pc)
{
        const char *level = getenv("WEIR_TRACEBACK");
        struct out  o = { .fd = STDERR_FILENO };
        struct regs here;

        weir__panic_die_once();
        weir__out_print(&o, "panic: %s\n", message);
        if (level && !strcmp(level, "none")) {
                weir__order_tell(&o);
                _exit(2);
        }
        weir__arch_capture(&here);
        if (level && (!strcmp(level, "all") || !strcmp(level, "crash"))) {
                weir__out_print(&o, "\n");
                weir__dump_all(&o);
        } else if (g) {
                weir__out_print(&o, "\n");
                weir__dump_g(&o, g, &here, true, pc);
        }
        weir__order_tell(&o);
        if (level && !strcmp(level, "crash"))
                abort();
        _exit(2);
}

/* Unwinds to pr: of an exit under way there it stays one. */
static _Noreturn void raise_to(struct protect *pr, enum what what)
{
        if (pr->what != EXIT)
                pr->what = what;
        unwind_to(pr);
}

bool weir__panic_is_caught(const struct g *g)
{
        const struct protect *pr = g->protect;

        while (pr && pr->hold)
                pr = pr->up;
        return pr;
}

uintptr_t weir__panic_frame(const struct g *g)
{
        return g->protect ? g->protect->frame : 0;
}

/* Nobody catches it: the program ends on the spot, with the whole stack in its trace. */
static _Noreturn void panic_with(struct g *g, const char *message, void *pc)
{
        if (!g || !weir__panic_is_caught(g))
                die(g, message, pc);
        if (g->protect->info.message != message)
                memcpy(g->protect->info.message, message, sizeof g->protect->info.message);
        g->protect->info.pc = pc;
        raise_to(g->protect, PANIC);
}

static _Noreturn void vpanic(void *pc, const char *fmt, va_list ap)
{
        char message[sizeof ((weir_panic_info *)0)->message] = "";

        vsnprintf(message, sizeof message, fmt, ap);
        panic_with(weir__sched_g(), message, pc);
}

_Noreturn void weir_panic(const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        vpanic(__builtin_return_address(0), fmt, ap);
}

_Noreturn void weir__panic(const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        vpanic(__builtin_return_address(0), fmt, ap);
}

/* Runs on the goroutine as if the instruction that faulted had called it. After an overflow there
 * is little stack here: the record of weir_protect holds the message, and no frame is large. */
void weir__panic_fault(void *arg)
{
        struct g      *g = arg;
        weir_panic_info own, *info = g->protect ? &g->protect->info : &own;

        weir__count(faults, 1);
        weir__fault_message(g, info->message, sizeof info->message);
        panic_with(g, info->message, g->fault_pc);
}

/* What was unwound may have left a call behind in which the processor was given or taken away. */
static void need_p(void)
{
        struct m *m = self();

        if (likely(m->p))
                return;
        if (m->lost)
                (void)weir__sched_regain("weir_protect");
        else
                weir__sched_block_exit();
}

/* ---- the end of a goroutine ---- */

/* All its frames are unwound; this runs below where they were. */
static _Noreturn void end(struct g *g)
{
        bool root = load_relaxed(&g->fn) == weir__sched_run_root;

        need_p();
        if (root)
                store_seq(&sched.root_exited, 1);
        if (g->after)
                g->after(g->after_arg);
        weir__sched_finish(g);
}

static _Unwind_Reason_Code stop_at_end(int version, _Unwind_Action actions,
                                       _Unwind_Exception_Class class, struct _Unwind_Exception *e,
                                       struct _Unwind_Context *context, void *arg)
{
        (void)version;
        (void)class;
        (void)e;
        (void)context;
        if (actions & _UA_END_OF_STACK)
                end(arg);
        return _URC_NO_REASON;
}

/* Unwinds to the next record, which goes on with it, or all the rest. */
static _Noreturn void exit_on(struct g *g)
{
        /* Not on this stack: handlers run above this frame and write over it. */
        struct _Unwind_Exception *e = (struct _Unwind_Exception *)(void *)g->exception;

        if (g->protect)
                raise_to(g->protect, EXIT);
        if (_Unwind_ForcedUnwind && _Unwind_GetCFA) {
                *e = fresh;
                (void)_Unwind_ForcedUnwind(e, stop_at_end, g);
        }
        end(g);
}

_Noreturn void weir_go_exit(void)
{
        struct g *g = weir__sched_g();

        if (!g)
                weir__panic("weir_go_exit: not on a goroutine; call it below weir_run");
        if (self()->guest)
                weir__panic("weir_go_exit: an attached thread ends by returning from its function");
        exit_on(g);
}

/* ---- protect ---- */

/* The way back from the frames that an overflow filled: the guard is one again. */
static void close_spare(struct g *g)
{
        g->spare_open = false;
        if (!weir__stack_close(&g->stack))
                weir__throw("the guard of a stack cannot be restored");
        (void)weir__stack_return(&g->stack, (char *)__builtin_frame_address(0) - 4 * OS_PAGE);
}

/* weir_protect but for an exit, which it answers by 1 and the caller must go on with. */
static int protect(struct g *g, bool hold, void (*fn)(void *arg), void *arg, weir_panic_info *ret)
{
        struct protect pr;

        pr.hold = hold;
        pr.no_preempt = load_relaxed(&g->no_preempt);
        pr.up = g->protect;
        pr.frame = (uintptr_t)__builtin_frame_address(0);
        pr.what = 0;
        memset(&pr.info, 0, sizeof pr.info);
        if (_setjmp(pr.jmp) == 0) {
                g->protect = &pr;
                fn(arg);
                g->protect = pr.up;
                return 0;
        }
        g->protect = pr.up;
        if (unlikely(g->spare_open))
                close_spare(g);
        need_p();
        store_relaxed(&g->no_preempt, pr.no_preempt);
        if (pr.what == EXIT)
                return 1;
        weir__count(panics_recovered, 1);
        if (ret)
                *ret = pr.info;
        return WEIR_EPANIC;
}

int weir_protect(void (*fn)(void *arg), void *arg, weir_panic_info *ret)
{
        struct g *g = weir__sched_need_g("weir_protect");
        int       r;

        if (!fn)
                weir__panic("weir_protect: the function is NULL");
        r = protect(g, false, fn, arg, ret);
        if (unlikely(r > 0))
                exit_on(g);
        return r;
}

int weir__panic_hold(void (*fn)(void *arg), void *arg, weir_panic_info *ret)
{
        return protect(weir__sched_g(), true, fn, arg, ret);
}

_Noreturn void weir__panic_again(int held, const weir_panic_info *info)
{
        struct g *g = weir__sched_g();

        if (held > 0)
                exit_on(g);
        g->protect->info = *info;
        raise_to(g->protect, PANIC);
}
