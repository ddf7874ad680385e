/* The calls of the C library that a signal handler makes return early whatever SA_RESTART says.
 *
 * What    The runtime asks threads by a signal (hold.c); plain C must not notice. Here those calls
 *         are provided again. A call that is made in order to wait gives the processor away first,
 *         like weir_blocking, so that nobody has to ask. One that most often does not wait goes
 *         straight to the system. If it returns EINTR and the runtime's handler ran meanwhile, it
 *         is made again, with the time that is left. Other signals interrupt it as ever.
 * How     libweir comes before libc when a program is linked, so the program's calls come here;
 *         they go on to libc's own function, found by dlsym, which is a point of cancellation and
 *         knows its ABI. Calls that libc makes itself do not come here; those handle EINTR.
 * Cost    On threads without a goroutine: a thread-local load and an indirect call.
 * Not     connect and send with a timeout set on the socket: what they did so far is done, and
 *         making them again means something else; a program that uses SO_SNDTIMEO knows EINTR.
 *         Raw system calls by syscall(2): they are the kernel's.
 *         Under the address and thread sanitizers: these have calls of the same names, and the
 *         runtime asks no threads there. */
#include "sched/state.h"

#if !WEIR_ASAN && !WEIR_TSAN

#include <dlfcn.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef __GLIBC__               /* its headers take any kind of address here */
#define __SOCKADDR_ARG struct sockaddr *
#endif

#pragma weak dlsym              /* a program linked with -static has none, nor needs it */

#define CALLS \
        CALL(nanosleep) CALL(clock_nanosleep) CALL(poll) CALL(ppoll) CALL(select) CALL(pselect) \
        CALL(epoll_wait) CALL(epoll_pwait) CALL(pause) CALL(sigsuspend) CALL(sigtimedwait) \
        CALL(sigwaitinfo) CALL(recv) CALL(recvfrom) CALL(recvmsg) CALL(accept) CALL(accept4) \
        CALL(msgrcv) CALL(msgsnd) CALL(semop) CALL(semtimedop)

/* In a section of their own: whoever is interrupted in libc below one of these is not in the
 * runtime (weir__os_text_of). */
#define PROVIDED __attribute__((section("weir_libc"))) WEIR_API

/* libc's own. */
static struct {
#define CALL(name) __typeof__(&name) name;
        CALLS
#undef CALL
} libc;                         /* const after the constructor below, or the first use before it */

/* Without a dynamic libc, as with -static: the system calls themselves. */
#define RAW(name, ret, params, ...) \
        static ret raw_##name params { return (ret)syscall(__VA_ARGS__); }

enum { SET = 8 };               /* bytes of the kernel's signal sets */
#define S const sigset_t *s
#define T const struct timespec *t

static int raw_clock_nanosleep(clockid_t c, int flags, T, struct timespec *left)
{
        return syscall(SYS_clock_nanosleep, c, flags, t, left) < 0 ? weir__os_errno_get() : 0;
}

static int raw_pselect(int n, fd_set *rd, fd_set *wr, fd_set *ex, T, S)
{
        struct timespec left = t ? *t : (struct timespec){ 0 };         /* the kernel writes it */

        return (int)syscall(SYS_pselect6, n, rd, wr, ex, t ? &left : NULL,
                            &(struct { const void *s; size_t n; }){ s, SET });
}

static int raw_ppoll(struct pollfd *fds, nfds_t n, T, S)
{
        struct timespec left = t ? *t : (struct timespec){ 0 };         /* the same */

        return (int)syscall(SYS_ppoll, fds, n, t ? &left : NULL, s, SET);
}

RAW(nanosleep, int, (T, struct timespec *left), SYS_nanosleep, t, left)
RAW(poll, int, (struct pollfd *fds, nfds_t n, int ms), SYS_poll, fds, n, ms)
RAW(select, int, (int n, fd_set *rd, fd_set *wr, fd_set *ex, struct timeval *t), SYS_select, n, rd,
    wr, ex, t)
RAW(epoll_wait, int, (int fd, struct epoll_event *e, int n, int ms), SYS_epoll_wait, fd, e, n, ms)
RAW(epoll_pwait, int, (int fd, struct epoll_event *e, int n, int ms, S), SYS_epoll_pwait, fd, e, n,
    ms, s, SET)
