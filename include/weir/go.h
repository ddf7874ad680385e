/* weir/go.h: goroutines, panics, dumps.
 *
 * A goroutine is a function that runs at the same time as its starter, on a stack of its own, on
 * whichever core is free. It costs about a page of memory and well under a microsecond to start, so
 * a program uses one per thing that goes on: per connection, per request, per stage of a pipeline.
 * The word weir_task defines such a function together with the struct of its arguments; weir_go
 * starts it with a copy of them, so nothing dangles when the starter returns.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *
 *         weir_task(add, my, { int a, b; weir_chan *sum; })
 *         {
 *                 int s = my->a + my->b;
 *
 *                 weir_send(my->sum, &s);
 *         }
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_chan *sum = weir_chan_make(int, 0);
 *                 int        s;
 *
 *                 weir_go(add, .a = 40, .b = 2, .sum = sum);
 *                 weir_recv(sum, &s);
 *                 printf("%d\n", s);
 *                 return s != 42;
 *         }
 */
#ifndef WEIR_GO_H
#define WEIR_GO_H

#include <weir/base.h>

WEIR_DECLS_BEGIN

typedef struct weir_go_options {
        const char *name;               /* for dumps; copied. NULL: the entry function's name */
        size_t      stack_size;         /* bytes, rounded up, at most 1 GiB; 0: the run's default */
        bool        locked_thread;      /* begins as after weir_thread_lock */
        uint64_t    reserved[4];
} weir_go_options;

/* ---- starting ---- */

/* Is the head of a function that goroutines run, and declares its arguments.
 *
 *         weir_task(NAME, MY, { MEMBERS })
 *         {
 *                 ... MY->member ...
 *         }
 *
 * declares struct NAME_args with those members and defines static void NAME(struct NAME_args *MY).
 * Calling NAME directly works as for any function. *MY is the goroutine's own copy, aligned as
 * max_align_t, and is gone when the function returns. */
