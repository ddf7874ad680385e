/* errno belongs to the goroutine: it survives parks, and the way to another thread. */
#include "check.h"
#include "os/os.h"
#include <stdlib.h>
#include <string.h>

static int moved;

/* In one function, in a loop that a compiler unrolls, with parks between: were the address of errno
 * kept, the value read would be another goroutine's after the first move. */
static noinline void rounds(int mine, int n)
{
        int thread = weir__os_thread_id();

        errno = mine;
        for (int i = 0; i < n; i++) {
                if (errno != mine)
                        ck_abort_msg("errno %d became %d in round %d", mine, errno, i);
                errno = mine + i + 1;
                if (i % 3 == 0)
                        weir_sleep(20 * WEIR_MICROSECOND);
                else
                        weir_yield();
                if (errno != mine + i + 1)
                        ck_abort_msg("errno %d became %d in round %d", mine + i + 1, errno, i);
                errno = mine;
                if (thread != weir__os_thread_id()) {
                        thread = weir__os_thread_id();
                        __atomic_fetch_add(&moved, 1, __ATOMIC_RELAXED);
                }
        }
}

weir_task(keeper, my, { int mine; })
{
        if (errno != 0)
                ck_abort_msg("a goroutine begins with errno %d", errno);
        rounds(my->mine, 400);
}

WEIR_TEST_WITH(errno_survives_parks_and_threads, .procs = 4, .timeout = 60)
{
        weir_wg wg = { 0 };

        errno = 7;
        do {                                            /* until one has moved, or the timeout */
                for (int i = 0; i < 32; i++)
                        weir_wg_go(&wg, keeper, .mine = 1000 * (i + 1));
                weir_wg_wait(&wg);
                ck_assert_int_eq(errno, 7);
        } while (!__atomic_load_n(&moved, __ATOMIC_RELAXED));
}

weir_task(ping, my, { weir_chan *in, *out; int n, mine; })
{
        int v = 0;

        for (int i = 0; i < my->n; i++) {
                errno = my->mine + v;
                weir_send(my->out, &v);
                weir_recv(my->in, &v);
                if (errno != my->mine + v - 1)
                        ck_abort_msg("errno is %d, not %d", errno, my->mine + v - 1);
        }
}

weir_task(pong, my, { weir_chan *in, *out; int n; })
{
        for (int i = 0, v; i < my->n; i++) {
                weir_recv(my->in, &v);
                errno = -1 - v;
                v++;
                weir_send(my->out, &v);
                ck_assert_int_eq(errno, -v);
        }
}

WEIR_TEST_WITH(errno_survives_hand_offs, .procs = 2, .timeout = 60)
{
        weir_chan *a = weir_chan_make(int, 0), *b = weir_chan_make(int, 0);
        weir_wg    wg = { 0 };

        weir_wg_go(&wg, ping, .in = b, .out = a, .n = 20000, .mine = 100000);
        weir_wg_go(&wg, pong, .in = a, .out = b, .n = 20000);
        weir_wg_wait(&wg);
}

static void fail_a_call(void *arg)
{
        (void)arg;
        errno = 0;
        ck_assert_ptr_null(fopen("/nowhere/at/all", "r"));
        ck_assert_int_eq(errno, ENOENT);
}

/* The C library's own errno is the one that weir keeps, in blocking calls and panics as well. */
WEIR_TEST_WITH(errno_of_the_library_comes_through_blocking_calls_and_panics, .procs = 2)
{
        for (int i = 0; i < 100; i++) {
                weir_blocking(fail_a_call, NULL);
                ck_assert_int_eq(errno, ENOENT);
                weir_yield();
                ck_assert_int_eq(errno, ENOENT);
        }
}
