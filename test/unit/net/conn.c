/* Connections: deadlines, closing, messages and guesses about what is left to read. */
#include "ends.h"
#include <signal.h>
#include <sys/socket.h>

/* ---- deadlines ---- */

WEIR_TEST(a_past_deadline_fails_at_once_and_clearing_it_heals)
{
        weir_conn *a, *b;
        char       buf[8];

        connect_pair("tcp", &a, &b);
        ck_assert_int_eq(weir_conn_write(b, "abc", 3), 3);
        ck_assert_int_eq(weir_conn_set_deadline(a, 1), 0);
        ck_assert_int_eq(weir_conn_read(a, buf, sizeof buf), WEIR_ETIMEOUT);
        ck_assert_int_eq(weir_conn_write(a, buf, 1), WEIR_ETIMEOUT);
        ck_assert_int_eq(weir_conn_set_read_deadline(a, 0), 0);
        ck_assert_int_eq(weir_conn_read(a, buf, sizeof buf), 3);
        ck_assert_int_eq(weir_conn_write(a, buf, 1), WEIR_ETIMEOUT);
        ck_assert_int_eq(weir_conn_set_write_deadline(a, weir_now() + 100 * WEIR_SECOND), 0);
        ck_assert_int_eq(weir_conn_write(a, buf, 1), 1);
}

WEIR_TEST(a_deadline_wakes_who_waits_and_is_not_early)
{
        weir_conn *a, *b;
        char       buf[8];
        weir_time  due;

        connect_pair("tcp", &a, &b);
        for (int i = 0; i < 10; i++) {
                due = weir_now() + 3 * WEIR_MILLISECOND;
                weir_conn_set_read_deadline(a, due);
                ck_assert_int_eq(weir_conn_read(a, buf, sizeof buf), WEIR_ETIMEOUT);
                ck_assert(weir_now() >= due);
        }
}

WEIR_TEST(a_deadline_may_be_moved_while_somebody_waits)
{
        weir_conn     *a, *b;
        struct outcome o = { 0 };
        weir_wg        wg = { 0 };

        connect_pair("tcp", &a, &b);
        weir_wg_add(&wg, 1);
        weir_conn_set_read_deadline(a, weir_now() + 20 * WEIR_MILLISECOND);
        weir_go(reader, .c = a, .o = &o, .wg = &wg);
        wait_until_parked_or("IO read", 1, &o.done);
        weir_conn_set_read_deadline(a, weir_now() + 3600 * WEIR_SECOND);
        weir_sleep(30 * WEIR_MILLISECOND);      /* beyond the first one */
        if (__atomic_load_n(&o.done, __ATOMIC_RELAXED)) /* it took us that long to move it */
                test_skip("the machine is too slow");
        weir_conn_set_read_deadline(a, 1);
        weir_wg_wait(&wg);
        ck_assert_int_eq(o.result, WEIR_ETIMEOUT);
}

WEIR_TEST(a_cleared_deadline_does_not_fire)
{
        weir_conn     *a, *b;
        struct outcome o = { 0 };
        weir_wg        wg = { 0 };

        connect_pair("tcp", &a, &b);
        weir_wg_add(&wg, 1);
        weir_conn_set_deadline(a, weir_now() + 2 * WEIR_MILLISECOND);
        weir_conn_set_deadline(a, 0);
        weir_go(reader, .c = a, .o = &o, .wg = &wg);
        weir_sleep(10 * WEIR_MILLISECOND);
        ck_assert_int_eq(weir_conn_write(b, "abc", 3), 3);
        weir_wg_wait(&wg);
        ck_assert_int_eq(o.result, 3);
}

/* ---- closing ---- */

