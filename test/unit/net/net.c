/* Listening and dialling, sockets of Unix, contexts that end either. */
#include "ends.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/un.h>

/* ---- listen and dial ---- */

WEIR_TEST(a_taken_port_is_refused)
{
        char           text[64];
        weir_listener *ln = listen_on("tcp", "127.0.0.1:0", text, sizeof text), *second = UNTOUCHED;

        ck_assert_int_eq(weir_net_listen("tcp", text, NULL, &second), -EADDRINUSE);
        ck_assert_ptr_eq(second, UNTOUCHED);
        weir_listener_close(ln);
        ck_assert_int_eq(weir_net_listen("tcp", text, NULL, &second), 0);
        weir_listener_close(second);
}

WEIR_TEST(a_refused_dial_leaves_its_output_alone)
{
        char           text[64];
        weir_listener *ln = listen_on("tcp", "127.0.0.1:0", text, sizeof text);
        weir_conn     *c = UNTOUCHED;

        weir_listener_close(ln);
        errno = 4711;
        ck_assert_int_eq(weir_net_dial("tcp", text, NULL, &c), -ECONNREFUSED);
        ck_assert_int_eq(weir_net_dial("tcp", "", NULL, &c), -EINVAL);
        ck_assert_int_eq(weir_net_dial("unix", "/nonexistent/socket", NULL, &c), -ENOENT);
        ck_assert_int_eq(weir_net_dial("unix", "@weir-nobody-listens", NULL, &c), -ECONNREFUSED);
        ck_assert_int_eq(weir_net_listen("unix", "/nonexistent/socket", NULL, &ln), -ENOENT);
        ck_assert_int_eq(weir_net_listen("tcp", "203.0.113.1:80", NULL, &ln), -EADDRNOTAVAIL);
        ck_assert_ptr_eq(c, UNTOUCHED);
        ck_assert_int_eq(errno, 4711);
}

WEIR_TEST(closing_wakes_acceptors)
{
        char           text[64];
        weir_listener *ln = listen_on("tcp", "127.0.0.1:0", text, sizeof text);
        struct outcome o[3] = { { 0 } };
        weir_conn     *c = UNTOUCHED;
        weir_wg        wg = { 0 };

        weir_wg_add(&wg, 3);
        for (int i = 0; i < 3; i++)
                weir_go(acceptor, .ln = ln, .o = &o[i], .wg = &wg);
        wait_until_parked("IO accept", 1);
        ck_assert_int_eq(weir_listener_close(ln), 0);
        weir_wg_wait(&wg);
        for (int i = 0; i < 3; i++)
                ck_assert_int_eq(o[i].result, WEIR_ECLOSED);
        ck_assert_int_eq(weir_listener_close(ln), WEIR_ECLOSED);
        ck_assert_int_eq(weir_listener_accept(ln, &c), WEIR_ECLOSED);
        ck_assert_ptr_eq(c, UNTOUCHED);
        ck_assert_int_eq(weir_listener_close(NULL), 0);
}

/* With a number of processors that is given: else the monitor may have a file open while the lowest
 * free descriptor is looked for, and close it later. */
WEIR_TEST_WITH(without_descriptors_accept_says_so_and_recovers, .procs = 2)
{
        char           text[64];
        weir_listener *ln = listen_on("tcp", "127.0.0.1:0", text, sizeof text);
        struct rlimit  old, low;
        weir_conn     *a[2], *b = UNTOUCHED;
        int            spare;

        ck_assert_int_eq(weir_net_dial("tcp", text, NULL, &a[0]), 0);
        ck_assert_int_eq(weir_net_dial("tcp", text, NULL, &a[1]), 0);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
        spare = dup(0);
        low = (struct rlimit){ .rlim_cur = (rlim_t)spare, .rlim_max = old.rlim_max };
        close(spare);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
        ck_assert_int_eq(weir_listener_accept(ln, &b), -EMFILE);
        ck_assert_int_eq(weir_net_dial("tcp", text, NULL, &b), -EMFILE);
        ck_assert_ptr_eq(b, UNTOUCHED);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
        for (int i = 0; i < 2; i++) {
                ck_assert_int_eq(weir_listener_accept(ln, &b), 0);
                ck_assert_int_eq(weir_conn_write(b, "hello", 5), 5);
        }
}