RAW(pause, int, (void), SYS_pause)
RAW(sigsuspend, int, (S), SYS_rt_sigsuspend, s, SET)
RAW(sigtimedwait, int, (S, siginfo_t *i, T), SYS_rt_sigtimedwait, s, i, t, SET)
RAW(sigwaitinfo, int, (S, siginfo_t *i), SYS_rt_sigtimedwait, s, i, NULL, SET)
RAW(recv, ssize_t, (int fd, void *b, size_t n, int f), SYS_recvfrom, fd, b, n, f, NULL, NULL)
RAW(recvfrom, ssize_t, (int fd, void *b, size_t n, int f, __SOCKADDR_ARG a, socklen_t *l),
    SYS_recvfrom, fd, b, n, f, a, l)
RAW(recvmsg, ssize_t, (int fd, struct msghdr *msg, int f), SYS_recvmsg, fd, msg, f)
RAW(accept, int, (int fd, __SOCKADDR_ARG a, socklen_t *l), SYS_accept, fd, a, l)
RAW(accept4, int, (int fd, __SOCKADDR_ARG a, socklen_t *l, int f), SYS_accept4, fd, a, l, f)
RAW(msgrcv, ssize_t, (int id, void *b, size_t n, long type, int f), SYS_msgrcv, id, b, n, type, f)
RAW(msgsnd, int, (int id, const void *b, size_t n, int f), SYS_msgsnd, id, b, n, f)
RAW(semop, int, (int id, struct sembuf *o, size_t n), SYS_semop, id, o, n)
RAW(semtimedop, int, (int id, struct sembuf *o, size_t n, T), SYS_semtimedop, id, o, n, t)
#undef S
#undef T

#define FIND(name) \
        do { \
                void *fn_ = dlsym ? dlsym(RTLD_NEXT, #name) : NULL; \
                if (fn_) \
                        memcpy(&libc.name, &fn_, sizeof fn_); \
                else \
                        libc.name = raw_##name; \
        } while (0)

static slowpath void find_all(void)
{
#define CALL(name) FIND(name);
        CALLS
#undef CALL
}

#define LIBC(name) (*(unlikely(!libc.name) ? find_all() : (void)0, libc.name))

/* Before anybody calls one from a signal handler. */
__attribute__((constructor)) static void begin_early(void)
{
        find_all();
}

/* ---- around a call ---- */

struct span {
        struct m *m;            /* on a goroutine, else NULL */
        uint32_t  interrupts;
        bool      left;         /* gave the processor away */
};

static struct span begin(bool waits)
{
        struct m   *m = self();
        struct span s = { .m = m && m->g != &m->g0 ? m : NULL };

        if (s.m) {
                s.interrupts = load_relaxed(&m->interrupts);
                s.left = waits && m->p;
                if (s.left)
                        weir__sched_block_enter();
        }
        return s;
}

/* Whether the call that answered r was cut short by the runtime alone. */
static bool again(struct span *s, bool failed)
{
        uint32_t now;

        if (likely(!failed) || !s->m || weir__os_errno_get() != EINTR)
                return false;
        now = load_relaxed(&s->m->interrupts);
        if (now == s->interrupts)
                return false;
        s->interrupts = now;
        return true;
}

static void end(const struct span *s)
{
        int keep;

        if (!s->left)
                return;
        keep = weir__os_errno_get();
        weir__sched_block_exit();
        weir__os_errno_set(keep);
}

/* The call, as often as need be. */
#define CALL_AGAIN(waits, ret, expr) \
        do { \
                struct span span_ = begin(waits); \
                do \
                        ret = (expr); \
                while (again(&span_, ret < 0)); \
                end(&span_); \
        } while (0)

/* ---- sleeping ---- */

PROVIDED int nanosleep(const struct timespec *time, struct timespec *left)
{
        struct timespec rest = { 0 }, *out = left ? left : &rest;
        int             r;

        if (!time)
                return LIBC(nanosleep)(time, left);
        rest = *time;
        CALL_AGAIN(true, r, LIBC(nanosleep)(&rest, out) < 0 ? (rest = *out, -1) : 0);
        return r;
}

PROVIDED int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
                             struct timespec *left)
{
        struct span     s = begin(true);
        struct timespec rest = *time, out = rest;
        int             r;

