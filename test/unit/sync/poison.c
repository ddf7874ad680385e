/* run: WEIR_DEBUG=poolpoison=1,gcforeign=1 WEIR_GC=off */
/* Pools that look for mistakes. */
#include "check.h"
#include <stdlib.h>
#include <string.h>

struct thing {
        uint64_t state;
        char    *buffer;
};

static void *make(void *arg)
{
        (void)arg;
        return calloc(1, sizeof(struct thing));
}

static void reset(void *obj, void *arg)
{
        (void)arg;
        ((struct thing *)obj)->state = 0;
}

static weir_pool pool = { .make = make, .reset = reset, .size = sizeof(uint64_t) };

struct put {
        weir_pool *p;
        void      *obj;
};

static void put(void *arg)
{
        struct put *c = arg;

        weir_pool_put(c->p, c->obj);
}

static void get(void *arg)
{
        (void)weir_pool_get(arg);
}

WEIR_TEST(a_right_use_passes_and_keeps_what_reset_keeps)
{
        struct thing *t = weir_pool_get(&pool);
        static char   buffer[8];

        t->state = 3;
        t->buffer = buffer;
        for (int i = 0; i < 100; i++) {
                weir_pool_put(&pool, t);
                t = weir_pool_get(&pool);
                ck_assert_ptr_eq(t->buffer, buffer);
                ck_assert_uint_eq(t->state, 0);
        }
        free(t);
}

WEIR_TEST(what_is_in_the_pool_reads_as_poison)
{
        struct thing *t = weir_pool_get(&pool);

        weir_pool_put(&pool, t);
        ck_assert_uint_eq(*(volatile uint64_t *)&t->state, UINT64_C(0xdbdbdbdbdbdbdbdb));
}

WEIR_TEST(a_write_after_the_put_is_found)
{
        struct thing   *t = weir_pool_get(&pool);
        weir_panic_info info;

        weir_pool_put(&pool, t);
        *(volatile char *)((char *)t + 5) = 1;
        ck_assert_int_eq(weir_protect(get, &pool, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "byte 5 of "));
        ck_assert_ptr_nonnull(strstr(info.message, "written after it was put back"));
}

WEIR_TEST(a_second_put_is_found)
{
        struct thing   *t = weir_pool_get(&pool);
        struct put      again = { &pool, t };
        weir_panic_info info;

        weir_pool_put(&pool, t);
        ck_assert_int_eq(weir_protect(put, &again, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "is in the pool already"));
}

WEIR_TEST(a_missing_reset_is_found)
{
        weir_pool       p = { .make = make, .size = sizeof(uint64_t) };
        struct thing   *t = weir_pool_get(&p);
        struct put      dirty = { &p, t };
        weir_panic_info info;

        t->state = (uint64_t)1 << 16;
        ck_assert_int_eq(weir_protect(put, &dirty, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "byte 2 of "));
        ck_assert_ptr_nonnull(strstr(info.message, "reset is missing"));
        t->state = 0;
        weir_pool_put(&p, t);
        ck_assert_ptr_eq(weir_pool_get(&p), t);
}

static uint32_t destroyed;              /* atomic */

static void destroy(void *obj, void *arg)
{
        (void)arg;
        ck_assert_uint_eq(((struct thing *)obj)->state, 0);
        free(obj);
        __atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
}

WEIR_TEST(what_is_dropped_is_whole_again)
{
        weir_pool p = { .make = make, .destroy = destroy };

        weir_pool_put(&p, weir_pool_get(&p));
        weir_gc_run();
        weir_gc_run();
        while (!__atomic_load_n(&destroyed, __ATOMIC_RELAXED))
                weir_yield();
}
