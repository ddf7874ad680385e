/* When collections come, and what is told of them. */
#include "unit/gc/heap.h"
#include <string.h>

static node *volatile global;

static noinline void garbage(size_t bytes)
{
        for (size_t i = 0; i < bytes; i += 64)
                ((char *)weir_new_bytes(50))[0] = 1;
}

WEIR_TEST_WITH(the_heap_stays_near_its_goal, .procs = 2, .timeout = 60)
{
        weir_mem_stats s, before;

        weir_mem_read(&before);
        ck_assert_int_eq(weir_gc_percent(100), -1);
        garbage(200 << 20);
        weir_mem_read(&s);
        ck_assert_uint_ge(s.gc_cycles - before.gc_cycles, 20);
        ck_assert_uint_le(s.heap_in_use, 64 << 20);
        ck_assert_uint_eq(s.gc_forced, before.gc_forced);
        ck_assert_uint_gt(s.gc_pause_max_ns, 0);
        ck_assert_int_eq(weir_gc_percent(-5), 100);
        collect();                              /* one that is under way ends first */
        weir_mem_read(&before);
        garbage(50 << 20);
        weir_mem_read(&s);
        ck_assert_uint_eq(s.gc_cycles, before.gc_cycles);
        collect();
        weir_mem_read(&s);
        ck_assert_uint_eq(s.gc_forced, before.gc_forced + 1);
        ck_assert_uint_lt(s.heap_live, 4 << 20);
}

WEIR_TEST_WITH(at_the_limit_of_memory_collections_come_before_the_goal, .procs = 2)
{
        weir_mem_stats s;

        weir_gc_percent(5000);
        weir_memory_limit(32 << 20);
        garbage(100 << 20);
        weir_mem_read(&s);
        ck_assert_uint_le(s.heap_in_use, 40 << 20);
        ck_assert_uint_ge(s.gc_cycles, 3);
}

/* More is live than the limit allows: collections may take half of the time. */
WEIR_TEST_WITH(a_limit_below_what_is_live_leaves_the_program_its_time, .procs = 2, .timeout = 60)
{
        enum { LIVE = 64 << 20, PIECE = 1 << 16 };
        static weir_gc_cycle c[256];
        void               **keep = weir_new_bytes(LIVE / PIECE * sizeof *keep);
        unsigned             by_limit = 0;
        size_t               n;

        for (int i = 0; i < LIVE / PIECE; i++)
                keep[i] = memset(weir_new_bytes(PIECE), 0x5a, PIECE);
        weir_gc_percent(5000);
        weir_memory_limit(32 << 20);
        garbage(400 << 20);
        n = weir_gc_history(c, COUNT(c));
        for (size_t i = 0; i + 1 < n; i++)              /* the newest first */
                if (!strcmp(c[i].why, "limit") && !strcmp(c[i + 1].why, "limit")) {
                        by_limit++;
                        ck_assert_int_ge(c[i].began - c[i + 1].ended,
                                         c[i + 1].ended - c[i + 1].began);
                }
        ck_assert_uint_ge(by_limit, 1);
        weir_keep_alive(keep);
}

WEIR_TEST_WITH(the_history_tells_what_the_statistics_sum, .procs = 2, .timeout = 60)
{
        static weir_gc_cycle c[300];
        weir_mem_stats       s;
        uint64_t             forced = 0, stopped = 0;
        int64_t              longest = 0;
        size_t               n;

        collect();
        global = show(make_node(1));
        for (int i = 0; i < 10; i++) {
                garbage(1 << 20);
                weir_gc_run();
        }
        weir_mem_read(&s);
        n = weir_gc_history(c, COUNT(c));
        ck_assert_uint_eq(n, s.gc_cycles);
        ck_assert_uint_gt(s.gc_cpu_ns, 0);
        for (size_t i = 0; i < n; i++) {
                ck_assert_uint_eq(c[i].number, n - i);
                ck_assert(c[i].began < c[i].ended && c[i].stop_last > 0);
                ck_assert_uint_le(c[i].live, c[i].before);
                ck_assert_uint_ge(c[i].before, c[i].at_start);
                ck_assert_uint_ge(c[i].markers, 1);
                ck_assert(c[i].objects || i == n - 1);
                if (i)
                        ck_assert(c[i].ended <= c[i - 1].began);
                forced += strcmp(c[i].why, "forced") == 0;
                stopped += (uint64_t)(c[i].stop_first + c[i].stop_last);
                longest = MAX(longest, c[i].stop_first);
                longest = MAX(longest, c[i].stop_last);
        }
        ck_assert_uint_eq(forced, s.gc_forced);
        ck_assert_uint_eq(stopped, s.gc_pause_total_ns);
        ck_assert_int_eq(longest, (int64_t)s.gc_pause_max_ns);
        for (int i = 0; i < 300; i++)
                weir_gc_run();
        ck_assert_uint_eq(weir_gc_history(c, COUNT(c)), 256);
        ck_assert_uint_eq(weir_gc_history(c, 3), 3);
        ck_assert_uint_eq(c[0].number, n + 300);
}
