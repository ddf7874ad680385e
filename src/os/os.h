/* All that weir asks of a kernel. Nothing above src/os makes a system call of its own for memory,
 * threads, time, signals or the poller, and no other folder tests which kernel this is.
 *
 * Results: int functions answer >= 0 or -errno. None of these reads errno for its caller;
 * those of sockets, futexes and the poller's add and remove may set it.
 * None parks; those that can block their thread say so. */
#ifndef WEIR_OS_OS_H
#define WEIR_OS_OS_H

#include "base/base.h"
#include <signal.h>
#include <sys/types.h>

/* ---- memory ---- */

#define OS_PAGE 4096u

/* Address space that costs memory only where it is touched; zeroed, readable and writable, never
 * backed by huge pages. NULL when there is none. */
void *weir__os_map(size_t size);
void  weir__os_unmap(void *addr, size_t size);

/* Address space without any right of access, to be opened by weir__os_commit. NULL: none. */
void *weir__os_reserve(size_t size);

/* Opens [addr, addr + size) of a reservation for reading and writing; it reads as zero. -ENOMEM: a
 * limit. */
int weir__os_commit(void *addr, size_t size);

/* The same with pages that the administrator has set aside as huge ones (vm.nr_hugepages); addr and
 * size are multiples of 2 MiB. -ENOMEM: there are not so many left. */
int weir__os_commit_huge(void *addr, size_t size);

/* Asks that [addr, addr + size) be backed by huge pages as it is touched. */
void weir__os_huge(void *addr, size_t size);

/* As weir__os_forget, when the kernel likes; until then the old content may be read. */
void weir__os_forget_lazily(void *addr, size_t size);

/* Bytes of this process that the kernel backs with memory; 0: it does not tell. Needs no malloc. */
size_t weir__os_resident(void);

/* Makes [addr, addr + size) fault on any touch, and forgets what was there, at no mapping of its
 * own. Whole pages inside a weir__os_map. -EINVAL: the kernel cannot (Linux before 6.13). */
int weir__os_guard(void *addr, size_t size);

/* The same for n of them, the next each stride bytes above the one before, in one call if the
 * kernel can (Linux 6.14) and n is at most OS_GUARDS. Answers how many were made. */
enum { OS_GUARDS = 16 };
unsigned weir__os_guard_many(char *addr, size_t size, size_t stride, unsigned n);

int weir__os_guard_remove(void *addr, size_t size);

/* Denies any access to [addr, addr + size), or gives it back. What was there stays. Works
 * everywhere, but each range denied takes two of the process's mappings. -ENOMEM: they are used
 * up. */
int weir__os_protect(void *addr, size_t size, bool deny);

/* Makes whole pages read-only for good; where the kernel refuses, they stay as they were. */
void weir__os_freeze(void *addr, size_t size);

/* How many mappings a process may have. */
uint64_t weir__os_mappings_max(void);

/* The lowest page of [low, high), whole pages, that has memory under it; high: none has. Asks the
 * kernel, and so does not touch any. */
char *weir__os_lowest_resident(char *low, char *high);

/* Makes every thread of the process that runs pass through a full fence, so that the others' side
 * of a store-load pair needs none. False: not to be had (a kernel before 4.14, a sandbox).
 * weir__os_fence_all_init once before. */
bool weir__os_fence_all_init(void);
bool weir__os_fence_all(void);

/* Gives the memory under [addr, addr + size) back; it reads as zero afterwards. False: the kernel
 * keeps it (the program has locked it), and what was there stays. */
bool weir__os_forget(void *addr, size_t size);

/* Tells which pages were written. One user at a time; what it holds is of the process that opened
 * it, a child of fork begins anew. All fail with -errno where the kernel cannot (before Linux 6.7,
 * or a sandbox): then nothing is watched. */
int  weir__os_dirty_open(void);
void weir__os_dirty_close(void);

/* From now on writes to [low, high), whole pages, can be told; for as long as it is mapped. */
int weir__os_dirty_watch(uintptr_t low, uintptr_t high);

/* Calls fn for the pages of [low, high), all of it watched, that were written since they were last
 * protected, or never were; with protect they are protected now, and a write that comes later is
 * told the next time. A page that never had memory counts as written the first time. */
int weir__os_dirty_scan(uintptr_t low, uintptr_t high, bool protect,
                        void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg);

/* Copies n bytes that may not be there or may be changing. Answers how many came before the first
 * that could not be read. Safe in signal handlers. */
size_t weir__os_peek(void *dst, const void *src, size_t n);

/* What the cgroups of the process allow, v1 and v2, the tightest of all ancestors; SIZE_MAX: no
 * limit, or not told. */
