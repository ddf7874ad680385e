/* The soft limit: where it comes from, and that idle memory goes before the heap grows past it. */
#include "check.h"
#include "base/counter.h"
#include "mem/heap.h"
#include "os/os.h"
#include <stdlib.h>
#include <sys/stat.h>

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

        /* Who grows is to give back, not the thread that else looks after idle memory. */
        setenv("WEIR_DEBUG", "scavenge=0", 1);
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

/* ---- a cgroup, from files that look like those of a kernel ---- */

static char root[] = "/tmp/weir-limit-XXXXXX";

static void put(const char *path, const char *text)
{
        char  full[256];
        FILE *f;

        snprintf(full, sizeof full, "%s%s", root, path);
        for (char *s = full + strlen(root) + 1; (s = strchr(s, '/')); *s++ = '/') {
                *s = 0;
                mkdir(full, 0700);
        }
        f = fopen(full, "w");
        ck_assert_ptr_nonnull(f);
        fputs(text, f);
        fclose(f);
}

PLAIN_TEST(a_limit_that_changes_is_followed_and_being_met_gives_memory_back)
{
        enum { MIB = 1 << 20 };
        char command[64];

        ck_assert_ptr_nonnull(mkdtemp(root));
        put("/proc/self/cgroup", "0::/a\n");
        put("/proc/self/mountinfo", "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
        put("/cg/a/memory.max", "1000000000\n");
        put("/cg/a/memory.high", "max\n");
        put("/cg/a/memory.events", "low 0\nhigh 0\nmax 3\noom 0\n");
        ck_assert(weir__mem_start());
        weir__limit_root = root;
        ck_assert(!weir__limit_refresh());                      /* 3 were before our time */
        ck_assert_uint_eq(weir_memory_limit(0), 900000000);
        put("/cg/a/memory.high", "500000000\n");
        ck_assert(!weir__limit_refresh());
        ck_assert_uint_eq(weir_memory_limit(0), 500000000);
        put("/cg/a/memory.high", "max\n");
        put("/cg/a/memory.max", "max\n");
        ck_assert(!weir__limit_refresh());
        ck_assert_uint_eq(weir_memory_limit(0), SIZE_MAX);

        /* Growth reads it too, and gives back what is idle when the group met its limit. */
        put("/cg/a/memory.events", "low 0\nhigh 1\nmax 3\noom 0\n");
        weir__free(memset(weir__malloc(14 * MIB), 1, 14 * MIB));
        ck_assert_uint_ge(weir__heap_pages.idle, 14 * MIB / PAGE_SIZE);
        for (int i = 0; i < 4; i++)
                ck_assert_ptr_nonnull(weir__malloc(20 * MIB));
        ck_assert_uint_le(weir__heap_pages.idle, MIB / PAGE_SIZE);
        ck_assert_uint_ge(weir__counter_sum(COUNTER_mem_limit_met), 1);
        snprintf(command, sizeof command, "rm -rf %s", root);
        ck_assert_int_eq(system(command), 0);
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
