/* Trace ids: inherited by goroutines, timers, functions of contexts, and along traced channels. */
/* timeout: 120 */
#include "check.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static bool same(weir_trace_id a, weir_trace_id b)
{
        return a.high == b.high && a.low == b.low && a.span == b.span;
}

static const weir_trace_id none, one = { 1, 2, 3 }, two = { 4, 5, 6 };

weir_task(tell, my, { weir_chan *out; })
{
        weir_trace_id id = weir_trace_id_get();

        weir_send(my->out, &id);
}

WEIR_TEST(a_goroutine_inherits_and_does_not_hand_back)
{
        weir_chan    *out = weir_chan_make(weir_trace_id, 1);
        weir_trace_id got;

        ck_assert(same(weir_trace_id_get(), none));
        weir_go(tell, .out = out);
        weir_recv(out, &got);
        ck_assert(same(got, none));
        weir_trace_id_set(one);
        weir_go(tell, .out = out);
        weir_trace_id_set(two);
        weir_recv(out, &got);
        ck_assert(same(got, one));
        ck_assert(same(weir_trace_id_get(), two));
}

static uint32_t right;          /* atomic */

static void check_one(void *arg)
{
        (void)arg;
        if (same(weir_trace_id_get(), one))
                __atomic_add_fetch(&right, 1, __ATOMIC_RELAXED);
}

WEIR_TEST_WITH(a_million_spawns_inherit, .procs = 4, .timeout = 100)
{
#if WEIR_CHECK || defined __SANITIZE_THREAD__ || defined __SANITIZE_ADDRESS__
        enum { N = 20000 };
#else
        enum { N = 1000000 };
#endif

        weir_trace_id_set(one);
        for (int i = 0; i < N; i++) {
                weir_go_fn(check_one, NULL);
                if (i % 64 == 63)
                        weir_yield();
        }
        while (weir_go_count() > 1)
                weir_yield();
        ck_assert_uint_eq(__atomic_load_n(&right, __ATOMIC_RELAXED), N);
}

static void until_right(uint32_t n)
{
        while (__atomic_load_n(&right, __ATOMIC_RELAXED) < n)
                weir_yield();
}

weir_group_task(check_member, my, { int unused; })
{
        check_one(NULL);
        return 0;
}

weir_task(check_task, my, { int unused; })
{
        check_one(NULL);
}

WEIR_TEST(timers_functions_of_contexts_and_groups_inherit)
{
        weir_ctx   *c = weir_ctx_with_cancel(NULL);
        weir_timer *t;
        weir_wg     wg = { 0 };
        weir_group  g = { 0 };

        weir_trace_id_set(one);
        t = weir_timer_start(0, WEIR_MILLISECOND, check_one, NULL);
        weir_ctx_after(c, check_one, NULL);
        weir_ctx_timer_start(c, 0, 0, check_one, NULL);
        weir_trace_id_set(two);
        until_right(4);
        weir_timer_stop(t);
        while (weir_go_count() > 1)
                weir_yield();
        __atomic_store_n(&right, 0, __ATOMIC_RELAXED);
        weir_ctx_cancel(c);
        until_right(1);
        weir_trace_id_set(one);
        weir_wg_go(&wg, check_task);
        weir_group_go(&g, check_member);
        weir_wg_wait(&wg);
        weir_group_wait(&g);
        ck_assert_uint_eq(__atomic_load_n(&right, __ATOMIC_RELAXED), 3);
}

static void *attach_twice(void *arg)
{
        for (int i = 0; i < 2; i++) {
                if (weir_thread_attach() < 0 || !same(weir_trace_id_get(), none))
                        return arg;
                weir_trace_id_set(one);
                weir_thread_detach();
        }
        return NULL;
}

static void join(void *arg)
{
        void **t = arg;

        pthread_join(*(pthread_t *)t[0], &t[1]);
}

WEIR_TEST(an_attached_thread_begins_without)
{
        pthread_t t;
        void     *args[2] = { &t, &t };

        weir_trace_id_set(two);
        pthread_create(&t, NULL, attach_twice, args);
        weir_blocking(join, args);
        ck_assert_ptr_null(args[1]);
}

/* ---- channels ---- */

weir_task(send_as, my, { weir_chan *c; weir_trace_id id; int v; bool select; })
{
        weir_trace_id_set(my->id);
        if (my->select)
                weir_select(weir_on_send(my->c, &my->v), weir_on_timeout(WEIR_SECOND));
        else
                weir_send(my->c, &my->v);
}

static weir_chan *traced(size_t cap)
{
        return weir_chan_new_with(sizeof(int), cap, &(weir_chan_options){ .traced = true });
}

