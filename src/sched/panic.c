/* Panic and protect: the caller's mistakes.
 *
 * What    weir_protect leaves a record with a jump buffer on its stack; weir_panic unwinds to it,
 *         running the cleanup handlers and destructors of the frames between, then jumps.
 * Order   All of it happens on one goroutine; there is nothing to share.
 * Cost    weir_protect: a _setjmp, about 5 ns, nothing while no panic happens.
 * Not     Unwinding with an unwinder of our own: the personality routines of C and C++ belong to
 *         the compiler's. It is referred to weakly: a program that has handlers to run was linked
 *         with it, and for one that has none the jump alone is the same. So a C program needs only
 *         libc. */
#include "sched/state.h"
#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>
#include <unwind.h>
#include <weir/go.h>

#pragma weak _Unwind_ForcedUnwind
#pragma weak _Unwind_GetCFA

struct protect {
        struct protect                *up;
        uintptr_t                      frame;   /* of weir_protect, on the real stack */
        jmp_buf                        jmp;
        weir_panic_info                info;
        struct _Unwind_Exception       exception;
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
                pr->exception = (struct _Unwind_Exception){ .exception_class = 0x7765697200000000 };
                (void)_Unwind_ForcedUnwind(&pr->exception, stop_at_protect, pr);
        }
        _longjmp(pr->jmp, 1);                           /* no tables at all */
}

/* One dying goroutine speaks; the others wait for the end. */
static void die_once(void)
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

        die_once();
        weir__out_print(&o, "panic: %s\n", message);
        if (level && !strcmp(level, "none")) {
                weir__out_flush(&o);
                _exit(2);
        }
        weir__arch_capture(&here);
        if (level && !strcmp(level, "all")) {
                weir__out_print(&o, "\n");
                weir__dump_all(&o);
        } else if (g) {
                weir__out_print(&o, "\n");
                weir__dump_g(&o, g, &here, true, pc);
        }
        weir__out_flush(&o);
        _exit(2);
}

static _Noreturn void vpanic(void *pc, const char *fmt, va_list ap)
{
        struct g *g = weir__sched_g();
        char      message[sizeof ((weir_panic_info *)0)->message];

        vsnprintf(message, sizeof message, fmt, ap);
        if (!g || !g->protect)
                die(g, message, pc);
        memcpy(g->protect->info.message, message, sizeof message);
        g->protect->info.pc = pc;
        unwind_to(g->protect);
}

_Noreturn void weir__panic_again(const weir_panic_info *info)
{
        struct protect *pr = weir__sched_g()->protect;

        pr->info = *info;
        unwind_to(pr);
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

int weir_protect(void (*fn)(void *arg), void *arg, weir_panic_info *ret)
{
        struct g      *g = weir__sched_need_g("weir_protect");
        struct protect pr;

        if (!fn)
                weir__panic("weir_protect: the function is NULL");
        pr.up = g->protect;
        pr.frame = (uintptr_t)__builtin_frame_address(0);
        memset(&pr.info, 0, sizeof pr.info);
        if (_setjmp(pr.jmp) == 0) {
                g->protect = &pr;
                fn(arg);
                g->protect = pr.up;
                return 0;
        }
        g->protect = pr.up;
        if (unlikely(self()->lost))
                weir__sched_regain("weir_protect");
        else if (unlikely(!self()->p))
                weir__sched_block_exit();               /* the panic left a blocking call behind */
        weir__count(panics_recovered, 1);
        if (ret)
                *ret = pr.info;
        return WEIR_EPANIC;
}
