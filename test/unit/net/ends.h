/* What the tests of the network share: two ends of a connection, and goroutines that use one. */
#ifndef TEST_UNIT_NET_ENDS_H
#define TEST_UNIT_NET_ENDS_H

#include "check.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNTOUCHED ((void *)(uintptr_t)0x5a5a5a5a)

static WEIR_UNUSED weir_listener *listen_on(const char *network, const char *wanted, char *ret,
                                            size_t size)
{
        weir_listener *ln;
        int            r = weir_net_listen(network, wanted, NULL, &ln);

        ck_assert_msg(r == 0, "listen on %s: %s", wanted, weir_error_name(r));
        r = weir_listener_address(ln, ret, size);
        ck_assert_msg(r > 0 && (size_t)r == strlen(ret), "address: %d", r);
        return ln;
}

/* Two ends of a TCP connection. */
static WEIR_UNUSED void connect_pair(const char *network, weir_conn **ret_a, weir_conn **ret_b)
{
        char           address[128], wanted[64];
        weir_listener *ln;
        int            r;

        snprintf(wanted, sizeof wanted, "@weir-unit-%d", getpid());
        ln = listen_on(network, strcmp(network, "tcp") ? wanted : "127.0.0.1:0", address,
                       sizeof address);
        r = weir_net_dial(network, address, NULL, ret_a);
        ck_assert_msg(r == 0, "dial: %s", weir_error_name(r));
        ck_assert_int_eq(weir_listener_accept(ln, ret_b), 0);
        ck_assert_int_eq(weir_listener_close(ln), 0);
}

static WEIR_UNUSED void read_exactly(weir_conn *c, void *buf, size_t len)
{
        for (size_t done = 0; done < len;) {
                ssize_t n = weir_conn_read(c, (char *)buf + done, len - done);

                ck_assert_msg(n > 0, "read: %s", weir_error_name((int)n));
                done += (size_t)n;
        }
}

static WEIR_UNUSED char *dump_text(void)
{
        char  *text = NULL;
        size_t n = 0;
        FILE  *f = open_memstream(&text, &n);

        weir_dump(f);
        fclose(f);
        return text;
}

/* Lets others run until n goroutines are parked for the reason, or until *done, if that is given:
 * who was to be looked at is through already. */
static WEIR_UNUSED void wait_until_parked_or(const char *why, int n, const bool *done)
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

static WEIR_UNUSED void wait_until_parked(const char *why, int n)
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

static WEIR_UNUSED long timers_waiting(void)
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

#endif
