/* The concurrent map: alone it is a map; together each operation happens at one moment. */
#include "check.h"
#include <stdlib.h>
#include <string.h>

__attribute__((constructor)) static void collect_anyway(void)
{
        setenv("WEIR_DEBUG", "gcforeign=1", 0);
}

static uint64_t rnd(uint64_t *state)
{
        uint64_t x = *state += UINT64_C(0x9E3779B97F4A7C15);

        x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        return x ^ (x >> 31);
}

WEIR_TEST(does_what_a_map_does)
{
        enum { KEYS = 2000, OPS = 100000 };
        weir_cmap *m = weir_cmap_make(uint64_t, uint64_t, 0);
        static uint64_t model[KEYS];            /* 0: not there */
        uint64_t   state = 1, there = 0;

        for (int i = 0; i < OPS; i++) {
                uint64_t k = rnd(&state) % KEYS, v = rnd(&state) | 1, was = 0;

                switch (rnd(&state) % 4) {
                case 0:
                        weir_cmap_put(m, &k, &v);
                        there += !model[k];
                        model[k] = v;
                        break;
                case 1:
                        must(weir_cmap_take(m, &k, &was) == (model[k] != 0));
                        must(was == model[k]);
                        there -= model[k] != 0;
                        model[k] = 0;
                        break;
                case 2:
                        must(weir_cmap_get_or_put(m, &k, &v, &was) == (model[k] != 0));
                        must(was == (model[k] ? model[k] : v));
                        there += !model[k];
                        model[k] = was;
                        break;
                default:
                        must(weir_cmap_get(m, &k, &was) == (model[k] != 0));
                        must(was == model[k]);
                        break;
                }
                must(weir_cmap_len(m) == there);
        }
        for (weir_cmap_iter it = { .map = m };;) {
                uint64_t k, v;

                if (!weir_cmap_next(&it, &k, &v))
                        break;
                must(model[k] == v);
                model[k] = 0;
                there--;
        }
        ck_assert_uint_eq(there, 0);
        weir_cmap_clear(m);
        ck_assert_uint_eq(weir_cmap_len(m), 0);
        ck_assert(!weir_cmap_get(m, &(uint64_t){ 1 }, NULL));
}

struct wide {
        uint64_t w[5];
};

WEIR_TEST(keys_and_values_of_all_sizes)
{
        weir_cmap  *s = weir_cmap_make(const char *, struct wide, 100);
        weir_cmap  *h = weir_cmap_make(uint32_t, char, 0);
        weir_cmap  *set = weir_cmap_new(&weir_hash_bytes, 3, 0, 0, WEIR_MAP_NOSCAN);
        struct wide v = { { 1, 2, 3, 4, 5 } }, r = { { 0 } };
        char        name[16], c;

        for (int i = 0; i < 300; i++) {
                char *copy = weir_new_bytes(sizeof name);

                snprintf(copy, sizeof name, "key %d", i);
                v.w[4] = (uint64_t)i;
                weir_cmap_put(s, &copy, &v);
                weir_cmap_put(h, &(uint32_t){ (uint32_t)i }, &(char){ (char)i });
                weir_cmap_put(set, &(char[3]){ (char)i, (char)(i >> 8), 1 }, NULL);
        }
        for (int i = 0; i < 300; i++) {
                const char *k = name;

                snprintf(name, sizeof name, "key %d", i);
                ck_assert(weir_cmap_get(s, &k, &r));
                ck_assert_uint_eq(r.w[4], (uint64_t)i);
                ck_assert(weir_cmap_get(h, &(uint32_t){ (uint32_t)i }, &c));
                ck_assert_int_eq(c, (char)i);
                ck_assert(weir_cmap_get(set, &(char[3]){ (char)i, (char)(i >> 8), 1 }, NULL));
                ck_assert(!weir_cmap_get(set, &(char[3]){ (char)i, (char)(i >> 8), 2 }, NULL));
        }
        ck_assert_uint_eq(weir_cmap_len(set), 300);
}

WEIR_TEST(a_null_map_reads_as_empty)
{
        weir_cmap_iter it = { .map = NULL };

        ck_assert(!weir_cmap_get(NULL, &(int){ 1 }, NULL));
        ck_assert_uint_eq(weir_cmap_len(NULL), 0);
        ck_assert(!weir_cmap_next(&it, NULL, NULL));
}

static void put_null(void *arg)
{
        weir_cmap_put(arg, &(int){ 1 }, NULL);
}

static bool fail_in(void *val, bool there, void *arg)
{
        (void)there;
        (void)arg;
        *(uint64_t *)val = 99;
        weir_panic("in the middle");
}

static void update_fails(void *m)
{
        weir_cmap_update(m, &(uint64_t){ 1 }, fail_in, NULL);
}

WEIR_TEST(a_panic_changes_nothing)
{
        weir_cmap      *m = weir_cmap_make(uint64_t, uint64_t, 0);
        weir_panic_info info;
        uint64_t        v = 0;

        ck_assert_int_eq(weir_protect(put_null, NULL, &info), WEIR_EPANIC);
        weir_cmap_put(m, &(uint64_t){ 1 }, &(uint64_t){ 5 });
        ck_assert_int_eq(weir_protect(update_fails, m, &info), WEIR_EPANIC);
        ck_assert_str_eq(info.message, "in the middle");
        ck_assert(weir_cmap_get(m, &(uint64_t){ 1 }, &v));
        ck_assert_uint_eq(v, 5);
        weir_cmap_put(m, &(uint64_t){ 1 }, &(uint64_t){ 6 });          /* and is unlocked */
}

