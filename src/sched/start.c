/* The start and end of the runtime.
 *
 * What    weir_run reads the environment, makes the processors and the root goroutine, starts the
 *         first thread and the monitor, and lets its caller wait until the root function has
 *         returned. That one waits with its signals as they are: handlers of the process run there,
 *         as in any program, and may take their time. Only where the system refuses another thread
 *         it is the monitor itself.
 * States  stopped (never ran), running, done. It goes through them once in a process.
 * Order   root_result is written before the release of root_done and read after its acquire. */
#include "sched/state.h"
#include <stdlib.h>
#include "mem/mem.h"
#include <weir/mem.h>
#include <weir/run.h>

enum { ROOT_STACK = 8 * 1024 * 1024, MONITOR_STACK = 1024 * 1024, SPIN_NS = 10 * 1000, STOP_WAIT_NS = 20 * 1000 * 1000 };

static uint32_t started;        /* atomic */

struct root {
        int  (*fn)(int argc, char **argv);
        int    argc;
        char **argv;
};

static void inittrace(const char *stage)
{
        struct out o = { .fd = 2 };

        if (!weir__debug.inittrace)
                return;
        weir__out_print(&o, "init %s @%lld us\n", stage,
                        (long long)((weir__os_now() - sched.started_at) / 1000));
        weir__out_flush(&o);
}

static uint64_t gauge_goroutines(void)
{
        uint64_t finished = weir__counter_sum(COUNTER_goroutines_finished);

        return weir__counter_sum(COUNTER_goroutines_started) - finished;
}

static uint64_t gauge_stacks_in_use(void)
{
        return (gauge_goroutines() << sched.stack_class) + load_relaxed(&sched.stacks_odd);
}

static uint64_t gauge_procs(void)
{
        return load_relaxed(&sched.nprocs);
}

static uint64_t gauge_threads(void)
{
        return load_relaxed(&sched.nthreads) + load_relaxed(&sched.own_threads);
}

static uint64_t gauge_runq(void)
{
        uint64_t n = load_relaxed(&sched.nglobal) + weir__order_count();

        for (uint32_t i = 0; i < load_acquire(&sched.nall); i++)
                n += weir__runq_size(sched.procs[i]);
        return n;
}

static unsigned choose_procs(const weir_run_options *opt)
{
        unsigned n = opt ? opt->procs : 0;

        if (sched.order == ORDER_SEEDED)
                return 1;
        if (!n)
                n = (unsigned)weir__debug_env("WEIR_PROCS", 1, PROCS_MAX, 0);
        if (!n) {
                n = weir__os_cpu_limit();
                sched.procs_default = true;
        }
        return MIN(n, (unsigned)PROCS_MAX);
}

/* The root goroutine: its end is the end of the program. */
void weir__sched_run_root(void *arg)
{
        struct root *r = arg;

        sched.root_result = r->fn(r->argc, r->argv);
        if (unlikely(weir__sched_forked))
                return;
        if (weir__debug.stackuse)
                weir__sched_note_use(weir__sched_g());
        if (unlikely(weir__debug.leaks) && weir__sched_hooks.root_ends)
                weir__sched_hooks.root_ends();
        store_seq(&sched.stopping, 1);
        fetch_or_seq(&sched.attention, (uint32_t)ATTENTION_END);
        store_release(&sched.root_done, 1);
        weir__monitor_raise();
}

/* Waits until no goroutine runs any more, as far as they come to the scheduler in a short time. One
 * that computes without a call goes on until the process ends; stopping it takes a signal. */
static void wait_for_others(void)
{
        int64_t limit = weir__os_now() + STOP_WAIT_NS;

        while (!weir__all_idle() && weir__os_now() < limit)
                weir__os_sleep(20 * 1000);
}

static uint32_t monitor_over;           /* atomic, futex */

static void monitor_main(void *arg)
{
        (void)arg;
        weir__os_thread_name("weir-monitor");
        weir__os_thread_precise_timers();
        weir__monitor_run();
        store_release(&monitor_over, 1);        /* pairs with the acquire below */
        weir__os_futex_wake(&monitor_over, 1);
}

/* Until the root function has returned. */
static void watch(void)
{
        store_relaxed(&sched.own_threads, 2);
        if (weir__os_thread_start_quiet(monitor_main, NULL, MONITOR_STACK) < 0) {
                store_relaxed(&sched.own_threads, 1);
                weir__monitor_run();
                return;
        }
        while (!load_acquire(&monitor_over)) {
                weir__os_futex_wait(&monitor_over, 0, WEIR_TSAN ? 1000 * 1000 : -1);
                if (WEIR_TSAN)
                        (void)weir__os_now();   /* it holds signals back until a call that it knows */
        }
}

int weir_run(int (*root)(int argc, char **argv), int argc, char **argv, const weir_run_options *opt)
{
        struct root r = { root, argc, argv };
        struct p   *p;
        uint32_t    class;
        struct regs main_regs;          /* what main keeps in registers is seen here */
        int         err;

        if (!root || !weir__stack_class(opt ? opt->stack_size : 0, &class))
                return -EINVAL;
        if (exchange_seq(&started, 1))
                return -EALREADY;
        sched.started_at = weir__os_now();
        weir__sched_coarse = sched.started_at;
        weir__arch_capture(&main_regs);
        sched.caller_sp = main_regs.r[ARCH_SP];
        sched.caller_tcb = weir__arch_tcb();
        sched.caller_tid = weir__os_thread_id();
        weir__arch_detect();            /* done long ago; but for the linker, which takes it in */
        weir__debug_read();
        weir__order_init();
        sched.stack_class = class;
        weir__mem_gc.percent = opt ? opt->gc_percent : 0;
        if (opt && opt->memory_limit)
                (void)weir_memory_limit(opt->memory_limit);
        inittrace("environment read");
        err = weir__os_poll_init();
        if (err >= 0)
                err = weir__procs_make(choose_procs(opt));
        if (err < 0)
                return err;
        sched.spin_ns = weir__debug.spin < 0 ? SPIN_NS : weir__debug.spin * 1000;
        sched.wake_credit = 1;
        weir__gauge_set(GAUGE_goroutines, gauge_goroutines);
        weir__gauge_set(GAUGE_procs, gauge_procs);
        weir__gauge_set(GAUGE_threads, gauge_threads);
        weir__gauge_set(GAUGE_runq, gauge_runq);
        weir__gauge_set(GAUGE_stacks_in_use, gauge_stacks_in_use);
        weir__gauge_set(GAUGE_stacks_sys, weir__stack_sys);
        weir__gauge_set(GAUGE_stacks_unguarded, weir__stack_unguarded);
        weir__gauge_set(GAUGE_stacks_returned, weir__stack_returned);
        weir__dump_init();
        weir__fault_init();
        weir__fork_init();
        weir__world_init();
        weir__trim_init();
        weir__watch_init();
        inittrace("processors made");
        lock_take(&sched.lock);
        p = weir__p_idle_get();
        lock_drop(&sched.lock);
        if (!weir__sched_spawn_root(p, weir__sched_run_root, &r, ROOT_STACK))
                return -ENOMEM;
        weir__os_caller_keep();
        store_release(&sched.running, 1);
        err = weir__m_give(p, false);
        if (err < 0)
                return err;
        inittrace("first thread started");
        watch();
        wait_for_others();
        inittrace("root function returned");
        if (weir__debug.stackuse) {
                struct out o = { .fd = 2 };

                weir__dump_stackuse(&o);
                weir__out_flush(&o);
        }
        __asm__ volatile("" : : "r"(&main_regs) : "memory");
        return sched.root_result;
}