WEIR_TEST(closing_wakes_reader_and_writer)
{
        weir_conn     *a, *b;
        struct outcome o[2] = { { 0 } };
        weir_wg        wg = { 0 };
        char           c;

        connect_pair("tcp", &a, &b);
        weir_wg_add(&wg, 2);
        weir_go(reader, .c = a, .o = &o[0], .wg = &wg);
        weir_go(writer, .c = a, .len = 64 << 20, .o = &o[1], .wg = &wg);
        wait_until_parked("IO read", 1);
        wait_until_parked("IO write", 1);
        ck_assert_int_eq(weir_conn_close(a), 0);
        weir_wg_wait(&wg);
        ck_assert_int_eq(o[0].result, WEIR_ECLOSED);
        ck_assert_int_eq(o[1].result, WEIR_ECLOSED);
        ck_assert_int_eq(weir_conn_close(a), WEIR_ECLOSED);
        ck_assert_int_eq(weir_conn_read(a, &c, 1), WEIR_ECLOSED);
        ck_assert_int_eq(weir_conn_write(a, &c, 1), WEIR_ECLOSED);
        ck_assert_int_eq(weir_conn_shutdown(a, SHUT_WR), WEIR_ECLOSED);
        ck_assert_int_eq(weir_conn_set_deadline(a, 1), WEIR_ECLOSED);
        ck_assert_int_eq(weir_conn_fd(a), WEIR_ECLOSED);
        ck_assert_int_eq(weir_conn_close(NULL), 0);
}

WEIR_TEST(a_closed_connection_stays_closed_while_others_come)
{
        weir_conn *a, *b, *c, *d;

        connect_pair("tcp", &a, &b);
        weir_conn_close(a);
        for (int i = 0; i < 200; i++) {
                connect_pair("unix", &c, &d);
                ck_assert_int_eq(weir_conn_close(a), WEIR_ECLOSED);
                ck_assert_int_eq(weir_conn_close(c), 0);
                ck_assert_int_eq(weir_conn_close(d), 0);
        }
}

WEIR_TEST(the_end_of_the_stream_comes_after_the_data)
{
        static const char *const networks[] = { "tcp", "unix" };
        char                     buf[16];

        for (int i = 0; i < 2; i++) {
                weir_conn *a, *b;

                connect_pair(networks[i], &a, &b);
                ck_assert_int_eq(weir_conn_write(a, "data", 4), 4);
                ck_assert_int_eq(weir_conn_shutdown(a, SHUT_WR), 0);
                ck_assert_int_eq(weir_conn_read(b, buf, sizeof buf), 4);
                ck_assert_int_eq(weir_conn_read(b, buf, sizeof buf), 0);
                ck_assert_int_eq(weir_conn_read(b, buf, sizeof buf), 0);
                ck_assert_int_eq(weir_conn_write(b, "still", 5), 5);
                ck_assert_int_eq(weir_conn_read(a, buf, sizeof buf), 5);
                ck_assert_int_eq(weir_conn_shutdown(a, 77), -EINVAL);
        }
}

WEIR_TEST(sigpipe_is_never_raised)
{
        static const char *const networks[] = { "tcp", "unix" };
        weir_conn               *a, *b;
        char                     big[100000] = { 0 };
        ssize_t                  n = 0;
        int                      fd[2];

        signal(SIGPIPE, SIG_DFL);
        for (int i = 0; i < 2; i++) {
                connect_pair(networks[i], &a, &b);
                weir_conn_close(b);
                for (int k = 0; k < 1000 && n >= 0; k++)
                        n = weir_conn_write(a, big, sizeof big);
                ck_assert(n == -EPIPE || n == -ECONNRESET);
                n = weir_conn_write(a, big, 1);
                ck_assert_int_eq(n, -EPIPE);
                n = 0;
        }
        ck_assert_int_eq(pipe(fd), 0);
        ck_assert_int_eq(weir_fd_open(fd[1], &a), 0);
        close(fd[0]);
        ck_assert_int_eq(weir_conn_write(a, big, 1), -EPIPE);
}

/* ---- messages and guesses about what is left ---- */

weir_task(send_pieces, my, { weir_conn *c; size_t piece; int count; bool close; })
{
        char buf[4096];

        for (int i = 0; i < my->count; i++) {
                memset(buf, i, sizeof buf);
                ck_assert_int_eq(weir_conn_write(my->c, buf, my->piece), (ssize_t)my->piece);
                if (i % 3 == 0)
                        weir_yield();
        }
        if (my->close)
                ck_assert_int_eq(weir_conn_close(my->c), 0);
}

/* Reads that fill their buffer exactly, with more behind, and with the end behind. */
static void exact_messages(const char *network)
{
        enum { PIECE = 64, COUNT = 2000 };
        weir_conn *a, *b;
        char       buf[PIECE];

        connect_pair(network, &a, &b);
        weir_go(send_pieces, .c = a, .piece = PIECE, .count = COUNT, .close = true);
        for (int i = 0; i < COUNT; i++) {
                read_exactly(b, buf, sizeof buf);
                ck_assert_int_eq(buf[0], (char)i);
                ck_assert_int_eq(buf[PIECE - 1], (char)i);
        }
        ck_assert_int_eq(weir_conn_read(b, buf, sizeof buf), 0);
        ck_assert_int_eq(weir_conn_close(b), 0);
}

