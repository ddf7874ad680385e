/* Channels: what API promises of send, receive, close, try, len and cap. */
#include "check.h"
#include <string.h>

weir_task(send_ints, my, { weir_chan *c; int from, to; bool close; })
{
        for (int i = my->from; i < my->to; i++)
                weir_send(my->c, &i);
        if (my->close)
                weir_chan_close(my->c);
}

weir_task(recv_one, my, { weir_chan *c; weir_chan *out; })
{
        int  v = -1;
        bool ok = weir_recv(my->c, &v);

        v = ok ? v : -1000 - v;
        weir_send(my->out, &v);
}

WEIR_TEST(buffered_elements_come_out_in_the_order_they_went_in)
{
        weir_chan *c = weir_chan_make(int, 7);

        weir_go(send_ints, .c = c, .from = 0, .to = 1000, .close = true);
        for (int i = 0; i < 1000; i++) {
                int v = -1;

                ck_assert(weir_recv(c, &v));
                ck_assert_int_eq(v, i);
        }
        ck_assert(!weir_recv(c, &(int){ 0 }));
}

WEIR_TEST(unbuffered_send_returns_only_after_the_receive)
{
        weir_chan *c = weir_chan_make(int, 0), *out = weir_chan_make(int, 1);
        int        v = 7;

        ck_assert(!weir_chan_try_send(c, &v, sizeof v));
        weir_go(recv_one, .c = c, .out = out);
        weir_send(c, &v);
        ck_assert_uint_eq(weir_chan_len(c), 0);
        weir_recv(out, &v);
        ck_assert_int_eq(v, 7);
}

WEIR_TEST(elements_sent_before_the_close_are_still_delivered)
{
        weir_chan *c = weir_chan_make(int, 4);
        int        v;

        for (v = 1; v <= 3; v++)
                weir_send(c, &v);
        weir_chan_close(c);
        ck_assert(weir_chan_closed(c));
        for (int i = 1; i <= 3; i++) {
                ck_assert(weir_recv(c, &v));
                ck_assert_int_eq(v, i);
        }
        v = 99;
        ck_assert(!weir_recv(c, &v));
        ck_assert_int_eq(v, 0);
}

WEIR_TEST(close_wakes_every_receiver)
{
        weir_chan *c = weir_chan_make(int, 0), *out = weir_chan_make(int, 64);
        int        v;

        for (int i = 0; i < 50; i++)
                weir_go(recv_one, .c = c, .out = out);
        while (weir_go_count() < 51)
                weir_yield();
        weir_chan_close(c);
        for (int i = 0; i < 50; i++) {
                weir_recv(out, &v);
                ck_assert_int_eq(v, -1000);     /* false, and zeroed */
        }
}

static void send_on(void *c)
{
        weir_send((weir_chan *)c, &(int){ 1 });
}

weir_task(protected_send, my, { weir_chan *c, *out; })
{
        weir_panic_info info;
        int             r = weir_protect(send_on, my->c, &info);

        weir_send(my->out, &r);
}

WEIR_TEST(close_makes_every_waiting_sender_panic)
{
        weir_chan *c = weir_chan_make(int, 0), *out = weir_chan_make(int, 8);
        int        r;

        for (int i = 0; i < 8; i++)
                weir_go(protected_send, .c = c, .out = out);
        for (int i = 0; i < 100; i++)
                weir_yield();
        weir_chan_close(c);
        for (int i = 0; i < 8; i++) {
                weir_recv(out, &r);
                ck_assert_int_eq(r, WEIR_EPANIC);
        }
}

static void close_it(void *c)
{
        weir_chan_close(c);
}

static void send_wrong_size(void *c)
{
        weir_chan_send(c, &(char){ 1 }, 1);
}

static void try_send_int(void *c)
{
        weir_chan_try_send(c, &(int){ 1 }, sizeof(int));
}

static void recv_wrong_size(void *c)
{
        long v;

        weir_recv((weir_chan *)c, &v);
}

static void huge_elements(void *unused)
{
        (void)unused;
        weir_chan_new(SIZE_MAX, 1);
}

static void huge_capacity(void *unused)
{
        (void)unused;
        weir_chan_new(8, SIZE_MAX / 4);
}

static void expect_panic(void (*fn)(void *), void *arg, const char *a, const char *b)
{
        weir_panic_info info = { 0 };

        ck_assert_int_eq(weir_protect(fn, arg, &info), WEIR_EPANIC);
        ck_assert_msg(strstr(info.message, a) && strstr(info.message, b), "message: %s", info.message);
        ck_assert_ptr_nonnull(info.pc);
}

WEIR_TEST(mistakes_panic_and_say_what_and_on_which_object)
{
        weir_chan *c = weir_chan_make(int, 1);
        char       address[32];

        snprintf(address, sizeof address, "%p", (void *)c);
        expect_panic(send_wrong_size, c, "1 bytes", "carries 4 bytes");
        expect_panic(recv_wrong_size, c, "8 bytes", "carries 4 bytes");
        expect_panic(huge_elements, NULL, "over the limit", "send a pointer");
        expect_panic(huge_capacity, NULL, "do not fit", "8 bytes");
        expect_panic(close_it, NULL, "close", "NULL");
        weir_chan_close(c);
        expect_panic(close_it, c, "close of closed channel", address);
        expect_panic(send_on, c, "send on closed channel", address);
        expect_panic(try_send_int, c, "send on closed channel", address);
}

