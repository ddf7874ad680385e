/* The calls of libc that libweir provides: on a goroutine they give the processor away, end on
 * time, and only signals of the program end them early. */
/* timeout: 60 */
#include "check.h"
#include "sched/state.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MS = 1000000 };

static void need_wrappers(void)
{
        if (WEIR_ASAN || WEIR_TSAN)
                test_skip("the sanitizer has its own calls of these names");
}

weir_task(ticker, my, { bool *stop; uint32_t *ticks; })
{
        while (!load_relaxed(my->stop)) {
                weir_sleep(WEIR_MILLISECOND);
                owner_add(my->ticks, 1);
        }
}

static int pipe_fd[2];

static int by_nanosleep(void)
{
        struct timespec t = { .tv_nsec = 30 * MS };

        return nanosleep(&t, &t);
}

static int by_clock_nanosleep(void)
{
        return clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = 30 * MS }, NULL);
}

static int by_clock_nanosleep_until(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_nsec += 30 * MS;
        if (t.tv_nsec >= 1000000000) {
                t.tv_sec++;
                t.tv_nsec -= 1000000000;
        }
        return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static int by_usleep(void)
{
        return usleep(30000);
}

static int by_poll(void)
{
        return poll(&(struct pollfd){ .fd = pipe_fd[0], .events = POLLIN }, 1, 30);
}

static int by_ppoll(void)
{
        return ppoll(&(struct pollfd){ .fd = pipe_fd[0], .events = POLLIN }, 1,
                     &(struct timespec){ .tv_nsec = 30 * MS }, NULL);
}

static int by_select(void)
{
        return select(0, NULL, NULL, NULL, &(struct timeval){ .tv_usec = 30000 });
}

static int by_pselect(void)
{
        fd_set set;

        FD_ZERO(&set);
        FD_SET(pipe_fd[0], &set);
        return pselect(pipe_fd[0] + 1, &set, NULL, NULL, &(struct timespec){ .tv_nsec = 30 * MS },
                       NULL);
}

static int by_epoll(void)
{
        struct epoll_event ev = { .events = EPOLLIN };
        int                fd = epoll_create1(0), r;

        epoll_ctl(fd, EPOLL_CTL_ADD, pipe_fd[0], &ev);
        r = epoll_wait(fd, &ev, 1, 30);
        close(fd);
        return r;
}

static int by_sigtimedwait(void)
{
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGUSR2);
        return sigtimedwait(&set, NULL, &(struct timespec){ .tv_nsec = 30 * MS }) < 0 &&
               errno == EAGAIN ? 0 : 1;
}

static int by_recv(void)
{
        int            fd[2], r;
        struct timeval t = { .tv_usec = 30000 };
        char           c;

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
        setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
        r = recv(fd[0], &c, 1, 0) < 0 && errno == EAGAIN ? 0 : errno;
        close(fd[0]);
        close(fd[1]);
        return r;
}

static int by_semtimedop(void)
{
        int id = semget(IPC_PRIVATE, 1, 0600), r;

        ck_assert_int_ge(id, 0);
        r = semtimedop(id, &(struct sembuf){ .sem_op = -1 }, 1,
                       &(struct timespec){ .tv_nsec = 30 * MS }) < 0 && errno == EAGAIN ? 0 : errno;
        semctl(id, 0, IPC_RMID);
        return r;
}

static const struct {
        const char *name;
        int       (*call)(void);
} waits[] = {
        { "nanosleep", by_nanosleep },
        { "clock_nanosleep", by_clock_nanosleep },
        { "clock_nanosleep, absolute", by_clock_nanosleep_until },
        { "usleep", by_usleep },
        { "poll", by_poll },
        { "ppoll", by_ppoll },
        { "select", by_select },
        { "pselect", by_pselect },
        { "epoll_wait", by_epoll },
        { "sigtimedwait", by_sigtimedwait },
        { "recv with SO_RCVTIMEO", by_recv },
        { "semtimedop", by_semtimedop },
};