        for (;;) {
                uint32_t now;

                r = LIBC(clock_nanosleep)(clock, flags, &rest, &out);
                if (r != EINTR)
                        break;
                if (!(flags & TIMER_ABSTIME)) {
                        rest = out;
                        if (left)
                                *left = out;
                }
                if (!s.m || (now = load_relaxed(&s.m->interrupts)) == s.interrupts)
                        break;
                s.interrupts = now;
        }
        end(&s);
        return r;
}

PROVIDED int usleep(useconds_t us)
{
        return nanosleep(&(struct timespec){ .tv_sec = us / 1000000,
                                             .tv_nsec = (long)(us % 1000000) * 1000 }, NULL);
}

PROVIDED unsigned sleep(unsigned seconds)
{
        struct timespec left = { .tv_sec = seconds };

        if (!nanosleep(&left, &left))
                return 0;
        return (unsigned)left.tv_sec + (left.tv_nsec >= 500000000);
}

/* ---- waiting for descriptors ---- */

static int64_t ns_of(const struct timespec *t)
{
        if (t->tv_sec >= INT64_MAX / 1000000000 - 1)
                return INT64_MAX;
        return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* What is left until due, in milliseconds, rounded up as the timeout was given. */
static int left_ms(int64_t due)
{
        int64_t ns = due - weir__os_now();

        return ns > 0 ? (int)MIN((ns + 999999) / 1000000, (int64_t)INT32_MAX) : 0;
}

static struct timespec left_ts(int64_t due)
{
        int64_t ns = MAX(due - weir__os_now(), (int64_t)0);

        return (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}

/* When a wait of that many milliseconds ends; only read after an interruption. */
static int64_t due_ms(int ms)
{
        return weir__os_now() + (int64_t)ms * 1000000;
}

PROVIDED int poll(struct pollfd *fds, nfds_t n, int ms)
{
        int64_t due = ms > 0 ? due_ms(ms) : 0;
        int     r, wait = ms;

        CALL_AGAIN(ms != 0, r, (r = LIBC(poll)(fds, n, wait), wait = ms > 0 ? left_ms(due) : ms, r));
        return r;
}

PROVIDED int epoll_wait(int fd, struct epoll_event *events, int max, int ms)
{
        int64_t due = ms > 0 ? due_ms(ms) : 0;
        int     r, wait = ms;

        CALL_AGAIN(ms != 0, r, (r = LIBC(epoll_wait)(fd, events, max, wait),
                                wait = ms > 0 ? left_ms(due) : ms, r));
        return r;
}

PROVIDED int epoll_pwait(int fd, struct epoll_event *events, int max, int ms, const sigset_t *mask)
{
        int64_t due = ms > 0 ? due_ms(ms) : 0;
        int     r, wait = ms;

        CALL_AGAIN(ms != 0, r, (r = LIBC(epoll_pwait)(fd, events, max, wait, mask),
                                wait = ms > 0 ? left_ms(due) : ms, r));
        return r;
}

static bool waits(const struct timespec *t)
{
        return !t || t->tv_sec || t->tv_nsec;
}

static int64_t due_ts(const struct timespec *t)
{
        int64_t ns = t ? ns_of(t) : INT64_MAX, now;

        if (ns == INT64_MAX)
                return ns;
        now = weir__os_now();
        return ns > INT64_MAX - now ? INT64_MAX : now + ns;
}

PROVIDED int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *time, const sigset_t *mask)
{
        int64_t         due = due_ts(time);
        struct timespec left = time ? *time : (struct timespec){ 0 };
        int             r;

        CALL_AGAIN(waits(time), r, (r = LIBC(ppoll)(fds, n, time ? &left : NULL, mask),
                                    left = left_ts(due), r));
        return r;
}

PROVIDED int pselect(int n, fd_set *rd, fd_set *wr, fd_set *ex, const struct timespec *time,
                     const sigset_t *mask)
{
        int64_t         due = due_ts(time);
        struct timespec left = time ? *time : (struct timespec){ 0 };
        int             r;

        CALL_AGAIN(waits(time), r, (r = LIBC(pselect)(n, rd, wr, ex, time ? &left : NULL, mask),
                                    left = left_ts(due), r));
        return r;
}

/* The kernel writes what is left into *time, and leaves the sets alone when it fails. */
PROVIDED int select(int n, fd_set *rd, fd_set *wr, fd_set *ex, struct timeval *time)
{
        int r;

        CALL_AGAIN(!time || time->tv_sec || time->tv_usec, r, LIBC(select)(n, rd, wr, ex, time));
        return r;
}

/* ---- waiting for signals ---- */

PROVIDED int pause(void)
{
        int r;

        CALL_AGAIN(true, r, LIBC(pause)());
        return r;
}

PROVIDED int sigsuspend(const sigset_t *mask)
{
        int r;

        CALL_AGAIN(true, r, LIBC(sigsuspend)(mask));
        return r;
}

PROVIDED int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
        int r;

        CALL_AGAIN(true, r, LIBC(sigwaitinfo)(set, info));
        return r;
}

