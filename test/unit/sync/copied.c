/* run: WEIR_DEBUG=lockcheck=1 */
/* A copy of what is in use is a panic in whichever call meets it. (Only calls that lock, acquire or
 * wait once looked: who was done with a copy, or signalled one, was left in a deadlock.) */
#include "check.h"
#include <string.h>

/* How an object comes to be in use, and what is done with a copy of it. */
struct kind {
        const char *name;
        size_t      size;
        void      (*use)(void *);
        void      (*use_copy)(void *);
};

static void nothing(void *arg)
{
        (void)arg;
}

static void *no_value(void *arg)
{
        return arg;
}

static int fly(void *arg, void **ret)
{
        *ret = arg;
        return 0;
}

weir_group_task(member, my, { int unused; })
{
        (void)my;
        return 0;
}

#define USE(name, call) static void name(void *p) { (void)(call); }

USE(lock, weir_mutex_lock(p))
USE(try_lock, weir_mutex_try_lock(p))
USE(lock_until, weir_mutex_lock_until(p, 0))
USE(unlock, weir_mutex_unlock(p))
USE(write_lock, weir_rwmutex_lock(p))
USE(write_unlock, weir_rwmutex_unlock(p))
USE(read_lock, weir_rwmutex_rlock(p))
USE(signal_one, weir_cond_signal(p))
USE(broadcast, weir_cond_broadcast(p))
USE(acquire, weir_sema_acquire(p, 0))
USE(try_acquire, weir_sema_try_acquire(p, 0))
USE(acquire_until, weir_sema_acquire_until(p, 0, 0))
USE(release, weir_sema_release(p, 0))
USE(add, weir_wg_add(p, 1))
USE(done, weir_wg_done(p))
USE(wait_group, weir_wg_wait(p))
USE(run_once, weir_once_do(p, nothing, NULL))
USE(get_once, weir_once_get(p, no_value, NULL))
USE(group_wait, weir_group_wait(p))
USE(group_go, weir_group_go((weir_group *)p, member))
USE(group_try_go, weir_group_try_go((weir_group *)p, member))
USE(flight_do, weir_flight_do(p, "", 0, fly, NULL, NULL, NULL))
USE(flight_forget, weir_flight_forget(p, "", 0))
USE(allow, weir_limiter_allow(p, 0))
USE(set_rate, weir_limiter_set_rate(p, 2))
USE(put, weir_pool_put(p, p))
USE(get, weir_pool_get(p))

static void acquire_ctx(void *p)
{
        weir_sema_acquire_ctx(p, 0, weir_ctx_with_cancel(NULL));
}

static void latch_2(void *p)
{
        *(weir_latch *)p = (weir_latch)WEIR_LATCH(2);
        weir_latch_down(p, 1);
}

USE(latch_down, weir_latch_down(p, 1))
USE(latch_wait, weir_latch_wait_until(p, 0))

static void barrier_1(void *p)
{
        *(weir_barrier *)p = (weir_barrier)WEIR_BARRIER(1);
        weir_barrier_wait(p);
}

USE(barrier_wait, weir_barrier_wait(p))

static const struct kind kinds[] = {
        { "mutex", sizeof(weir_mutex), lock, lock },
        { "mutex", sizeof(weir_mutex), lock, try_lock },
        { "mutex", sizeof(weir_mutex), lock, lock_until },
        { "mutex", sizeof(weir_mutex), lock, unlock },
        { "mutex", sizeof(weir_rwmutex), write_lock, write_lock },
        { "mutex", sizeof(weir_rwmutex), write_lock, write_unlock },
        { "rwmutex", sizeof(weir_rwmutex), write_lock, read_lock },
        { "cond", sizeof(weir_cond), signal_one, signal_one },
        { "cond", sizeof(weir_cond), signal_one, broadcast },
        { "semaphore", sizeof(weir_sema), acquire, acquire },
        { "semaphore", sizeof(weir_sema), acquire, acquire_until },
        { "semaphore", sizeof(weir_sema), acquire, acquire_ctx },
        { "semaphore", sizeof(weir_sema), acquire, try_acquire },
        { "semaphore", sizeof(weir_sema), acquire, release },
        { "wait group", sizeof(weir_wg), add, add },
        { "wait group", sizeof(weir_wg), add, done },
        { "wait group", sizeof(weir_wg), add, wait_group },
        { "latch", sizeof(weir_latch), latch_2, latch_down },
        { "latch", sizeof(weir_latch), latch_2, latch_wait },
        { "barrier", sizeof(weir_barrier), barrier_1, barrier_wait },
        { "once", sizeof(weir_once), run_once, run_once },
        { "once", sizeof(weir_once_value), get_once, get_once },
        { "group", sizeof(weir_group), group_wait, group_go },
        { "group", sizeof(weir_group), group_wait, group_try_go },
        { "group", sizeof(weir_group), group_wait, group_wait },
        { "flight", sizeof(weir_flight), flight_do, flight_do },
        { "flight", sizeof(weir_flight), flight_do, flight_forget },
        { "limiter", sizeof(weir_limiter), allow, allow },
        { "limiter", sizeof(weir_limiter), allow, set_rate },
        { "pool", sizeof(weir_pool), put, get },
        { "pool", sizeof(weir_pool), get, put },
};

enum { KINDS = sizeof kinds / sizeof *kinds };

union any {
        weir_mutex      mutex;
        weir_rwmutex    rwmutex;
        weir_once_value once;
        weir_group      group;
        weir_flight     flight;
        weir_limiter    limiter;
        weir_pool       pool;
        uint64_t        words[16];
};

static union any one[KINDS], copy[KINDS];

WEIR_TEST(a_copy_of_what_is_in_use_is_found_by_each_call)
{
        for (int i = 0; i < KINDS; i++) {
                weir_panic_info info;
                char            begin[64];

                kinds[i].use(&one[i]);
                memcpy(&copy[i], &one[i], kinds[i].size);
                ck_assert_msg(weir_protect(kinds[i].use_copy, &copy[i], &info) < 0,
                              "%d: a copy of a %s passed", i, kinds[i].name);
                snprintf(begin, sizeof begin, "%s %p is a copy of one in use", kinds[i].name,
                         (void *)&copy[i]);
                ck_assert_msg(!strncmp(info.message, begin, strlen(begin)), "%d: %s", i,
                              info.message);
        }
}

/* What has not been used may be copied, and what is zero again is new. */
WEIR_TEST(a_copy_of_what_is_new_is_another_one)
{
        for (int i = 0; i < KINDS; i++) {
                memcpy(&copy[i], &one[i], kinds[i].size);
                kinds[i].use(&one[i]);
                kinds[i].use(&copy[i]);
        }
}

WEIR_TEST(a_once_that_is_done_stays_so)
{
        static weir_once_value o;
        static char            value, other;

        ck_assert_ptr_eq(weir_once_get(&o, no_value, &value), &value);
        ck_assert_ptr_eq(weir_once_get(&o, no_value, &other), &value);
        weir_once_do(&o.once_, NULL, NULL);
        memset(&o, 0, sizeof o);
        ck_assert_ptr_eq(weir_once_get(&o, no_value, &other), &other);
}
