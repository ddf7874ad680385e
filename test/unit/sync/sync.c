/* Mutex, wait group, once. */
#include "check.h"
#include "base/debug.h"
#include <string.h>

static weir_mutex mutex;
static long       counter;

weir_task(add_many, my, { int n; })
{
        for (int i = 0; i < my->n; i++) {
                weir_mutex_lock(&mutex);
                counter++;
                if (i % 64 == 0)
                        weir_yield();           /* while it is held: others must wait */
                weir_mutex_unlock(&mutex);
        }
}

WEIR_TEST_WITH(a_mutex_excludes, .procs = 4, .timeout = 30)
{
        weir_wg wg = { 0 };

        for (int i = 0; i < 8; i++)
                weir_wg_go(&wg, add_many, .n = 5000);
        weir_wg_wait(&wg);
        ck_assert_int_eq(counter, 8 * 5000);
        ck_assert(weir_mutex_try_lock(&mutex));
        ck_assert(!weir_mutex_try_lock(&mutex));
        weir_mutex_unlock(&mutex);
}

weir_task(unlock_it, my, { weir_mutex *m; })
{
        weir_mutex_unlock(my->m);
}

WEIR_TEST(another_goroutine_may_unlock)
{
        weir_mutex m = { 0 };

        weir_mutex_lock(&m);
        weir_go(unlock_it, .m = &m);
        weir_mutex_lock(&m);
        weir_mutex_unlock(&m);
}

/* ---- unlocks of what is not locked ---- */

static weir_mutex misused;
static long       locked, unlocked, refused;

static void unlock_misused(void *arg)
{
        weir_mutex_unlock((weir_mutex *)arg);
}

static void try_to_unlock(void)
{
        if (weir_protect(unlock_misused, &misused, NULL) < 0)
                __atomic_fetch_add(&refused, 1, __ATOMIC_RELAXED);
        else
                __atomic_fetch_add(&unlocked, 1, __ATOMIC_RELAXED);
}

weir_task(locks_rightly, my, { int n; })
{
        for (int i = 0; i < my->n; i++) {
                weir_mutex_lock(&misused);
                __atomic_fetch_add(&locked, 1, __ATOMIC_RELAXED);
                if (i % 16 == 0)
                        weir_yield();
                try_to_unlock();
        }
}

weir_task(unlocks_wrongly, my, { int n; })
{
        for (int i = 0; i < my->n; i++) {
                try_to_unlock();
                if (i % 8 == 0)
                        weir_yield();
        }
}

/* The unlock lowered the word first and looked after: 0xffffffff for a moment, all flags set. Who
 * locked at that moment stood in line behind nobody, and its flag was lost in the repair. */
WEIR_TEST_WITH(unlocks_of_an_unlocked_mutex_harm_nobody_who_locks, .procs = 4, .timeout = 60)
{
        weir_wg wg = { 0 };

        for (int round = 0; round < 20; round++) {
                for (int i = 0; i < 4; i++)
                        weir_wg_go(&wg, locks_rightly, .n = 500);
                for (int i = 0; i < 4; i++)
                        weir_wg_go(&wg, unlocks_wrongly, .n = 500);
                weir_wg_wait(&wg);
                ck_assert_int_eq(locked, (round + 1) * 2000);
                /* Not equal: of two unlocks that meet within nanoseconds both may pass, since the
                 * unlock is a store. That is all that the second one can do. */
                ck_assert_int_le(locked, unlocked);
                ck_assert(weir_mutex_try_lock(&misused));
                weir_mutex_unlock(&misused);
        }
        ck_assert_int_gt(refused, 0);
}

/* On one processor, where a goroutine leaves only when it says so, no two unlocks meet: there each
 * lock is unlocked once, and every other unlock refused. */
WEIR_TEST_WITH(an_unlock_of_an_unlocked_mutex_is_refused_each_time, .procs = 1, .timeout = 60)
{
        weir_wg wg = { 0 };

        weir__debug.asyncpreemptoff = 1;
        for (int i = 0; i < 4; i++)
                weir_wg_go(&wg, locks_rightly, .n = 500);
        for (int i = 0; i < 4; i++)
                weir_wg_go(&wg, unlocks_wrongly, .n = 500);
        weir_wg_wait(&wg);
        ck_assert_int_eq(locked, 2000);
        ck_assert_int_eq(locked, unlocked);
        ck_assert_int_eq(refused, 2000);
        ck_assert(weir_mutex_try_lock(&misused));
        weir_mutex_unlock(&misused);
}

weir_task(hog, my, { weir_mutex *m; bool *stop; })
{
        while (!__atomic_load_n(my->stop, __ATOMIC_RELAXED)) {
                weir_mutex_lock(my->m);
                for (volatile int i = 0; i < 2000; i++)
                        ;
                weir_mutex_unlock(my->m);
                weir_yield();
        }
}

