/* Stacks: classes, layout, guards, finding by address. */
#include "check.h"
#include "base/debug.h"
#include "os/os.h"
#include "stack/stack.h"
#include <errno.h>
#include <stdlib.h>
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

/* ---- kinds of guards ---- */

PLAIN_TEST(an_older_kernel_gets_guards_up_to_the_budget_and_canaries_after)
{
        struct stack s[20], found;
        bool         in_guard;

        weir__debug.guardkind = 1;
        weir__debug.guardmax = 12;
        for (int i = 0; i < 20; i++) {
                ck_assert_int_eq(weir__stack_carve(14, &s[i]), 0);
                ck_assert_int_eq(s[i].guard, i < 12 ? STACK_DENIED : STACK_CANARY);
        }
        for (int i = 0; i < 20; i++) {
                ck_assert(weir__stack_find(s[i].low, &found, &in_guard));
                ck_assert_int_eq(found.guard, s[i].guard);
                ck_assert_uint_eq(weir__os_peek(&(char){ 0 }, s[i].low - 1, 1), i >= 12);
        }
        ck_assert_uint_eq(weir__stack_unguarded(), 8);
}

PLAIN_TEST(the_budget_follows_the_limit_of_the_kernel)
{
        struct stack s;
        uint64_t     most = weir__os_mappings_max();
        unsigned     guarded = 0;

        if (most > 1000 * 1000)
                test_skip("vm.max_map_count is too large to use up");
        weir__debug.guardkind = 1;
        while (!weir__stack_unguarded()) {
                ck_assert_int_eq(weir__stack_carve(14, &s), 0);
                guarded += s.guard == STACK_DENIED;
        }
        ck_assert_uint_eq(guarded, (most - most / 8) / 2);
        ck_assert_ptr_nonnull(weir__os_map(4096));      /* and mappings are left */
        ck_assert_ptr_nonnull(malloc((size_t)64 << 20));
}

PLAIN_TEST(strict_refuses_a_stack_without_a_guard)
{
        struct stack s;

        weir__debug.guardkind = 1;
        weir__debug.guardmax = 3;
        weir__debug.guard = 1;
        for (int i = 0; i < 3; i++)
                ck_assert_int_eq(weir__stack_carve(14, &s), 0);
        ck_assert_int_eq(weir__stack_carve(14, &s), -ENOBUFS);
        ck_assert_int_eq(weir__stack_carve(15, &s), -ENOBUFS);
        ck_assert_uint_eq(weir__stack_unguarded(), 0);
}

PLAIN_TEST(a_canary_shows_a_write_below_the_stack)
{
        struct stack s;

        weir__debug.guardkind = 2;
        for (int i = 0; i < 3; i++)
                ck_assert_int_eq(weir__stack_carve(14, &s), 0);
        ck_assert_int_eq(s.guard, STACK_CANARY);
        s.low[0] = 1;
        ck_assert(!weir__stack_canary_broken(&s));
        ck_assert(!weir__stack_open(&s));
        s.low[-1] = 1;
        ck_assert(weir__stack_canary_broken(&s));
        s.low[-1] = 0;
        s.low[-512] = 1;
        ck_assert(weir__stack_canary_broken(&s));
}

static void open_and_close(void)
{
        struct stack s;
        char         c;

        ck_assert_int_eq(weir__stack_carve(14, &s), 0);
        for (int i = 0; i < 3; i++) {
                ck_assert(weir__stack_open(&s));
                ck_assert_int_eq(s.low[-1], 0);
                memset(s.low - STACK_SPARE, 7, STACK_SPARE);
                ck_assert_uint_eq(weir__os_peek(&c, s.low - STACK_SPARE - 1, 1), 0);
                ck_assert(weir__stack_close(&s));
                ck_assert_uint_eq(weir__os_peek(&c, s.low - 1, 1), 0);
                ck_assert_uint_eq(weir__os_peek(&c, s.low, 1), 1);
        }
}

PLAIN_TEST(a_guard_opens_and_closes)
{
        open_and_close();
}

PLAIN_TEST(a_guard_of_an_older_kernel_opens_and_closes)
{
        weir__debug.guardkind = 1;
        open_and_close();
}

/* ---- how deep, and what goes back ---- */

PLAIN_TEST(the_use_of_a_stack_is_known_to_the_page_and_can_be_returned)
{
        struct stack s;

        ck_assert_int_eq(weir__stack_carve(22, &s), 0);
        s.high[-1] = 1;
        ck_assert_uint_le(weir__stack_used(&s), 4096);
        s.high[-100 * 4096] = 1;
        ck_assert_uint_ge(weir__stack_used(&s), 100 * 4096);
        ck_assert_uint_le(weir__stack_used(&s), 101 * 4096);
        s.low[0] = 1;
        ck_assert_uint_ge(weir__stack_used(&s), (size_t)1 << 22);
        ck_assert_uint_ge(weir__stack_return(&s, s.high - 50 * 4096), ((size_t)1 << 22) - 52 * 4096);
        ck_assert_uint_le(weir__stack_used(&s), 4096);
        ck_assert_uint_eq(weir__stack_return(&s, s.high - 50 * 4096), 0);
        ck_assert_int_eq(s.high[-1], 1);
        ck_assert_int_eq(s.low[0], 0);
}

static void entry_a(void *arg) { (void)arg; }
static void entry_b(void *arg) { *(int *)arg = 1; }

static void take_use(void (*entry)(void *), size_t used, uint32_t class, uint64_t count, void *arg)
{
        size_t *sum = arg;

        ck_assert(entry == entry_a || entry == entry_b);
        ck_assert_uint_le(used, (size_t)1 << class);
        sum[0] += used;
        sum[1] += count;
}

PLAIN_TEST(the_deepest_use_is_kept_per_entry_function)
{
        size_t sum[2] = { 0 };

        weir__stack_note_use(entry_a, 4096, 18);
        weir__stack_note_use(entry_b, 8192, 18);
        weir__stack_note_use(entry_a, 40960, 18);
        weir__stack_note_use(entry_a, 4096, 18);
        weir__stack_each_use(take_use, sum);
        ck_assert_uint_eq(sum[0], 8192 + 40960);
        ck_assert_uint_eq(sum[1], 4);
}
