/* Cond, semaphore, once with a value. */
#include "check.h"
#include <string.h>

/* ---- cond ---- */

struct queue {
        weir_mutex m;
        weir_cond  some, room;
        int        n, max, order[64], next;     /* lock: m */
        long       put, got;                    /* lock: m */
};

weir_task(produce, my, { struct queue *q; int n; })
{
        for (int i = 0; i < my->n; i++) {
                weir_mutex_lock(&my->q->m);
                while (my->q->n == my->q->max)
                        weir_cond_wait(&my->q->room, &my->q->m);
                my->q->n++;
                my->q->put++;
                weir_cond_signal(&my->q->some);
                weir_mutex_unlock(&my->q->m);
        }
}

weir_task(consume, my, { struct queue *q; int n; })
{
        for (int i = 0; i < my->n; i++) {
                weir_mutex_lock(&my->q->m);
                while (!my->q->n)
                        weir_cond_wait(&my->q->some, &my->q->m);
                my->q->n--;
                my->q->got++;
                weir_mutex_unlock(&my->q->m);
                weir_cond_signal(&my->q->room);
        }
}

WEIR_TEST_WITH(no_signal_is_lost, .procs = 4, .timeout = 60)
{
        struct queue q = { .max = 3 };
        weir_wg      wg = { 0 };

        for (int i = 0; i < 4; i++) {
                weir_wg_go(&wg, produce, .q = &q, .n = 5000);
                weir_wg_go(&wg, consume, .q = &q, .n = 5000);
        }
        weir_wg_wait(&wg);
        ck_assert_int_eq(q.put, 20000);
        ck_assert_int_eq(q.got, 20000);
        ck_assert_int_eq(q.n, 0);
}

weir_task(wait_in_turn, my, { struct queue *q; int i; weir_chan *in_line; })
{
        weir_mutex_lock(&my->q->m);
        weir_send(my->in_line, &my->i);
        weir_cond_wait(&my->q->some, &my->q->m);
        my->q->order[my->q->next++] = my->i;
        weir_mutex_unlock(&my->q->m);
}

WEIR_TEST_WITH(signals_wake_in_the_order_of_waiting_and_broadcast_wakes_all, .procs = 1)
{
        struct queue q = { 0 };
        weir_wg      wg = { 0 };
        weir_chan   *in_line = weir_chan_make(int, 0);
        int          v;

        for (int i = 0; i < 10; i++) {
                weir_wg_go(&wg, wait_in_turn, .q = &q, .i = i, .in_line = in_line);
                weir_recv(in_line, &v);
        }
        for (int i = 0; i < 5; i++) {
                weir_mutex_lock(&q.m);          /* all that came are in line once it is free */
                weir_cond_signal(&q.some);
                weir_mutex_unlock(&q.m);
                while (__atomic_load_n(&q.next, __ATOMIC_ACQUIRE) <= i)
                        weir_yield();
        }
        ck_assert_int_eq(q.next, 5);
        weir_mutex_lock(&q.m);
        weir_cond_broadcast(&q.some);
        weir_mutex_unlock(&q.m);
        weir_wg_wait(&wg);
        ck_assert_int_eq(q.next, 10);
        for (int i = 0; i < 5; i++)
                ck_assert_int_eq(q.order[i], i);
        weir_cond_signal(&q.some);              /* nobody: nothing */
        weir_cond_broadcast(&q.some);
}

static void wait_unlocked(void *q)
{
        weir_cond_wait(&((struct queue *)q)->some, &((struct queue *)q)->m);
}

WEIR_TEST(a_wait_may_end_by_a_deadline_and_needs_a_locked_mutex)
{
        struct queue    q = { 0 };
        weir_panic_info info;
        weir_time       soon = weir_now() + 2 * WEIR_MILLISECOND;

        weir_mutex_lock(&q.m);
        ck_assert_int_eq(weir_cond_wait_until(&q.some, &q.m, soon), WEIR_ETIMEOUT);
        ck_assert_int_ge(weir_now(), soon);
        ck_assert(!weir_mutex_try_lock(&q.m));
        weir_mutex_unlock(&q.m);
        ck_assert_int_eq(weir_protect(wait_unlocked, &q, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "is not locked"));
        weir_cond_signal(&q.some);
}

weir_task(wait_a_little, my, { struct queue *q; long *woken; })
{
        for (int i = 0; i < 2000; i++) {
                weir_mutex_lock(&my->q->m);
                if (!weir_cond_wait_until(&my->q->some, &my->q->m, weir_now() + i % 5 * 1000))
                        ++*my->woken;
                weir_mutex_unlock(&my->q->m);
        }
}