WEIR_TEST_WITH(every_wait_lasts_and_lets_others_run, .procs = 1, .timeout = 20)
{
        bool     stop = false;
        uint32_t ticks = 0;
        weir_wg  wg = { 0 };

        need_wrappers();
        ck_assert_int_eq(pipe(pipe_fd), 0);
        weir_wg_go(&wg, ticker, .stop = &stop, .ticks = &ticks);
        for (size_t i = 0; i < COUNT(waits); i++) {
                weir_time begin = weir_now();
                uint32_t  before = ticks;

                ck_assert_msg(waits[i].call() == 0, "%s", waits[i].name);
                ck_assert_msg(weir_now() - begin >= 30 * WEIR_MILLISECOND, "%s ended early",
                              waits[i].name);
                ck_assert_msg(ticks > before, "%s let nobody run", waits[i].name);
        }
        store_relaxed(&stop, true);
        weir_wg_wait(&wg);
}

/* The runtime's own signal ends none of them; SIGURG without a request is the program's. */
static void *disturb(void *stop)
{
        while (!load_relaxed((bool *)stop)) {
                FILE *f = fopen("/dev/null", "w");

                weir_dump(f);                   /* asks every thread */
                fclose(f);
        }
        return NULL;
}

WEIR_TEST_WITH(the_runtimes_signal_ends_no_wait, .procs = 2, .timeout = 30)
{
        bool      stop = false;
        pthread_t t;

        need_wrappers();
        ck_assert_int_eq(pipe(pipe_fd), 0);
        ck_assert_int_eq(pthread_create(&t, NULL, disturb, &stop), 0);
        for (int round = 0; round < 3; round++)
                for (size_t i = 0; i < COUNT(waits); i++) {
                        weir_time begin = weir_now();

                        ck_assert_msg(waits[i].call() == 0, "%s: errno %d",
                                      waits[i].name, errno);
                        ck_assert_msg(weir_now() - begin >= 30 * WEIR_MILLISECOND, "%s ended early",
                                      waits[i].name);
                }
        store_relaxed(&stop, true);
        pthread_join(t, NULL);
}

static void nothing(int sig)
{
        (void)sig;
}

/* The program's own signals do. */
WEIR_TEST_WITH(the_programs_signal_ends_a_wait, .procs = 2, .timeout = 20)
{
        struct sigaction  sa = { .sa_handler = nothing };
        struct itimerspec in = { .it_value = { .tv_nsec = 20 * MS } };
        struct sigevent   ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
        struct timespec   left;
        timer_t           timer;

        need_wrappers();
        ck_assert_int_eq(sigaction(SIGUSR1, &sa, NULL), 0);
        ev._sigev_un._tid = weir__os_thread_id();
        ck_assert_int_eq(timer_create(CLOCK_MONOTONIC, &ev, &timer), 0);
        ck_assert_int_eq(timer_settime(timer, 0, &in, NULL), 0);
        ck_assert_int_eq(nanosleep(&(struct timespec){ .tv_sec = 10 }, &left), -1);
        ck_assert_int_eq(errno, EINTR);
        ck_assert_int_ge(left.tv_sec, 5);
        timer_delete(timer);
}

/* On threads without a goroutine they are libc's. */
static void *plain(void *arg)
{
        weir_time begin = weir_now();

        *(bool *)arg = !by_nanosleep() && !by_poll() && weir_now() - begin >= 60 * WEIR_MILLISECOND;
        return NULL;
}

PLAIN_TEST(before_the_run_they_are_libcs)
{
        bool ok = false;

        ck_assert_int_eq(pipe(pipe_fd), 0);
        plain(&ok);
        ck_assert(ok);
}

WEIR_TEST(on_a_thread_of_the_program_they_are_libcs)
{
        pthread_t t;
        bool      ok = false;

        ck_assert_int_eq(pipe(pipe_fd), 0);
        ck_assert_int_eq(pthread_create(&t, NULL, plain, &ok), 0);
        ck_assert_int_eq(pthread_join(t, NULL), 0);
        ck_assert(ok);
}

static void *sleep_long(void *arg)
{
        (void)arg;
        sleep(1000);
        return NULL;
}

WEIR_TEST(they_are_points_of_cancellation_there)
{
        pthread_t t;
        void     *r;

        ck_assert_int_eq(pthread_create(&t, NULL, sleep_long, NULL), 0);
        ck_assert_int_eq(pthread_cancel(t), 0);
        ck_assert_int_eq(pthread_join(t, &r), 0);
        ck_assert_ptr_eq(r, PTHREAD_CANCELED);
}