WEIR_TEST_WITH(a_waiter_is_not_starved_by_hogs, .procs = 2, .timeout = 20)
{
        weir_mutex m = { 0 };
        bool       stop = false;
        weir_wg    wg = { 0 };

        for (int i = 0; i < 4; i++)
                weir_wg_go(&wg, hog, .m = &m, .stop = &stop);
        for (int i = 0; i < 100; i++) {
                weir_mutex_lock(&m);
                weir_mutex_unlock(&m);
        }
        __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
        weir_wg_wait(&wg);
}

weir_task(lock_late, my, { weir_mutex *m; weir_time deadline; int *got, *late; weir_wg *done; })
{
        if (weir_mutex_lock_until(my->m, my->deadline) == WEIR_ETIMEOUT) {
                __atomic_fetch_add(my->late, 1, __ATOMIC_RELAXED);
        } else {
                __atomic_fetch_add(my->got, 1, __ATOMIC_RELAXED);
                weir_mutex_unlock(my->m);
        }
        weir_wg_done(my->done);
}

WEIR_TEST(a_deadline_ends_the_wait_for_a_mutex)
{
        weir_mutex m = { 0 };
        weir_wg    done = { 0 };
        int        got = 0, late = 0;
        weir_time  start = weir_now(), soon = start + 5 * WEIR_MILLISECOND;

        ck_assert_int_eq(weir_mutex_lock_until(&m, start - 1), 0);      /* it is free */
        ck_assert_int_eq(weir_mutex_lock_until(&m, start - 1), WEIR_ETIMEOUT);
        ck_assert_int_eq(weir_mutex_lock_until(&m, soon), WEIR_ETIMEOUT);
        ck_assert_int_ge(weir_now(), soon);
        /* First, in the middle and last in line; the others stay. */
        weir_wg_add(&done, 6);
        for (int i = 0; i < 6; i++)
                weir_go(lock_late, .m = &m, .got = &got, .late = &late, .done = &done,
                        .deadline = i % 2 ? weir_now() + WEIR_SECOND * 3600
                                          : weir_now() + WEIR_MILLISECOND);
        while (__atomic_load_n(&late, __ATOMIC_RELAXED) < 3)
                weir_yield();
        ck_assert_int_eq(__atomic_load_n(&got, __ATOMIC_RELAXED), 0);
        weir_mutex_unlock(&m);
        weir_wg_wait(&done);
        ck_assert_int_eq(got, 3);
        ck_assert_int_eq(late, 3);
        ck_assert(weir_mutex_try_lock(&m));
        ck_assert(!weir_mutex_try_lock(&m));
}

weir_task(locks_and_gives_up, my, { weir_mutex *m; long *n; weir_wg *done; int rounds; })
{
        for (int i = 0; i < my->rounds; i++) {
                if (i % 3 && weir_mutex_lock_until(my->m, weir_now() + i % 7 * WEIR_MICROSECOND))
                        continue;
                if (i % 3 == 0)
                        weir_mutex_lock(my->m);
                ++*my->n;
                if (i % 5 == 0)
                        weir_yield();
                __atomic_fetch_add(my->n + 1, 1, __ATOMIC_RELAXED);
                weir_mutex_unlock(my->m);
        }
        weir_wg_done(my->done);
}

WEIR_TEST_WITH(deadlines_lose_no_waiter, .procs = 4, .timeout = 60)
{
        weir_mutex m = { 0 };
        weir_wg    done = { 0 };
        long       n[2] = { 0 };

        weir_wg_add(&done, 8);
        for (int i = 0; i < 8; i++)
                weir_go(locks_and_gives_up, .m = &m, .n = n, .done = &done, .rounds = 4000);
        weir_wg_wait(&done);
        ck_assert_int_eq(n[0], n[1]);
        ck_assert(weir_mutex_try_lock(&m));
}

/* Contended and calm again: back to the unlock that stores, with nobody left behind. */
WEIR_TEST_WITH(a_mutex_that_was_contended_becomes_cheap_again, .procs = 2, .timeout = 60)
{
        weir_mutex m = { 0 };
        weir_wg    wg = { 0 };
        long       n[2] = { 0 };

        for (int round = 0; round < 5; round++) {
                weir_wg_add(&wg, 2);
                for (int i = 0; i < 2; i++)
                        weir_go(locks_and_gives_up, .m = &m, .n = n, .done = &wg, .rounds = 500);
                weir_wg_wait(&wg);
                for (int i = 0; i < 40000; i++) {
                        weir_mutex_lock(&m);
                        weir_mutex_unlock(&m);
                }
                ck_assert_uint_eq((uint32_t)m.state_[0], 0);
                ck_assert_uint_eq(m.state_[1], 0);
        }
}

