/* weir/run.h: how a program enters weir, and what it may set before.
 *
 * A program's main calls weir_run, which starts one thread per processor and runs the root function
 * as the first goroutine; WEIR_MAIN writes that main for you. The environment has the last word on
 * defaults:
 *
 *   WEIR_PROCS       number of processors, that is goroutines running at the same moment
 *   WEIR_TRACEBACK   how much a dying program prints of its goroutines: none, single, all; crash:
 *                    all, and a core file; system: with the frames inside of weir
 *   WEIR_DEBUG       name=value,name=value; WEIR_DEBUG=help lists what there is
 *
 * For tests, WEIR_DEBUG=sched=SEED runs goroutines on one processor in an order drawn from SEED,
 * the same each time, on a clock that jumps to the next timer when all are parked.
 *
 * SIGQUIT (^\ in a terminal) prints every goroutine and ends the program. A program whose
 * goroutines are all parked, with nothing left that could wake one, is reported as deadlocked.
 * After a panic that nobody caught, a deadlock or a stack overflow the exit status is 2.
 *
 * The child of a fork has no runtime: there the calls marked "goroutine" panic, returning from the
 * root function is exit, and the C library and exec work as ever. exit may be called on any
 * goroutine. docs/guide/processes.md has the rules of processes and signals.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *
 *         static int root(int argc, char **argv)
 *         {
 *                 (void)argv;
 *                 printf("%d argument(s), goroutine %d\n", argc, (int)weir_go_id());
 *                 return 0;
 *         }
 *
 *         int main(int argc, char **argv)
 *         {
 *                 return weir_run(root, argc, argv, &(weir_run_options){ .procs = 2 });
 *         }
 */
#ifndef WEIR_RUN_H
#define WEIR_RUN_H

#include <weir/base.h>

WEIR_DECLS_BEGIN

typedef struct weir_run_options {
        unsigned procs;        /* 0: WEIR_PROCS, else what the cgroup and the affinity mask allow */
        size_t   stack_size;   /* bytes of address space per goroutine; 0: 256 KiB */
        int      gc_percent;   /* see weir/gc.h; 0: WEIR_GC, else 100; negative: off */
        size_t   memory_limit; /* bytes; 0: WEIR_MEMORY, else from the cgroup; see weir/mem.h */
        uint64_t reserved[8];
} weir_run_options;

/* Runs root(argc, argv) as the first goroutine and returns what it returned.
 *
 * When root returns, the other goroutines stop where they are and never run again; only one that
 * computes without any call of weir goes on until the process ends. Standard I/O is
 * flushed and atexit handlers run as ever, when main returns or on exit(). The root's result is
 * passed on unchanged, so a root that returns negative numbers cannot be told from a failed start.
 *
 * Runs once per process.
 *
 * Blocks: the calling thread until root has returned.  From: a thread that is no goroutine.
 * Fails: -EALREADY (it ran before), -EINVAL (root is NULL, stack_size above 1 GiB), -EAGAIN or
 * -ENOMEM (no thread, no memory to start with), -EMFILE or -ENFILE (no descriptor for the poller).
 * Panics: never. */
WEIR_API int weir_run(int (*root)(int argc, char **argv), int argc, char **argv,
                      const weir_run_options *opt);

/* Sets the number of processors, of goroutines that may run at once, if n > 0. Returns the number
 * before.
 *
 * Without this call, WEIR_PROCS and weir_run_options.procs it follows what the system allows, also
 * when that changes: the affinity mask, and the CPU quota of every cgroup above. A lower number
 * takes effect as goroutines come to the scheduler, within some 10 ms. Under WEIR_DEBUG=sched
 * there is one, and this changes nothing.
 *
 * Parks: no.  From: goroutine.  Fails: -ENOMEM, changing nothing.  Panics: n above 1024. */
WEIR_API int weir_procs(int n);

/* Defines main, and is the head of the root function that follows it.
 *
 * What the function returns is the program's exit status. */
#define WEIR_MAIN(argc, argv)                                                           \
        static int weir_root_(int argc, char **argv);                                   \
        int main(int weir_c_, char **weir_v_)                                           \
        {                                                                               \
                return weir_run(weir_root_, weir_c_, weir_v_, NULL);                    \
        }                                                                               \
        static int weir_root_(WEIR_UNUSED int argc, WEIR_UNUSED char **argv)

/* What is known about a code address. */
typedef struct weir_symbol {
        char function[128];     /* "" if not known */
        char file[192];         /* "" if not known */
        int  line;              /* 0 if not known */
} weir_symbol;

/* Looks up pc, an address inside the instruction of interest; false: nothing known, and *ret is as
 * before. Called while a dump is written, by one thread at a time, possibly in a program that is
 * about to die: it may allocate and read files but not park. */
typedef bool weir_symbolizer(const void *pc, weir_symbol *ret);

/* Makes dumps ask fn for function, file and line of each code address.
 *
 * Without one, weir finds function names by itself, from the symbol tables of the program and its
 * shared objects, and knows no lines. The library libweir-symbols installs one that does; `weir
 * run` and `weir build` link it when it is there. NULL goes back to none.
 *
 * Parks: no.  From: any thread, also before weir_run.  Fails: never.  Panics: never. */
WEIR_API void weir_symbolizer_set(weir_symbolizer *fn);

WEIR_DECLS_END

#endif