struct os_memory {
        size_t max;             /* beyond it the kernel kills */
        size_t high;            /* beyond it the kernel slows down and reclaims */
        size_t current;         /* in use by the group that sets max, or by the process's own */
        size_t events;          /* how often the process's own group met max or high */
};

/* root is put before each path: "" but in tests. Needs no malloc. */
void weir__os_memory_limits(const char *root, struct os_memory *ret);

/* 64 random bits that nobody can guess; less good ones before the kernel has any. */
uint64_t weir__os_random(void);

/* ---- time ---- */

int64_t weir__os_now(void);             /* nanoseconds, monotonic */

/* ---- threads ---- */

/* Starts a detached thread that runs fn(arg) with all signals as in the caller. -EAGAIN: a
 * limit. */
int weir__os_thread_start(void (*fn)(void *), void *arg, size_t stack_size);

/* The same with all signals blocked in it. */
int weir__os_thread_start_quiet(void (*fn)(void *), void *arg, size_t stack_size);

/* Notes who starts the runtime: the cores that this thread may use are the program's, and which
 * signals it blocks is what the second call sets in another thread. */
void weir__os_caller_keep(void);
void weir__os_signals_as_kept(void);
/* Has fn called when the calling thread ends by itself. 0 or -errno. The same fn in all calls. */
int weir__os_at_thread_exit(void (*fn)(void));

int  weir__os_thread_id(void);
void weir__os_thread_name(const char *name);

/* Asks that timed waits of the calling thread end on time, not some tens of microseconds later. */
void weir__os_thread_precise_timers(void);

/* The memory of the calling thread's stack. */
void weir__os_thread_stack(char **ret_low, char **ret_high);

/* How many threads the process has, those of libraries and sanitizers included; INT_MAX if the
 * kernel does not tell. */
int weir__os_thread_count(void);

/* The time that a thread of this process has had of a core, in nanoseconds; -1: no such thread. */
int64_t weir__os_thread_cpu(int tid);

/* Sends a signal to one thread of this process. */
int weir__os_thread_signal(int tid, int sig);

/* Has parent and child, if not NULL, called after each fork to come, before it returns there. 0 or
 * -errno. */
int weir__os_at_fork(void (*parent)(void), void (*child)(void));

/* Gives the rest of this core's time slice to another thread. */
void weir__os_yield(void);
void weir__os_sleep(int64_t ns);        /* blocks */

/* How many processors this process may really use: the affinity mask and the tightest CPU quota of
 * every ancestor cgroup (v2 cpu.max, v1 cpu.cfs_quota_us), at least 1. */
unsigned weir__os_cpu_limit(void);
/* The part of it that cgroups have, of the tree of files below root: limit, or their quota if
 * less. */
unsigned weir__os_cpu_quota(const char *root, unsigned limit);

/* Blocks while *word == value, at most ns nanoseconds (< 0: for ever). Wakes also for no reason.
 * Answers false when the time passed. */
bool weir__os_futex_wait(const uint32_t *word, uint32_t value, int64_t ns);
void weir__os_futex_wake(const uint32_t *word, int count);

/* The calling thread's errno, for keeping beside other things of the thread. */
int *weir__os_errno_address(void);

/* errno, read and written by calls that no compiler may cache across a stack switch. */
int  weir__os_errno_get(void);
void weir__os_errno_set(int value);

/* ---- signals ---- */

/* Gives the calling thread an alternate stack for handlers. One per thread, released with it. */
void weir__os_sigstack_install(void);
void weir__os_sigstack_remove(void);

/* Installs a handler (SA_SIGINFO, SA_ONSTACK, SA_RESTART) and says what was there before. */
int weir__os_signal_install(int sig, void (*fn)(int, siginfo_t *, void *),
                            struct sigaction *ret_old);

/* Does what the process would have done about a signal before its handler was installed: calls the
 * old handler, or puts the default back and raises it again. */
void weir__os_signal_chain(int sig, siginfo_t *info, void *context, const struct sigaction *old);

/* What a handler's frame covers: the interrupted registers, all of them, lie in [low, high), which
 * is on the alternate stack [alt_low, alt_high) unless that is empty; then high is 0. */
struct os_frame {
        uintptr_t low, high, alt_low, alt_high;
};
void weir__os_signal_frame(const void *ucontext, struct os_frame *ret);

/* ---- threads and memory of the program, for a collector ---- */

/* Calls fn with the number of each thread of the process. Needs no malloc. The first call keeps
 * what the others need, so that they work without a descriptor to be had; weir__os_threads_open is
 * that alone. 0 or -errno. From: one thread at a time. */
int weir__os_threads(void (*fn)(int tid, void *arg), void *arg);
int weir__os_threads_open(void);

