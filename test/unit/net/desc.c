/* Descriptors from outside. */
#include "ends.h"
#include <fcntl.h>
#include <sys/socket.h>

WEIR_TEST(a_pipe_can_be_read_and_written)
{
        weir_conn     *in, *out;
        struct outcome o = { 0 };
        weir_wg        wg = { 0 };
        char           buf[8];
        int            fd[2];

        ck_assert_int_eq(pipe(fd), 0);
        ck_assert_int_eq(weir_fd_open(fd[0], &in), 0);
        ck_assert_int_eq(weir_fd_open(fd[1], &out), 0);
        ck_assert_int_eq(weir_conn_fd(in), fd[0]);
        weir_wg_add(&wg, 1);
        weir_go(reader, .c = in, .o = &o, .wg = &wg);
        wait_until_parked("IO read", 1);
        ck_assert_int_eq(weir_conn_write(out, "abc", 3), 3);
        weir_wg_wait(&wg);
        ck_assert_int_eq(o.result, 3);
        ck_assert_int_eq(weir_conn_shutdown(in, SHUT_WR), -ENOTSOCK);
        weir_wg_add(&wg, 1);
        weir_go(writer, .c = out, .len = 1 << 20, .o = &o, .wg = &wg);
        wait_until_parked("IO write", 1);
        for (size_t left = 1 << 20; left;) {
                char    big[5000];
                ssize_t n = weir_conn_read(in, big, sizeof big);

                ck_assert_int_gt(n, 0);
                left -= (size_t)n;
        }
        weir_wg_wait(&wg);
        ck_assert_int_eq(o.result, 1 << 20);
        weir_conn_close(out);
        ck_assert_int_eq(weir_conn_read(in, buf, sizeof buf), 0);
        weir_conn_close(in);
        ck_assert_int_eq(fcntl(fd[0], F_GETFD), -1);
}

WEIR_TEST(closing_a_duplicated_descriptor_wakes_its_reader)
{
        weir_conn     *in;
        struct outcome o = { 0 };
        weir_wg        wg = { 0 };
        int            fd[2], copy;

        ck_assert_int_eq(pipe(fd), 0);
        copy = dup(fd[0]);
        ck_assert_int_eq(weir_fd_open(fd[0], &in), 0);
        weir_wg_add(&wg, 1);
        weir_go(reader, .c = in, .o = &o, .wg = &wg);
        wait_until_parked("IO read", 1);
        weir_conn_close(in);
        weir_wg_wait(&wg);
        ck_assert_int_eq(o.result, WEIR_ECLOSED);
        ck_assert_int_eq(write(fd[1], "x", 1), 1);      /* an event of the copy hits nobody */
        weir_sleep(WEIR_MILLISECOND);
        close(copy);
}

WEIR_TEST(a_regular_file_stays_the_callers_and_as_it_was)
{
        char       path[] = "/tmp/weir-unit-XXXXXX";
        int        fd = mkstemp(path), dir = open("/tmp", O_RDONLY), none;
        weir_conn *c = UNTOUCHED;

        unlink(path);
        ck_assert_int_eq(weir_fd_open(fd, &c), -EPERM);
        ck_assert_int_eq(weir_fd_open(dir, &c), -EPERM);
        ck_assert_int_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
        ck_assert_int_eq(write(fd, "x", 1), 1);
        none = fcntl(fd, F_DUPFD, 700);         /* a number that no file is opened with meanwhile */
        close(fd);
        close(none);
        ck_assert_int_eq(weir_fd_open(none, &c), -EBADF);
        ck_assert_int_eq(weir_fd_open(-1, &c), -EBADF);
        ck_assert_ptr_eq(c, UNTOUCHED);
}

WEIR_TEST(reading_and_writing_nothing_is_no_end)
{
        weir_conn *a, *b;

        connect_pair("tcp", &a, &b);
        ck_assert_int_eq(weir_conn_write(a, NULL, 0), 0);
        ck_assert_int_eq(weir_conn_read(b, NULL, 0), 0);
        ck_assert_int_eq(weir_conn_write(a, "x", 1), 1);
        ck_assert_int_eq(weir_conn_read(b, &(char){ 0 }, 1), 1);
}

WEIR_TEST(errno_is_left_alone)
{
        weir_conn     *a, *b, *c;
        weir_listener *ln;
        char           buf[4];
        int            fd[2];

        connect_pair("tcp", &a, &b);
        errno = 4711;
        weir_net_listen("tcp", "no-such-host.invalid:80", NULL, &ln);
        ck_assert_int_eq(errno, 4711);
        weir_net_listen("tcp", "127.0.0.1:nosuchservice", NULL, &ln);
        ck_assert_int_eq(errno, 4711);
        weir_net_dial("tcp", "127.0.0.1:nosuchservice", NULL, &c);
        ck_assert_int_eq(errno, 4711);
        weir_conn_set_read_deadline(a, weir_now() + WEIR_MILLISECOND);
        weir_conn_read(a, buf, sizeof buf);
        weir_conn_shutdown(a, 77);
        ck_assert_int_eq(errno, 4711);
        weir_fd_open(-1, &c);
        ck_assert_int_eq(errno, 4711);
        ck_assert_int_eq(pipe(fd), 0);
        ck_assert_int_eq(weir_fd_open(fd[0], &c), 0);
        weir_conn_shutdown(c, SHUT_RD);
        weir_conn_close(c);
        weir_conn_close(a);
        weir_conn_close(b);
        ck_assert_int_eq(errno, 4711);
        ck_assert_int_eq(weir_net_listen("unix", "errno.sock", NULL, &ln), 0);
        ck_assert_int_eq(unlink("errno.sock"), 0);
        weir_listener_close(ln);                        /* finds its file gone */
        ck_assert_int_eq(errno, 4711);
}
