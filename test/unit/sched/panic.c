/* Panic and protect. */
#include "check.h"
#include "sched/sched.h"
#include <stdlib.h>
#include <string.h>

static void succeed(void *arg)
{
        ++*(int *)arg;
}

static void give_up(void *arg)
{
        weir_panic("number %d, text %s", *(int *)arg, "abc");
}

WEIR_TEST(success_leaves_the_information_alone)
{
        weir_panic_info info;
        unsigned char   before[sizeof info];
        int             n = 0;

        memset(&info, 0x5a, sizeof info);
        memset(before, 0x5a, sizeof before);
        ck_assert_int_eq(weir_protect(succeed, &n, &info), 0);
        ck_assert_int_eq(n, 1);
        ck_assert(!memcmp(&info, before, sizeof info));
}

WEIR_TEST(a_panic_comes_back_with_message_and_place)
{
        weir_panic_info info;
        int             n = 7;

        ck_assert_int_eq(weir_protect(give_up, &n, &info), WEIR_EPANIC);
        ck_assert_str_eq(info.message, "number 7, text abc");
        ck_assert((uintptr_t)info.pc > (uintptr_t)give_up && (uintptr_t)info.pc < (uintptr_t)give_up + 512);
        for (size_t i = 0; i < 4; i++)
                ck_assert_uint_eq(info.reserved[i], 0);
}

WEIR_TEST(nobody_needs_the_information)
{
        ck_assert_int_eq(weir_protect(give_up, &(int){ 1 }, NULL), WEIR_EPANIC);
        ck_assert_int_eq(weir_protect(give_up, &(int){ 1 }, NULL), WEIR_EPANIC);
}

static void fail_long(void *arg)
{
        (void)arg;
        weir_panic("%0500d", 7);
}

WEIR_TEST(a_long_message_is_cut_off)
{
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(fail_long, NULL, &info), WEIR_EPANIC);
        ck_assert_uint_eq(strlen(info.message), sizeof info.message - 1);
}

static void fail_inside(void *arg)
{
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(give_up, arg, &info), WEIR_EPANIC);
        ck_assert_str_eq(info.message, "number 3, text abc");
        weir_panic("outer");
}

WEIR_TEST(protects_nest)
{
        weir_panic_info info;

        for (int i = 0; i < 100; i++) {
                ck_assert_int_eq(weir_protect(fail_inside, &(int){ 3 }, &info), WEIR_EPANIC);
                ck_assert_str_eq(info.message, "outer");
        }
}

static int handlers;

static void count_up(int **n)
{
        __atomic_fetch_add(&handlers, 1, __ATOMIC_RELAXED);
        (void)n;
}

static noinline void descend_counted(int depth)
{
        __attribute__((cleanup(count_up))) int *here = &handlers;

        if (depth)
                descend_counted(depth - 1);
        else if (here)
                weir_panic("at the bottom");
        __asm__ volatile("" : : "r"(here));
}

static void start_descent(void *arg)
{
        __attribute__((cleanup(count_up))) int *here = arg;

        descend_counted(here ? 0 : 9);
}

WEIR_TEST(cleanup_handlers_between_panic_and_protect_run)
{
        handlers = 0;
        ck_assert_int_eq(weir_protect(start_descent, NULL, NULL), WEIR_EPANIC);
        ck_assert_int_eq(handlers, 11);
}

static void park_then_fail(void *arg)
{
        __attribute__((cleanup(count_up))) int *here = arg;

        for (int i = 0; i < 20; i++)
                weir_sleep(50 * WEIR_MICROSECOND);
        __asm__ volatile("" : : "r"(here));
        weir_panic("after a while");
}

weir_task(protected_one, my, { weir_wg *wg; int *caught; })
{
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(park_then_fail, NULL, &info), WEIR_EPANIC);
        ck_assert_str_eq(info.message, "after a while");
        __atomic_fetch_add(my->caught, 1, __ATOMIC_RELAXED);
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(a_protected_goroutine_may_move_to_another_thread, .procs = 4)
{
        weir_wg wg = { 0 };
        int     caught = 0;

        weir_wg_add(&wg, 40);
        for (int i = 0; i < 40; i++)
                weir_go(protected_one, .wg = &wg, .caught = &caught);
        weir_wg_wait(&wg);
        ck_assert_int_eq(caught, 40);
}

static void fail_blocking(void *arg)
{
        weir_blocking(give_up, arg);
}

/* The panic left the blocking call behind, and with it the step that takes a processor again: the
 * next call of the runtime said "called inside weir_blocking". */
