/* run: WEIR_PROCS=2 WEIR_DEBUG=migrate=1 */
/* WEIR_DEBUG=migrate=1: each park ends on another thread, which shows who keeps the address of a
 * thread-local variable across it. */
#include "check.h"
#include <weir.h>

static __thread int mine;

static __attribute__((noinline)) int *address(void)
{
        int *p = &mine;

        __asm__ volatile("" : "+r"(p));
        return p;
}

weir_task(echo, my, { weir_chan *in, *out; })
{
        int v;

        while (weir_recv(my->in, &v))
                weir_send(my->out, &v);
}

WEIR_TEST(cached_address_is_of_another_thread)
{
        weir_chan *in = weir_chan_make(int, 0), *out = weir_chan_make(int, 0);
        int        moved = 0, v;

        weir_go(echo, .in = in, .out = out);
        for (int i = 0; i < 50; i++) {
                int *cached = address();

                weir_send(in, &i);
                weir_recv(out, &v);
                ck_assert_int_eq(v, i);
                moved += cached != address();
        }
        /* Each recv parks or finds the value there; a send and a receive that both park come
         * back. */
        ck_assert_int_gt(moved, 5);
        weir_chan_close(in);
}

WEIR_TEST(sleep_ends_on_another_thread)
{
        int moved = 0;

        for (int i = 0; i < 20; i++) {
                int *cached = address();

                weir_sleep(100 * WEIR_MICROSECOND);
                moved += cached != address();
        }
        ck_assert_int_ge(moved, 18);
}
