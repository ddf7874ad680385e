/* What weir asks of the kernel. */
#include "check.h"
#include "os/os.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- memory ---- */

PLAIN_TEST(mapped_memory_is_zero_and_can_be_forgotten)
{
        enum { SIZE = 1 << 20 };
        char *p = weir__os_map(SIZE);

        ck_assert_ptr_nonnull(p);
        for (size_t i = 0; i < SIZE; i += 997)
                ck_assert_int_eq(p[i], 0);
        memset(p, 1, SIZE);
        weir__os_forget(p + 4096, 8192);
        ck_assert_int_eq(p[4095], 1);
        ck_assert_int_eq(p[4096], 0);
        ck_assert_int_eq(p[12287], 0);
        ck_assert_int_eq(p[12288], 1);
        weir__os_unmap(p, SIZE);
        ck_assert_uint_eq(weir__os_peek(&(char){ 0 }, p, 1), 0);
        ck_assert_ptr_null(weir__os_map(SIZE_MAX / 2));
}

static int signal_of_touch(volatile char *p)
{
        int   status;
        pid_t child;

        fflush(NULL);
        child = fork();
        if (child == 0) {
                signal(SIGSEGV, SIG_DFL);
                *p = 1;
                _exit(0);
        }
        waitpid(child, &status, 0);
        return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

/* The better guard is there from Linux 6.13 on. */
static void guard_any(char *p, size_t size)
{
        if (weir__os_guard(p, size) < 0)
                ck_assert_int_eq(weir__os_protect(p, size, true), 0);
}

PLAIN_TEST(a_guard_cannot_be_touched)
{
        char *p = weir__os_map(16 * 4096);

        guard_any(p + 4096, 2 * 4096);
        p[4095] = 1;
        p[3 * 4096] = 1;
        ck_assert_int_ne(signal_of_touch(p + 4096), 0);
        ck_assert_int_ne(signal_of_touch(p + 3 * 4096 - 1), 0);
        ck_assert_int_eq(signal_of_touch(p), 0);
}

PLAIN_TEST(a_peek_copies_up_to_what_is_not_there)
{
        enum { PAGES = 8 };
        char *p = weir__os_map(PAGES * 4096), *to = weir__os_map(PAGES * 4096);

        for (int i = 0; i < PAGES * 4096; i++)
                p[i] = (char)(i % 251);
        guard_any(p + 5 * 4096, 4096);
        errno = 4711;
        ck_assert_uint_eq(weir__os_peek(to, p + 100, 5 * 4096), 5 * 4096 - 100);
        ck_assert(!memcmp(to, p + 100, 5 * 4096 - 100));
        ck_assert_uint_eq(weir__os_peek(to, p + 5 * 4096 - 3, 10), 3);
        ck_assert_uint_eq(weir__os_peek(to, p + 5 * 4096, 10), 0);
        ck_assert_uint_eq(weir__os_peek(to, NULL, 10), 0);
        ck_assert_uint_eq(weir__os_peek(to, (void *)(UINTPTR_MAX - 3), 10), 0);
        ck_assert_uint_eq(weir__os_peek(to, p, 0), 0);
        ck_assert_int_eq(errno, 4711);
}

/* ---- threads, futexes ---- */

PLAIN_TEST(a_futex_wait_ends_by_time_by_value_or_by_wake)
{
        uint32_t word = 5;
        int64_t  since = weir__os_now();

        ck_assert(!weir__os_futex_wait(&word, 5, 3000000));
        ck_assert(weir__os_now() - since >= 3000000);
        ck_assert(weir__os_futex_wait(&word, 6, -1));           /* another value: at once */
}

static void set_and_wake(void *arg)
{
        uint32_t *word = arg;

        store_seq(word, 1);
        weir__os_futex_wake(word, 1);
}

PLAIN_TEST(a_started_thread_wakes_its_starter)
{
        uint32_t word = 0;

        ck_assert_int_eq(weir__os_thread_start(set_and_wake, &word, 256 * 1024), 0);
        while (!load_seq(&word))
                weir__os_futex_wait(&word, 0, -1);
        ck_assert_int_ge(weir__os_thread_count(), 1);
        ck_assert_int_eq(weir__os_thread_id(), getpid());
}

PLAIN_TEST(the_stack_of_a_thread_holds_its_locals)
{
        char *low, *high, local;

        weir__os_thread_stack(&low, &high);
        ck_assert(low < &local && &local < high);
}

PLAIN_TEST(the_cpu_limit_is_within_the_affinity)
{
        cpu_set_t set;

        ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
        ck_assert_uint_ge(weir__os_cpu_limit(), 1);
        ck_assert_uint_le(weir__os_cpu_limit(), (unsigned)CPU_COUNT(&set));
        for (int i = 0; i < CPU_SETSIZE; i++)
                if (CPU_ISSET(i, &set)) {
                        CPU_ZERO(&set);
                        CPU_SET(i, &set);
                        break;
                }
        ck_assert_int_eq(sched_setaffinity(0, sizeof set, &set), 0);
        ck_assert_uint_eq(weir__os_cpu_limit(), 1);
}

/* ---- signals ---- */

static volatile sig_atomic_t handled_old, handled_new;
static struct sigaction      old_action;

static void old_handler(int sig)
{
        handled_old = sig;
}

static void new_handler(int sig, siginfo_t *info, void *context)
{
        handled_new = sig;
        weir__os_signal_chain(sig, info, context, &old_action);
}

PLAIN_TEST(a_handler_passes_signals_on_to_the_one_before)
{
        signal(SIGUSR1, old_handler);
        ck_assert_int_eq(weir__os_signal_install(SIGUSR1, new_handler, &old_action), 0);
        raise(SIGUSR1);
        ck_assert_int_eq(handled_new, SIGUSR1);
        ck_assert_int_eq(handled_old, SIGUSR1);
        signal(SIGUSR2, SIG_IGN);
        ck_assert_int_eq(weir__os_signal_install(SIGUSR2, new_handler, &old_action), 0);
        raise(SIGUSR2);                                 /* ignored as before: we live */
        ck_assert_int_eq(handled_new, SIGUSR2);
        ck_assert_int_eq(weir__os_signal_install(1000, new_handler, &old_action), -EINVAL);
}

PLAIN_TEST(a_chain_to_the_default_ends_the_process)
{
        int   status;
        pid_t child;

        fflush(NULL);
        child = fork();
        if (child == 0) {
                signal(SIGTERM, SIG_DFL);
                weir__os_signal_install(SIGTERM, new_handler, &old_action);
                raise(SIGTERM);
                _exit(0);
        }
        waitpid(child, &status, 0);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

/* ---- the poller ---- */

static void *interrupt(void *arg)
{
        (void)arg;
        for (int i = 0; i < 100; i++)
                weir__os_poll_interrupt();
        return NULL;
}

PLAIN_TEST(an_interrupt_ends_the_next_wait_for_ever)
{
        struct os_event ev[4];
        pthread_t       t;

        ck_assert_int_eq(weir__os_poll_init(), 0);
        for (int i = 0; i < 50; i++) {
                weir__os_poll_interrupt();
                weir__os_poll_interrupt();
                ck_assert_int_eq(weir__os_poll_wait(ev, 4, 0), 0);      /* a look leaves it */
                ck_assert_int_eq(weir__os_poll_wait(ev, 4, -1), 0);     /* would hang otherwise */
        }
        pthread_create(&t, NULL, interrupt, NULL);
        ck_assert_int_eq(weir__os_poll_wait(ev, 4, -1), 0);
        pthread_join(t, NULL);
}

PLAIN_TEST(events_come_once_per_edge)
{
        struct os_event ev[4];
        int             fd[2], tag, n;
        char            buf[8];

        ck_assert_int_eq(weir__os_poll_init(), 0);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
        ck_assert_int_eq(weir__os_poll_add(fd[0], &tag), 0);
        ck_assert_int_eq(weir__os_poll_wait(ev, 4, -1), 1);
        ck_assert_ptr_eq(ev[0].data, &tag);
        ck_assert_uint_eq(ev[0].what, OS_POLL_WRITE);
        ck_assert_int_eq(weir__os_poll_wait(ev, 4, 1000), 0);
        ck_assert_int_eq(write(fd[1], "x", 1), 1);
        ck_assert_int_eq(weir__os_poll_wait(ev, 4, -1), 1);
        ck_assert(ev[0].what & OS_POLL_READ);
        ck_assert_int_eq(weir__os_poll_wait(ev, 4, 0), 0);              /* no new edge */
        ck_assert_int_eq(read(fd[0], buf, sizeof buf), 1);
        close(fd[1]);
        n = weir__os_poll_wait(ev, 4, -1);
        ck_assert(n == 1 && (ev[0].what & OS_POLL_HANGUP) && (ev[0].what & OS_POLL_READ));
        weir__os_poll_remove(fd[0]);
        close(fd[0]);
}

PLAIN_TEST(a_wait_takes_its_time)
{
        struct os_event ev[4];

        ck_assert_int_eq(weir__os_poll_init(), 0);
        for (int i = 0; i < 5; i++) {
                int64_t since = weir__os_now();

                ck_assert_int_eq(weir__os_poll_wait(ev, 4, 700000), 0);
                ck_assert(weir__os_now() - since >= 700000);
        }
}

PLAIN_TEST(regular_files_cannot_be_polled)
{
        int fd = open("/proc/self/exe", O_RDONLY);

        ck_assert_int_eq(weir__os_poll_init(), 0);
        ck_assert_int_eq(weir__os_poll_add(fd, &fd), -EPERM);
        ck_assert_int_eq(weir__os_poll_add(-1, &fd), -EBADF);
}

/* ---- images and symbols ---- */

static int hidden_function(int n)
{
        return n * 3;
}

PLAIN_TEST(functions_are_found_by_address)
{
        const char *at = (const char *)(uintptr_t)hidden_function;
        char        name[64];
        size_t      offset;

        ck_assert(weir__os_symbol_find(at + 1, name, sizeof name, &offset));
        ck_assert_str_eq(name, "hidden_function");
        ck_assert_uint_eq(offset, 1);
        ck_assert(weir__os_symbol_find(at, name, 5, &offset));
        ck_assert_str_eq(name, "hidd");
        ck_assert(weir__os_symbol_find((char *)(uintptr_t)getpid, name, sizeof name, &offset));
        ck_assert_msg(strstr(name, "getpid") != NULL, "%s", name);
        ck_assert(!weir__os_symbol_find(name, name, sizeof name, &offset));     /* the stack */
        ck_assert(!weir__os_symbol_find(NULL, name, sizeof name, &offset));
        ck_assert(!weir__os_symbol_find(at, name, 0, &offset));
        ck_assert_int_eq(hidden_function(2), 6);
}

PLAIN_TEST(images_are_found_by_address)
{
        struct os_image own, libc;

        ck_assert(weir__os_image_find((char *)(uintptr_t)hidden_function, &own));
        ck_assert(weir__os_image_find((char *)(uintptr_t)getpid, &libc));
        ck_assert_str_eq(own.path, "");
        ck_assert(strstr(libc.path, "libc"));
        ck_assert(own.base != libc.base && own.eh_frame_hdr && libc.eh_frame_hdr);
        ck_assert((uintptr_t)hidden_function >= own.text_low && (uintptr_t)hidden_function < own.text_high);
        ck_assert(!weir__os_image_find(&own, &libc));
}

PLAIN_TEST(transfers_answer_with_codes)
{
        char buf[4];
        int  fd[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
        ck_assert_int_eq(weir__os_recv(fd[0], buf, sizeof buf), -EAGAIN);
        ck_assert_int_eq(weir__os_send(fd[1], "abc", 3), 3);
        ck_assert_int_eq(weir__os_recv(fd[0], buf, sizeof buf), 3);
        ck_assert(!weir__os_recv_left_enable(fd[0]));
        close(fd[1]);
        ck_assert_int_eq(weir__os_recv(fd[0], buf, sizeof buf), 0);
        ck_assert_int_eq(weir__os_send(fd[0], "abc", 3), -EPIPE);
        ck_assert_int_eq(weir__os_recv(-1, buf, sizeof buf), -EBADF);
}
