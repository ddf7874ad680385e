/* Slices: growth by both rules, moves within one slice, the checks of weir_slice_of. */
#include "check.h"
#include "base/base.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef weir_slice(int) ints;
typedef struct packet { char bytes[24]; } packet;

PLAIN_TEST(growth_doubles_to_256_and_adds_a_quarter_and_192_beyond)
{
        static const size_t table[][3] = { /* cap, need, next */
                { 0, 1, 1 }, { 1, 2, 2 }, { 4, 5, 8 }, { 5, 11, 11 }, { 128, 129, 256 },
                { 255, 256, 510 }, { 256, 257, 512 }, { 512, 513, 832 }, { 848, 849, 1252 },
                { 1024, 1025, 1472 }, { 1024, 2049, 2049 }, { 8192, 8193, 10432 },
                { 100, 50, 100 },
        };

        for (size_t i = 0; i < COUNT(table); i++)
                ck_assert_uint_eq(weir_slice_next_cap(table[i][0], table[i][1], 0), table[i][2]);
}

PLAIN_TEST(growth_by_steps_adds_64_from_1024_on)
{
        static const size_t table[][3] = {
                { 0, 1, 1 }, { 1, 2, 2 }, { 32, 33, 64 }, { 512, 513, 1024 }, { 1023, 1024, 2046 },
                { 1024, 1025, 1088 }, { 8192, 8193, 8256 }, { 8192, 10000, 10000 },
        };

        for (size_t i = 0; i < COUNT(table); i++)
                ck_assert_uint_eq(weir_slice_next_cap(table[i][0], table[i][1], WEIR_GROW_STEPS),
                                  table[i][2]);
        ck_assert_uint_eq(weir_slice_next_cap(SIZE_MAX - 10, SIZE_MAX, WEIR_GROW_STEPS), 0);
}

PLAIN_TEST(growth_is_monotone_and_enough)
{
        uint64_t seed = 1;

        for (int i = 0; i < 1000000; i++) {
                size_t cap = (size_t)(weir__rand(&seed) | (uint64_t)weir__rand(&seed) << 32) >>
                             weir__rand_below(&seed, 64);
                size_t need = cap + weir__rand_below(&seed, 2000), next;

                if (need < cap || !cap || cap == SIZE_MAX)
                        continue;
                next = weir_slice_next_cap(cap, need, 0);
                must(next >= need || (next == 0 && cap > SIZE_MAX / 2));
                next = weir_slice_next_cap(cap, cap + 1, 0);
                if (next)
                        must(weir_slice_next_cap(cap - 1, cap, 0) <= next);
        }
}

PLAIN_TEST_WITH(appended_elements_are_there_and_seldom_copied, .timeout = 60)
{
        ints   s = { 0 };
        size_t copied = 0, n = 10000000;

        for (size_t i = 0; i < n; i++) {
                if (s.len == s.cap)
                        copied += s.len;
                weir_append(s, (int)i);
        }
        ck_assert_uint_eq(s.len, n);
        for (size_t i = 0; i < n; i++)
                must(weir_at(s, i) == (int)i);
        ck_assert_uint_le(copied, 5 * n);
}

PLAIN_TEST(capacity_fills_the_block)
{
        weir_slice(char) bytes = { 0 };
        weir_slice(packet) p = { 0 };

        weir_append(bytes, 'x');
        ck_assert_uint_eq(bytes.cap, 8);
        for (int i = 0; i < 5; i++)
                weir_append(p, ((packet){ { 0 } }));
        ck_assert_uint_ge(p.cap, 5);
}

PLAIN_TEST(growing_leaves_the_old_block_and_zeroes_the_rest)
{
        ints s = { 0 };
        int *old;

        for (int i = 0; i < 4; i++)
                weir_append(s, i + 1);
        while (s.len < s.cap)
                weir_append(s, 9);
        old = s.ptr;
        weir_append(s, 5);
        ck_assert_ptr_ne(s.ptr, old);
        for (int i = 0; i < 4; i++)
                ck_assert_int_eq(old[i], i + 1);
        for (size_t i = s.len; i < s.cap; i++)
                ck_assert_int_eq(s.ptr[i], 0);
}

