/* Addresses, listeners, connections, deadlines, closing, descriptors from outside. */
#include "check.h"
#include "net/address.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define UNTOUCHED ((void *)(uintptr_t)0x5a5a5a5a)

/* ---- helpers ---- */

static weir_listener *listen_on(const char *network, const char *wanted, char *ret, size_t size)
{
        weir_listener *ln;
        int            r = weir_net_listen(network, wanted, NULL, &ln);

        ck_assert_msg(r == 0, "listen on %s: %s", wanted, weir_error_name(r));
        r = weir_listener_address(ln, ret, size);
        ck_assert_msg(r > 0 && (size_t)r == strlen(ret), "address: %d", r);
        return ln;
}

/* Two ends of a TCP connection. */
static void connect_pair(const char *network, weir_conn **ret_a, weir_conn **ret_b)
{
        char           address[128], wanted[64];
        weir_listener *ln;
        int            r;

        snprintf(wanted, sizeof wanted, "@weir-unit-%d", getpid());
        ln = listen_on(network, strcmp(network, "tcp") ? wanted : "127.0.0.1:0", address, sizeof address);
        r = weir_net_dial(network, address, NULL, ret_a);
        ck_assert_msg(r == 0, "dial: %s", weir_error_name(r));
        ck_assert_int_eq(weir_listener_accept(ln, ret_b), 0);
        ck_assert_int_eq(weir_listener_close(ln), 0);
}

static void read_exactly(weir_conn *c, void *buf, size_t len)
{
        for (size_t done = 0; done < len;) {
                ssize_t n = weir_conn_read(c, (char *)buf + done, len - done);

                ck_assert_msg(n > 0, "read: %s", weir_error_name((int)n));
                done += (size_t)n;
        }
}

static char *dump_text(void)
{
        char  *text = NULL;
        size_t n = 0;
        FILE  *f = open_memstream(&text, &n);

        weir_dump(f);
        fclose(f);
        return text;
}

/* Lets others run until n goroutines are parked for the reason. */
/* Or until *done, if that is given: who was to be looked at is through already. */
static void wait_until_parked_or(const char *why, int n, const bool *done)
{
        while (!done || !__atomic_load_n(done, __ATOMIC_RELAXED)) {
                char *text = dump_text();
                int   found = 0;

                for (char *at = text; (at = strstr(at, why)); at++)
                        found++;
                free(text);
                if (found >= n)
                        return;
                weir_sleep(WEIR_MILLISECOND / 4);
        }
}

static void wait_until_parked(const char *why, int n)
{
        wait_until_parked_or(why, n, NULL);
}

struct outcome {
        ssize_t result;
        bool    done;
};

weir_task(reader, my, { weir_conn *c; struct outcome *o; weir_wg *wg; })
{
        char buf[64];

        my->o->result = weir_conn_read(my->c, buf, sizeof buf);
        __atomic_store_n(&my->o->done, true, __ATOMIC_RELAXED);
        weir_wg_done(my->wg);
}

weir_task(writer, my, { weir_conn *c; size_t len; struct outcome *o; weir_wg *wg; })
{
        char *buf = calloc(1, my->len);

        my->o->result = weir_conn_write(my->c, buf, my->len);
        my->o->done = true;
        free(buf);
        weir_wg_done(my->wg);
}

weir_task(acceptor, my, { weir_listener *ln; struct outcome *o; weir_wg *wg; })
{
        weir_conn *c = UNTOUCHED;

        my->o->result = weir_listener_accept(my->ln, &c);
        ck_assert(my->o->result == 0 || c == UNTOUCHED);
        my->o->done = true;
        weir_wg_done(my->wg);
}

/* ---- addresses ---- */