PROVIDED int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *time)
{
        int64_t         due = due_ts(time);
        struct timespec left = time ? *time : (struct timespec){ 0 };
        int             r;

        CALL_AGAIN(waits(time), r, (r = LIBC(sigtimedwait)(set, info, time ? &left : NULL),
                                    left = left_ts(due), r));
        return r;
}

/* ---- sockets, which may have a timeout of their own ---- */

/* After the runtime interrupted a receive: waits until the descriptor can be read, at most as long
 * as the socket says, from the first interruption on. False: the time is up, or the program's
 * signal came; errno says so. */
static bool still_in_time(int fd, int64_t *due, struct span *s)
{
        struct timeval t = { 0 };
        socklen_t      n = sizeof t;
        int            r, wait = -1;

        if (getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, &n) || (!t.tv_sec && !t.tv_usec))
                return true;
        if (!*due)
                *due = weir__os_now() + (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000;
        do {
                wait = left_ms(*due);
                r = LIBC(poll)(&(struct pollfd){ .fd = fd, .events = POLLIN | POLLPRI }, 1, wait);
        } while (again(s, r < 0));
        if (!r)
                weir__os_errno_set(EAGAIN);
        return r > 0;
}

#define RECEIVE(ret, fd, expr) \
        do { \
                struct span span_ = begin(false); \
                int64_t     due_ = 0; \
                do \
                        ret = (expr); \
                while (again(&span_, ret < 0) && still_in_time(fd, &due_, &span_)); \
        } while (0)

PROVIDED ssize_t recv(int fd, void *buf, size_t n, int flags)
{
        ssize_t r;

        RECEIVE(r, fd, LIBC(recv)(fd, buf, n, flags));
        return r;
}

PROVIDED ssize_t recvfrom(int fd, void *buf, size_t n, int flags, __SOCKADDR_ARG from,
                          socklen_t *len)
{
        ssize_t r;

        RECEIVE(r, fd, LIBC(recvfrom)(fd, buf, n, flags, from, len));
        return r;
}

PROVIDED ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
        ssize_t r;

        RECEIVE(r, fd, LIBC(recvmsg)(fd, msg, flags));
        return r;
}

PROVIDED int accept(int fd, __SOCKADDR_ARG from, socklen_t *len)
{
        int r;

        RECEIVE(r, fd, LIBC(accept)(fd, from, len));
        return r;
}

PROVIDED int accept4(int fd, __SOCKADDR_ARG from, socklen_t *len, int flags)
{
        int r;

        RECEIVE(r, fd, LIBC(accept4)(fd, from, len, flags));
        return r;
}

/* ---- messages and semaphores of System V ---- */

PROVIDED ssize_t msgrcv(int id, void *msg, size_t n, long type, int flags)
{
        ssize_t r;

        CALL_AGAIN(!(flags & IPC_NOWAIT), r, LIBC(msgrcv)(id, msg, n, type, flags));
        return r;
}

PROVIDED int msgsnd(int id, const void *msg, size_t n, int flags)
{
        int r;

        CALL_AGAIN(false, r, LIBC(msgsnd)(id, msg, n, flags));
        return r;
}

PROVIDED int semop(int id, struct sembuf *ops, size_t n)
{
        int r;

        CALL_AGAIN(false, r, LIBC(semop)(id, ops, n));
        return r;
}

PROVIDED int semtimedop(int id, struct sembuf *ops, size_t n, const struct timespec *time)
{
        int64_t         due = due_ts(time);
        struct timespec left = time ? *time : (struct timespec){ 0 };
        int             r;

        CALL_AGAIN(false, r, (r = LIBC(semtimedop)(id, ops, n, time ? &left : NULL),
                              left = left_ts(due), r));
        return r;
}

#endif
