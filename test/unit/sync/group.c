/* Group and flight: first error, cancellation, limit, panics; shared calls. */
#include "check.h"
#include <errno.h>
#include <string.h>

/* ---- group ---- */

weir_group_task(answer, my, { int with; int yields; })
{
        for (int i = 0; i < my->yields; i++)
                weir_yield();
        return my->with;
}

WEIR_TEST(a_zero_group_waits_and_returns_the_first_error)
{
        weir_group g = { 0 };

        ck_assert_int_eq(weir_group_wait(&g), 0);
        weir_group_go(&g, answer);
        weir_group_go(&g, answer, .with = 7, .yields = 3);      /* no error */
        ck_assert_int_eq(weir_group_wait(&g), 0);
        weir_group_go(&g, answer, .with = -EIO, .yields = 3);
        weir_group_go(&g, answer, .with = -EPIPE, .yields = 2000);
        ck_assert_int_eq(weir_group_wait(&g), -EIO);
}

weir_group_task(until_the_end, my, { weir_ctx *ctx; })
{
        return weir_ctx_wait(my->ctx);
}

WEIR_TEST(the_first_error_cancels_the_others)
{
        weir_group  g;
        weir_ctx   *parent = weir_ctx_with_cancel(NULL), *ctx = weir_group_init(&g, parent);
        const char *why;

        for (int i = 0; i < 20; i++)
                weir_group_go(&g, until_the_end, .ctx = ctx);
        weir_group_go(&g, answer, .with = -ENOENT, .yields = 5);
        ck_assert_int_eq(weir_group_wait(&g), -ENOENT);
        ck_assert_int_eq(weir_ctx_err(ctx), WEIR_ECANCELED);
        ck_assert_int_eq(weir_ctx_cause(ctx, &why), -ENOENT);
        ck_assert_int_eq(weir_ctx_err(parent), 0);
}

WEIR_TEST(wait_ends_the_context_and_a_parent_ends_the_members)
{
        weir_group g;
        weir_ctx  *parent = weir_ctx_with_cancel(NULL), *ctx = weir_group_init(&g, parent);

        weir_group_go(&g, answer);
        ck_assert_int_eq(weir_group_wait(&g), 0);
        ck_assert_int_eq(weir_ctx_err(ctx), WEIR_ECANCELED);
        ctx = weir_group_init(&g, parent);
        weir_group_go(&g, until_the_end, .ctx = ctx);
        weir_ctx_cancel(parent);
        ck_assert_int_eq(weir_group_wait(&g), WEIR_ECANCELED);
}

static uint32_t running, most;  /* atomic */