static bool add(void *val, bool there, void *arg)
{
        (void)there;
        ((struct wide *)val)->w[0] += *(uint64_t *)arg;
        ((struct wide *)val)->w[4] = ((struct wide *)val)->w[0];
        return true;
}

static bool drop(void *val, bool there, void *arg)
{
        (void)val;
        *(bool *)arg = there;
        return false;
}

WEIR_TEST(update_puts_replaces_and_deletes)
{
        weir_cmap  *m = weir_cmap_make(uint64_t, struct wide, 0);
        uint64_t    k = 7, five = 5;
        struct wide v;
        bool        was;

        ck_assert(weir_cmap_update(m, &k, add, &five));
        ck_assert(weir_cmap_update(m, &k, add, &five));
        ck_assert(weir_cmap_get(m, &k, &v));
        ck_assert_uint_eq(v.w[0], 10);
        ck_assert(!weir_cmap_update(m, &k, drop, &was));
        ck_assert(was);
        ck_assert(!weir_cmap_update(m, &k, drop, &was));
        ck_assert(!was);
        ck_assert_uint_eq(weir_cmap_len(m), 0);
}

enum { SHARED = 64 };

weir_task(add_some, my, { weir_cmap *m; int rounds; uint64_t seed; })
{
        uint64_t one = 1;

        for (int i = 0; i < my->rounds; i++) {
                uint64_t k = rnd(&my->seed) % SHARED;

                weir_cmap_update(my->m, &k, add, &one);
        }
}

weir_task(look, my, { weir_cmap *m; uint32_t *stop; })
{
        while (!__atomic_load_n(my->stop, __ATOMIC_RELAXED)) {
                for (uint64_t k = 0; k < SHARED; k++) {
                        struct wide v = { { 0 } };

                        if (weir_cmap_get(my->m, &k, &v))
                                must(v.w[0] == v.w[4]);
                }
                weir_yield();
        }
}

WEIR_TEST_WITH(no_update_is_lost_and_values_are_whole, .procs = 4, .timeout = 60)
{
        enum { WORKERS = 8, ROUNDS = 4000 };
        weir_cmap *m = weir_cmap_make(uint64_t, struct wide, 0);
        weir_wg    wg = { 0 }, readers = { 0 };
        uint32_t   stop = 0;
        uint64_t   sum = 0;

        for (int i = 0; i < 2; i++)
                weir_wg_go(&readers, look, .m = m, .stop = &stop);
        for (int i = 0; i < WORKERS; i++)
                weir_wg_go(&wg, add_some, .m = m, .rounds = ROUNDS, .seed = (uint64_t)i);
        weir_wg_wait(&wg);
        __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
        weir_wg_wait(&readers);
        for (uint64_t k = 0; k < SHARED; k++) {
                struct wide v = { { 0 } };

                weir_cmap_get(m, &k, &v);
                sum += v.w[0];
        }
        ck_assert_uint_eq(sum, WORKERS * ROUNDS);
}

/* Of a group of keys whose values always add up to nothing more than was put, one that stays is
 * always found, while others come and go and tables are replaced. */
weir_task(churn, my, { weir_cmap *m; int rounds; uint64_t seed; })
{
        for (int i = 0; i < my->rounds; i++) {
                uint64_t k = 1000 + rnd(&my->seed) % 3000, v = ~k;

                if (rnd(&my->seed) % 2)
                        weir_cmap_put(my->m, &k, &v);
                else
                        weir_cmap_del(my->m, &k);
        }
}

static void walk(weir_cmap *m)
{
        unsigned char met[4000] = { 0 };
        int           stay = 0;

        for (weir_cmap_iter it = { .map = m };;) {
                uint64_t k, v;

                if (!weir_cmap_next(&it, &k, &v))
                        break;
                must(k < 4000 && v == ~k && !met[k]);
                met[k] = 1;
                stay += k < 1000;
        }
        must(stay == 1000);
}

WEIR_TEST_WITH(what_stays_is_found_and_met_once_while_others_come_and_go, .procs = 4, .timeout = 60)
{
        weir_cmap *m = weir_cmap_make(uint64_t, uint64_t, 0);
        weir_wg    wg = { 0 };
        uint64_t   v = 0;

        for (uint64_t k = 0; k < 1000; k++)
                weir_cmap_put(m, &k, &(uint64_t){ ~k });
        for (int i = 0; i < 4; i++)
                weir_wg_go(&wg, churn, .m = m, .rounds = 30000, .seed = (uint64_t)i);
        for (int i = 0; i < 30; i++) {
                for (uint64_t k = 0; k < 1000; k++)
                        must(weir_cmap_get(m, &k, &v) && v == ~k);
                walk(m);
                if (i % 10 == 0)
                        weir_gc_run();
        }
        weir_wg_wait(&wg);
}

weir_task(first, my, { weir_cmap *m; uint64_t me; uint32_t *won; })
{
        for (uint64_t k = 0; k < 500; k++) {
                uint64_t now = 0;

                if (!weir_cmap_get_or_put(my->m, &k, &my->me, &now))
                        __atomic_add_fetch(&my->won[k], 1, __ATOMIC_RELAXED);
                must(now >= 1 && now <= 6);
        }
}

WEIR_TEST_WITH(one_of_many_puts_a_key, .procs = 4)
{
        weir_cmap      *m = weir_cmap_make(uint64_t, uint64_t, 0);
        weir_wg         wg = { 0 };
        static uint32_t won[500];

        for (uint64_t i = 1; i <= 6; i++)
                weir_wg_go(&wg, first, .m = m, .me = i, .won = won);
        weir_wg_wait(&wg);
        for (int k = 0; k < 500; k++)
                ck_assert_uint_eq(won[k], 1);
}
