/* The mutex of readers and writers. */
#include "check.h"
#include <string.h>

struct shared {
        weir_rwmutex m;
        long         a, b;              /* lock: m */
        uint32_t     readers, most;     /* atomic */
        uint32_t     writers;           /* atomic */
        uint32_t     stop;              /* atomic */
};

static void read_once(struct shared *s, bool yield)
{
        uint32_t n, most;

        weir_rwmutex_rlock(&s->m);
        n = __atomic_add_fetch(&s->readers, 1, __ATOMIC_SEQ_CST);
        most = __atomic_load_n(&s->most, __ATOMIC_RELAXED);
        while (n > most && !__atomic_compare_exchange_n(&s->most, &most, n, 0, __ATOMIC_RELAXED,
                                                        __ATOMIC_RELAXED))
                ;
        ck_assert_int_eq(s->a, s->b);
        ck_assert_uint_eq(__atomic_load_n(&s->writers, __ATOMIC_SEQ_CST), 0);
        if (yield)
                weir_yield();
        ck_assert_int_eq(s->a, s->b);
        __atomic_sub_fetch(&s->readers, 1, __ATOMIC_SEQ_CST);
        weir_rwmutex_runlock(&s->m);
}

static void write_once(struct shared *s, bool yield)
{
        weir_rwmutex_lock(&s->m);
        ck_assert_uint_eq(__atomic_add_fetch(&s->writers, 1, __ATOMIC_SEQ_CST), 1);
        ck_assert_uint_eq(__atomic_load_n(&s->readers, __ATOMIC_SEQ_CST), 0);
        s->a++;
        if (yield)
                weir_yield();
        s->b++;
        __atomic_sub_fetch(&s->writers, 1, __ATOMIC_SEQ_CST);
        weir_rwmutex_unlock(&s->m);
}

weir_task(use_it, my, { struct shared *s; int rounds, write_every; })
{
        for (int i = 0; i < my->rounds; i++)
                if (i % my->write_every == 0)
                        write_once(my->s, i % 3 == 0);
                else
                        read_once(my->s, i % 7 == 0);
}

static void mixed(int goroutines, int rounds, int write_every)
{
        struct shared s = { 0 };
        weir_wg       wg = { 0 };

        for (int i = 0; i < goroutines; i++)
                weir_wg_go(&wg, use_it, .s = &s, .rounds = rounds, .write_every = write_every);
        weir_wg_wait(&wg);
        ck_assert_int_eq(s.a, s.b);
        ck_assert_int_eq(s.a, goroutines * ((rounds + write_every - 1) / write_every));
        ck_assert(weir_rwmutex_try_lock(&s.m));
        ck_assert(!weir_rwmutex_try_rlock(&s.m));
        weir_rwmutex_unlock(&s.m);
        ck_assert(weir_rwmutex_try_rlock(&s.m));
        ck_assert(weir_rwmutex_try_rlock(&s.m));
        ck_assert(!weir_rwmutex_try_lock(&s.m));
        weir_rwmutex_runlock(&s.m);
        weir_rwmutex_runlock(&s.m);
}

WEIR_TEST_WITH(a_writer_is_alone_and_readers_see_whole_writes, .procs = 4, .timeout = 60)
{
        mixed(8, 3000, 2);
        mixed(8, 6000, 20);
}

weir_task(keep_reading, my, { struct shared *s; })
{
        while (!__atomic_load_n(&my->s->stop, __ATOMIC_RELAXED)) {
                weir_rwmutex_rlock(&my->s->m);
                weir_yield();
                weir_rwmutex_runlock(&my->s->m);
        }
}

WEIR_TEST_WITH(readers_who_never_pause_do_not_starve_a_writer, .procs = 2, .timeout = 60)
{
        struct shared s = { 0 };
        weir_wg       wg = { 0 };

        for (int i = 0; i < 8; i++)
                weir_wg_go(&wg, keep_reading, .s = &s);
        for (int i = 0; i < 200; i++)
                write_once(&s, false);
        __atomic_store_n(&s.stop, 1, __ATOMIC_RELAXED);
        weir_wg_wait(&wg);
}

weir_task(keep_writing, my, { struct shared *s; })
{
        while (!__atomic_load_n(&my->s->stop, __ATOMIC_RELAXED))
                write_once(my->s, true);
}

WEIR_TEST_WITH(writers_who_never_pause_do_not_starve_a_reader, .procs = 2, .timeout = 60)
{
        struct shared s = { 0 };
        weir_wg       wg = { 0 };

        for (int i = 0; i < 4; i++)
                weir_wg_go(&wg, keep_writing, .s = &s);
        for (int i = 0; i < 200; i++)
                read_once(&s, true);
        __atomic_store_n(&s.stop, 1, __ATOMIC_RELAXED);
        weir_wg_wait(&wg);
}

