/* Latches and barriers. */
#include "check.h"
#include <string.h>

weir_task(wait_latch, my, { weir_latch *l; uint32_t *done; uint32_t *seen; })
{
        weir_latch_wait(my->l);
        must(__atomic_load_n(my->done, __ATOMIC_RELAXED) == 5);
        __atomic_add_fetch(my->seen, 1, __ATOMIC_RELAXED);
}

weir_task(count_down, my, { weir_latch *l; uint32_t *done; })
{
        __atomic_add_fetch(my->done, 1, __ATOMIC_RELAXED);
        weir_latch_down(my->l, 1);
}

WEIR_TEST_WITH(a_latch_opens_when_all_have_counted_and_stays_open, .procs = 4)
{
        for (int round = 0; round < 200; round++) {
                weir_latch l = WEIR_LATCH(5);
                weir_wg    wg = { 0 };
                uint32_t   done = 0, seen = 0;

                for (int i = 0; i < 10; i++)
                        if (i % 2)
                                weir_wg_go(&wg, count_down, .l = &l, .done = &done);
                        else
                                weir_wg_go(&wg, wait_latch, .l = &l, .done = &done, .seen = &seen);
                weir_latch_wait(&l);
                ck_assert_int_eq(weir_latch_wait_until(&l, 0), 0);
                weir_wg_wait(&wg);
                ck_assert_uint_eq(seen, 5);
                ck_assert_uint_eq(weir_latch_count(&l), 0);
        }
}

static void down_too_far(void *l)
{
        weir_latch_down(l, 3);
}

WEIR_TEST(a_latch_counts_no_further_than_to_0)
{
        weir_latch      l = WEIR_LATCH(2);
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(down_too_far, &l, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "negative counter (2, taking 3)"));
        ck_assert_uint_eq(weir_latch_count(&l), 2);
        ck_assert_int_eq(weir_latch_wait_until(&l, weir_now() + WEIR_MILLISECOND), WEIR_ETIMEOUT);
        weir_latch_down(&l, 2);
        weir_latch_wait(&l);
}

struct rounds {
        weir_barrier b;
        uint32_t     here[64];          /* atomic: how many came to this round */
        uint32_t     last[64];          /* atomic: how many were the last */
};

weir_task(go_round, my, { struct rounds *r; int n; })
{
        for (int i = 0; i < 64; i++) {
                __atomic_add_fetch(&my->r->here[i], 1, __ATOMIC_RELAXED);
                if (weir_barrier_wait(&my->r->b))
                        __atomic_add_fetch(&my->r->last[i], 1, __ATOMIC_RELAXED);
                must(__atomic_load_n(&my->r->here[i], __ATOMIC_RELAXED) == (uint32_t)my->n);
                if (i < 63)
                        must(__atomic_load_n(&my->r->here[i + 1], __ATOMIC_RELAXED) <=
                             (uint32_t)my->n);
        }
}

WEIR_TEST_WITH(nobody_passes_a_barrier_before_all_are_there, .procs = 4, .timeout = 60)
{
        for (int n = 1; n < 9; n++) {
                struct rounds r = { .b = WEIR_BARRIER((uint64_t)n) };
                weir_wg       wg = { 0 };

                for (int i = 0; i < n; i++)
                        weir_wg_go(&wg, go_round, .r = &r, .n = n);
                weir_wg_wait(&wg);
                for (int i = 0; i < 64; i++)
                        ck_assert_uint_eq(r.last[i], 1);
                ck_assert_uint_eq(weir_barrier_generation(&r.b), 64);
        }
}

static void wait_nobody(void *b)
{
        weir_barrier_wait(b);
}

WEIR_TEST(who_gave_up_does_not_count)
{
        weir_barrier    b = WEIR_BARRIER(2), none = { { 0 } };
        weir_panic_info info;

        ck_assert_int_eq(weir_barrier_wait_until(&b, weir_now() + WEIR_MILLISECOND), WEIR_ETIMEOUT);
        ck_assert_int_eq(weir_barrier_wait_until(&b, 0), WEIR_ETIMEOUT);
        ck_assert_uint_eq(weir_barrier_generation(&b), 0);
        ck_assert_int_eq(weir_protect(wait_nobody, &none, &info), WEIR_EPANIC);
}
