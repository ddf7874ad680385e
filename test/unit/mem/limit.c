/* The soft limit: where it comes from, and that idle memory goes before the heap grows past it. */
#include "check.h"
#include "mem/heap.h"
#include "os/os.h"
#include <stdlib.h>

PLAIN_TEST(a_call_sets_it_and_answers_the_one_before)
{
        weir_memory_limit(1000000000);
        ck_assert_uint_eq(weir_memory_limit(2000000000), 1000000000);
        ck_assert_uint_eq(weir_memory_limit(0), 2000000000);
        ck_assert_uint_eq(weir_memory_limit(SIZE_MAX), 2000000000);
        ck_assert_uint_eq(weir_memory_limit(0), SIZE_MAX);
}

/* Freed memory would be kept for a second; with the limit in sight it is not. */
PLAIN_TEST(growth_at_the_limit_gives_idle_memory_back_first)
{
        enum { MIB = 1 << 20, PIECES = 48 };
        static char *p[PIECES];
        char        *large;

        weir_memory_limit(100 * MIB);
        for (int i = 0; i < PIECES; i++)
                p[i] = memset(weir__malloc(MIB), 1, MIB);
        for (int i = 0; i < PIECES; i += 2)             /* holes, useless for what follows */
                weir__free(p[i]);
        large = memset(weir__malloc(60 * MIB), 1, 60 * MIB);
        ck_assert_uint_le(weir__mem_held(), 100 * MIB);
        if (!WEIR_TSAN && !WEIR_ASAN)                   /* their shadows are resident too */
                ck_assert_uint_le(weir__os_resident(), 110 * MIB);
        weir__free(large);
        weir__mem_check();
}

static int collections;

static void collect(void)
{
        collections++;
}

PLAIN_TEST(the_collector_is_asked_before_the_limit_is_passed)
{
        weir__mem_hooks.collect = collect;
        weir_memory_limit(20 << 20);
        weir__free(weir__malloc(10 << 20));
        ck_assert_int_eq(collections, 0);
        weir__free(weir__malloc(40 << 20));             /* passes it all the same */
        ck_assert_int_ge(collections, 1);
}
