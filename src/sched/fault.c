/* Faults and the signals of a dump.
 *
 * What    SIGSEGV, SIGBUS, SIGFPE and SIGILL that an instruction of a goroutine caused become a
 *         panic at that instruction: the handler lets it go on in weir__panic_fault, on its own
 *         stack, and is over. In the guard of its stack the fault is an overflow; if somebody
 *         catches it, most of the guard is opened as room for the unwinding, until weir_protect
 *         closes it again. Everything else is passed on to who handled the signal before: faults of
 *         threads that run no goroutine, signals that somebody sent, and, if the program had a
 *         handler of its own before weir_run, faults that no weir_protect would catch.
 *         A fault inside the runtime (a bad pointer given to weir_chan_send) cannot be caught: a
 *         lock may be held. It ends the program and says in which call.
 *         SIGQUIT asks the monitor for a dump. SIGURG makes a running thread note its registers for
 *         a dump.
 * Order   Handlers run on the thread's alternate stack and touch only what its thread owns, words
 *         that never change, and atomics.
 * Not     Looking at si_code: MADV_GUARD_INSTALL reports MAPERR, mprotect ACCERR; the address is
 *         the same. Unwinding inside the handler: cleanup handlers may park, and the alternate
 *         stack is the thread's. A handler for SIGABRT and others: nothing of ours to say about
 *         them. */
#include "sched/state.h"
#include <unistd.h>

/* What the unwinder needs at the most below the frame that faulted, with a first call of a library
 * function, whose binding saves all vector registers, among it (measured: 6 KiB). */
enum { UNWIND_ROOM = 10 * 1024, UNWIND_MIN = 512, RED_ZONE = 128 };

static struct sigaction old_segv, old_bus, old_fpe, old_ill, old_urg,
                        old_quit;       /* const after init */

static _Noreturn void overflow(struct g *g, const void *ucontext, const char *how)
{
        struct out  o = { .fd = STDERR_FILENO };
        struct regs r;
        char        name[128];

        weir__panic_die_once();
        weir__out_print(&o, "fatal: stack overflow%s: goroutine %llu", how,
                        (unsigned long long)load_relaxed(&g->id));
        if (g->name)
                weir__out_print(&o, " \"%s\"", g->name);
        weir__out_print(&o, " (entry function %s) used all of its %zu KiB stack\n",
                        weir__dump_entry_name(g, name, sizeof name),
                        ((size_t)1 << g->stack.class) / 1024);
        weir__out_print(
                &o, "weir: give it more with weir_go_with(&(weir_go_options){ .stack_size = ... }, "
                    "...), or recurse less\n\n");
        if (ucontext)
                weir__arch_signal_regs(ucontext, &r);
        else
                weir__arch_capture(&r);
        weir__dump_g(&o, g, &r, !ucontext, NULL);
        weir__order_tell(&o);
        _exit(2);
}

_Noreturn void weir__fault_canary(struct g *g)
{
        overflow(g, NULL, " (noticed late, the stack had no guard)");
}

/* ---- what a fault says ---- */

static const char *fault_text(const struct g *g)
{
        switch (g->fault_sig) {
        case SIGFPE:
                return g->fault_code == FPE_INTDIV ? "SIGFPE: integer division by zero"
                                                   : "SIGFPE: arithmetic error";
        case SIGILL:
                return "SIGILL: illegal instruction";
        case SIGBUS:
                return "SIGBUS: no memory behind address";
        default:
                return g->fault_code == SEGV_ACCERR ? "SIGSEGV: no permission for address"
                                                    : "SIGSEGV: nothing at address";
        }
}

void weir__fault_message(const struct g *g, char *ret, size_t size)
{
        if (g->spare_open)
                weir__fmt(ret, size, "stack overflow: all of the %zu KiB stack is used, at address "
                          "%p", ((size_t)1 << g->stack.class) / 1024, g->fault_addr);
        else if (g->fault_sig == SIGFPE || g->fault_sig == SIGILL)
                weir__fmt(ret, size, "%s at %p", fault_text(g), g->fault_pc);
        else if (g->fault_code == SI_KERNEL)    /* the processor does not tell the address */
                weir__fmt(ret, size, "SIGSEGV: an address that cannot be, at %p", g->fault_pc);
        else
                weir__fmt(ret, size, "%s %p", fault_text(g), g->fault_addr);
}

/* ---- where it happened ---- */

/* Whether the first code above libc's that the fault is in is the runtime's; then ret_name is the
 * call that the program made. The runtime runs nothing of the program with a lock held. */
static bool inside_runtime(const struct g *g, const struct regs *r, char *ret_name, size_t size)
{
        enum { LOOK = 16 };
        uintptr_t   limit = weir__panic_frame(g);
        struct walk w;
        bool        inside = false;

        weir__fmt(ret_name, size, "weir");
        weir__arch_walk_start(&w, r, false);
        for (int n = 0; n < LOOK && w.regs.r[ARCH_SP] < limit; n++) {
                const void  *pc = weir__arch_walk_pc(&w);
                enum os_text text = weir__os_text_of(pc);
                size_t       offset;

                if (text == OS_TEXT_RUNTIME) {
                        inside = true;
                        (void)weir__os_symbol_find(pc, ret_name, size, &offset);
                        if (!strncmp(ret_name, "weir_", 5) && ret_name[5] != '_')
                                return true;    /* the public call; its caller is not ours */
                } else if (inside || text != OS_TEXT_SYSTEM) {
                        return inside;
                }
                if (!weir__arch_walk_next(&w))
                        break;
        }
        return inside;
}