WEIR_TEST_WITH(messages_of_the_buffers_length_all_arrive_and_then_the_end, .procs = 2)
{
        for (int i = 0; i < 10; i++) {
                exact_messages("tcp");
                exact_messages("unix");
        }
}

/* Ping-pong, so that the reader learns to ask TCP what is left, and then two messages at once. */
WEIR_TEST_WITH(more_data_behind_an_exact_read_is_seen, .procs = 1)
{
        weir_conn *a, *b;
        char       buf[128] = "x";

        connect_pair("tcp", &a, &b);
        for (int i = 0; i < 20; i++) {
                ck_assert_int_eq(weir_conn_write(a, buf, 64), 64);
                ck_assert_int_eq(weir_conn_read(b, buf, 64), 64);
                weir_conn_set_read_deadline(b, weir_now() + WEIR_MILLISECOND / 4);
                ck_assert_int_eq(weir_conn_read(b, buf, 64), WEIR_ETIMEOUT);
                weir_conn_set_read_deadline(b, 0);
        }
        for (int i = 0; i < 20; i++) {
                ck_assert_int_eq(weir_conn_write(a, buf, 128), 128);
                ck_assert_int_eq(weir_conn_write(a, buf, 64), 64);
                for (int k = 0; k < 3; k++)
                        read_exactly(b, buf, 64);
        }
        ck_assert_int_eq(weir_conn_write(a, buf, 64), 64);
        weir_conn_close(a);
        read_exactly(b, buf, 64);
        ck_assert_int_eq(weir_conn_read(b, buf, 64), 0);
}

weir_task(send_urgent, my, { weir_conn *c; })
{
        int fd = weir_conn_fd(my->c);

        ck_assert_int_eq(send(fd, "abc!", 4, MSG_OOB | MSG_MORE), 4);   /* one segment */
        ck_assert_int_eq(send(fd, "def", 3, 0), 3);
}

/* A read may end early although more is there: at a byte of urgent data. */
WEIR_TEST_WITH(data_behind_urgent_data_is_read, .procs = 1)
{
        weir_conn *a, *b;
        char       buf[64];

        connect_pair("tcp", &a, &b);
        for (int i = 0; i < 3; i++) {
                size_t got = 0;

                weir_go(send_urgent, .c = a);
                weir_conn_set_read_deadline(b, weir_now() + 3 * WEIR_SECOND);
                while (got < 6) {
                        ssize_t n = weir_conn_read(b, buf + got, sizeof buf - got);

                        ck_assert_msg(n > 0, "read after %zu bytes: %s", got, weir_error_name((int)n));
                        got += (size_t)n;
                }
                ck_assert(!memcmp(buf, "abcdef", 6));
        }
}

static void send_with_descriptor(int fd, const char *text)
{
        union {
                char           bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control = { { 0 } };
        struct iovec  iov = { (void *)(uintptr_t)text, strlen(text) };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes };
        int           zero = 0;

        *CMSG_FIRSTHDR(&m) = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
                                               .cmsg_len = CMSG_LEN(sizeof zero) };
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &zero, sizeof zero);
        ck_assert_int_eq(sendmsg(fd, &m, 0), (ssize_t)iov.iov_len);
}

/* On Unix sockets a read ends early behind a message that carries descriptors. */
WEIR_TEST(data_behind_passed_descriptors_is_read)
{
        weir_conn *a, *b;
        char       buf[64];
        size_t     got = 0;

        connect_pair("unix", &a, &b);
        for (int i = 0; i < 5; i++)
                send_with_descriptor(weir_conn_fd(a), "abc");
        weir_conn_set_read_deadline(b, weir_now() + 3 * WEIR_SECOND);
        while (got < 15) {
                ssize_t n = weir_conn_read(b, buf + got, sizeof buf - got);

                ck_assert_msg(n > 0, "read after %zu bytes: %s", got, weir_error_name((int)n));
                got += (size_t)n;
        }
}