static void unlock_unlocked(void *m)
{
        weir_mutex_unlock(m);
}

static void wg_below_zero(void *wg)
{
        weir_wg_done(wg);
}

WEIR_TEST(mistakes_panic_and_leave_the_object_usable)
{
        weir_mutex      m = { 0 };
        weir_wg         wg = { 0 };
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(unlock_unlocked, &m, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "unlock of unlocked mutex"));
        weir_mutex_lock(&m);
        weir_mutex_unlock(&m);
        ck_assert_int_eq(weir_protect(wg_below_zero, &wg, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "negative counter"));
        weir_wg_add(&wg, 1);
        weir_wg_done(&wg);
        weir_wg_wait(&wg);
}

weir_task(count_down, my, { weir_wg *wg; int *n; })
{
        weir_yield();
        __atomic_fetch_add(my->n, 1, __ATOMIC_RELAXED);
        weir_wg_done(my->wg);
}

weir_task(wait_for, my, { weir_wg *wg; weir_wg *done; int *n; int expect; })
{
        weir_wg_wait(my->wg);
        ck_assert_int_eq(__atomic_load_n(my->n, __ATOMIC_RELAXED), my->expect);
}

WEIR_TEST_WITH(a_wait_group_wakes_all_its_waiters_at_zero, .procs = 4, .timeout = 20)
{
        for (int round = 0; round < 50; round++) {
                weir_wg wg = { 0 }, waiters = { 0 };
                int     n = 0;

                weir_wg_add(&wg, 20);
                for (int i = 0; i < 5; i++)
                        weir_wg_go(&waiters, wait_for, .wg = &wg, .n = &n, .expect = 20);
                for (int i = 0; i < 20; i++)
                        weir_go(count_down, .wg = &wg, .n = &n);
                weir_wg_wait(&wg);
                ck_assert_int_eq(__atomic_load_n(&n, __ATOMIC_RELAXED), 20);
                weir_wg_wait(&waiters);
        }
}

weir_task(touch, my, { int *n; })
{
        __atomic_fetch_add(my->n, 1, __ATOMIC_RELAXED);
}

WEIR_TEST_WITH(a_group_on_the_stack_may_go_when_wait_returns, .procs = 4, .timeout = 20)
{
        int n = 0;

        for (int round = 0; round < 5000; round++) {
                weir_wg wg = { 0 };

                weir_wg_go(&wg, touch, .n = &n);
                weir_wg_go(&wg, touch, .n = &n);
                weir_wg_wait(&wg);
                memset(&wg, 0xff, sizeof wg);
        }
        ck_assert_int_eq(n, 10000);
}

static int ran;

static void run_slowly(void *arg)
{
        (void)arg;
        for (int i = 0; i < 20; i++)
                weir_yield();
        ran++;
}

weir_task(do_once, my, { weir_once *o; })
{
        weir_once_do(my->o, run_slowly, NULL);
        ck_assert_int_eq(ran, 1);
}

WEIR_TEST_WITH(once_runs_once_and_all_wait_for_it, .procs = 4)
{
        weir_once o = { 0 };
        weir_wg   wg = { 0 };

        for (int i = 0; i < 20; i++)
                weir_wg_go(&wg, do_once, .o = &o);
        weir_wg_wait(&wg);
        ck_assert_int_eq(ran, 1);
}

static weir_once panicking;

static void always_panics(void *arg)
{
        (void)arg;
        weir_panic("the function of once");
}

static void call_once(void *arg)
{
        (void)arg;
        weir_once_do(&panicking, always_panics, NULL);
}

WEIR_TEST(once_is_done_even_if_its_function_panicked)
{
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(call_once, NULL, &info), WEIR_EPANIC);
        ck_assert_str_eq(info.message, "the function of once");
        ck_assert_int_eq(weir_protect(call_once, NULL, &info), 0);
}

/* ---- adding beside a wait ---- */

weir_task(add_and_done, my, { weir_wg *wg; bool *stop; })
{
        while (!__atomic_load_n(my->stop, __ATOMIC_RELAXED)) {
                weir_wg_add(my->wg, 1);
                weir_wg_done(my->wg);
        }
}

/* A wait may miss what was added beside it, the group may not. */
WEIR_TEST_WITH(an_add_beside_a_wake_is_not_lost, .procs = 4, .timeout = 20)
{
        static weir_wg wg;
        bool           stop = false;
        weir_time      end = weir_now() + 300 * WEIR_MILLISECOND;

        for (int i = 0; i < 3; i++)
                weir_go(add_and_done, .wg = &wg, .stop = &stop);
        while (weir_now() < end)
                weir_wg_wait(&wg);
        __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
        weir_sleep(20 * WEIR_MILLISECOND);
        weir_wg_wait(&wg);
}