/* Whether that is a thread of weir__os_thread_start_quiet, once it runs. */
bool weir__os_thread_is_quiet(int tid);

/* Calls fn for the control block of each of them. From: any thread; they must not end meanwhile. */
void weir__os_quiet_each(void (*fn)(uintptr_t tcb, void *arg), void *arg);

/* Of a thread of which nothing can be told now, all is 0. */
struct os_thread_state {
        bool      gone;
        bool      blocks_signal;
        bool      pending;              /* the signal was sent and has not come */
        uintptr_t sp;                   /* in a system call: its stack pointer; else 0 */
};
void weir__os_thread_state(int tid, int sig, struct os_thread_state *ret);

/* The end of the stack that sp is on, of a thread of the C library; tcb is its weir__arch_tcb(), 0
 * when not known. What the C library keeps of the thread itself lies below it too. */
uintptr_t weir__os_stack_end(uintptr_t sp, int tid, uintptr_t tcb);

/* Calls fn for the writable memory of each loaded image. `locked` is called first, with the
 * loader's lock held, so that none can come or go from then on until this returns. */
void weir__os_globals(void (*locked)(void *arg),
                      void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg);

/* The same for the thread-local variables of the thread whose weir__arch_tcb() is tcb, as the last
 * call of weir__os_globals saw them; those of libraries loaded later lie in malloc's memory. */
void weir__os_tls(uintptr_t tcb, void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg);

/* ---- sockets ---- */

/* One non-blocking transfer; bytes or -errno. Not points of thread cancellation, unlike the C
 * library's, which pays two locked instructions for being one. weir__os_send never raises
 * SIGPIPE. */
ssize_t weir__os_recv(int fd, void *buf, size_t len);
ssize_t weir__os_send(int fd, const void *buf, size_t len);

/* The same as recv, and *ret_left is what TCP still has to read. */
ssize_t weir__os_recv_left(int fd, void *buf, size_t len, int *ret_left);

/* Makes weir__os_recv_left work for fd. False: no TCP, or a kernel before 4.18. */
bool weir__os_recv_left_enable(int fd);

/* ---- poller ---- */

/* HANGUP: the other end is gone, or sent urgent data, at which a read ends early. */
enum { OS_POLL_READ = 1, OS_POLL_WRITE = 2, OS_POLL_HANGUP = 4 };

struct os_event {
        void    *data;          /* as given at add; NULL: weir__os_poll_interrupt */
        unsigned what;          /* OS_POLL_* */
};

/* Makes the process's poller. Once, at start. */
int weir__os_poll_init(void);

/* Watches fd, edge triggered, both directions, until it is closed or removed.
 * -EPERM: this kind of file cannot be polled. */
int  weir__os_poll_add(int fd, void *data);
void weir__os_poll_remove(int fd);

/* Waits up to ns nanoseconds (0: looks only; < 0: for ever; blocks) for events. Answers how many;
 * 0 after the time or an interruption. From: one thread at a time with ns != 0. */
int weir__os_poll_wait(struct os_event *events, int max, int64_t ns);

/* Makes the thread that blocks in weir__os_poll_wait, or the next that would, return at once. */
void weir__os_poll_interrupt(void);

/* In the child of a fork: closes the poller, which is the parent's. */
void weir__os_poll_forked(void);

/* ---- loaded images ---- */

/* Where the unwind table of the image holding pc is, for weir__arch_unwind. */
struct os_image {
        uintptr_t   base;               /* what its addresses are relative to */
        const char *path;               /* as the loader names it; "" for the program itself */
        const void *eh_frame_hdr;       /* its PT_GNU_EH_FRAME, or NULL */
        uintptr_t   text_low, text_high;
};

/* Finds the loaded image that holds pc. False: none does. Takes the loader's lock. */
bool weir__os_image_find(const void *pc, struct os_image *ret);

/* Whose code an address is in. Safe in signal handlers. */
enum os_text {
        OS_TEXT_OTHER,          /* another library, or nothing known */
        OS_TEXT_PROGRAM,        /* the program's own */
        OS_TEXT_RUNTIME,        /* libweir's */
        OS_TEXT_SYSTEM,         /* the C and C++ libraries, the loader, the kernel's page */
};
enum os_text weir__os_text_of(const void *pc);

/* Learns that. Once, at start. False: it cannot be told here. */
bool weir__os_text_init(void);

/* Finds the function that holds pc by the symbol table of its image on disk. Writes its name and
 * the distance of pc from its start. False: not known. Needs no malloc. */
bool weir__os_symbol_find(const void *pc, char *ret_name, size_t size, size_t *ret_offset);

/* In the child of a fork: nobody is looking for one any more. */
void weir__os_symbol_forked(void);

#endif
