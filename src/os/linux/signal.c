/* Signals of the Linux kernel: alternate stacks, handlers, and doing what was there before. */
#include "os/os.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

/* A frame with AVX-512 state takes 3.3 KiB, and the handlers print dumps. */
enum { SIGSTACK = 64 * 1024 };

static __thread char *altstack;         /* what this thread was given, or NULL */

void weir__os_sigstack_install(void)
{
        stack_t ss = { 0 };

        if (sigaltstack(NULL, &ss) == 0 && !(ss.ss_flags & SS_DISABLE) && ss.ss_size >= SIGSTACK)
                return;
        altstack = weir__os_map(SIGSTACK);
        if (!altstack)
                return;
        ss = (stack_t){ .ss_sp = altstack, .ss_size = SIGSTACK };
        (void)sigaltstack(&ss, NULL);
}

void weir__os_sigstack_remove(void)
{
        stack_t off = { .ss_flags = SS_DISABLE };

        if (!altstack)
                return;
        (void)sigaltstack(&off, NULL);
        weir__os_unmap(altstack, SIGSTACK);
        altstack = NULL;
}

int weir__os_signal_install(int sig, void (*fn)(int, siginfo_t *, void *),
                            struct sigaction *ret_old)
{
        struct sigaction sa = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };

        sa.sa_sigaction = fn;
        sigemptyset(&sa.sa_mask);
        return sigaction(sig, &sa, ret_old) < 0 ? -weir__os_errno_get() : 0;
}

void weir__os_signal_frame(const void *ucontext, struct os_frame *ret)
{
        const ucontext_t *uc = ucontext;
        uintptr_t         low = (uintptr_t)uc, alt = (uintptr_t)uc->uc_stack.ss_sp;

        *ret = (struct os_frame){ .low = low };
        if (uc->uc_stack.ss_flags & SS_DISABLE || low < alt || low >= alt + uc->uc_stack.ss_size)
                return;
        ret->alt_low = alt;
        ret->alt_high = ret->high = alt + uc->uc_stack.ss_size;
}

void weir__os_signal_chain(int sig, siginfo_t *info, void *context, const struct sigaction *old)
{
        struct sigaction dfl = { 0 };
        sigset_t         only;

        if (old->sa_flags & SA_SIGINFO) {
                old->sa_sigaction(sig, info, context);
                return;
        }
        if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
                old->sa_handler(sig);
                return;
        }
        if (old->sa_handler == SIG_IGN && sig != SIGSEGV && sig != SIGBUS && sig != SIGFPE &&
            sig != SIGILL)
                return;
        dfl.sa_handler = SIG_DFL;
        (void)sigaction(sig, &dfl, NULL);
        (void)raise(sig);
        sigemptyset(&only);
        sigaddset(&only, sig);
        (void)sigprocmask(SIG_UNBLOCK, &only, NULL);
}