weir_group_task(be_counted, my, { int yields; })
{
        uint32_t now = __atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST);
        uint32_t seen = __atomic_load_n(&most, __ATOMIC_SEQ_CST);

        while (now > seen && !__atomic_compare_exchange_n(&most, &seen, now, false,
                                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
                ;
        for (int i = 0; i < my->yields; i++)
                weir_yield();
        __atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
        return 0;
}

WEIR_TEST_WITH(no_more_than_the_limit_run, .procs = 4)
{
        weir_group g = { 0 };

        weir_group_limit(&g, 3);
        for (int i = 0; i < 500; i++)
                weir_group_go(&g, be_counted, .yields = i % 7);
        ck_assert_int_eq(weir_group_wait(&g), 0);
        ck_assert_uint_le(most, 3);
        ck_assert_uint_ge(most, 1);
        weir_group_limit(&g, 0);
        for (int i = 0; i < 50; i++)
                ck_assert(weir_group_try_go(&g, be_counted));
        ck_assert_int_eq(weir_group_wait(&g), 0);
}

WEIR_TEST(try_go_says_when_the_limit_is_reached)
{
        weir_group g;
        weir_ctx  *ctx = weir_group_init(&g, NULL);

        weir_group_limit(&g, 2);
        ck_assert(weir_group_try_go(&g, until_the_end, .ctx = ctx));
        ck_assert(weir_group_try_go(&g, until_the_end, .ctx = ctx));
        ck_assert(!weir_group_try_go(&g, until_the_end, .ctx = ctx));
        weir_ctx_cancel(ctx);
        ck_assert_int_eq(weir_group_wait(&g), WEIR_ECANCELED);
        ck_assert(weir_group_try_go(&g, answer));
        weir_group_wait(&g);
}

weir_group_task(panics, my, { const char *message; })
{
        weir_panic("%s", my->message);
}

static void wait_group(void *g)
{
        weir_group_wait(g);
}

WEIR_TEST(a_members_panic_goes_on_in_the_wait)
{
        weir_group      g;
        weir_ctx       *ctx = weir_group_init(&g, NULL);
        weir_panic_info info;

        weir_group_go(&g, until_the_end, .ctx = ctx);
        weir_group_go(&g, panics, .message = "seven is too many");
        ck_assert_int_eq(weir_protect(wait_group, &g, &info), WEIR_EPANIC);
        ck_assert_str_eq(info.message, "a member of the group panicked: seven is too many");
        ck_assert_int_eq(weir_ctx_cause(ctx, NULL), WEIR_EPANIC);
}

weir_group_task(exits, my, { int unused; })
{
        weir_go_exit();
}

WEIR_TEST(a_member_that_exits_is_done)
{
        weir_group g = { 0 };

        weir_group_limit(&g, 1);
        weir_group_go(&g, exits);
        weir_group_go(&g, answer, .with = -EIO);
        ck_assert_int_eq(weir_group_wait(&g), -EIO);
}

static void limit_late(void *g)
{
        weir_group_limit(g, 5);
}

WEIR_TEST(a_limit_is_not_changed_under_running_members)
{
        weir_group g;
        weir_ctx  *ctx = weir_group_init(&g, NULL);

        weir_group_go(&g, until_the_end, .ctx = ctx);
        ck_assert_int_eq(weir_protect(limit_late, &g, NULL), WEIR_EPANIC);
        weir_ctx_cancel(ctx);
        weir_group_wait(&g);
}

/* ---- flight ---- */

static uint32_t calls;          /* atomic */

struct job {
        weir_chan *gate;                /* NULL: at once */
        int        result;
};

static int fly(void *arg, void **ret)
{
        struct job *j = arg;
        int         v;

        __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
        if (j->gate)
                weir_recv(j->gate, &v);
        *ret = j;
        return j->result;
}

WEIR_TEST(a_lone_call_is_not_shared)
{
        weir_flight f = { 0 };
        struct job  j = { .result = -EIO };
        void       *value = NULL;
        bool        shared = true;

        ck_assert_int_eq(weir_flight_do(&f, "a", 1, fly, &j, &value, &shared), -EIO);
        ck_assert_ptr_eq(value, &j);
        ck_assert(!shared);
        ck_assert_int_eq(weir_flight_do(&f, NULL, 0, fly, &j, NULL, NULL), -EIO);
        ck_assert_uint_eq(calls, 2);
}

weir_task(join_flight, my, { weir_flight *f; const char *key; struct job *job; uint32_t *shared, *same; weir_wg *wg; })
{
        void *value = NULL;
        bool  shared = false;

        if (weir_flight_do(my->f, my->key, strlen(my->key), fly, my->job, &value, &shared) ==
                    my->job->result && value == my->job)
                __atomic_add_fetch(my->same, 1, __ATOMIC_SEQ_CST);
        if (shared)
                __atomic_add_fetch(my->shared, 1, __ATOMIC_SEQ_CST);
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(those_who_come_meanwhile_share_one_call, .procs = 4)
{
        weir_flight f = { 0 };
        struct job  j = { .gate = weir_chan_make(int, 0), .result = 5 };
        uint32_t    shared = 0, same = 0;
        weir_wg     wg = { 0 };

        weir_wg_add(&wg, 50);
        weir_go(join_flight, .f = &f, .key = "k", .job = &j, .shared = &shared, .same = &same,
                .wg = &wg);
        while (!__atomic_load_n(&calls, __ATOMIC_SEQ_CST))
                weir_yield();
        for (int i = 1; i < 50; i++)
                weir_go(join_flight, .f = &f, .key = "k", .job = &j, .shared = &shared,
                        .same = &same, .wg = &wg);
        for (int i = 0; i < 1000; i++)
                weir_yield();
        weir_chan_close(j.gate);                /* who comes after that calls for itself */
        weir_wg_wait(&wg);
        ck_assert_uint_eq(same, 50);
        ck_assert_uint_lt(calls, 50);
        ck_assert_uint_gt(shared, 0);
}

WEIR_TEST(different_keys_do_not_meet_however_many)
{
        enum { N = 2000 };
        weir_flight f = { 0 };
        struct job  j = { .gate = weir_chan_make(int, 0) };
        static char key[N][8];
        uint32_t    shared = 0, same = 0;
        weir_wg     wg = { 0 };

        weir_wg_add(&wg, N);
        for (int i = 0; i < N; i++) {
                snprintf(key[i], sizeof key[i], "k%d", i);
                weir_go(join_flight, .f = &f, .key = key[i], .job = &j, .shared = &shared,
                        .same = &same, .wg = &wg);
        }
        while (__atomic_load_n(&calls, __ATOMIC_SEQ_CST) < N)
                weir_yield();
        weir_gc_run();
        weir_chan_close(j.gate);
        weir_wg_wait(&wg);
        ck_assert_uint_eq(same, N);
        ck_assert_uint_eq(shared, 0);
}

WEIR_TEST(a_forgotten_call_is_made_again)
{
        weir_flight f = { 0 };
        struct job  slow = { .gate = weir_chan_make(int, 0) }, fast = { .result = 3 };
        uint32_t    shared = 0, same = 0;
        weir_wg     wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(join_flight, .f = &f, .key = "k", .job = &slow, .shared = &shared, .same = &same,
                .wg = &wg);
        while (!__atomic_load_n(&calls, __ATOMIC_SEQ_CST))
                weir_yield();
        weir_flight_forget(&f, "k", 1);
        weir_flight_forget(&f, "other", 5);
        ck_assert_int_eq(weir_flight_do(&f, "k", 1, fly, &fast, NULL, NULL), 3);
        weir_chan_close(slow.gate);
        weir_wg_wait(&wg);
        ck_assert_uint_eq(same, 1);
        ck_assert_uint_eq(shared, 0);
}

static int crash(void *arg, void **ret)
{
        int v;

        (void)ret;
        __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
        weir_recv(arg, &v);
        weir_panic("no wings");
}

struct passenger {
        weir_flight *f;
        weir_chan   *gate;
};

static void board(void *arg)
{
        struct passenger *p = arg;

        weir_flight_do(p->f, "k", 1, crash, p->gate, NULL, NULL);
}

weir_task(travel, my, { struct passenger *p; uint32_t *caught; weir_wg *wg; })
{
        weir_panic_info info;

        if (weir_protect(board, my->p, &info) == WEIR_EPANIC && strstr(info.message, "no wings"))
                __atomic_add_fetch(my->caught, 1, __ATOMIC_SEQ_CST);
        weir_wg_done(my->wg);
}

WEIR_TEST(a_panic_reaches_all_who_wait)
{
        weir_flight      f = { 0 };
        struct passenger p = { &f, weir_chan_make(int, 0) };
        uint32_t         caught = 0;
        weir_wg          wg = { 0 };

        weir_wg_add(&wg, 10);
        for (int i = 0; i < 10; i++)
                weir_go(travel, .p = &p, .caught = &caught, .wg = &wg);
        for (int i = 0; i < 100 || !__atomic_load_n(&calls, __ATOMIC_SEQ_CST); i++)
                weir_yield();
        weir_chan_close(p.gate);
        weir_wg_wait(&wg);
        ck_assert_uint_eq(caught, 10);
        ck_assert_int_eq(weir_flight_do(&f, "k", 1, fly, &(struct job){ .result = 1 }, NULL, NULL), 1);
}

static int leave(void *arg, void **ret)
{
        int v;

        (void)ret;
        weir_recv(arg, &v);
        weir_go_exit();
}

weir_task(leave_too, my, { weir_flight *f; weir_chan *gate; })
{
        weir_flight_do(my->f, "k", 1, leave, my->gate, NULL, NULL);
        ck_abort_msg("came back");
}

WEIR_TEST(an_exit_takes_all_along)
{
        weir_flight f = { 0 };
        weir_chan  *gate = weir_chan_make(int, 0);
        weir_wg     wg = { 0 };

        for (int i = 0; i < 5; i++)
                weir_wg_go(&wg, leave_too, .f = &f, .gate = gate);
        for (int i = 0; i < 100; i++)
                weir_yield();
        weir_chan_close(gate);
        weir_wg_wait(&wg);
}

/* ---- semaphore and context ---- */

weir_task(take_some, my, { weir_sema *s; int n; weir_ctx *ctx; weir_chan *out; })
{
        int r = weir_sema_acquire_ctx(my->s, (uint64_t)my->n, my->ctx);

        weir_send(my->out, &r);
}

WEIR_TEST(a_context_ends_the_wait_for_a_semaphore)
{
        weir_sema  s = WEIR_SEMA(3);
        weir_ctx  *ctx = weir_ctx_with_cancel(NULL);
        weir_chan *out = weir_chan_make(int, 10);
        int        r;

        ck_assert_int_eq(weir_sema_acquire_ctx(&s, 1, ctx), 0);
        weir_go(take_some, .s = &s, .n = 5, .ctx = ctx, .out = out);
        for (int i = 0; i < 10; i++)
                weir_yield();
        weir_go(take_some, .s = &s, .n = 2, .ctx = NULL, .out = out);   /* behind the large one */
        for (int i = 0; i < 10; i++)
                weir_yield();
        ck_assert_uint_eq(weir_chan_len(out), 0);
        weir_ctx_cancel(ctx);
        weir_recv(out, &r);
        if (r == 0)
                weir_recv(out, &r);
        ck_assert_int_eq(r, WEIR_ECANCELED);
        weir_sema_acquire(&s, 0);
        ck_assert_int_eq(weir_sema_acquire_ctx(&s, 1, ctx), WEIR_ECANCELED);
        weir_sema_release(&s, 3);
        ck_assert_int_eq(weir_sema_acquire_ctx(&s, 1, ctx), 0);         /* it is there */
        ck_assert_int_eq(weir_sema_acquire_ctx(&s, 50, weir_ctx_with_timeout(NULL, WEIR_MILLISECOND)),
                         WEIR_ETIMEOUT);
}
