/* TCP over loopback: clients and server in one process.
 *
 * tcp_echo_64x64  64 connections, one goroutine at either end. A client sends 64 bytes, waits for
 *                 all of them to come back, compares, and goes on. One op is one such round trip
 *                 of any client: two writes and two reads in all.
 *
 *      ns/op       1e9 over this is messages per second
 *      p99-ns      the latency that one message in a hundred exceeds
 *
 * Fair: the same calls on both sides: the server reads into 4 KiB and writes what it got, the
 * client writes 64 bytes and reads until 64 are there (io.ReadFull). Latencies are kept one by one
 * in an array touched beforehand, one clock reading per message. TCP_NODELAY is on, as Go sets it
 * without being asked and weir does too. Connecting and closing lie outside the time. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 64, MESSAGE = 64 };

weir_task(serve, my, { weir_wg *wg; weir_conn *conn; })
{
        char    buf[4096];
        ssize_t n;

        while ((n = weir_conn_read(my->conn, buf, sizeof buf)) > 0)
                if (weir_conn_write(my->conn, buf, (size_t)n) < 0)
                        break;
        weir_conn_close(my->conn);
        weir_wg_done(my->wg);
}

weir_task(accept_all, my, { weir_wg *wg; weir_listener *ln; })
{
        weir_conn *conn;

        while (weir_listener_accept(my->ln, &conn) >= 0) {
                weir_wg_add(my->wg, 1);
                weir_go(serve, .wg = my->wg, .conn = conn);
        }
        weir_wg_done(my->wg);
}

struct client {
        weir_conn *conn;
        int64_t   *took;        /* one latency per message */
        int64_t    n;
        int        err;         /* the first thing that went wrong */
};

static int read_full(weir_conn *conn, char *buf, size_t len)
{
        for (size_t have = 0; have < len;) {
                ssize_t n = weir_conn_read(conn, buf + have, len - have);

                if (n <= 0)
                        return n < 0 ? (int)n : -ECONNRESET;
                have += (size_t)n;
        }
        return 0;
}

weir_task(talk, my, { weir_wg *wg; struct client *client; int id; })
{
        struct client *c = my->client;
        char           out[MESSAGE] = {0}, in[MESSAGE];
        weir_time      before = weir_now(), now;

        for (int64_t i = 0; i < c->n && !c->err; i++) {
                ssize_t r;

                out[0] = (char)my->id;
                out[1] = (char)i;
                out[MESSAGE - 1] = (char)(i >> 8);
                r = weir_conn_write(c->conn, out, sizeof out);
                if (r >= 0)
                        r = read_full(c->conn, in, sizeof in);
                if (r >= 0 && memcmp(in, out, sizeof in))
                        r = -EBADMSG;
                if (r < 0)
                        c->err = (int)r;
                now = weir_now();
                c->took[i] = now - before;
                before = now;
        }
        weir_wg_done(my->wg);
}

BENCH(tcp_echo_64x64)
{
        struct client  all[CLIENTS] = {0};
        weir_wg        servers = {0}, talkers = {0};
        weir_listener *ln;
        char           address[64];
        int64_t       *took = bench_alloc((size_t)b->n, sizeof *took), *rest = took;
        int            r;

        r = weir_net_listen("tcp", "127.0.0.1:0", NULL, &ln);
        if (r >= 0)
                r = weir_listener_address(ln, address, sizeof address);
        if (r < 0)
                bench_fail(b, "listen: %s", weir_strerror(r));
        weir_wg_add(&servers, 1);
        weir_go(accept_all, .wg = &servers, .ln = ln);

        for (int i = 0; i < CLIENTS; i++) {
                all[i].n = bench_share(b->n, i, CLIENTS);
                all[i].took = rest;
                rest += all[i].n;
                r = weir_net_dial("tcp", address, NULL, &all[i].conn);
                if (r < 0)
                        bench_fail(b, "dial: %s", weir_strerror(r));
        }

        bench_timer_reset(b);
        weir_wg_add(&talkers, CLIENTS);
        for (int i = 0; i < CLIENTS; i++)
                weir_go(talk, .wg = &talkers, .client = &all[i], .id = i);
        weir_wg_wait(&talkers);
        bench_timer_stop(b);

        for (int i = 0; i < CLIENTS; i++) {
                if (all[i].err)
                        bench_fail(b, "client %d: %s", i, weir_strerror(all[i].err));
                weir_conn_close(all[i].conn);
        }
        weir_listener_close(ln);
        weir_wg_wait(&servers);
        bench_metric(b, (double)bench_percentile(took, (size_t)b->n, 0.99), "p99-ns");
        free(took);
}
