/* Pools: what is put is had again, survives at most two collections, is nobody else's. */
#include "check.h"
#include <stdlib.h>
#include <string.h>

__attribute__((constructor)) static void collect_anyway(void)
{
        setenv("WEIR_DEBUG", "gcforeign=1", 1);
        setenv("WEIR_GC", "off", 1);            /* only when a test says so */
}

struct thing {
        uint64_t state;
        uint32_t owner;                 /* atomic */
        char     rest[100];
};

static uint32_t made, destroyed, reset_calls;   /* atomic */

static void *make_thing(void *arg)
{
        __atomic_add_fetch(&made, 1, __ATOMIC_RELAXED);
        (void)arg;
        return calloc(1, sizeof(struct thing));
}

static void *make_collected(void *arg)
{
        (void)arg;
        __atomic_add_fetch(&made, 1, __ATOMIC_RELAXED);
        return weir_new_bytes(sizeof(struct thing));
}

static void reset_thing(void *obj, void *arg)
{
        (void)arg;
        __atomic_add_fetch(&reset_calls, 1, __ATOMIC_RELAXED);
        ((struct thing *)obj)->state = 0;
}

static void destroy_thing(void *obj, void *arg)
{
        (void)arg;
        __atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
        free(obj);
}

static uint32_t count(const uint32_t *n)
{
        return __atomic_load_n(n, __ATOMIC_RELAXED);
}

WEIR_TEST_WITH(what_was_put_is_had_again_and_reset, .procs = 1)
{
        weir_pool     p = { .make = make_thing, .reset = reset_thing, .destroy = destroy_thing };
        struct thing *a = weir_pool_get(&p), *b;

        a->state = 7;
        weir_pool_put(&p, a);
        ck_assert_uint_eq(count(&reset_calls), 1);
        b = weir_pool_get(&p);
        ck_assert_ptr_eq(a, b);
        ck_assert_uint_eq(b->state, 0);
        ck_assert_uint_eq(count(&made), 1);
        free(b);
}

WEIR_TEST_WITH(a_pool_without_make_gives_null_when_empty, .procs = 1)
{
        static weir_pool p;
        int              x;

        ck_assert_ptr_null(weir_pool_get(&p));
        weir_pool_put(&p, NULL);
        ck_assert_ptr_null(weir_pool_get(&p));
        weir_pool_put(&p, &x);
        ck_assert_ptr_eq(weir_pool_get(&p), &x);
        ck_assert_ptr_null(weir_pool_get(&p));
}

WEIR_TEST_WITH(more_than_a_processor_holds_is_all_had_again, .procs = 1)
{
        enum { MANY = 1000 };
        weir_pool             p = { .make = make_thing, .destroy = destroy_thing };
        static struct thing  *all[MANY];

        for (int i = 0; i < MANY; i++)
                all[i] = weir_pool_get(&p);
        for (int i = 0; i < MANY; i++)
                weir_pool_put(&p, all[i]);
        for (int i = 0; i < MANY; i++) {
                all[i] = weir_pool_get(&p);
                must(all[i]->state != 1);
                all[i]->state = 1;              /* none twice */
        }
        ck_assert_uint_eq(count(&made), MANY);
        for (int i = 0; i < MANY; i++)
                free(all[i]);
}

WEIR_TEST_WITH(an_unused_object_survives_one_collection_and_not_two, .procs = 1)
{
        weir_pool     p = { .make = make_collected };
        struct thing *a = weir_pool_get(&p);
        uintptr_t     was = ~(uintptr_t)a;

        weir_pool_put(&p, a);
        weir_gc_run();
        a = weir_pool_get(&p);
        ck_assert_uint_eq(count(&made), 1);
        ck_assert_uint_eq((uintptr_t)a, ~was);
        weir_pool_put(&p, a);
        weir_gc_run();
        weir_gc_run();
        a = weir_pool_get(&p);
        ck_assert_uint_eq(count(&made), 2);
        weir_pool_put(&p, a);
}

