/* The switch hugetlb: pages that the administrator has set aside, and without them as ever. In one
 * process, for a child of fork has none of them reserved. */
/* run: WEIR_DEBUG=hugetlb=1 CK_FORK=no */
#include "check.h"
#include "mem/heap.h"
#include <stdlib.h>
#include <string.h>

enum { BYTES = 150 << 20 };             /* more than one arena */

/* From /proc: kB behind key. */
static long number(const char *path, const char *key)
{
        FILE *f = fopen(path, "re");
        char  line[256];
        long  n = -1;

        while (f && fgets(line, sizeof line, f))
                if (!strncmp(line, key, strlen(key)))
                        n = atol(line + strlen(key));
        if (f)
                fclose(f);
        return n;
}

static bool is_zero(const char *p, size_t n)
{
        for (size_t i = 0; i < n; i += 512)
                if (p[i])
                        return false;
        return true;
}

PLAIN_TEST(memory_is_as_ever_whether_there_are_such_pages_or_not)
{
        char *p, *q;

        for (int i = 0; i < 3; i++) {
                p = weir__calloc(1, BYTES);
                ck_assert(is_zero(p, BYTES));
                memset(p, 0x5a, BYTES);
                q = weir__realloc(p, BYTES / 3);
                ck_assert(q[0] == 0x5a && q[BYTES / 3 - 1] == 0x5a);
                weir__free(q);
                (void)weir_mem_release();
                weir__mem_check();
        }
}

PLAIN_TEST(pages_that_were_set_aside_are_used)
{
        char *p;

        if (number("/proc/meminfo", "HugePages_Free:") < 40)
                test_skip("fewer than 40 huge pages are set aside: sysctl vm.nr_hugepages=64");
        p = memset(weir__malloc(60 << 20), 1, 60 << 20);
        ck_assert_int_ge(number("/proc/self/status", "HugetlbPages:"), 60 << 10);
        ck_assert_uint_ge(weir__heap_pages.tlb << PAGE_SHIFT, 60 << 20);
        weir__free(p);
        (void)weir_mem_release();
        weir__mem_check();
}

/* Parts of a huge page cannot be watched for writes: taken as written. */
WEIR_TEST_WITH(collections_end_and_lose_nothing, .procs = 2)
{
        char **kept = weir_new_bytes(1000 * sizeof *kept);

        for (int i = 0; i < 1000; i++) {
                kept[i] = weir_new_bytes(200);
                memset(kept[i], i & 0x7f, 200);
                if (i % 100 == 0)
                        weir_gc_run();
        }
        for (int i = 0; i < 1000; i++)
                ck_assert_int_eq(kept[i][199], i & 0x7f);
}
