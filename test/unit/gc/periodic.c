/* Collections that come for time alone. */
/* run: WEIR_DEBUG=gcperiod=20,gcforeign=1 */
#include "check.h"
#include "mem/mem.h"
#include <string.h>
#include <weir.h>

typedef struct thing {
        uint64_t word[8];
} thing;
WEIR_TYPE_PLAIN(thing);

enum { MOST = 256, DROPPED = 100 };

static size_t periodic(void)
{
        static weir_gc_cycle history[MOST];
        size_t               n = weir_gc_history(history, MOST), found = 0;

        for (size_t i = 0; i < n && i < MOST; i++)
                found += !strcmp(history[i].why, "periodic") && !history[i].minor;
        return found;
}

static void died(void *count)
{
        __atomic_fetch_add((int *)count, 1, __ATOMIC_RELEASE);
}

static noinline void drop_some(int *count)
{
        for (int i = 0; i < DROPPED; i++)
                weir_gc_cleanup(weir_new(thing), died, count);
}

/* It allocates a word now and then and would never come to a goal. */
WEIR_TEST_WITH(what_died_is_found_though_little_is_allocated, .procs = 2)
{
        static int count;

        drop_some(&count);
        /* Some look like a word on a stack. Else the test hangs. */
        while (__atomic_load_n(&count, __ATOMIC_ACQUIRE) < DROPPED / 2) {
                weir_new(thing);
                weir_sleep(5 * WEIR_MILLISECOND);
        }
        ck_assert_uint_ge(periodic(), 1);
}

/* Who allocates nothing is left alone. */
WEIR_TEST_WITH(nothing_is_collected_where_nothing_was_allocated, .procs = 2)
{
        size_t before;

        weir_gc_run();
        before = periodic();
        weir_sleep(200 * WEIR_MILLISECOND);
        ck_assert_uint_eq(periodic(), before);
}
