/* Memory of stacks goes back: after long parking, and at the end. */
#include "check.h"
#include "os/os.h"
#include "sched/state.h"
#include <string.h>

enum { DEEP = 160 * 1024 };

static noinline int touch(int n)
{
        volatile char room[DEEP];

        for (size_t i = 0; i < sizeof room; i += 512)
                room[i] = (char)n;
        return room[n * 512];
}

weir_task(deep_then_parks, my, { weir_chan *c; struct g **ret; weir_wg *ready, *done; })
{
        volatile char local[256];
        char          v = 0;

        memset((char *)local, 0x5a, sizeof local);
        touch(3);
        *my->ret = weir__sched_g();
        ck_assert_uint_ge(weir__stack_used(&(*my->ret)->stack), DEEP);  /* not yet parked: all of it */
        weir_wg_done(my->ready);
        weir_recv(my->c, &v);
        for (size_t i = 0; i < sizeof local; i++)
                ck_assert_int_eq(local[i], 0x5a);
        ck_assert_int_eq(v, 9);
        touch(4);                                       /* there is memory again */
        weir_wg_done(my->done);
}

WEIR_TEST_WITH(who_is_parked_for_long_keeps_only_its_frames, .procs = 2, .timeout = 30)
{
        enum { N = 100 };
        static struct g *g[N];
        weir_chan       *c = weir_chan_make(char, 0);
        weir_wg          ready = { 0 }, done = { 0 };

        weir_wg_add(&ready, N);
        weir_wg_add(&done, N);
        for (int i = 0; i < N; i++)
                weir_go(deep_then_parks, .c = c, .ret = &g[i], .ready = &ready, .done = &done);
        weir_wg_wait(&ready);
        for (int i = 0; i < N; i++)
                while (weir__stack_used(&g[i]->stack) > 2 * 4096)
                        weir_sleep(10 * WEIR_MILLISECOND);      /* until the timeout */
        ck_assert_uint_ge(weir__stack_returned(), N * (DEEP - 8192));
        for (int i = 0; i < N; i++)
                weir_send(c, &(char){ 9 });
        weir_wg_wait(&done);
}

static struct g *last;

weir_task(deep, my, { size_t *ret; })
{
        touch(3);
        if (my->ret) {
                last = weir__sched_g();
                *my->ret = weir__stack_used(&last->stack);
        }
}

WEIR_TEST_WITH(an_end_gives_a_large_stack_back, .procs = 1)
{
        size_t  used = 0;

        weir_go_with(&(weir_go_options){ .stack_size = 1 << 20 }, deep, .ret = &used);
        while (weir_go_count() > 1)
                weir_yield();
        ck_assert_uint_ge(used, DEEP);
        ck_assert_uint_le(weir__stack_used(&last->stack), 32 * 1024);
}

static noinline long down(long n)
{
        volatile long own = n;

        return n ? down(n - 1) + (own == n) : 0;
}

weir_task(go_down, my, { long calls; weir_wg *wg; })
{
        ck_assert_int_eq(down(my->calls), my->calls);
        weir_wg_done(my->wg);
}

/* Its memory comes as it is touched, and goes when it ends. */
WEIR_TEST_WITH(a_stack_of_its_own_holds_a_million_calls, .procs = 1, .timeout = 20)
{
        long            calls = 1000000 / (WEIR_PATIENCE > 1 ? 10 : 1);
        weir_go_options large = { .stack_size = (size_t)256 << 20 };
        uint64_t        before = weir__stack_returned();
        weir_wg         wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go_with(&large, go_down, .calls = calls, .wg = &wg);
        weir_wg_wait(&wg);
        while (weir_go_count() != 1)
                weir_yield();
        ck_assert_uint_ge(weir__stack_returned() - before, (uint64_t)calls * 16);
}

WEIR_TEST_WITH(stacks_of_the_usual_size_are_returned_once_nobody_wants_them, .procs = 2, .timeout = 30)
{
        weir_wg wg = { 0 };

        for (int i = 0; i < 300; i++)
                weir_wg_go(&wg, deep, .ret = NULL);
        weir_wg_wait(&wg);
        while (weir__stack_returned() < 32 * (uint64_t)(DEEP - 8192))
                weir_sleep(20 * WEIR_MILLISECOND);              /* until the timeout */
}
