/* Boxes: one type for life, whole values, kept alive. */
#include "check.h"
#include <stdlib.h>
#include <string.h>

__attribute__((constructor)) static void collect_anyway(void)
{
        setenv("WEIR_DEBUG", "gcforeign=1", 1);
}

typedef struct config {
        uint64_t a, b;
} config;
WEIR_TYPE_PLAIN(config);

typedef struct other {
        uint64_t a, b;
} other;
WEIR_TYPE_PLAIN(other);

typedef struct holder {
        uint64_t x;
        weir_box box;
} holder;
WEIR_TYPE(holder, box.held);

static config *make(uint64_t n)
{
        config *c = weir_new(config);

        c->a = n;
        c->b = ~n;
        return c;
}

WEIR_TEST(an_empty_box_holds_null_of_any_type)
{
        weir_box b = { 0 };

        ck_assert_ptr_null(weir_box_load(&b, config));
        ck_assert_ptr_null(weir_box_load(&b, other));
}

WEIR_TEST(swap_and_compare_exchange)
{
        weir_box b = { 0 };
        config  *one = make(1), *two = make(2);

        ck_assert(!weir_box_cas(&b, config, two, one));
        ck_assert(weir_box_cas(&b, config, NULL, one));
        ck_assert_ptr_eq(weir_box_load(&b, config), one);
        ck_assert_ptr_eq(weir_box_swap(&b, config, two), one);
        ck_assert(!weir_box_cas(&b, config, one, one));
        ck_assert(weir_box_cas(&b, config, two, one));
        weir_box_store(&b, config, two);
        ck_assert_ptr_eq(weir_box_load(&b, config), two);
}

/* As another file would have it, that includes the same header. */
WEIR_TEST(types_of_one_name_and_size_are_one)
{
        static const weir_type again = { .name = "config", .size = sizeof(config) };
        weir_box               b = { 0 };
        config                *c = make(1);

        weir_box_store_type(&b, &again, c);
        ck_assert_ptr_eq(weir_box_load(&b, config), c);
        weir_box_store(&b, config, c);
}

static weir_box shared;

static void store_other(void *arg)
{
        weir_box_store(&shared, other, arg);
}

static void load_other(void *arg)
{
        (void)arg;
        (void)weir_box_load(&shared, other);
}

static void store_null(void *arg)
{
        weir_box_store(&shared, config, (config *)arg);
}

WEIR_TEST(another_type_and_null_are_refused)
{
        weir_panic_info info;
        config         *c = make(1);

        ck_assert_int_eq(weir_protect(store_null, NULL, &info), WEIR_EPANIC);
        weir_box_store(&shared, config, c);
        ck_assert_int_eq(weir_protect(store_other, weir_new(other), &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "is of config, not of other"));
        ck_assert_int_eq(weir_protect(load_other, NULL, &info), WEIR_EPANIC);
        ck_assert_int_eq(weir_protect(store_null, NULL, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "NULL"));
        ck_assert_ptr_eq(weir_box_load(&shared, config), c);
}

weir_task(store_some, my, { weir_box *b; int rounds; })
{
        for (int i = 0; i < my->rounds; i++)
                weir_box_store(my->b, config, make((uint64_t)i));
}

weir_task(load_some, my, { weir_box *b; int rounds; })
{
        for (int i = 0; i < my->rounds; i++) {
                config *c = weir_box_load(my->b, config);

                must(c->a == ~c->b);
        }
}

/* In an object of a declared type: a store that the collector is not told of loses the value. */
WEIR_TEST_WITH(what_is_loaded_is_whole_and_alive, .procs = 4, .timeout = 60)
{
        holder *h = weir_new(holder);
        weir_wg wg = { 0 };

        weir_box_store(&h->box, config, make(0));
        for (int i = 0; i < 3; i++) {
                weir_wg_go(&wg, store_some, .b = &h->box, .rounds = 20000);
                weir_wg_go(&wg, load_some, .b = &h->box, .rounds = 20000);
        }
        for (int i = 0; i < 10; i++)
                weir_gc_run();
        weir_wg_wait(&wg);
        weir_gc_run();
        must(weir_box_load(&h->box, config)->a == ~weir_box_load(&h->box, config)->b);
}

weir_task(race, my, { weir_box *b; int kind; uint32_t *won; })
{
        weir_panic_info info;

        void           *v = my->kind ? (void *)weir_new(other) : (void *)make(1);

        if (weir_protect(my->kind ? store_other : store_null, v, &info) == 0)
                __atomic_add_fetch(&my->won[my->kind], 1, __ATOMIC_SEQ_CST);
}

WEIR_TEST_WITH(of_first_stores_of_two_types_one_type_wins, .procs = 4)
{
        for (int i = 0; i < 200; i++) {
                weir_wg  wg = { 0 };
                uint32_t won[2] = { 0, 0 };

                memset(&shared, 0, sizeof shared);
                for (int k = 0; k < 4; k++)
                        weir_wg_go(&wg, race, .b = &shared, .kind = k & 1, .won = won);
                weir_wg_wait(&wg);
                ck_assert((won[0] == 2 && won[1] == 0) || (won[0] == 0 && won[1] == 2));
        }
}