#define weir_task(name, my, ...)                                                        \
        __extension__ struct name##_args __VA_ARGS__;                                   \
        static void name(struct name##_args *my);                                       \
        WEIR_UNUSED static void name##_entry_(void *p_) { name((struct name##_args *)p_); } \
        static void name(WEIR_UNUSED struct name##_args *my)

/* On by: a C compiler. C++ has no address of a compound literal: it calls weir_go_copy. */
#ifndef __cplusplus

/* Starts a goroutine that runs a weir_task with the members given by name; the others are zero.
 *
 *         weir_go(add, .a = 40, .b = 2, .sum = sum);
 *
 * The starter goes on at once. The new goroutine inherits its floating-point environment. A
 * goroutine ends when its function returns; nothing waits for it (a weir_wg does, see weir/sync.h),
 * and the program ends with the root goroutine whatever the others do.
 *
 * Parks: no.  From: goroutine.  Fails: never.
 * Panics: arguments over 64 KiB or a quarter of the stack; no address space for another stack. */
#define weir_go(...) WEIR_CAT_(WEIR_GO_, WEIR_MANY_(__VA_ARGS__))(NULL, __VA_ARGS__)

/* The same with options, a pointer to weir_go_options that need not outlive the call.
 *
 * Parks: no.  From: goroutine.  Fails: never.
 * Panics: as weir_go; stack_size above 1 GiB. */
#define weir_go_with(opt, ...) WEIR_CAT_(WEIR_GO_, WEIR_MANY_(__VA_ARGS__))((opt), __VA_ARGS__)

#define WEIR_GO_0(opt, name) \
        weir_go_copy(name##_entry_, WEIR_ARGS_(name, ), sizeof(struct name##_args), opt)
#define WEIR_GO_1(opt, name, ...)                                                       \
        weir_go_copy(name##_entry_, WEIR_ARGS_(name, __VA_ARGS__), sizeof(struct name##_args), opt)
#define WEIR_ARGS_(name, ...) (__extension__ &(struct name##_args){ __VA_ARGS__ })

#endif

/* Starts a goroutine that calls fn(arg).
 *
 * arg is passed as it is; what it points to is the caller's and must outlive the goroutine's use.
 *
 * Parks: no.  From: goroutine.  Fails: never.
 * Panics: fn is NULL; no address space for another stack. */
WEIR_API void weir_go_fn(void (*fn)(void *arg), void *arg);

/* Starts a goroutine that calls entry with the address of its own copy of size bytes at args.
 *
 * The copy is aligned as max_align_t and lives as long as the goroutine. weir_go expands to this.
 * With size 0, args may be NULL.
 *
 * Parks: no.  From: goroutine.  Fails: never.
 * Panics: entry is NULL; as weir_go_with. */
WEIR_API void weir_go_copy(void (*entry)(void *), const void *args, size_t size,
                           const weir_go_options *opt);

/* ---- running ---- */

/* Ends the calling goroutine, as if its function had returned.
 *
 * Unwinds all its frames and runs their cleanup handlers and C++ destructors, as weir_panic does;
 * no weir_protect stops it. A wait group that waits for the goroutine is done. When the root calls
 * it, the others go on and the program ends by exit(), or as a deadlock once none is left.
 *
 * Parks: no.  From: goroutine, also inside weir_blocking.  Fails: never.  Panics: never. */
WEIR_API WEIR_NORETURN void weir_go_exit(void);

/* Lets other goroutines that are ready run first.
 *
 * Parks: no, it stays ready.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API void weir_yield(void);

/* Calls fn(arg), C code that will hold its thread, and gives the processor to others meanwhile.
 *
 * For a system call that cannot be polled or a library that waits by itself: with it, no other
 * goroutine has to wait until the thread is back. Without it they wait a little: the runtime
 * notices a goroutine that blocks its thread after one or two milliseconds and takes the processor
 * from it.
 *
 * The runtime asks threads for that by a signal, SIGURG. Calls that any signal makes return early,
 * SA_RESTART or not, libweir provides in place of libc's: nanosleep, clock_nanosleep, usleep,
 * sleep, poll, ppoll, select, pselect, epoll_wait, epoll_pwait, pause, sigsuspend, sigtimedwait,
 * sigwaitinfo, recv, recvfrom, recvmsg, accept, accept4, msgrcv, msgsnd, semop, semtimedop. On a
 * goroutine they give the processor away if they are made in order to wait, and are not ended by
 * the runtime's signal; by others they are as ever. fn runs on the caller's stack and thread.
 * Inside it only the calls marked "any thread" work; the others panic.
 *
 * Blocks: as long as fn runs, then parks until a processor is free.  From: goroutine.  Fails:
 * never. Panics: fn is NULL. */
WEIR_API void weir_blocking(void (*fn)(void *arg), void *arg);

/* Keeps the calling goroutine on the thread that it is on, until the matching unlock; calls nest.
 *
 * For libraries that keep state in thread-local variables, and for what belongs to a thread: its
 * scheduling class, its mask of signals, its name. The thread runs no other goroutine meanwhile. A
 * goroutine that ends while it is locked takes its thread along. weir_go_with starts one that is
 * locked from its first instruction: (weir_go_options){ .locked_thread = true }. Parking costs such
 * a goroutine two wakes of a thread, some 30 us.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: unlock without lock. */
WEIR_API void weir_thread_lock(void);
WEIR_API void weir_thread_unlock(void);

/* Makes the calling thread of the program a goroutine, until the matching detach or its end; calls
 * nest.
 *
 * It may then call everything that a goroutine may. It is locked to itself as by weir_thread_lock,
 * and where others park, it sleeps. While it computes or blocks elsewhere it holds a processor for
 * some milliseconds at most if others wait for one; weir_thread_detach gives it back at once.
 *
 * Blocks: until a processor is free.  From: a thread that the program started, while weir_run runs.
 * Fails: -ESRCH (weir_run has not begun or is over), -EALREADY (a goroutine), -ENOMEM, -EAGAIN.
 * Panics: detach without attach, or with a weir_thread_lock that is still open. */
WEIR_API int  weir_thread_attach(void);
WEIR_API void weir_thread_detach(void);

/* From the first to the matching last of these calls, which nest, the calling goroutine is not
 * stopped however long it computes.
 *
 * Without them a goroutine that computes for 10 ms in the program's own text while others wait is
 * stopped where it stands, keeps its thread, and goes on when it is its turn again; one that is in
 * a call of a library by then goes on without a processor until its next call of weir. With them
 * the first does not happen: for code that must not be interrupted between two instructions, such
 * as a loop that times a device. Others wait meanwhile. Parking is allowed and changes nothing.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: enable without disable. */
WEIR_API void weir_preempt_disable(void);
WEIR_API void weir_preempt_enable(void);

/* Returns the number of the calling goroutine, unique in the process and never used again; the root
 * is 1. On a thread that runs no goroutine it returns 0.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API uint64_t weir_go_id(void);

/* Returns how many goroutines the program has now, the root included, the runtime's own not.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API size_t weir_go_count(void);

/* Prints every goroutine to out: number, name, state, how long it is in it, what it waits for and
 * its stack, the entry function last.
 *
 *         goroutine 7 "reader" [chan receive, 3 s]:
 *
 * Blocks: while out does.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API void weir_dump(FILE *out);

/* ---- panics ---- */

/* What weir_protect tells about a panic. */
typedef struct weir_panic_info {
        char     message[256];  /* cut off if longer */
        void    *pc;            /* where it happened */
        uint64_t reserved[4];
} weir_panic_info;

/* Reports a mistake of the program and unwinds to the nearest weir_protect.
 *
 * Cleanup handlers and C++ destructors on the way run where the code was built with -fexceptions;
 * frames without unwind tables are passed over. Without a weir_protect on the goroutine, and on a
 * thread that runs none, the program prints the message and the goroutine's stack and ends with
 * status 2. The message is formatted as printf does, without a newline at its end.
 *
 * A handler on the way may panic itself: unwinding goes on from there, and the last panic is told;
 * clang, however, makes it call abort. In C++ a destructor that unwinding runs may not (terminate),
 * and `catch (...)` has to throw on.
 *
 * A fault of an instruction (SIGSEGV, SIGBUS, SIGFPE, SIGILL) and a stack overflow are panics as
 * well, with the address in the message, unless they happen inside a call of weir. Locals that the
 * frame with the fault keeps in registers may be out of date in its handlers if it was compiled
 * without -fnon-call-exceptions, and handlers of that very frame may not run.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: it does. */
WEIR_API WEIR_NORETURN void weir_panic(const char *fmt, ...) WEIR_PRINTF(1, 2);

/* Calls fn(arg) and catches its panic: 0, or WEIR_EPANIC with *ret filled.
 *
 * Catches what panics in fn and below, on this goroutine alone; a goroutine that fn starts has to
 * protect itself. ret may be NULL and is left alone on success.
 *
 * Parks: if fn does.  From: goroutine.  Fails: WEIR_EPANIC (fn panicked).  Panics: fn is NULL. */
WEIR_API int weir_protect(void (*fn)(void *arg), void *arg, weir_panic_info *ret);

WEIR_DECLS_END

#endif