WEIR_TEST_WITH(a_collected_object_in_a_pool_is_kept_alive, .procs = 2)
{
        enum { MANY = 200 };
        weir_pool     p = { .make = make_collected };
        struct thing *a[MANY];

        for (int i = 0; i < MANY; i++)
                a[i] = weir_pool_get(&p);
        for (int i = 0; i < MANY; i++) {
                memset(a[i], 0x55, sizeof *a[i]);
                weir_pool_put(&p, a[i]);
        }
        memset(a, 0, sizeof a);
        weir_gc_run();
        for (int i = 0; i < 10000; i++)
                (void)weir_new_bytes(sizeof(struct thing));
        for (uint32_t n = count(&made); n-- > 0;) {
                struct thing *t = weir_pool_get(&p);

                if (count(&made) != MANY)
                        break;
                for (size_t i = 0; i < sizeof *t; i++)
                        must(((unsigned char *)t)[i] == 0x55);
        }
}

static void await(const uint32_t *n, uint32_t at_least)
{
        while (count(n) < at_least)
                weir_yield();
}

WEIR_TEST_WITH(what_is_dropped_is_destroyed_once, .procs = 2)
{
        enum { MANY = 100 };
        weir_pool     p = { .make = make_thing, .destroy = destroy_thing };
        struct thing *all[MANY];

        for (int i = 0; i < MANY; i++)
                all[i] = weir_pool_get(&p);
        for (int i = 0; i < MANY; i++)
                weir_pool_put(&p, all[i]);
        weir_gc_run();
        ck_assert_uint_eq(count(&destroyed), 0);
        weir_gc_run();
        await(&destroyed, MANY);
        weir_gc_run();
        weir_gc_run();
        ck_assert_uint_eq(count(&destroyed), MANY);
        weir_pool_put(&p, weir_pool_get(&p));
        ck_assert_uint_eq(count(&made), MANY + 1);
}

WEIR_TEST_WITH(a_closed_pool_is_emptied_and_may_be_used_anew, .procs = 2)
{
        weir_pool p = { .make = make_thing, .destroy = destroy_thing };

        weir_pool_put(&p, weir_pool_get(&p));
        weir_pool_close(&p);
        weir_pool_close(&p);
        for (int i = 0; i < 3; i++)
                weir_gc_run();
        await(&destroyed, 1);
        weir_pool_put(&p, weir_pool_get(&p));
        ck_assert_uint_eq(count(&made), 2);
        for (int i = 0; i < 3; i++)
                weir_gc_run();
        await(&destroyed, 2);
}

struct user {
        weir_pool *p;
        int        rounds;
};

weir_task(use_pool, my, { weir_pool *p; int rounds; })
{
        struct thing *mine[8] = { 0 };
        uint32_t      id = (uint32_t)weir_go_id();

        for (int i = 0; i < my->rounds; i++) {
                struct thing **at = &mine[i * 7 % 8];

                if (*at) {
                        must(__atomic_exchange_n(&(*at)->owner, 0, __ATOMIC_RELAXED) == id);
                        weir_pool_put(my->p, *at);
                        *at = NULL;
                } else {
                        *at = weir_pool_get(my->p);
                        must(__atomic_exchange_n(&(*at)->owner, id, __ATOMIC_RELAXED) == 0);
                        must((*at)->state++ % 3 != 3);
                }
                if (i % 61 == 0)
                        weir_yield();
        }
}

WEIR_TEST_WITH(no_object_is_two_goroutines_own, .procs = 4, .timeout = 60)
{
        weir_pool p = { .make = make_thing, .destroy = destroy_thing };
        weir_wg   wg = { 0 };

        for (int i = 0; i < 16; i++)
                weir_wg_go(&wg, use_pool, .p = &p, .rounds = 5000);
        for (int i = 0; i < 10; i++)
                weir_gc_run();
        weir_wg_wait(&wg);
}

WEIR_TEST_WITH(more_processors_come_while_a_pool_is_used, .procs = 1, .timeout = 60)
{
        weir_pool p = { .make = make_thing, .destroy = destroy_thing };
        weir_wg   wg = { 0 };

        for (int i = 0; i < 8; i++)
                weir_wg_go(&wg, use_pool, .p = &p, .rounds = 5000);
        weir_yield();
        weir_procs(4);
        weir_wg_wait(&wg);
}