WEIR_TEST(a_traced_channel_hands_the_trace_over)
{
        for (int k = 0; k < 8; k++) {
                weir_chan *c = traced(k & 1 ? 4 : 0);
                int        v = 0;
                bool       ok = false;

                enum { RECV, LATE };
                weir_trace_id_set(two);
                weir_go(send_as, .c = c, .id = one, .v = k + 10, .select = k & 2);
                if (k & 4)
                        ck_assert_int_eq(weir_select([RECV] = weir_on_recv(c, &v, &ok),
                                                     [LATE] = weir_on_timeout(5 * WEIR_SECOND)), RECV);
                else
                        ok = weir_recv(c, &v);
                ck_assert(ok);
                ck_assert_int_eq(v, k + 10);
                ck_assert(same(weir_trace_id_get(), one));
        }
}

WEIR_TEST(a_traced_channel_is_a_channel_in_all_else)
{
        weir_chan *c = traced(2);
        int        v = 7;
        bool       ok = true;

        enum { RECV, NONE };
        ck_assert_uint_eq(weir_chan_cap(c), 2);
        ck_assert(weir_chan_try_send(c, &v, sizeof v));
        weir_trace_id_set(one);
        weir_send(c, &(int){ 8 });
        ck_assert(!weir_chan_try_send(c, &v, sizeof v));
        weir_trace_id_set(two);
        ck_assert(weir_recv(c, &v));
        ck_assert_int_eq(v, 7);
        ck_assert(same(weir_trace_id_get(), none));     /* the sender's was none */
        ck_assert(weir_chan_recv(c, NULL, 0));
        ck_assert(same(weir_trace_id_get(), one));
        ck_assert_int_eq(weir_select([RECV] = weir_on_recv(c, &v, &ok), [NONE] = weir_on_default()),
                         NONE);
        weir_chan_close(c);
        ck_assert(!weir_recv(c, &v));
        ck_assert_int_eq(v, 0);
        ck_assert_int_eq(weir_select([RECV] = weir_on_recv(c, &v, &ok), [NONE] = weir_on_default()),
                         RECV);
        ck_assert(!ok);
        ck_assert(same(weir_trace_id_get(), one));      /* a close brings no trace */
}

static void wrong_size(void *c)
{
        weir_chan_send(c, &(int64_t){ 1 }, sizeof(int64_t));
}

WEIR_TEST(a_wrong_size_on_a_traced_channel_names_its_own)
{
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(wrong_size, traced(0), &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "which carries 4 bytes"));
}

/* ---- text, dumps ---- */

WEIR_TEST(new_ones_are_new_and_a_span_keeps_the_trace)
{
        weir_trace_id a = weir_trace_id_new(), b = weir_trace_id_new(), c = weir_trace_id_span();

        ck_assert(a.high && a.low && a.span);
        ck_assert(a.high != b.high && a.low != b.low && a.span != b.span);
        ck_assert(c.high == b.high && c.low == b.low && c.span != b.span);
        ck_assert(same(weir_trace_id_get(), c));
        weir_trace_id_set(none);
        ck_assert(weir_trace_id_span().high);
}

WEIR_TEST(traceparent_is_written_and_read)
{
        static const char *bad[] = {
                "", "00", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
                "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
                "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        };
        const char   *text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        weir_trace_id id = none;
        char          buf[56];

        ck_assert_int_eq(weir_trace_id_parse(text, &id), 0);
        ck_assert(id.high == 0x4bf92f3577b34da6 && id.low == 0xa3ce929d0e0e4736);
        ck_assert(id.span == 0x00f067aa0ba902b7);
        ck_assert_int_eq(weir_trace_id_format(id, buf, sizeof buf), 55);
        ck_assert_str_eq(buf, text);
        ck_assert_int_eq(weir_trace_id_format(id, buf, 55), -ENOBUFS);
        ck_assert_int_eq(weir_trace_id_parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
                                             &id), 0);
        ck_assert_int_eq(weir_trace_id_parse(NULL, &id), -EINVAL);
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                ck_assert_int_eq(weir_trace_id_parse(bad[i], &id), -EINVAL);
}

WEIR_TEST(a_dump_shows_the_trace)
{
        char  *text = NULL;
        size_t size = 0;
        FILE  *f = open_memstream(&text, &size);

        weir_trace_id_set(one);
        weir_dump(f);
        fclose(f);
        ck_assert_ptr_nonnull(strstr(text, "trace 00000000000000010000000000000002 "
                                           "span 0000000000000003"));
        free(text);
}
