/* Limits of memory and quotas of processors that cgroups set, from trees of files that look like
 * those of a kernel. */
#include "check.h"
#include "os/os.h"
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/weir-cgroup-XXXXXX";

/* Writes a file below root, making its folders. */
static void put(const char *path, const char *text)
{
        char  full[512];
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

static void begin(const char *cgroup, const char *mountinfo)
{
        ck_assert_ptr_nonnull(mkdtemp(root));
        put("/proc/self/cgroup", cgroup);
        put("/proc/self/mountinfo", mountinfo);
}

static struct os_memory ask(void)
{
        struct os_memory m;
        char             command[128];

        weir__os_memory_limits(root, &m);
        snprintf(command, sizeof command, "rm -rf %s", root);
        ck_assert_int_eq(system(command), 0);
        return m;
}

#define V2 "30 23 0:26 / /cg rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1 "31 23 0:27 / /cg1/memory rw - cgroup cgroup rw,memory\n" \
           "32 23 0:28 / /cg1/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"

PLAIN_TEST(v2_max_and_high_are_read)
{
        struct os_memory m;

        begin("0::/a\n", V2);
        put("/cg/a/memory.max", "1000000\n");
        put("/cg/a/memory.high", "900000\n");
        put("/cg/a/memory.current", "12345\n");
        m = ask();
        ck_assert_uint_eq(m.max, 1000000);
        ck_assert_uint_eq(m.high, 900000);
        ck_assert_uint_eq(m.current, 12345);
}

PLAIN_TEST(meetings_with_the_limit_are_counted)
{
        struct os_memory m;

        begin("0::/a\n", V2);
        put("/cg/a/memory.events", "low 4\nhigh 20\nmax 3\noom 7\noom_kill 0\n");
        put("/cg/memory.events", "high 100\nmax 100\n");
        m = ask();
        ck_assert_uint_eq(m.events, 23);
}

PLAIN_TEST(of_v1_the_failures_are_counted)
{
        struct os_memory m;

        begin("5:memory:/b\n0::/a\n", V2 V1);
        put("/cg1/memory/b/memory.failcnt", "12\n");
        m = ask();
        ck_assert_uint_eq(m.events, 12);
}

PLAIN_TEST(the_tightest_of_all_ancestors_counts)
{
        struct os_memory m;

        begin("0::/a/b/c\n", V2);
        put("/cg/a/b/c/memory.max", "max\n");
        put("/cg/a/b/c/memory.current", "1\n");
        put("/cg/a/b/memory.max", "5000\n");
        put("/cg/a/b/memory.current", "77\n");
        put("/cg/a/memory.max", "9000\n");
        put("/cg/a/memory.high", "4000\n");
        m = ask();
        ck_assert_uint_eq(m.max, 5000);
        ck_assert_uint_eq(m.high, 4000);
        ck_assert_uint_eq(m.current, 77);
}

PLAIN_TEST(max_is_no_limit)
{
        struct os_memory m;

        begin("0::/a\n", V2);
        put("/cg/a/memory.max", "max\n");
        put("/cg/a/memory.high", "max\n");
        m = ask();
        ck_assert_uint_eq(m.max, SIZE_MAX);
        ck_assert_uint_eq(m.high, SIZE_MAX);
}

PLAIN_TEST(v1_limit_is_read_and_its_huge_value_means_none)
{
        struct os_memory m;

        begin("4:memory:/x/y\n3:cpu,cpuacct:/z\n", V1);
        put("/cg1/memory/x/y/memory.limit_in_bytes", "9223372036854771712\n");
        put("/cg1/memory/x/memory.limit_in_bytes", "268435456\n");
        put("/cg1/memory/x/memory.usage_in_bytes", "4096\n");
        m = ask();
        ck_assert_uint_eq(m.max, 268435456);
        ck_assert_uint_eq(m.high, SIZE_MAX);
        ck_assert_uint_eq(m.current, 4096);
}

PLAIN_TEST(of_a_hybrid_mount_both_are_asked)
{
        struct os_memory m;

        begin("4:memory:/m\n0::/u\n", V1 V2);
        put("/cg1/memory/m/memory.limit_in_bytes", "3000\n");
        put("/cg/u/cgroup.procs", "1\n");       /* v2 without the memory controller */
        m = ask();
        ck_assert_uint_eq(m.max, 3000);
}

PLAIN_TEST(in_a_container_the_path_is_relative_to_what_is_mounted)
{
        struct os_memory m;

        begin("4:memory:/docker/abc/in\n",
              "31 23 0:27 /docker/abc /cg1/memory rw - cgroup cgroup rw,memory\n");
        put("/cg1/memory/in/memory.limit_in_bytes", "8000\n");
        put("/cg1/memory/memory.limit_in_bytes", "7000\n");
        m = ask();
        ck_assert_uint_eq(m.max, 7000);
}

PLAIN_TEST(without_cgroups_there_is_no_limit)
{
        struct os_memory m;

        begin("", "");
        m = ask();
        ck_assert_uint_eq(m.max, SIZE_MAX);
        ck_assert_uint_eq(m.current, SIZE_MAX);
}

PLAIN_TEST(nonsense_is_no_limit)
{
        struct os_memory m;

        begin("nonsense\n0:\n0::/a\n", "short line\n" V2);
        put("/cg/a/memory.max", "-5\n");
        put("/cg/a/memory.high", "\n");
        m = ask();
        ck_assert_uint_eq(m.max, SIZE_MAX);
        ck_assert_uint_eq(m.high, SIZE_MAX);
}

PLAIN_TEST(errno_is_kept)
{
        struct os_memory m;

        weir__os_errno_set(42);
        weir__os_memory_limits("/nowhere", &m);
        ck_assert_int_eq(weir__os_errno_get(), 42);
}

/* ---- processors ---- */

static unsigned ask_cpus(unsigned limit)
{
        unsigned n = weir__os_cpu_quota(root, limit);
        char     command[128];

        snprintf(command, sizeof command, "rm -rf %s", root);
        ck_assert_int_eq(system(command), 0);
        return n;
}

PLAIN_TEST(the_tightest_quota_of_all_ancestors_counts)
{
        begin("0::/a/b/c\n", V2);
        put("/cg/a/b/c/cpu.max", "max 100000\n");
        put("/cg/a/b/cpu.max", "300000 100000\n");
        put("/cg/a/cpu.max", "500000 100000\n");
        ck_assert_uint_eq(ask_cpus(64), 3);
}

PLAIN_TEST(a_part_of_a_processor_counts_as_one)
{
        begin("0::/a\n", V2);
        put("/cg/a/cpu.max", "150000 100000\n");
        ck_assert_uint_eq(ask_cpus(64), 2);
}

PLAIN_TEST(a_hundredth_of_a_processor_is_one)
{
        begin("0::/a\n", V2);
        put("/cg/a/cpu.max", "1000 100000\n");
        ck_assert_uint_eq(ask_cpus(64), 1);
}

PLAIN_TEST(a_quota_beyond_the_limit_changes_nothing)
{
        begin("0::/a\n", V2);
        put("/cg/a/cpu.max", "9900000 100000\n");
        ck_assert_uint_eq(ask_cpus(4), 4);
}

PLAIN_TEST(in_a_container_the_quota_of_what_is_mounted_counts)
{
        begin("0::/docker/1234\n", V2);
        put("/cg/cpu.max", "200000 100000\n");
        ck_assert_uint_eq(ask_cpus(64), 2);
}

/* cpuset and cpuacct begin with the same letters; once cpuacct, mounted first, was taken for
 * cpu. */
PLAIN_TEST(of_v1_the_quota_of_cpu_is_read_and_of_nothing_like_it)
{
        begin("4:cpuset:/s\n3:cpuacct:/s\n2:cpu:/a/b\n",
              "31 23 0:27 / /cg1/cpuacct rw - cgroup cgroup rw,cpuacct\n"
              "32 23 0:28 / /cg1/cpuset rw - cgroup cgroup rw,cpuset\n"
              "33 23 0:29 / /cg1/cpu rw - cgroup cgroup rw,cpu\n");
        put("/cg1/cpu/a/b/cpu.cfs_quota_us", "-1\n");
        put("/cg1/cpu/a/b/cpu.cfs_period_us", "100000\n");
        put("/cg1/cpu/a/cpu.cfs_quota_us", "40000\n");
        put("/cg1/cpu/a/cpu.cfs_period_us", "20000\n");
        put("/cg1/cpuacct/s/cpu.cfs_quota_us", "10000\n");
        put("/cg1/cpuacct/s/cpu.cfs_period_us", "10000\n");
        ck_assert_uint_eq(ask_cpus(64), 2);
}

PLAIN_TEST(of_v1_cpu_and_cpuacct_in_one_are_read)
{
        begin("2:cpu,cpuacct:/a\n", V1);
        put("/cg1/cpu/a/cpu.cfs_quota_us", "500000\n");
        put("/cg1/cpu/a/cpu.cfs_period_us", "100000\n");
        ck_assert_uint_eq(ask_cpus(64), 5);
}

PLAIN_TEST(nonsense_is_no_quota)
{
        begin("0::/a\nnonsense\n", V2);
        put("/cg/a/cpu.max", "many 0\n");
        put("/cg/cpu.max", "100000 0\n");
        ck_assert_uint_eq(ask_cpus(7), 7);
}

PLAIN_TEST(without_files_there_is_no_quota)
{
        ck_assert_ptr_nonnull(mkdtemp(root));
        ck_assert_uint_eq(ask_cpus(7), 7);
}
