/* Ping-pong across the poller: a lost wake-up would end it for ever. */
#include "soak/soak.h"
#include <fcntl.h>
#include <sys/socket.h>

enum { PAIRS = 4, PER_MINUTE = 2000000, LOST_S = 60 };

static uint64_t rounds;                 /* atomic */

static void pass(weir_conn *in, weir_conn *out, uint64_t v)
{
        uint64_t got;

        if (weir_conn_write(out, &v, sizeof v) < 0 ||
            weir_conn_read(in, &got, sizeof got) != sizeof got || got != v)
                soak_fail("ping-pong: a wrong answer");
        __atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
}

weir_task(echo, my, { weir_conn *in, *out; weir_wg *wg; })
{
        uint64_t v;

        while (weir_conn_read(my->in, &v, sizeof v) == sizeof v)
                if (weir_conn_write(my->out, &v, sizeof v) < 0)
                        soak_fail("ping-pong: cannot answer");
        if (my->out != my->in)
                weir_conn_close(my->out);
        weir_conn_close(my->in);
        weir_wg_done(my->wg);
}

weir_task(ping, my, { weir_conn *in, *out; uint64_t n; weir_wg *wg; })
{
        for (uint64_t i = 0; i < my->n; i++)
                pass(my->in, my->out, i);
        if (my->out != my->in)
                weir_conn_close(my->out);
        weir_conn_close(my->in);
        weir_wg_done(my->wg);
}

static weir_conn *adopt(int fd)
{
        weir_conn *c;

        if (weir_fd_open(fd, &c) < 0)
                soak_fail("weir_fd_open");
        return c;
}

/* Half of the pairs by sockets, half by pipes. */
static void start(weir_wg *wg, uint64_t n, bool pipes)
{
        int a[2], b[2];

        weir_wg_add(wg, 2);
        if (pipes) {
                if (pipe2(a, O_CLOEXEC) || pipe2(b, O_CLOEXEC))
                        soak_fail("pipe2");
                weir_go(echo, .in = adopt(a[0]), .out = adopt(b[1]), .wg = wg);
                weir_go(ping, .in = adopt(b[0]), .out = adopt(a[1]), .n = n, .wg = wg);
        } else {
                weir_conn *c, *d;

                if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, a))
                        soak_fail("socketpair");
                c = adopt(a[0]);
                d = adopt(a[1]);
                weir_go(echo, .in = c, .out = c, .wg = wg);
                weir_go(ping, .in = d, .out = d, .n = n, .wg = wg);
        }
}

/* Whoever makes no progress for a minute has lost a wake-up. */
weir_task(watch, my, { bool *done; })
{
        uint64_t  last = 0;
        weir_time at = weir_now();

        while (!__atomic_load_n(my->done, __ATOMIC_RELAXED)) {
                uint64_t n = __atomic_load_n(&rounds, __ATOMIC_RELAXED);

                weir_sleep(WEIR_SECOND);
                if (n != last) {
                        last = n;
                        at = weir_now();
                } else if (weir_now() - at > LOST_S * WEIR_SECOND) {
                        weir_dump(stderr);
                        soak_row("ping-pongs after which one was lost", (double)n, "", 0, false);
                        _exit(1);
                }
        }
}

WEIR_MAIN(argc, argv)
{
        uint64_t  n = (uint64_t)(soak_minutes(argc, argv) * PER_MINUTE) / PAIRS;
        weir_time t = weir_now();
        weir_wg   wg = { 0 };
        bool      done = false;

        for (int i = 0; i < PAIRS; i++)
                start(&wg, n, i % 2);
        weir_go(watch, .done = &done);
        weir_wg_wait(&wg);
        __atomic_store_n(&done, true, __ATOMIC_RELAXED);
        printf("ping-pong across the poller: %.2f us each way and back\n",
               (double)(weir_now() - t) / 1e3 / (double)rounds);
        soak_at_least("ping-pongs across the poller, none lost", (double)rounds, "",
                      (double)(n * PAIRS));
        return soak_missed;
}
