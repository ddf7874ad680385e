/* Stacks: classes, layout, guards, finding by address. */
#include "check.h"
#include "os/os.h"
#include "stack/stack.h"
#include <string.h>

PLAIN_TEST(a_class_is_the_next_power_of_two)
{
        static const struct {
                size_t   size;
                uint32_t class;
        } table[] = {
                { 0, 18 }, { 1, 14 }, { 16384, 14 }, { 16385, 15 }, { 262144, 18 }, { 262145, 19 },
                { (size_t)1 << 30, 30 },
        };
        uint32_t class = 77;

        for (size_t i = 0; i < COUNT(table); i++) {
                ck_assert(weir__stack_class(table[i].size, &class));
                ck_assert_uint_eq(class, table[i].class);
        }
        class = 77;
        ck_assert(!weir__stack_class(((size_t)1 << 30) + 1, &class));
        ck_assert(!weir__stack_class(SIZE_MAX, &class));
        ck_assert_uint_eq(class, 77);
}

PLAIN_TEST(stacks_have_their_size_and_do_not_overlap)
{
        static const uint32_t classes[] = { 14, 15, 18, 20, 26, 30 };
        struct stack          s[COUNT(classes) * 20];
        size_t                n = 0;

        for (size_t i = 0; i < COUNT(classes); i++)
                for (int k = 0; k < (classes[i] < 26 ? 20 : 2); k++, n++) {
                        ck_assert_int_eq(weir__stack_carve(classes[i], &s[n]), 0);
                        ck_assert_uint_eq(s[n].class, classes[i]);
                        ck_assert_int_ge(s[n].high - s[n].low, (ptrdiff_t)1 << classes[i]);
                        ck_assert_uint_eq((uintptr_t)s[n].high % 64, 0);
                        s[n].low[0] = 1;
                        memset(s[n].high, (int)n, STACK_HEAD);
                        s[n].high[-1] = 1;
                }
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < i; k++)
                        ck_assert(s[i].high + STACK_HEAD <= s[k].low || s[k].high + STACK_HEAD <= s[i].low);
        for (size_t i = 0; i < n; i++)
                ck_assert_int_eq((unsigned char)s[i].high[STACK_HEAD - 1], (int)i % 256);
        ck_assert_uint_gt(weir__stack_sys(), (uint64_t)1 << 30);
        ck_assert_uint_eq(weir__stack_unguarded(), 0);
}

PLAIN_TEST(an_address_finds_its_stack_and_the_guard)
{
        struct stack s[30], found;
        bool         guard;
        char         c;

        for (size_t i = 0; i < COUNT(s); i++)
                ck_assert_int_eq(weir__stack_carve(14 + (uint32_t)i % 3, &s[i]), 0);
        for (size_t i = 0; i < COUNT(s); i++) {
                ck_assert(weir__stack_find(s[i].low, &found, &guard) && !guard);
                ck_assert_ptr_eq(found.high, s[i].high);
                ck_assert(weir__stack_find(s[i].high - 1, &found, &guard) && !guard);
                ck_assert_ptr_eq(found.low, s[i].low);
                ck_assert(weir__stack_find(s[i].high + STACK_HEAD - 1, &found, &guard) && !guard);
                ck_assert(weir__stack_find(s[i].low - 1, &found, &guard) && guard);
                ck_assert_ptr_eq(found.high, s[i].high);
                ck_assert_uint_eq(found.class, s[i].class);
                ck_assert_int_ne(s[i].guard, STACK_CANARY);
                ck_assert_uint_eq(weir__os_peek(&c, s[i].low - 1, 1), 0);
                ck_assert_uint_eq(weir__os_peek(&c, s[i].low - STACK_GUARD, 1), 0);
        }
        ck_assert(!weir__stack_find(&c, &found, &guard));
        ck_assert(!weir__stack_find(NULL, &found, &guard));
        ck_assert(!weir__stack_find((void *)UINTPTR_MAX, &found, &guard));
}

static bool count_heads(void *head, void *arg)
{
        ck_assert_ptr_nonnull(head);
        ++*(int *)arg;
        return *(int *)arg < 25;
}

PLAIN_TEST(each_visits_every_stack_until_told_to_stop)
{
        struct stack s;
        int          n = 0;

        weir__stack_each(count_heads, &n);
        ck_assert_int_eq(n, 0);
        for (int i = 0; i < 20; i++)
                ck_assert_int_eq(weir__stack_carve(14 + (uint32_t)i % 2, &s), 0);
        weir__stack_each(count_heads, &n);
        ck_assert_int_eq(n, 20);
        for (int i = 0; i < 20; i++)
                ck_assert_int_eq(weir__stack_carve(14, &s), 0);
        n = 0;
        weir__stack_each(count_heads, &n);
        ck_assert_int_eq(n, 25);
}