PLAIN_TEST(a_part_shares_and_does_not_own)
{
        ints s = { 0 }, part;

        for (int i = 0; i < 10; i++)
                weir_append(s, i);
        part = weir_slice_sub(s, 2, 5);
        ck_assert_uint_eq(part.len, 3);
        ck_assert_uint_eq(part.cap, 3);
        weir_at(part, 0) = 20;
        ck_assert_int_eq(s.ptr[2], 20);
        weir_append(part, 50);
        ck_assert_int_eq(s.ptr[5], 5);
        ck_assert_int_eq(part.ptr[0], 20);
        part = weir_slice_sub(s, 10, 10);
        ck_assert_uint_eq(part.len, 0);
        s = (ints){ 0 };
        part = weir_slice_sub(s, 0, 0);
        ck_assert_ptr_null(part.ptr);
}

/* Every operation against an array that is moved by hand. */
PLAIN_TEST_WITH(inserts_and_deletes_are_those_of_a_plain_array, .timeout = 60)
{
        static int model[4000];
        size_t     len = 0;
        ints       s = { 0 };
        uint64_t   seed = 8;
        int        fresh[8], next = 0;

        for (int round = 0; round < 100000; round++) {
                size_t i = weir__rand_below(&seed, (uint32_t)len + 1), n = weir__rand_below(&seed, 8);
                size_t from;

                switch (weir__rand_below(&seed, 5)) {
                case 0:
                        for (size_t k = 0; k < n; k++)
                                fresh[k] = next++;
                        if (len + n > 1000)
                                break;
                        memmove(model + i + n, model + i, (len - i) * sizeof *model);
                        memcpy(model + i, fresh, n * sizeof *model);
                        len += n;
                        weir_slice_insert(s, i, fresh, n);
                        break;
                case 1:
                case 2:
                        n = MIN(n, len - i);
                        memmove(model + i, model + i + n, (len - i - n) * sizeof *model);
                        len -= n;
                        weir_slice_delete(s, i, n);
                        break;
                case 3:                         /* its own elements, wherever they are */
                        from = weir__rand_below(&seed, (uint32_t)len + 1);
                        n = MIN(n, len - from);
                        if (len + n > 1000)
                                break;
                        memcpy(fresh, model + from, n * sizeof *model);
                        memmove(model + i + n, model + i, (len - i) * sizeof *model);
                        memcpy(model + i, fresh, n * sizeof *model);
                        len += n;
                        if (n)
                                weir_slice_insert(s, i, s.ptr + from, n);
                        break;
                default:
                        from = weir__rand_below(&seed, (uint32_t)len + 1);
                        n = MIN(n, len - from);
                        if (len + n > 1000)
                                break;
                        memmove(model + len, model + from, n * sizeof *model);
                        len += n;
                        if (n)
                                weir_append_many(s, s.ptr + from, n);
                }
                must(s.len == len);
                must(!len || !memcmp(s.ptr, model, len * sizeof *model));
        }
}

PLAIN_TEST(copying_takes_what_both_have)
{
        ints a = { 0 }, b = { 0 };

        for (int i = 0; i < 5; i++)
                weir_append(a, i);
        for (int i = 0; i < 3; i++)
                weir_append(b, 10 + i);
        ck_assert_uint_eq(weir_slice_copy(a, b), 3);
        ck_assert_int_eq(a.ptr[2], 12);
        ck_assert_int_eq(a.ptr[3], 3);
        ck_assert_uint_eq(weir_slice_copy(b, weir_slice_sub(a, 3, 3)), 0);
}

PLAIN_TEST(elements_without_size_fit_without_end)
{
        size_t cap = 0;
        void  *p = weir_slice_grow(NULL, 0, &cap, 0);

        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq(cap, SIZE_MAX);
}

static size_t resident(void)
{
        long  pages = 0;
        FILE *f = fopen("/proc/self/statm", "r");

        ck_assert_ptr_nonnull(f);
        must(fscanf(f, "%*d %ld", &pages) == 1);
        fclose(f);
        return (size_t)pages * 4096;
}