/* ---- Unix sockets ---- */

static const char *socket_path(void)
{
        static char path[64];

        snprintf(path, sizeof path, "/tmp/weir-unit-%d.sock", getpid());
        return path;
}

WEIR_TEST(a_unix_listener_removes_its_file)
{
        char           text[128];
        weir_listener *ln = listen_on("unix", socket_path(), text, sizeof text), *second = UNTOUCHED;
        weir_conn     *c;

        ck_assert_str_eq(text, socket_path());
        ck_assert_int_eq(access(socket_path(), F_OK), 0);
        ck_assert_int_eq(weir_net_listen("unix", socket_path(), NULL, &second), -EADDRINUSE);
        ck_assert_ptr_eq(second, UNTOUCHED);
        ck_assert_int_eq(weir_net_dial("unix", socket_path(), NULL, &c), 0);
        weir_conn_close(c);
        weir_listener_close(ln);
        ck_assert_int_ne(access(socket_path(), F_OK), 0);
}

WEIR_TEST(a_stale_socket_file_is_replaced)
{
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        int                fd = socket(AF_UNIX, SOCK_STREAM, 0);
        char               text[128];
        weir_listener     *ln;

        strcpy(un.sun_path, socket_path());
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
        close(fd);                              /* and the file stays */
        ln = listen_on("unix", socket_path(), text, sizeof text);
        weir_listener_close(ln);
        ck_assert_int_ne(access(socket_path(), F_OK), 0);
}

WEIR_TEST(what_is_no_socket_is_not_replaced)
{
        int            fd = open(socket_path(), O_CREAT | O_RDWR, 0600);
        weir_listener *ln = UNTOUCHED;

        close(fd);
        ck_assert_int_eq(weir_net_listen("unix", socket_path(), NULL, &ln), -EADDRINUSE);
        ck_assert_int_eq(unlink(socket_path()), 0);
        ck_assert_ptr_eq(ln, UNTOUCHED);
}

WEIR_TEST(a_file_that_took_the_place_of_ours_stays)
{
        char           text[128];
        weir_listener *ln = listen_on("unix", socket_path(), text, sizeof text);
        char           other[80];

        snprintf(other, sizeof other, "%s.other", socket_path());
        close(open(other, O_CREAT | O_RDWR, 0600));
        ck_assert_int_eq(rename(other, socket_path()), 0);
        weir_listener_close(ln);
        ck_assert_int_eq(unlink(socket_path()), 0);
}

WEIR_TEST(abstract_names_have_no_file)
{
        char           text[128], wanted[64];
        weir_listener *ln;
        weir_conn     *c;

        snprintf(wanted, sizeof wanted, "@weir/unit/%d", getpid());
        ln = listen_on("unix", wanted, text, sizeof text);
        ck_assert_str_eq(text, wanted);
        ck_assert_int_eq(weir_net_dial("unix", wanted, NULL, &c), 0);
        weir_conn_close(c);
        weir_listener_close(ln);
        ck_assert_int_eq(weir_net_dial("unix", wanted, NULL, &c), -ECONNREFUSED);
}

/* ---- contexts ---- */

weir_task(cancel_soon, my, { weir_ctx *ctx; weir_duration after; })
{
        weir_sleep(my->after);
        weir_ctx_cancel(my->ctx);
}

