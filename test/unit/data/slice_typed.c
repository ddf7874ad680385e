/* Slices of elements of declared types: what the collector sees of them, and that the operations
 * are those of a plain array while it runs beside. */
#include "check.h"
#include "mem/mem.h"
#include <stdlib.h>
#include <string.h>

__attribute__((constructor)) static void collect_anyway(void)
{
        setenv("WEIR_DEBUG", "gcforeign=1", 1);
        setenv("WEIR_GC", "off", 1);            /* only when a test says so */
}

typedef struct victim {
        uint64_t seed, check[3];
} victim;
WEIR_TYPE_PLAIN(victim);

typedef struct element {
        uint64_t  number;
        victim   *held;
} element;
WEIR_TYPE(element, held);

typedef weir_slice(element) elements;
typedef weir_slice(void *) pointers;

static victim *fresh(uint64_t seed)
{
        victim *v = weir_new(victim);

        v->seed = seed;
        for (int i = 0; i < 3; i++)
                v->check[i] = seed * 7 + (uint64_t)i;
        return v;
}

static bool whole(const victim *v, uint64_t seed)
{
        return v->seed == seed && v->check[0] == seed * 7 && v->check[1] == seed * 7 + 1 &&
               v->check[2] == seed * 7 + 2;
}

static bool alive(uintptr_t at)
{
        struct mem_object o;

        return weir__mem_find((void *)at, &o) && o.kind != MEM_MANUAL && (uintptr_t)o.base == at;
}

/* ---- what is looked at ---- */

enum { MANY = 200 };

static elements kept;                   /* a global: looked at */

static noinline void fill(void)
{
        for (uint64_t i = 0; i < MANY; i++)
                weir_append_typed(kept, element, ((element){ .number = (uintptr_t)fresh(1000 + i),
                                                             .held = fresh(i) }));
}

WEIR_TEST(only_declared_fields_keep_what_they_point_to)
{
        uint64_t dead = 0;

        fill();
        weir_gc_run();
        for (uint64_t i = 0; i < MANY; i++) {
                must(whole(weir_at(kept, i).held, i));
                dead += !alive(weir_at(kept, i).number);
        }
        if (WEIR_ASAN || WEIR_TSAN)
                test_skip("the sanitizer may keep what is dead");
        ck_assert_uint_gt(dead, MANY * 3 / 4);  /* a stale word may keep some */
        weir_gc_run();
        for (uint64_t i = 0; i < MANY; i++)
                must(whole(weir_at(kept, i).held, i));
}

WEIR_TEST(types_without_pointers_are_not_looked_at)
{
        weir_slice(victim) s = { 0 };
        struct mem_object o;

        for (uint64_t i = 0; i < 100; i++)
                weir_append_typed(s, victim, *fresh(i));
        for (uint64_t i = 0; i < 100; i++)
                must(whole(&weir_at(s, i), i));
        must(weir__mem_find(s.ptr, &o) && o.kind == MEM_NOSCAN);
}

WEIR_TEST(pointers_are_a_type)
{
        pointers          s = { 0 };
        struct mem_object o;

        for (uint64_t i = 0; i < 1000; i++)
                weir_append_typed(s, weir_any_ptr, fresh(i));
        must(weir__mem_find(s.ptr, &o) && o.kind == MEM_TYPED);
        weir_gc_run();
        for (uint64_t i = 0; i < 1000; i++)
                must(whole(weir_at(s, i), i));
}

/* ---- the operations ---- */

static uint32_t over;                   /* atomic */

weir_task(collector, my, { weir_wg *wg; })
{
        while (!load_acquire(&over)) {
                weir_gc_run();
                weir_yield();
        }
        weir_wg_done(my->wg);
}

static elements made_of(const uint64_t *seeds, size_t n)
{
        elements s = { 0 };

        for (size_t i = 0; i < n; i++)
                weir_append_typed(s, element, ((element){ seeds[i], fresh(seeds[i]) }));
        return s;
}