PLAIN_TEST(room_for_many_is_not_touched_before_it_is_used)
{
        size_t           before = resident();
        weir_slice(char) s = { 0 };

        weir_append(s, 'a');
        weir_slice_reserve(s, (size_t)256 << 20);
        must(resident() - before < (size_t)64 << 20);
        for (size_t i = 1; i < s.cap; i += 4096)
                must(s.ptr[i] == 0);
}

PLAIN_TEST(reserved_room_is_not_moved_by_appends)
{
        ints s = { 0 };
        int *at;

        weir_slice_reserve(s, 1000);
        at = s.ptr;
        for (int i = 0; i < 1000; i++)
                weir_append(s, i);
        ck_assert_ptr_eq(s.ptr, at);
}

/* ---- what panics ---- */

struct attempt {
        void  (*fn)(struct attempt *a);
        size_t i, n;
        void  *p;
        ints   s;
};

static void run(void *arg)
{
        struct attempt *a = arg;

        a->fn(a);
}

static void panics(struct attempt *a, const char *message)
{
        weir_panic_info info = { .message = "no panic" };

        ck_assert_int_eq(weir_protect(run, a, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, message));
}

static void read_at(struct attempt *a)
{
        a->n = (size_t)weir_at(a->s, a->i);
}

static void sub(struct attempt *a)
{
        a->s = weir_slice_sub(a->s, a->i, a->n);
}

static void delete(struct attempt *a)
{
        weir_slice_delete(a->s, a->i, a->n);
}

static void insert(struct attempt *a)
{
        weir_slice_insert(a->s, a->i, a->s.ptr, 1);
}

static void of(struct attempt *a)
{
        weir_slice_set(a->s, (int *)a->p, a->n);
}

static void reserve(struct attempt *a)
{
        weir_slice_reserve(a->s, a->n);
}

WEIR_TEST(bounds_panic_with_both_numbers)
{
        struct attempt a = { .fn = read_at, .i = 3 };

        for (int i = 0; i < 3; i++)
                weir_append(a.s, i);
        panics(&a, "index out of range: 3 with length 3");
        a.i = SIZE_MAX;
        panics(&a, "index out of range: 18446744073709551615 with length 3");
        a = (struct attempt){ .fn = sub, .i = 2, .n = 1, .s = a.s };
        panics(&a, "slice bounds out of range: [2:1] with length 3");
        a.n = 4;
        panics(&a, "slice bounds out of range: [2:4] with length 3");
        a.fn = delete;
        a.n = SIZE_MAX;
        panics(&a, "slice bounds out of range");
        a.n = 2;
        panics(&a, "[2:4] with length 3");
        a.fn = insert;
        a.i = 4;
        panics(&a, "[4:3] with length 3");
        ck_assert_uint_eq(a.s.len, 3);
}

WEIR_TEST(too_much_memory_panics_and_changes_nothing)
{
        struct attempt a = { .fn = reserve, .n = SIZE_MAX };

        weir_append(a.s, 1);
        panics(&a, "slice too large");
        a.n = SIZE_MAX / 4;
        panics(&a, "slice too large");
        a.n = SIZE_MAX / 8;
        panics(&a, "slice too large");
        ck_assert_uint_eq(a.s.len, 1);
        ck_assert_int_eq(a.s.ptr[0], 1);
}

WEIR_TEST(a_slice_of_foreign_memory_is_checked)
{
        int            array[10] = { 7 };
        struct attempt a = { .fn = of, .p = array, .n = (size_t)-1 };

        panics(&a, "length out of range");
        a.n = PTRDIFF_MAX / sizeof(int) + 1;
        panics(&a, "length out of range");
        a.p = (void *)(UINTPTR_MAX - 39);
        a.n = 11;
        panics(&a, "beyond the address space");
        a.p = NULL;
        a.n = 1;
        panics(&a, "ptr is NULL and the length is 1");
        a.n = 0;
        of(&a);
        ck_assert_ptr_null(a.s.ptr);
        {
                __extension__ __auto_type s = weir_slice_of(array, 10);

                ck_assert_uint_eq(s.cap, 10);
                ck_assert_ptr_eq(s.ptr, array);
        }
}