WEIR_TEST(addresses_are_parsed)
{
        static const struct {
                const char *network, *text;
                int         result;             /* 1: one address; 0: any error */
                const char *back;               /* its text, passive */
        } table[] = {
                { "tcp", "127.0.0.1:80", 1, "127.0.0.1:80" },
                { "tcp", "127.0.0.1:0", 1, "127.0.0.1:0" },
                { "tcp", "127.0.0.1:65535", 1, "127.0.0.1:65535" },
                { "tcp", ":80", 1, "0.0.0.0:80" },
                { "tcp", "[::1]:80", 1, "[::1]:80" },
                { "tcp", "[2001:DB8:0:0:0:0:0:1]:443", 1, "[2001:db8::1]:443" },
                { "tcp", "[::ffff:1.2.3.4]:1", 1, "[::ffff:1.2.3.4]:1" },
                { "tcp", "", -EINVAL, NULL },
                { "tcp", "127.0.0.1", -EINVAL, NULL },
                { "tcp", "127.0.0.1:", -EINVAL, NULL },
                { "tcp", ":", -EINVAL, NULL },
                { "tcp", "127.0.0.1:65536", -EINVAL, NULL },
                { "tcp", "127.0.0.1:99999999999999999999", -EINVAL, NULL },
                { "tcp", "::1:80", -EINVAL, NULL },
                { "tcp", "a:b:80", -EINVAL, NULL },
                { "tcp", "[::1:80", -EINVAL, NULL },
                { "tcp", "[::1]", -EINVAL, NULL },
                { "tcp", "[::1]80", -EINVAL, NULL },
                { "tcp", "[", -EINVAL, NULL },
                { "tcp", "[:", -EINVAL, NULL },
                { "tcp", "[:80", -EINVAL, NULL },
                { "tcp", "127.0.0.1:-1", 0, NULL },
                { "tcp", "127.0.0.1:no-such-service", 0, NULL },
                { "udp", "127.0.0.1:80", -EPROTONOSUPPORT, NULL },
                { "", "127.0.0.1:80", -EPROTONOSUPPORT, NULL },
                { "unix", "/tmp/a", 1, "/tmp/a" },
                { "unix", "@a:b", 1, "@a:b" },
                { "unix", "", -EINVAL, NULL },
        };
        struct address list[ADDRESSES_MAX];
        char           text[300], longer[300];

        for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
                int r = weir__address_parse(table[i].network, table[i].text, true, list);

                ck_assert_msg(table[i].result ? r == table[i].result : r < 0, "%s: %d", table[i].text, r);
                if (!table[i].back)
                        continue;
                ck_assert_int_eq(weir__address_format(&list[0], text, sizeof text),
                                 (int)strlen(table[i].back));
                ck_assert_str_eq(text, table[i].back);
        }
        ck_assert_int_eq(weir__address_parse("tcp", ":80", false, list), 1);
        weir__address_format(&list[0], text, sizeof text);
        ck_assert_str_eq(text, "127.0.0.1:80");
        memset(longer, 'x', sizeof longer - 1);
        longer[sizeof longer - 1] = 0;
        ck_assert_int_eq(weir__address_parse("unix", longer, true, list), -ENAMETOOLONG);
        memcpy(longer + 290, ":80", 4);
        ck_assert_int_eq(weir__address_parse("tcp", longer, true, list), -EINVAL);
        longer[108] = 0;
        ck_assert_int_eq(weir__address_parse("unix", longer, true, list), -ENAMETOOLONG);
        longer[107] = 0;
        ck_assert_int_eq(weir__address_parse("unix", longer, true, list), 1);
        ck_assert_int_eq(weir__address_format(&list[0], text, sizeof text), 107);
        ck_assert_str_eq(text, longer);
}

/* Random text is an address or a negative code, never anything else. */
WEIR_TEST_WITH(any_text_is_refused_or_taken, .timeout = 30)
{
        static const char alphabet[] = "0123456789.:[]abcdef%/@- ";
        struct address    list[ADDRESSES_MAX];
        uint64_t          rand = 12345;
        char              text[24];

        for (int i = 0; i < 200000; i++) {
                uint32_t n = weir__rand_below(&rand, sizeof text - 1);
                char    *colon;

                for (uint32_t k = 0; k < n; k++)
                        text[k] = alphabet[weir__rand_below(&rand, sizeof alphabet - 1)];
                text[n] = 0;
                /* No questions to name servers: only what looks like a number goes on. */
                colon = strrchr(text, ':');
                if (colon && (strpbrk(text, "%/@- ") || strpbrk(colon, "abcdef")))
                        continue;
                if (colon && colon != text && strspn(text, "0123456789.") != (size_t)(colon - text) &&
                    *text != '[')
                        continue;
                if (colon && *text == '[' && weir__rand_below(&rand, 16))
                        continue;
                ck_assert_int_le(weir__address_parse("unix", text, true, list), 1);
        }
}

WEIR_TEST(the_address_must_fit)
{
        char           text[64];
        weir_listener *ln = listen_on("tcp", "127.0.0.1:0", text, sizeof text);
        size_t         n = strlen(text);
        char           small[64];

        ck_assert_int_eq(weir_listener_address(ln, small, n), -ENOBUFS);
        ck_assert_int_eq(weir_listener_address(ln, small, n + 1), (int)n);
        ck_assert_str_eq(small, text);
        ck_assert_int_eq(weir_listener_close(ln), 0);
        ck_assert_int_eq(weir_listener_address(ln, small, sizeof small), WEIR_ECLOSED);
}

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

/* ---- descriptors from outside ---- */

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

/* ---- a deadline that is set while the connection is closed under it ---- */

static long timers_waiting(void)
{
        char  *text = NULL;
        size_t n = 0;
        FILE  *f = open_memstream(&text, &n);
        long   v;

        weir_metric_write(f);
        fclose(f);
        v = atol(strstr(text, "\nweir_timers ") + strlen("\nweir_timers "));
        free(text);
        return v;
}

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
