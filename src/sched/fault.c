/* Faults and the signals of a dump.
 *
 * What    SIGSEGV and SIGBUS: an address in the guard of the running goroutine's stack is an
 *         overflow, told as such; everything else is passed on to who handled the signal before.
 *         SIGQUIT asks the monitor for a dump. SIGURG makes a running thread note its registers for
 *         a dump.
 * Order   Handlers run on the thread's alternate stack and touch only what its thread owns, words
 *         that never change, and atomics.
 * Not     Looking at si_code: MADV_GUARD_INSTALL reports MAPERR, mprotect ACCERR; the address is
 *         the same. A handler for SIGABRT, SIGILL and others: nothing of ours to say about them. */
#include "sched/state.h"
#include <unistd.h>

static struct sigaction old_segv, old_bus, old_urg;     /* const after init */

static void overflow(struct g *g, const void *ucontext)
{
        struct out  o = { .fd = STDERR_FILENO };
        struct regs r;
        char        name[128];

        weir__out_print(&o, "fatal: stack overflow: goroutine %llu",
                        (unsigned long long)load_relaxed(&g->id));
        if (g->name)
                weir__out_print(&o, " \"%s\"", g->name);
        weir__out_print(&o, " (entry function %s) used all of its %zu KiB stack\n",
                        weir__dump_entry_name(g, name, sizeof name),
                        ((size_t)1 << g->stack.class) / 1024);
        weir__out_print(
                &o, "weir: give it more with weir_go_with(&(weir_go_options){ .stack_size = ... }, "
                    "...), or recurse less\n\n");
        weir__arch_signal_regs(ucontext, &r);
        weir__dump_g(&o, g, &r, false, NULL);
        weir__out_flush(&o);
        _exit(2);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
        struct m    *m = self();
        struct stack s;
        bool         in_guard;

        if (m && m->g && m->g != &m->g0 && weir__stack_find(info->si_addr, &s, &in_guard) &&
            in_guard && s.high == m->g->stack.high)
                overflow(m->g, context);
        weir__os_signal_chain(sig, info, context, sig == SIGBUS ? &old_bus : &old_segv);
}

static void on_quit(int sig, siginfo_t *info, void *context)
{
        (void)sig;
        (void)info;
        (void)context;
        store_seq(&sched.dump_wanted, 1);
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
        if (m && weir__hold_asked(m, context))          /* both may be meant by one signal */
                ours = true;
        if (!ours)
                weir__os_signal_chain(sig, info, context, &old_urg);
}

void weir__fault_init(void)
{
        struct sigaction old_quit;

        weir__os_signal_install(SIGSEGV, on_fault, &old_segv);
        weir__os_signal_install(SIGBUS, on_fault, &old_bus);
        weir__hold_init();
        weir__os_signal_install(sched.signal, on_look, &old_urg);
        if (old_urg.sa_handler == SIG_DFL && sched.signal == SIGURG)
                old_urg.sa_handler = SIG_IGN;           /* what the default of SIGURG means */
        weir__os_signal_install(SIGQUIT, on_quit, &old_quit);
        if (old_quit.sa_handler != SIG_DFL && old_quit.sa_handler != SIG_IGN)
                (void)sigaction(SIGQUIT, &old_quit, NULL); /* the program has its own use for it */
}