weir_task(slow_reader, my, { weir_conn *c; size_t bytes; weir_wg *wg; })
{
        static char buf[65536];
        size_t      got = 0;
        ssize_t     n;

        while ((n = weir_conn_read(my->c, buf, sizeof buf)) > 0) {
                for (ssize_t i = 0; i < n; i += 4096)
                        ck_assert_int_eq(buf[i], (char)((got + (size_t)i) / 1000));
                got += (size_t)n;
                if (got % 16 == 0)
                        weir_sleep(50 * WEIR_MICROSECOND);
        }
        ck_assert_int_eq(n, 0);
        ck_assert_uint_eq(got, my->bytes);
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(a_long_write_to_a_slow_reader_is_whole, .procs = 2, .timeout = 30)
{
        enum { BYTES = 24 << 20 };
        static const char *const networks[] = { "tcp", "unix" };
        char                    *buf = malloc(BYTES);

        for (size_t i = 0; i < BYTES; i++)
                buf[i] = (char)(i / 1000);
        for (int i = 0; i < 2; i++) {
                weir_conn *a, *b;
                weir_wg    wg = { 0 };

                connect_pair(networks[i], &a, &b);
                weir_wg_add(&wg, 1);
                weir_go(slow_reader, .c = b, .bytes = BYTES, .wg = &wg);
                ck_assert_int_eq(weir_conn_write(a, buf, BYTES), BYTES);
                weir_conn_close(a);
                weir_wg_wait(&wg);
        }
        free(buf);
}

weir_task(turn_reader, my, { weir_conn *c; int *messages; weir_wg *wg; })
{
        int v;

        while (weir_conn_read(my->c, &v, sizeof v) == sizeof v)
                ++*my->messages;
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(several_readers_take_turns, .procs = 4)
{
        weir_conn *a, *b;
        weir_wg    wg = { 0 };
        int        messages[4] = { 0 }, sum = 0;

        connect_pair("tcp", &a, &b);
        weir_wg_add(&wg, 4);
        for (int i = 0; i < 4; i++)
                weir_go(turn_reader, .c = b, .messages = &messages[i], .wg = &wg);
        for (int i = 0; i < 3000; i++) {
                ck_assert_int_eq(weir_conn_write(a, &i, sizeof i), sizeof i);
                if (i % 100 == 0)
                        weir_sleep(100 * WEIR_MICROSECOND);
        }
        weir_conn_close(a);
        weir_wg_wait(&wg);
        for (int i = 0; i < 4; i++)
                sum += messages[i];
        ck_assert_int_eq(sum, 3000);
}

WEIR_TEST_WITH(long_writes_are_not_mixed, .procs = 4, .timeout = 20)
{
        enum { LENGTH = 300000, WRITERS = 4 };
        weir_conn     *a, *b;
        struct outcome o[WRITERS] = { { 0 } };
        weir_wg        wg = { 0 };
        static char    buf[LENGTH];

        connect_pair("tcp", &a, &b);
        weir_wg_add(&wg, WRITERS);
        for (int i = 0; i < WRITERS; i++)
                weir_go(writer, .c = a, .len = LENGTH, .o = &o[i], .wg = &wg);
        for (int i = 0; i < WRITERS; i++)
                read_exactly(b, buf, LENGTH);
        weir_wg_wait(&wg);
        for (int i = 0; i < WRITERS; i++)
                ck_assert_int_eq(o[i].result, LENGTH);
}

/* ---- a deadline that is set while the connection is closed under it ---- */

weir_task(set_deadlines, my, { weir_conn *c; weir_wg *wg; })
{
        while (weir_conn_set_deadline(my->c, weir_now() + 3600 * WEIR_SECOND) == 0)
                weir_yield();
        weir_wg_done(my->wg);
}

/* A deadline must not outlive its connection: the record is used again, and would then time out a
 * stranger's read. */
WEIR_TEST_WITH(no_deadline_outlives_its_connection, .procs = 4, .timeout = 30)
{
        for (int i = 0; i < 400; i++) {
                weir_conn *a, *b;
                weir_wg    wg = { 0 };

                connect_pair("unix", &a, &b);
                weir_wg_add(&wg, 2);
                weir_go(set_deadlines, .c = a, .wg = &wg);
                weir_go(set_deadlines, .c = a, .wg = &wg);
                for (int k = 0; k < i % 20; k++)
                        weir_yield();
                weir_conn_close(a);
                weir_conn_close(b);
                weir_wg_wait(&wg);
                ck_assert_int_eq(timers_waiting(), 0);
        }
}
