/* The child of a fork.
 *
 * What    A process that fork makes has one thread, the one that called it, and no runtime: what
 *         the other threads did at that moment stays half done for ever. So in the child the
 *         runtime is stopped. The thread is one of the program; who forked in a goroutine goes on
 *         on its stack. A call that needs the runtime panics and says so; one for any thread works
 *         as before weir_run. The root function may return, which is exit, as it is in main.
 * States  weir__sched_forked goes from false to true in the child, once, before fork returns there.
 * Locks   Locks that calls for any thread take (dumps, the record of holds) may have been held by
 *         threads that are not there: they are made free, and what is kept beside them forgotten.
 *         A lock inside an object of the program (a channel, a mutex) is left as it is; who waits
 *         for one that nobody will drop is told so (base/lock.c).
 * Signals What the runtime handles is left to its handlers, which do nothing on a thread that is
 *         not the runtime's but pass it on; SIGQUIT, which would ask a monitor that is not there,
 *         gets back what it did before.
 * Not     Taking the runtime's locks before each fork: they would be held while the kernel copies
 *         page tables, 100 ms in a large process, and all goroutines would wait. Going on with a
 *         runtime of one thread: the stacks of running goroutines and the locks of the program are
 *         in no state to go on with. vfork and posix_spawn: there the child is the parent's
 *         business until it is another program, and nothing of this runs. */
#include "sched/state.h"
#include <stdlib.h>
#include <unistd.h>

bool weir__sched_forked;

void weir__sched_need_runtime(const char *call)
{
        if (weir__sched_forked)
                weir__panic("%s: called after fork, in the child, where there is no runtime", call);
}

static void in_child(void)
{
        if (!load_relaxed(&sched.started_at))
                return;                         /* weir_run may still be called here */
        weir__sched_forked = true;
        weir__arch_set_self(NULL);
        store_relaxed(&sched.running, 0);
        weir__lock_forked();
        weir__hold_forked();
        weir__dump_forked();
        weir__os_symbol_forked();
        weir__fault_forked();
        weir__os_poll_forked();
}

void weir__fork_init(void)
{
        int r = weir__os_at_fork(weir__world_forked, in_child);

        if (r < 0)
                weir__throw("no memory to watch over fork: %s", weir_error_name(r));
}

_Noreturn void weir__fork_ended(struct g *g, int root_result)
{
        struct out o = { .fd = STDERR_FILENO };

        if (load_relaxed(&g->fn) == weir__sched_run_root)
                exit(root_result);
        weir__out_print(&o,
                        "fatal: goroutine %llu ended in the child of a fork, where no other runs: "
                        "call _exit, exit or an exec function there\n",
                        (unsigned long long)load_relaxed(&g->id));
        weir__out_flush(&o);
        _exit(2);
}
