/* Many connections at once over loopback TCP and Unix sockets. Most echo a random number of bytes
 * in random pieces, written by one goroutine and read by another, half-closed at the end, and get
 * back exactly what they sent. Others are closed under their readers and writers, or meet
 * deadlines; these may fail, but only in the documented ways. At the end every descriptor and every
 * timer is gone. */
#include "stress.h"
#include <fcntl.h>
#include <sys/socket.h>

enum { CONNECTIONS = 24, BYTES_MAX = 200000 };

struct sum {
        uint64_t bytes, hash;
};

static void add(struct sum *s, const unsigned char *p, size_t n)
{
        for (size_t i = 0; i < n; i++)
                s->hash = (s->hash ^ p[i]) * UINT64_C(0x100000001B3);
        s->bytes += n;
}

static bool expected_failure(ssize_t r)
{
        return r == WEIR_ECLOSED || r == WEIR_ETIMEOUT || r == -ECONNRESET || r == -EPIPE;
}

/* ---- server ---- */

weir_task(echo, my, { weir_conn *c; uint64_t rand; })
{
        unsigned char buf[3000];
        ssize_t       n;

        for (;;) {
                n = weir_conn_read(my->c, buf, 1 + stress_below(&my->rand, sizeof buf));
                if (n <= 0)
                        break;
                n = weir_conn_write(my->c, buf, (size_t)n);
                if (n < 0)
                        break;
        }
        must_say(n >= 0 || expected_failure(n), "%s", weir_error_name((int)n));
        must(weir_conn_close(my->c) == 0);
        must(weir_conn_close(my->c) == WEIR_ECLOSED);
}

weir_task(server, my, { weir_listener *ln; uint64_t rand; })
{
        weir_conn *c;
        weir_wg    wg = { 0 };
        int        r;

        while ((r = weir_listener_accept(my->ln, &c)) == 0)
                weir_wg_go(&wg, echo, .c = c, .rand = stress_rand(&my->rand));
        must_say(r == WEIR_ECLOSED, "accept: %s", weir_error_name(r));
        weir_wg_wait(&wg);
}

/* ---- clients ---- */

weir_task(writer, my, { weir_conn *c; uint64_t rand; size_t bytes; bool careful; struct sum *sum; })
{
        unsigned char buf[5000];
        ssize_t       r = 0;

        while (my->sum->bytes < my->bytes) {
                size_t n = 1 + stress_below(&my->rand, sizeof buf);

                if (n > my->bytes - my->sum->bytes)
                        n = my->bytes - my->sum->bytes;
                for (size_t i = 0; i < n; i++)
                        buf[i] = (unsigned char)stress_rand(&my->rand);
                r = weir_conn_write(my->c, buf, n);
                if (r < 0)
                        break;
                must((size_t)r == n);
                add(my->sum, buf, n);
        }
        must_say(r >= 0 || (!my->careful && expected_failure(r)), "write: %s", weir_error_name((int)r));
        /* Also after a failure: the echo must end, or the reader would wait for more. */
        r = weir_conn_shutdown(my->c, SHUT_WR);
        must_say(r >= 0 || (!my->careful && (r == WEIR_ECLOSED || r == -ENOTCONN)), "shutdown: %s",
                 weir_error_name((int)r));
}

static ssize_t read_all(weir_conn *c, uint64_t *rand, struct sum *s)
{
        unsigned char buf[4000];
        ssize_t       n;

        while ((n = weir_conn_read(c, buf, 1 + stress_below(rand, sizeof buf))) > 0)
                add(s, buf, (size_t)n);
        return n;
}

weir_task(closer, my, { weir_conn *c; weir_duration after; })
{
        weir_sleep(my->after);
        must(weir_conn_close(my->c) == 0);
}

/* Moves the deadlines about while the connection is used, and perhaps closed. */
weir_task(hurrier, my, { weir_conn *c; uint64_t rand; })
{
        for (int i = 0; i < 20; i++) {
                weir_duration d = (weir_duration)stress_below(&my->rand, 2000) * WEIR_MICROSECOND;
                weir_time     when = stress_below(&my->rand, 4) ? weir_now() + d : 0;
                int           r;

                switch (stress_below(&my->rand, 3)) {
                case 0:
                        r = weir_conn_set_deadline(my->c, when);
                        break;
                case 1:
                        r = weir_conn_set_read_deadline(my->c, when);
                        break;
                default:
                        r = weir_conn_set_write_deadline(my->c, when);
                        break;
                }
                must(r == 0 || r == WEIR_ECLOSED);
                if (r < 0)
                        return;
                weir_sleep((weir_duration)stress_below(&my->rand, 300) * WEIR_MICROSECOND);
        }
}

