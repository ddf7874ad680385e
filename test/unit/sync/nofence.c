/* run: WEIR_DEBUG=membarrier=0 */
/* The mutex where the kernel has no fence for all threads: who waits beside an unlock that stores
 * looks again instead of sleeping. */
#include "check.h"

weir_task(count_up, my, { weir_mutex *m; long *n; int rounds; })
{
        for (int i = 0; i < my->rounds; i++) {
                weir_mutex_lock(my->m);
                ++*my->n;
                if (i % 64 == 0)
                        weir_yield();
                weir_mutex_unlock(my->m);
        }
}

WEIR_TEST_WITH(without_a_fence_a_mutex_excludes_and_leaves_nobody, .procs = 4, .timeout = 60)
{
        weir_mutex m = { 0 };
        weir_wg    wg = { 0 };
        long       n = 0;

        for (int i = 0; i < 8; i++)
                weir_wg_go(&wg, count_up, .m = &m, .n = &n, .rounds = 5000);
        weir_wg_wait(&wg);
        ck_assert_int_eq(n, 8 * 5000);
}

WEIR_TEST(without_a_fence_a_deadline_ends_the_wait)
{
        weir_mutex m = { 0 };

        weir_mutex_lock(&m);
        ck_assert_int_eq(weir_mutex_lock_until(&m, weir_now() + WEIR_MILLISECOND), WEIR_ETIMEOUT);
        weir_mutex_unlock(&m);
        ck_assert_int_eq(weir_mutex_lock_until(&m, weir_now()), 0);
}
