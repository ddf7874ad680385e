/* The poller on epoll.
 *
 * What    One epoll instance per process, edge triggered, each descriptor registered once for both
 *         directions; an eventfd interrupts a blocked wait.
 * Order   interrupt() raises `pending` before it writes the eventfd, and only the first of many
 *         writes; the waiter reads the eventfd before it lowers `pending`. A second interrupt
 *         between the two is seen, because the waiter returns anyway.
 *         What its owner wrote before add() is seen by who gets an event: the kernel's locks do
 *         that, and the thread sanitizer, which does not know epoll_pwait2, is told.
 * Cost    epoll_pwait2 takes nanoseconds, so a timer under a millisecond is not a millisecond late;
 *         where the kernel (before 5.11, or Valgrind) does not have it, milliseconds are rounded
 *         up. */
#include "os/os.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#if WEIR_TSAN
#include <sanitizer/tsan_interface.h>
#define announce_add(data)   __tsan_release(data)
#define announce_event(data) __tsan_acquire(data)
#else
#define announce_add(data)   ((void)(data))
#define announce_event(data) ((void)(data))
#endif

static int      poll_fd = -1, event_fd = -1;    /* const after init */
static uint32_t pending;                        /* atomic: an interrupt is under way */
static bool     no_pwait2;                      /* atomic: learned from ENOSYS */

int weir__os_poll_init(void)
{
        struct epoll_event ev = { .events = EPOLLIN };
        int                r;

        poll_fd = epoll_create1(EPOLL_CLOEXEC);
        event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (poll_fd < 0 || event_fd < 0 || epoll_ctl(poll_fd, EPOLL_CTL_ADD, event_fd, &ev) < 0) {
                r = -weir__os_errno_get();
                close(poll_fd);
                close(event_fd);
                poll_fd = event_fd = -1;
                return r;
        }
        return 0;
}

/* After a failure: whether the two descriptors are still what they were. A program that closes all
 * it does not know would otherwise wait for ever, or watch somebody else's descriptor. */
static slowpath void check_own(void)
{
        struct epoll_event ev = { .events = EPOLLIN };
        struct out         o = { .fd = STDERR_FILENO };
        int                keep = weir__os_errno_get();

        if (epoll_ctl(poll_fd, EPOLL_CTL_MOD, event_fd, &ev) < 0) {
                weir__out_print(&o, "fatal: the program closed a descriptor that is not its own: "
                                    "weir's poller has %d and %d\n", poll_fd, event_fd);
                weir__out_flush(&o);
                _exit(2);
        }
        weir__os_errno_set(keep);
}

int weir__os_poll_add(int fd, void *data)
{
        struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
                                  .data.ptr = data };

        announce_add(data);
        if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &ev) == 0)
                return 0;
        check_own();
        return -weir__os_errno_get();
}

void weir__os_poll_remove(int fd)
{
        struct epoll_event ev = { 0 };

        (void)epoll_ctl(poll_fd, EPOLL_CTL_DEL, fd, &ev);
}

static int wait_events(struct epoll_event *ev, int max, int64_t ns)
{
        int64_t ms;

        if (ns > 0 && !load_relaxed(&no_pwait2)) {
                struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
                long            r = syscall(SYS_epoll_pwait2, poll_fd, ev, max, &ts, NULL, 0L);

                if (r >= 0 || weir__os_errno_get() != ENOSYS)
                        return (int)r;
                store_relaxed(&no_pwait2, true);
        }
        ms = ns <= 0 ? ns : ns / 1000000 + (ns % 1000000 != 0);
        return epoll_wait(poll_fd, ev, max, (int)MIN(MAX(ms, -1), 1000000000));
}

static unsigned translate(uint32_t e)
{
        unsigned what = 0;

        if (e & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
                what |= OS_POLL_READ;
        if (e & (EPOLLOUT | EPOLLHUP | EPOLLERR))
                what |= OS_POLL_WRITE;
        if (e & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
                what |= OS_POLL_HANGUP;
        return what;
}

int weir__os_poll_wait(struct os_event *events, int max, int64_t ns)
{
        struct epoll_event ev[128];
        int                keep = weir__os_errno_get(), count = 0, n;

        n = wait_events(ev, MIN(max, (int)COUNT(ev)), ns);
        if (unlikely(n < 0) && weir__os_errno_get() != EINTR)
                check_own();
        for (int i = 0; i < n; i++) {
                announce_event(ev[i].data.ptr ? ev[i].data.ptr : &pending);
                if (!ev[i].data.ptr) {
                        uint64_t drained;

                        /* Only the blocked waiter answers an interrupt; a passing look leaves
                         * it. */
                        if (ns != 0) {
                                (void)!read(event_fd, &drained, sizeof drained);
                                store_seq(&pending, 0);
                        }
                        continue;
                }
                events[count++] = (struct os_event){ ev[i].data.ptr, translate(ev[i].events) };
        }
        weir__os_errno_set(keep);
        return count;
}

void weir__os_poll_interrupt(void)
{
        int      keep = weir__os_errno_get();
        uint64_t one = 1;

        if (!exchange_seq(&pending, 1))
                (void)!write(event_fd, &one, sizeof one);
        weir__os_errno_set(keep);
}

void weir__os_poll_forked(void)
{
        int keep = weir__os_errno_get();

        if (poll_fd >= 0) {
                close(poll_fd);
                close(event_fd);
        }
        poll_fd = event_fd = -1;
        weir__os_errno_set(keep);
}