weir_task(unlock_reader, my, { weir_rwmutex *m; int n; })
{
        for (int i = 0; i < my->n; i++)
                weir_rwmutex_runlock(my->m);
}

/* More than a place can hold the names of, and unlocked where others locked. */
WEIR_TEST_WITH(other_goroutines_may_unlock_and_many_mutexes_share_places, .procs = 4, .timeout = 60)
{
        enum { N = 500 };
        static weir_rwmutex all[N];
        weir_wg             wg = { 0 };

        for (int i = 0; i < N; i++)
                for (int k = 0; k < 3; k++)
                        ck_assert(weir_rwmutex_try_rlock(&all[i]));
        for (int i = 0; i < N; i++)
                ck_assert(!weir_rwmutex_try_lock(&all[i]));
        for (int i = 0; i < N; i++)
                weir_wg_go(&wg, unlock_reader, .m = &all[i], .n = 3);
        weir_wg_wait(&wg);
        for (int i = 0; i < N; i++) {
                ck_assert(weir_rwmutex_try_lock(&all[i]));
                weir_rwmutex_unlock(&all[i]);
        }
}

WEIR_TEST(a_place_that_is_full_loses_no_reader)
{
        enum { N = 70000 };             /* a place counts to 65535 */
        weir_rwmutex m = { 0 };

        for (int i = 0; i < N; i++)
                ck_assert(weir_rwmutex_try_rlock(&m));
        for (int i = 0; i < N; i++) {
                if (i % 10000 == 0)
                        ck_assert(!weir_rwmutex_try_lock(&m));
                weir_rwmutex_runlock(&m);
        }
        ck_assert(weir_rwmutex_try_lock(&m));
        weir_rwmutex_unlock(&m);
}

WEIR_TEST(deadlines_end_the_waits_of_readers_and_writers)
{
        weir_rwmutex m = { 0 };
        weir_time    soon;

        weir_rwmutex_rlock(&m);
        soon = weir_now() + 2 * WEIR_MILLISECOND;
        ck_assert_int_eq(weir_rwmutex_lock_until(&m, soon), WEIR_ETIMEOUT);
        ck_assert_int_ge(weir_now(), soon);
        ck_assert_int_eq(weir_rwmutex_lock_until(&m, soon), WEIR_ETIMEOUT);
        ck_assert_int_eq(weir_rwmutex_rlock_until(&m, soon), 0);   /* no writer is there */
        weir_rwmutex_runlock(&m);
        weir_rwmutex_runlock(&m);
        ck_assert_int_eq(weir_rwmutex_lock_until(&m, soon), 0);
        soon = weir_now() + WEIR_MILLISECOND;
        ck_assert_int_eq(weir_rwmutex_rlock_until(&m, soon), WEIR_ETIMEOUT);
        soon = weir_now() + WEIR_MILLISECOND;
        ck_assert_int_eq(weir_rwmutex_lock_until(&m, soon), WEIR_ETIMEOUT);
        weir_rwmutex_unlock(&m);
        ck_assert(weir_rwmutex_try_rlock(&m));
        weir_rwmutex_runlock(&m);
}

#if WEIR_CHECK >= 1
static void rlock(void *m)
{
        weir_rwmutex_rlock(m);
}

weir_task(read_beside, my, { weir_rwmutex *m; })
{
        weir_rwmutex_rlock(my->m);
        weir_rwmutex_runlock(my->m);
}

WEIR_TEST(builds_that_check_refuse_a_recursive_read_lock)
{
        weir_rwmutex    m = { 0 };
        weir_panic_info info;
        weir_wg         wg = { 0 };

        weir_rwmutex_rlock(&m);
        ck_assert_int_eq(weir_protect(rlock, &m, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "recursive read lock"));
        weir_wg_go(&wg, read_beside, .m = &m);
        weir_wg_wait(&wg);
        weir_rwmutex_runlock(&m);
        weir_rwmutex_rlock(&m);
        weir_rwmutex_runlock(&m);
}
#endif

static void unlock_unlocked(void *m)
{
        weir_rwmutex_unlock(m);
}

static void runlock_unlocked(void *m)
{
        weir_rwmutex_runlock(m);
}

WEIR_TEST(unlocks_of_what_is_not_locked_panic)
{
        weir_rwmutex    m = { 0 };
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(unlock_unlocked, &m, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "unlock of unlocked rwmutex"));
        ck_assert_int_eq(weir_protect(runlock_unlocked, &m, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "nobody has locked to read"));
        weir_rwmutex_lock(&m);
        weir_rwmutex_unlock(&m);
        weir_rwmutex_rlock(&m);
        weir_rwmutex_runlock(&m);
}
