/* The end of the process when the runtime itself is broken.
 *
 * One thread speaks: the first to arrive. Others that throw while it does wait for the abort, so
 * that the message which explains the failure is not mixed with its consequences. The order of locks
 * is not looked at from then on: who throws may hold any, and printing takes some more. */
#include "base/base.h"
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

void (*weir__throw_hook)(void);
int  weir__thrown;

_Noreturn void weir__throw(const char *fmt, ...)
{
        static __thread bool mine;
        struct out o = { .fd = STDERR_FILENO };
        va_list    ap;

        if (mine)
                abort();                /* while it spoke */
        mine = true;
        if (exchange_seq(&weir__thrown, 1))
                for (;;)
                        (void)syscall(SYS_pause);
        weir__out_print(&o, "fatal: weir is broken: ");
        va_start(ap, fmt);
        weir__out_vprint(&o, fmt, ap);
        va_end(ap);
        weir__out_print(&o, "\n");
        weir__out_flush(&o);
        if (weir__throw_hook)
                weir__throw_hook();
        abort();
}