WEIR_TEST(the_end_of_its_context_ends_every_accept)
{
        weir_ctx        *ctx = weir_ctx_with_cancel(NULL);
        weir_net_options opt = { .ctx = ctx };
        weir_listener   *ln;
        weir_conn       *c, *a;
        char             address[64];

        ck_assert_int_eq(weir_net_listen("tcp", "127.0.0.1:0", &opt, &ln), 0);
        weir_listener_address(ln, address, sizeof address);
        ck_assert_int_eq(weir_net_dial("tcp", address, &opt, &c), 0);
        ck_assert_int_eq(weir_listener_accept(ln, &a), 0);
        weir_go(cancel_soon, .ctx = ctx, .after = WEIR_MILLISECOND);
        ck_assert_int_eq(weir_listener_accept(ln, &a), WEIR_ECANCELED);
        ck_assert_int_eq(weir_listener_accept(ln, &a), WEIR_ECANCELED);
        ck_assert_int_eq(weir_conn_write(c, "x", 1), 1);        /* made, and on its own */
        ck_assert_int_eq(weir_listener_close(ln), 0);
        ck_assert_int_eq(weir_listener_accept(ln, &a), WEIR_ECLOSED);
        ck_assert_int_eq(weir_net_listen("tcp", "127.0.0.1:0", &opt, &ln), WEIR_ECANCELED);
        ck_assert_int_eq(weir_net_dial("tcp", address, &opt, &c), WEIR_ECANCELED);
}

WEIR_TEST(a_listener_leaves_its_context_when_it_is_closed)
{
        weir_net_options opt = { .ctx = weir_ctx_with_cancel(NULL) };
        weir_listener   *ln[50];

        for (int i = 0; i < 50; i++)
                ck_assert_int_eq(weir_net_listen("tcp", "127.0.0.1:0", &opt, &ln[i]), 0);
        for (int i = 0; i < 50; i += 2)
                weir_listener_close(ln[i]);
        weir_ctx_cancel(opt.ctx);
        for (int i = 1; i < 50; i += 2)
                weir_listener_close(ln[i]);
}

/* A backlog that is full leaves a connect waiting. */
WEIR_TEST_WITH(the_end_of_a_context_ends_a_dial, .timeout = 30)
{
        int                fd = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t          size = sizeof in;
        char               address[64];
        weir_conn         *c[16];
        int                r = 0, n = 0;

        ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, size), 0);
        ck_assert_int_eq(listen(fd, 1), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &size), 0);
        snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(in.sin_port));
        while (r >= 0 && n < 16) {
                weir_net_options opt = { .ctx = weir_ctx_with_timeout(NULL, 50 * WEIR_MILLISECOND) };

                r = weir_net_dial("tcp", address, &opt, &c[n]);
                n += r >= 0;
        }
        ck_assert_int_eq(r, WEIR_ETIMEOUT);
        if (r < 0) {
                weir_net_options opt = { .ctx = weir_ctx_with_cancel(NULL) };

                weir_go(cancel_soon, .ctx = opt.ctx, .after = 5 * WEIR_MILLISECOND);
                ck_assert_int_eq(weir_net_dial("tcp", address, &opt, &c[15]), WEIR_ECANCELED);
        }
        while (n)
                weir_conn_close(c[--n]);
        close(fd);
        ck_assert_int_eq(timers_waiting(), 0);
}

WEIR_TEST(a_name_is_looked_up_beside_a_context)
{
        weir_net_options opt = { .ctx = weir_ctx_with_timeout(NULL, 60 * WEIR_SECOND) };
        weir_listener   *ln;
        weir_conn       *c;
        char             address[64], named[80];

        ck_assert_int_eq(weir_net_listen("tcp", "127.0.0.1:0", NULL, &ln), 0);
        weir_listener_address(ln, address, sizeof address);
        snprintf(named, sizeof named, "localhost%s", strchr(address, ':'));
        ck_assert_int_eq(weir_net_dial("tcp", named, &opt, &c), 0);
        weir_conn_close(c);
        ck_assert_int_lt(weir_net_dial("tcp", "no-such-host.invalid:1", &opt, &c), 0);
        weir_listener_close(ln);
}