enum kind { CAREFUL, CLOSED, HURRIED, KINDS };

weir_task(client, my, { const char *network, *address; uint64_t rand; })
{
        enum kind  kind = stress_below(&my->rand, 2) ? CAREFUL : stress_below(&my->rand, KINDS);
        struct sum sent = { 0 }, got = { 0 };
        weir_wg    wg = { 0 };
        weir_conn *c = NULL;
        ssize_t    n;
        int        r;

        /* A Unix listener whose queue is full says so at once. */
        while ((r = weir_net_dial(my->network, my->address, NULL, &c)) == -EAGAIN)
                weir_yield();
        must_say(r == 0, "dial %s: %s", my->address, weir_error_name(r));
        weir_wg_go(&wg, writer, .c = c, .rand = stress_rand(&my->rand),
                   .bytes = stress_below(&my->rand, BYTES_MAX), .careful = kind == CAREFUL, .sum = &sent);
        if (kind == HURRIED)
                weir_wg_go(&wg, hurrier, .c = c, .rand = stress_rand(&my->rand));
        if (kind == CLOSED || (kind == HURRIED && stress_below(&my->rand, 2)))
                weir_wg_go(&wg, closer, .c = c,
                           .after = (weir_duration)stress_below(&my->rand, 3000) * WEIR_MICROSECOND);
        else
                kind = kind == CLOSED ? CAREFUL : kind;
        n = read_all(c, &my->rand, &got);
        if (kind == CAREFUL)
                must_say(n == 0, "read: %s", weir_error_name((int)n));
        else
                must_say(n == 0 || expected_failure(n), "read: %s", weir_error_name((int)n));
        if (n < 0)
                weir_conn_shutdown(c, SHUT_RDWR);       /* lets the writer go */
        weir_wg_wait(&wg);
        if (kind == CAREFUL)
                must_say(got.bytes == sent.bytes && got.hash == sent.hash, "%llu bytes sent, %llu back",
                         (unsigned long long)sent.bytes, (unsigned long long)got.bytes);
        r = weir_conn_close(c);
        must(r == 0 || r == WEIR_ECLOSED);
        must(weir_conn_read(c, &(char){ 0 }, 1) == WEIR_ECLOSED);
}

/* ---- rounds ---- */

static long metric(const char *name)
{
        char  *text = NULL, *at;
        size_t n = 0;
        FILE  *f = open_memstream(&text, &n);
        long   v;

        weir_metric_write(f);
        fclose(f);
        at = strstr(text, name);
        while (at && at[-1] != '\n')            /* not the HELP or TYPE line */
                at = strstr(at + 1, name);
        must_say(at != NULL, "no metric %s", name);
        v = strtol(at + strlen(name), NULL, 10);
        free(text);
        return v;
}

static void round_of(void)
{
        static const char *const networks[] = { "tcp", "unix" };
        weir_listener           *ln[2];
        weir_wg                  servers = { 0 }, clients = { 0 };
        char                     address[2][128], wanted[64];
        unsigned                 n = 1 + stress_below(&stress_state, CONNECTIONS);

        for (int i = 0; i < 2; i++) {
                snprintf(wanted, sizeof wanted, "@weir-stress-%d-%u", getpid(),
                         stress_below(&stress_state, 1000000));
                must(weir_net_listen(networks[i], i ? wanted : "127.0.0.1:0", NULL, &ln[i]) == 0);
                must(weir_listener_address(ln[i], address[i], sizeof address[i]) > 0);
                weir_wg_go(&servers, server, .ln = ln[i], .rand = stress_rand(&stress_state));
        }
        for (unsigned i = 0; i < n; i++)
                weir_wg_go(&clients, client, .network = networks[i % 2], .address = address[i % 2],
                           .rand = stress_rand(&stress_state));
        weir_wg_wait(&clients);
        for (int i = 0; i < 2; i++)
                must(weir_listener_close(ln[i]) == 0);
        weir_wg_wait(&servers);
        must(metric("weir_descriptors_opened_total ") == metric("weir_descriptors_closed_total "));
        must_say(metric("weir_timers ") == 0, "%ld timers are left", metric("weir_timers "));
}

WEIR_MAIN(argc, argv)
{
        stress_begin(argc, argv);
        while (stress_more())
                round_of();
        return 0;
}