WEIR_TEST_WITH(deadlines_and_signals_meet, .procs = 4, .timeout = 60)
{
        struct queue q = { 0 };
        weir_wg      wg = { 0 };
        long         woken = 0, signals = 0;

        for (int i = 0; i < 4; i++)
                weir_wg_go(&wg, wait_a_little, .q = &q, .woken = &woken);
        for (; signals < 4000; signals++) {
                weir_cond_signal(&q.some);
                weir_yield();
        }
        weir_wg_wait(&wg);
        ck_assert_int_le(woken, signals);
}

/* ---- semaphore ---- */

weir_task(take_some, my, { weir_sema *s; int64_t *in_use; int64_t max; uint32_t seed; })
{
        uint32_t r = my->seed;

        for (int i = 0; i < 3000; i++) {
                uint64_t n = (r = r * 1664525 + 1013904223) >> 16 & 7;
                int64_t  now;

                if (i % 5 == 0) {
                        if (!weir_sema_try_acquire(my->s, n))
                                continue;
                } else if (i % 5 == 1) {
                        if (weir_sema_acquire_until(my->s, n, weir_now() + r % 20 * 1000) < 0)
                                continue;
                } else {
                        weir_sema_acquire(my->s, n);
                }
                now = __atomic_add_fetch(my->in_use, (int64_t)n, __ATOMIC_SEQ_CST);
                ck_assert_int_le(now, my->max);
                if (i % 4 == 0)
                        weir_yield();
                __atomic_sub_fetch(my->in_use, (int64_t)n, __ATOMIC_SEQ_CST);
                weir_sema_release(my->s, n);
        }
}

WEIR_TEST_WITH(never_more_units_than_there_are, .procs = 4, .timeout = 60)
{
        weir_sema s = WEIR_SEMA(10);
        weir_wg   wg = { 0 };
        int64_t   in_use = 0;

        for (uint32_t i = 0; i < 8; i++)
                weir_wg_go(&wg, take_some, .s = &s, .in_use = &in_use, .max = 10, .seed = i);
        weir_wg_wait(&wg);
        ck_assert(weir_sema_try_acquire(&s, 10));
        ck_assert(!weir_sema_try_acquire(&s, 1));
}

weir_task(take_units, my, { weir_sema *s; uint64_t n; int id, *order, *next; })
{
        weir_sema_acquire(my->s, my->n);
        my->order[__atomic_fetch_add(my->next, 1, __ATOMIC_SEQ_CST)] = my->id;
}

WEIR_TEST_WITH(who_wants_many_is_not_overtaken, .procs = 1)
{
        weir_sema s = { 0 };
        weir_wg   wg = { 0 };
        int       order[3] = { 0 }, next = 0;

        weir_wg_go(&wg, take_units, .s = &s, .n = 5, .id = 1, .order = order, .next = &next);
        weir_yield();
        while (weir_sema_try_acquire(&s, 0))    /* until it stands in line */
                weir_yield();
        weir_wg_go(&wg, take_units, .s = &s, .n = 1, .id = 2, .order = order, .next = &next);
        for (int i = 0; i < 4; i++) {
                weir_sema_release(&s, 1);
                weir_yield();
                ck_assert_int_eq(next, 0);
        }
        weir_sema_release(&s, 2);
        weir_wg_wait(&wg);
        ck_assert_int_eq(next, 2);
        ck_assert(!weir_sema_try_acquire(&s, 1));
}

static void release_too_many(void *s)
{
        weir_sema_release(s, UINT64_MAX);
}

WEIR_TEST(a_semaphore_that_would_overflow_panics_and_stays)
{
        weir_sema       s = WEIR_SEMA(3);
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(release_too_many, &s, &info), WEIR_EPANIC);
        ck_assert(weir_sema_try_acquire(&s, 3));
}

/* ---- once, with a value ---- */

static weir_once_value value;
static int             calls;

static void *find(void *arg)
{
        __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
        weir_yield();
        return (char *)arg + 1;
}

weir_task(get_value, my, { char *base; })
{
        ck_assert_ptr_eq(weir_once_get(&value, find, my->base), my->base + 1);
}

WEIR_TEST_WITH(a_value_is_found_once_for_all, .procs = 4)
{
        weir_wg wg = { 0 };
        char    base[2];

        for (int i = 0; i < 50; i++)
                weir_wg_go(&wg, get_value, .base = base);
        weir_wg_wait(&wg);
        ck_assert_int_eq(calls, 1);
}

static void *find_nothing(void *arg)
{
        weir_panic("no value in %s", (const char *)arg);
}

static void get_failing(void *o)
{
        weir_once_get(o, find_nothing, (void *)(uintptr_t)"the test");
}

WEIR_TEST(a_value_that_panicked_panics_again)
{
        weir_once_value o = { 0 };
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(get_failing, &o, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "no value in the test"));
        ck_assert_int_eq(weir_protect(get_failing, &o, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "the function panicked"));
}