static _Noreturn void fault_inside(struct g *g, const struct regs *r, const char *call)
{
        struct out o = { .fd = STDERR_FILENO };
        char       text[128];

        weir__panic_die_once();
        weir__fault_message(g, text, sizeof text);
        weir__out_print(&o, "fatal: %s, inside %s, which cannot be unwound\n\n", text, call);
        weir__dump_g(&o, g, r, false, NULL);
        weir__order_tell(&o);
        _exit(2);
}

static const struct sigaction *old_of(int sig)
{
        return sig == SIGBUS ? &old_bus : sig == SIGFPE ? &old_fpe : sig == SIGILL ? &old_ill
                                                                                  : &old_segv;
}

static bool had_handler(int sig)
{
        const struct sigaction *old = old_of(sig);

        return old->sa_flags & SA_SIGINFO ||
               (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN);
}

/* An overflow that somebody catches: the guard is opened and the panic raised in it. Where the
 * frame that did not fit is so large that no room is left, or the guard is open already, it is
 * fatal. */
static void overflowed(struct g *g, void *context, uintptr_t sp)
{
        uintptr_t low = (uintptr_t)g->stack.low;

        sp = MIN(sp, low + UNWIND_ROOM);
        if (g->spare_open || !weir__panic_is_caught(g) || sp < low - STACK_SPARE + UNWIND_ROOM ||
            !weir__stack_open(&g->stack))
                overflow(g, context, "");
        g->spare_open = true;
        weir__arch_signal_call(context, sp - RED_ZONE, weir__panic_fault, g);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
        struct m    *m = self();
        struct g    *g = m && m->g && m->g != &m->g0 ? m->g : NULL;
        int          keep = weir__os_errno_get();
        struct stack s;
        struct regs  r;
        char         call[128];
        uintptr_t    sp;
        bool         in_guard, own;

        if (!g || info->si_code <= 0)                   /* somebody sent it */
                goto pass;
        weir__arch_signal_regs(context, &r);
        sp = r.r[ARCH_SP];
        own = m->guest || (sp > (uintptr_t)g->stack.low - STACK_GUARD &&
                           sp <= (uintptr_t)g->stack.high);
        g->fault_sig = sig;
        g->fault_code = info->si_code;
        g->fault_addr = info->si_addr;
        g->fault_pc = (void *)(uintptr_t)r.r[ARCH_PC];
        if ((sig == SIGSEGV || sig == SIGBUS) && weir__stack_find(info->si_addr, &s, &in_guard) &&
            in_guard && s.high == g->stack.high) {
                if (weir__panic_is_caught(g) && inside_runtime(g, &r, call, sizeof call))
                        overflow(g, context, "");
                overflowed(g, context, sp);
                return;
        }
        if (!own || sp < (uintptr_t)g->stack.low + UNWIND_MIN)
                goto pass;
        if (!weir__panic_is_caught(g)) {
                if (had_handler(sig))
                        goto pass;
        } else if (inside_runtime(g, &r, call, sizeof call)) {
                fault_inside(g, &r, call);
        }
        weir__arch_signal_call(context, sp - RED_ZONE, weir__panic_fault, g);
        return;
pass:
        weir__os_errno_set(keep);
        weir__os_signal_chain(sig, info, context, old_of(sig));
}

static void on_quit(int sig, siginfo_t *info, void *context)
{
        (void)sig;
        (void)info;
        (void)context;
        store_seq(&sched.dump_wanted, (uint32_t)getpid());
        weir__monitor_raise();
}

static void on_look(int sig, siginfo_t *info, void *context)
{
        struct m *m = self();
        bool      ours = false;

        if (m)
                owner_add(&m->interrupts, 1);
        if (m && load_acquire(&m->look) == 1) {         /* pairs with the release in dump.c */
                weir__arch_signal_regs(context, &m->look_regs);
                m->look_g = m->g;
                store_release(&m->look, 2);             /* pairs with the acquire in dump.c */
                ours = true;
        }
        if (m && weir__hold_asked(m, context))          /* several may be meant by one signal */
                ours = true;
        if (weir__world_asked(m, context))
                ours = true;
        if (!ours)
                weir__os_signal_chain(sig, info, context, &old_urg);
}

void weir__fault_forked(void)
{
        struct sigaction now;

        if (sigaction(SIGQUIT, NULL, &now) || now.sa_sigaction != on_quit)
                return;
        (void)sigaction(SIGQUIT, &old_quit, NULL);
        if (load_seq(&sched.dump_wanted) == (uint32_t)getpid())
                (void)raise(SIGQUIT);           /* it came before this */
}

void weir__fault_init(void)
{
        weir__os_signal_install(SIGSEGV, on_fault, &old_segv);
        weir__os_signal_install(SIGBUS, on_fault, &old_bus);
        weir__os_signal_install(SIGFPE, on_fault, &old_fpe);
        weir__os_signal_install(SIGILL, on_fault, &old_ill);
        weir__hold_init();
        sched.on_signal = on_look;
        weir__os_signal_install(sched.signal, on_look, &old_urg);
        if (old_urg.sa_handler == SIG_DFL && sched.signal == SIGURG)
                old_urg.sa_handler = SIG_IGN;           /* what the default of SIGURG means */
        weir__os_signal_install(SIGQUIT, on_quit, &old_quit);
        if (old_quit.sa_handler != SIG_DFL && old_quit.sa_handler != SIG_IGN)
                (void)sigaction(SIGQUIT, &old_quit, NULL); /* the program has its own use for it */
}
