/* weir_go_exit: the end of a goroutine from within. */
#include "check.h"
#include <stdlib.h>
#include <string.h>

static int handlers, after, caught;

static void count_up(int **n)
{
        __atomic_fetch_add(*n, 1, __ATOMIC_RELAXED);
}

static __attribute__((noinline)) void leave_below(int depth)
{
        __attribute__((cleanup(count_up))) int *here = &handlers;

        if (depth > 0)
                leave_below(depth - 1);
        else if (depth == 0)
                weir_go_exit();
        __asm__ volatile("" : : "r"(here));
}

static void leave(void *arg)
{
        leave_below(*(int *)arg);
}

weir_task(leaver, my, { int depth; })
{
        leave(&my->depth);
        after++;
}

WEIR_TEST_WITH(the_handlers_of_all_frames_run_and_the_goroutine_is_done, .procs = 2)
{
        weir_wg wg = { 0 };

        for (int i = 0; i < 500; i++)
                weir_wg_go(&wg, leaver, .depth = 9);
        weir_wg_wait(&wg);
        ck_assert_int_eq(handlers, 500 * 10);
        ck_assert_int_eq(after, 0);
        ck_assert_uint_le(weir_go_count(), 2);
}

static void protect_leave(void *arg)
{
        __attribute__((cleanup(count_up))) int *here = &handlers;

        if (here && weir_protect(leave, arg, NULL))
                caught++;
        after++;
}

weir_task(protected_leaver, my, { int depth; })
{
        weir_protect(protect_leave, &my->depth, NULL);
        caught++;
}

WEIR_TEST(no_protect_stops_it)
{
        weir_wg wg = { 0 };

        for (int i = 0; i < 100; i++)
                weir_wg_go(&wg, protected_leaver, .depth = 2);
        weir_wg_wait(&wg);
        ck_assert_int_eq(handlers, 100 * 4);
        ck_assert_int_eq(caught + after, 0);
}

static void panic_in_handler(int **n)
{
        ++**n;
        weir_panic("in a handler");
}

static void exit_through_panic(void *arg)
{
        __attribute__((cleanup(panic_in_handler))) int *here = arg;

        if (here)
                weir_go_exit();
}

weir_task(exits_though_a_handler_panics, my, { int *n; })
{
        weir_protect(exit_through_panic, my->n, NULL);
        caught++;
}

WEIR_TEST(a_panic_on_the_way_does_not_stop_it)
{
        weir_wg wg = { 0 };

#ifdef __clang__
        test_skip("clang makes a handler that panics while unwinding call abort");
#endif
        weir_wg_go(&wg, exits_though_a_handler_panics, .n = &handlers);
        weir_wg_wait(&wg);
        ck_assert_int_eq(handlers, 1);
        ck_assert_int_eq(caught, 0);
}

weir_task(blocking_leaver, my, { int depth; })
{
        weir_blocking(leave, &my->depth);
        after++;
}

WEIR_TEST_WITH(a_blocking_call_can_be_left_by_it, .procs = 2)
{
        weir_wg wg = { 0 };

        for (int i = 0; i < 50; i++)
                weir_wg_go(&wg, blocking_leaver, .depth = 1);
        weir_wg_wait(&wg);
        ck_assert_int_eq(after, 0);
        ck_assert_int_eq(handlers, 100);
}

static weir_once once;

weir_task(once_leaver, my, { int depth; })
{
        weir_once_do(&once, leave, &my->depth);
        after++;
}

/* Left half-way, it is done all the same: others must not wait for ever. */
WEIR_TEST(a_once_left_by_it_is_done)
{
        weir_wg wg = { 0 };

        weir_wg_go(&wg, once_leaver, .depth = 1);
        weir_wg_wait(&wg);
        ck_assert_int_eq(after, 0);
        weir_wg_go(&wg, once_leaver, .depth = 1);
        weir_wg_wait(&wg);
        ck_assert_int_eq(after, 1);
}

weir_task(finisher, my, { int status; })
{
        while (weir_go_count() != 1)            /* the root is still there */
                weir_yield();
        exit(my->status);
}

static int root_leaves(int argc, char **argv)
{
        (void)argc;
        (void)argv;
        weir_go(finisher, .status = 0);
        weir_go_exit();
}

PLAIN_TEST(after_the_root_the_others_go_on)
{
        weir_run(root_leaves, 0, NULL, NULL);
        ck_abort_msg("weir_run came back");
}