WEIR_TEST(a_channel_that_panicked_still_works)
{
        weir_chan *c = weir_chan_make(int, 1);
        int        v = 5;

        ck_assert_int_eq(weir_protect(send_wrong_size, c, NULL), WEIR_EPANIC);
        weir_send(c, &v);
        v = 0;
        ck_assert(weir_recv(c, &v));
        ck_assert_int_eq(v, 5);
}

WEIR_TEST(try_send_takes_what_fits_and_no_more)
{
        weir_chan *c = weir_chan_make(int, 3);
        int        v = 0;

        ck_assert(!weir_chan_try_send(NULL, &v, sizeof v));
        for (v = 0; v < 3; v++)
                ck_assert(weir_chan_try_send(c, &v, sizeof v));
        ck_assert(!weir_chan_try_send(c, &v, sizeof v));
        ck_assert_uint_eq(weir_chan_len(c), 3);
        ck_assert_uint_eq(weir_chan_cap(c), 3);
}

WEIR_TEST(try_send_hands_over_to_a_parked_receiver)
{
        weir_chan *c = weir_chan_make(int, 0), *out = weir_chan_make(int, 1);
        int        v = 3;

        weir_go(recv_one, .c = c, .out = out);
        while (!weir_chan_try_send(c, &v, sizeof v))
                weir_yield();
        weir_recv(out, &v);
        ck_assert_int_eq(v, 3);
}

WEIR_TEST(null_channels_have_no_length_and_are_not_closed)
{
        ck_assert_uint_eq(weir_chan_len(NULL), 0);
        ck_assert_uint_eq(weir_chan_cap(NULL), 0);
        ck_assert(!weir_chan_closed(NULL));
}

WEIR_TEST(receive_can_drop_the_element)
{
        weir_chan *c = weir_chan_make(int, 2);
        int        v;

        weir_send(c, &(int){ 1 });
        weir_send(c, &(int){ 2 });
        ck_assert(weir_chan_recv(c, NULL, 0));
        ck_assert(weir_recv(c, &v));
        ck_assert_int_eq(v, 2);
}

WEIR_TEST(elements_of_no_bytes_are_counted)
{
        weir_mem_stats before, after;
        weir_chan     *c;

        weir_mem_read(&before);
        c = weir_chan_new(0, 1000000);
        weir_mem_read(&after);
        ck_assert_uint_le(after.heap_live, before.heap_live + 4096);    /* no place for any */
        for (int i = 0; i < 5; i++)
                weir_chan_send(c, NULL, 0);
        ck_assert_uint_eq(weir_chan_len(c), 5);
        for (int i = 0; i < 5; i++)
                ck_assert(weir_chan_recv(c, NULL, 0));
        ck_assert_uint_eq(weir_chan_len(c), 0);
}

struct big { char bytes[5000]; };

weir_task(send_big, my, { weir_chan *c; int n; })
{
        struct big b;

        for (int i = 0; i < my->n; i++) {
                memset(b.bytes, i, sizeof b.bytes);
                weir_send(my->c, &b);
        }
        weir_chan_close(my->c);
}

WEIR_TEST(large_elements_arrive_whole)
{
        weir_chan *c = weir_chan_make(struct big, 2);
        struct big b, expected;
        int        n = 0;

        weir_go(send_big, .c = c, .n = 20);
        for (; weir_recv(c, &b); n++) {
                memset(expected.bytes, n, sizeof expected.bytes);
                ck_assert_mem_eq(b.bytes, expected.bytes, sizeof b.bytes);
        }
        ck_assert_int_eq(n, 20);
}

WEIR_TEST(waiting_receivers_are_served_first_come_first_served)
{
        weir_chan *c = weir_chan_make(int, 0), *out = weir_chan_make(int, 16);

        for (int i = 0; i < 10; i++) {
                weir_go(recv_one, .c = c, .out = out);
                for (int k = 0; k < 20; k++)
                        weir_yield();           /* it parks before the next one starts */
        }
        for (int i = 0; i < 10; i++) {
                int v = i;

                weir_send(c, &v);
                weir_recv(out, &v);
                ck_assert_int_eq(v, i);
        }
}

WEIR_TEST_WITH(many_senders_and_receivers_lose_and_double_nothing, .procs = 4, .timeout = 30)
{
        enum { SENDERS = 8, EACH = 5000 };
        weir_chan   *c = weir_chan_make(int, 16);
        static char  seen[SENDERS * EACH];
        weir_wg      wg = { 0 };

        for (int i = 0; i < SENDERS; i++)
                weir_wg_go(&wg, send_ints, .c = c, .from = i * EACH, .to = (i + 1) * EACH);
        for (int i = 0; i < SENDERS * EACH; i++) {
                int v;

                ck_assert(weir_recv(c, &v));
                ck_assert_int_eq(seen[v]++, 0);
        }
        weir_wg_wait(&wg);
        ck_assert_uint_eq(weir_chan_len(c), 0);
}