static void round_of(uint64_t *random, elements *s, uint64_t *model, size_t *len, uint64_t *next)
{
        size_t   i = weir__rand_below(random, (uint32_t)*len + 1), n = weir__rand_below(random, 8);
        size_t   from = weir__rand_below(random, (uint32_t)*len + 1);
        uint64_t some[8];
        elements more;

        switch (weir__rand_below(random, 6)) {
        case 0:
                for (size_t k = 0; k < n; k++)
                        some[k] = (*next)++;
                if (*len + n > 500)
                        return;
                more = made_of(some, n);
                memmove(model + i + n, model + i, (*len - i) * sizeof *model);
                memcpy(model + i, some, n * sizeof *model);
                *len += n;
                weir_slice_insert_typed(*s, element, i, more.ptr, n);
                return;
        case 1:
        case 2:
                n = MIN(n, *len - i);
                memmove(model + i, model + i + n, (*len - i - n) * sizeof *model);
                *len -= n;
                weir_slice_delete_typed(*s, element, i, n);
                return;
        case 3:                         /* its own elements, wherever they are */
                n = MIN(n, *len - from);
                if (*len + n > 500 || !n)
                        return;
                memcpy(some, model + from, n * sizeof *model);
                memmove(model + i + n, model + i, (*len - i) * sizeof *model);
                memcpy(model + i, some, n * sizeof *model);
                *len += n;
                weir_slice_insert_typed(*s, element, i, s->ptr + from, n);
                return;
        case 4:
                n = MIN(n, *len - from);
                if (*len + n > 500 || !n)
                        return;
                memmove(model + *len, model + from, n * sizeof *model);
                *len += n;
                weir_append_many_typed(*s, element, s->ptr + from, n);
                return;
        default:
                if (i == *len)
                        return;
                model[i] = (*next)++;
                weir_at(*s, i).number = model[i];
                weir_set(weir_at(*s, i).held, fresh(model[i]));
        }
}

WEIR_TEST_WITH(they_are_those_of_a_plain_array_while_it_is_collected, .timeout = 100)
{
        static uint64_t model[2000];
        weir_wg         wg = { 0 };
        size_t          len = 0;
        uint64_t        random = 11, next = 0;
        elements        s = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(collector, .wg = &wg);
        for (int round = 0; round < 20000; round++) {
                round_of(&random, &s, model, &len, &next);
                must(s.len == len && s.len <= s.cap);
                if (round % 16 == 0)
                        for (size_t i = 0; i < len; i++)
                                must(s.ptr[i].number == model[i] && whole(s.ptr[i].held, model[i]));
                for (size_t i = len; i < s.cap && i < len + 8; i++)
                        must(!s.ptr[i].held);
                if (round % 64 == 0)
                        weir_yield();
        }
        store_release(&over, 1);
        weir_wg_wait(&wg);
}

WEIR_TEST(copying_takes_what_both_have)
{
        elements a = made_of((uint64_t[]){ 1, 2, 3 }, 3), b = made_of((uint64_t[]){ 4, 5 }, 2);

        ck_assert_uint_eq(weir_slice_copy_typed(a, b), 2);
        ck_assert_uint_eq(a.ptr[1].number, 5);
        ck_assert_uint_eq(a.ptr[2].number, 3);
        must(whole(a.ptr[0].held, 4));
}

struct attempt {
        elements s;
        size_t   n;
};

static void reserve(void *arg)
{
        struct attempt *a = arg;

        weir_slice_reserve_typed(a->s, element, a->n);
}

static void delete(void *arg)
{
        struct attempt *a = arg;

        weir_slice_delete_typed(a->s, element, 1, a->n);
}

static void panics(void (*fn)(void *), size_t n, const char *message)
{
        struct attempt  a = { .s = made_of((uint64_t[]){ 1, 2 }, 2), .n = n };
        weir_panic_info info = { .message = "no panic" };

        ck_assert_int_eq(weir_protect(fn, &a, &info), WEIR_EPANIC);
        ck_assert_msg(strstr(info.message, message) != NULL, "%s", info.message);
        ck_assert_uint_eq(a.s.len, 2);
        must(whole(a.s.ptr[1].held, 2));
}

WEIR_TEST(too_much_and_too_many_panic)
{
        panics(reserve, SIZE_MAX, "slice too large");
        panics(reserve, SIZE_MAX / 16, "slice too large");
        panics(reserve, PTRDIFF_MAX / 16, "slice too large");
        panics(delete, 2, "[1:3] with length 2");
        panics(delete, SIZE_MAX, "slice bounds out of range");
}
