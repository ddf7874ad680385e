/* The features of the processor: against the kernel's list and the compiler's, and their
 * switches. */
#include "check.h"
#include "arch/arch.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/cpu.h>

#define BIT(name) (UINT64_C(1) << FEATURE_##name)

static bool in_cpuinfo(const char *flag)
{
        static char line[16384];
        FILE       *f = fopen("/proc/cpuinfo", "r");
        bool        found = false;

        ck_assert_ptr_nonnull(f);
        while (!found && fgets(line, sizeof line, f)) {
                if (strncmp(line, "flags", 5))
                        continue;
                for (char *save, *w = strtok_r(line, " \t\n", &save); w; w = strtok_r(NULL, " \t\n", &save))
                        found |= !strcmp(w, flag);
                break;
        }
        fclose(f);
        return found;
}

PLAIN_TEST(features_are_those_that_the_kernel_lists)
{
        uint64_t has = weir__arch_ask();

        ck_assert_int_eq(!!(has & BIT(sse2)), in_cpuinfo("sse2"));
        ck_assert_int_eq(!!(has & BIT(sse41)), in_cpuinfo("sse4_1") && in_cpuinfo("ssse3"));
        ck_assert_int_eq(!!(has & BIT(popcnt)), in_cpuinfo("popcnt"));
        ck_assert_int_eq(!!(has & BIT(bmi2)), in_cpuinfo("bmi1") && in_cpuinfo("bmi2") &&
                                              in_cpuinfo("abm"));
        ck_assert_int_eq(!!(has & BIT(avx2)), in_cpuinfo("avx2"));
        ck_assert_int_eq(!!(has & BIT(avx512)), in_cpuinfo("avx512f") && in_cpuinfo("avx512bw") &&
                                                in_cpuinfo("avx512vl"));
        ck_assert_int_eq(!!(has & BIT(neon)), 0);
}

PLAIN_TEST(features_are_those_that_the_compiler_finds)
{
        uint64_t has = weir__arch_ask();

        ck_assert_int_eq(!!(has & BIT(sse41)), !!__builtin_cpu_supports("sse4.1"));
        ck_assert_int_eq(!!(has & BIT(popcnt)), !!__builtin_cpu_supports("popcnt"));
        ck_assert_int_eq(!!(has & BIT(avx2)), !!__builtin_cpu_supports("avx2"));
        ck_assert_int_eq(!!(has & BIT(avx512)), __builtin_cpu_supports("avx512f") &&
                         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"));
}

PLAIN_TEST(a_switch_takes_a_feature_and_what_needs_it)
{
        uint64_t all = (UINT64_C(1) << FEATURES) - 1;

        ck_assert_uint_eq(weir__arch_choose(all, NULL), all);
        ck_assert_uint_eq(weir__arch_choose(all, "cpu.avx512=off"), all & ~BIT(avx512));
        ck_assert_uint_eq(weir__arch_choose(all, "tiny=1,cpu.avx2=off,x=1"),
                          all & ~(BIT(avx2) | BIT(avx512)));
        ck_assert_uint_eq(weir__arch_choose(all, "cpu.popcnt=0"),
                          all & ~(BIT(popcnt) | BIT(avx2) | BIT(avx512)));
        ck_assert_uint_eq(weir__arch_choose(all, "cpu.all=off"), 0);
        ck_assert_uint_eq(weir__arch_choose(all, "cpu.all=off,cpu.sse2=on"), BIT(sse2));
}

PLAIN_TEST(a_switch_gives_no_feature_that_is_not_there)
{
        ck_assert_uint_eq(weir__arch_choose(BIT(sse2), "cpu.avx2=on,cpu.all=on"), BIT(sse2));
        ck_assert_uint_eq(weir__arch_choose(BIT(avx2), NULL), 0);
}

PLAIN_TEST(what_is_no_switch_changes_nothing)
{
        ck_assert_uint_eq(weir__arch_choose(BIT(sse2), "cpu.sse2,cpu.sse2=maybe,cpu.=off,cpu.x=off,"
                                            "sse2=off,,cpu"), BIT(sse2));
}

PLAIN_TEST(features_are_read_only)
{
        pid_t child = fork();
        int   status;

        if (!child) {
                signal(SIGSEGV, SIG_DFL);
                weir__arch_cpu_page.cpu.use = 0;
                _exit(0);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(status);
}

PLAIN_TEST(names_of_features_are_known)
{
        ck_assert(weir_cpu_has("sse2"));
        ck_assert(!weir_cpu_has("neon"));
        ck_assert(!weir_cpu_has("sse"));
        ck_assert(!weir_cpu_has(""));
        ck_assert(!weir_cpu_has(NULL));
}

PLAIN_TEST(padded_types_are_whole_lines)
{
        static weir_padded(char) small[2];
        static weir_padded_to(char[200], WEIR_CACHE_PAIR) large;

        ck_assert_uint_eq(sizeof small, 2 * WEIR_CACHE_LINE);
        ck_assert_uint_eq((uintptr_t)small % WEIR_CACHE_LINE, 0);
        ck_assert_uint_eq(sizeof large, 256);
}