WEIR_TEST_WITH(a_panic_in_a_blocking_call_ends_that_call, .procs = 2)
{
        weir_chan *c = weir_chan_make(int, 1);
        int        v = 5;

        for (int i = 0; i < 20; i++) {
                ck_assert_int_eq(weir_protect(fail_blocking, &v, NULL), WEIR_EPANIC);
                weir_yield();
                weir_send(c, &v);
                weir_recv(c, &v);
                weir_sleep(WEIR_MICROSECOND);
        }
}

static void protect_nothing(void *arg)
{
        (void)arg;
        weir_protect(NULL, NULL, NULL);
}

WEIR_TEST(a_protect_of_nothing_panics)
{
        ck_assert_int_eq(weir_protect(protect_nothing, NULL, NULL), WEIR_EPANIC);
}

/* ---- panics on the way ---- */

static int order[8], norder;

static void note(int *n)
{
        order[norder++] = *n;
}

static void note_and_panic(int *n)
{
        note(n);
        weir_panic("handler %d", *n);
}

static void panics_in_handlers(void *arg)
{
        __attribute__((cleanup(note))) int           outer = 1;
        __attribute__((cleanup(note_and_panic))) int second = 2;
        __attribute__((cleanup(note_and_panic))) int first = 3;

        (void)arg;
        __asm__ volatile("" : : "r"(&outer), "r"(&second), "r"(&first) : "memory");
        weir_panic("body");
}

WEIR_TEST(a_handler_that_panics_is_left_and_the_outer_ones_run)
{
        weir_panic_info info;

#ifdef __clang__
        test_skip("clang makes a handler that panics while unwinding call abort");
#endif
        for (int i = 0; i < 50; i++) {
                norder = 0;
                ck_assert_int_eq(weir_protect(panics_in_handlers, NULL, &info), WEIR_EPANIC);
                ck_assert_str_eq(info.message, "handler 2");
                ck_assert_int_eq(norder, 3);
                ck_assert_int_eq(order[0], 3);
                ck_assert_int_eq(order[1], 2);
                ck_assert_int_eq(order[2], 1);
        }
}

static void protect_in_handler(int *n)
{
        note(n);
        ck_assert_int_eq(weir_protect(give_up, n, NULL), WEIR_EPANIC);
        weir_yield();
}

static void protects_in_handlers(void *arg)
{
        __attribute__((cleanup(protect_in_handler))) int outer = 1;
        __attribute__((cleanup(protect_in_handler))) int inner = 2;

        (void)arg;
        __asm__ volatile("" : : "r"(&outer), "r"(&inner) : "memory");
        weir_panic("body");
}

WEIR_TEST(a_handler_may_protect_and_park_by_itself)
{
        weir_panic_info info;

        norder = 0;
        ck_assert_int_eq(weir_protect(protects_in_handlers, NULL, &info), WEIR_EPANIC);
        ck_assert_str_eq(info.message, "body");
        ck_assert_int_eq(norder, 2);
}

static void panic_again(void *arg)
{
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(give_up, arg, &info), WEIR_EPANIC);
        weir_panic("%s", info.message);
}

WEIR_TEST(what_was_caught_can_be_raised_again)
{
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(panic_again, &(int){ 4 }, &info), WEIR_EPANIC);
        ck_assert_str_eq(info.message, "number 4, text abc");
}

static int compare(const void *a, const void *b)
{
        __attribute__((cleanup(note))) int here = 5;

        __asm__ volatile("" : : "r"(&here) : "memory");
        if (norder == 0)
                weir_panic("not comparable");
        return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

static void sort(void *arg)
{
        __attribute__((cleanup(note))) int here = 6;

        __asm__ volatile("" : : "r"(&here) : "memory");
        qsort(arg, 4, sizeof(int), compare);
}

WEIR_TEST(a_callback_of_libc_may_panic)
{
        weir_panic_info info;
        int             v[4] = { 3, 1, 2, 4 };

        norder = 0;
        ck_assert_int_eq(weir_protect(sort, v, &info), WEIR_EPANIC);
        ck_assert_str_eq(info.message, "not comparable");
        ck_assert_int_eq(norder, 2);
        ck_assert_int_eq(order[0], 5);
        ck_assert_int_eq(order[1], 6);
}

static void disable_and_fail(void *arg)
{
        weir_preempt_disable();
        give_up(arg);
}

/* What the unwound frames disabled is enabled again, or the goroutine would never be cut again. */
WEIR_TEST(a_panic_undoes_what_its_frames_disabled)
{
        ck_assert_int_eq(weir_protect(disable_and_fail, &(int){ 1 }, NULL), WEIR_EPANIC);
        ck_assert_uint_eq(weir__sched_g()->no_preempt, 0);
}
