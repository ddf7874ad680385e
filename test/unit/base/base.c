/* Random numbers, counters, locks, WEIR_DEBUG. */
#include "check.h"
#include "base/counter.h"
#include "base/debug.h"
#include "base/lock.h"
#include "sched/sched.h"
#include <fcntl.h>
#include <pthread.h>
#include <weir/metric.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- random numbers ---- */

PLAIN_TEST(random_numbers_below_n_are_evenly_spread)
{
        static const uint32_t ns[] = { 1, 2, 3, 7, 10, 61, 100 };
        uint64_t              state = 1;

        for (size_t i = 0; i < COUNT(ns); i++) {
                uint32_t hits[100] = { 0 };

                for (uint32_t k = 0; k < ns[i] * 10000; k++) {
                        uint32_t v = weir__rand_below(&state, ns[i]);

                        if (v >= ns[i])                 /* a check costs a microsecond */
                                ck_abort_msg("%u is not below %u", v, ns[i]);
                        hits[v]++;
                }
                for (uint32_t k = 0; k < ns[i]; k++)    /* 10 standard deviations */
                        ck_assert(hits[k] > 9000 && hits[k] < 11000);
        }
}

PLAIN_TEST(the_random_state_is_never_zero_and_does_not_repeat_soon)
{
        uint64_t state = 88172645463325252u, first = state;

        for (int i = 0; i < 1000000; i++) {
                weir__rand(&state);
                ck_assert(state != 0 && state != first);
        }
}

/* ---- counters ---- */

static void *count_shared(void *arg)
{
        (void)arg;
        for (int i = 0; i < 10000; i++)
                weir__counter_shared(COUNTER_steals, 2);
        return NULL;
}

PLAIN_TEST(a_sum_is_that_of_all_blocks)
{
        static struct counters block[3];
        pthread_t              t[4];

        for (int i = 0; i < 3; i++) {
                weir__counter_register(&block[i]);
                count_in(&block[i], steals, 5);
                count_in(&block[i], steals, 1);
                count_in(&block[i], yields, 1);
        }
        for (int i = 0; i < 4; i++)
                pthread_create(&t[i], NULL, count_shared, NULL);
        for (int i = 0; i < 4; i++)
                pthread_join(t[i], NULL);
        ck_assert_uint_eq(weir__counter_sum(COUNTER_steals), 18 + 80000);
        ck_assert_uint_eq(weir__counter_sum(COUNTER_yields), 3);
}

PLAIN_TEST(a_time_is_counted_in_its_bucket)
{
        static const struct {
                int64_t ns;
                int     bucket;
        } times[] = { { -5, 0 }, { 0, 0 }, { 127, 0 }, { 128, 1 }, { 255, 1 }, { 256, 2 },
                      { 1000000, 13 }, { INT64_MAX, HISTOGRAM_BUCKETS - 1 } };
        static struct counters block;
        uint64_t               expect[HISTOGRAM_BUCKETS] = { 0 };
        char                  *text = NULL;
        size_t                 n = 0;
        FILE                  *f = open_memstream(&text, &n);

        weir__counter_register(&block);
        for (size_t i = 0; i + 1 < COUNT(times); i++) {
                weir__histogram_add(&block, HISTOGRAM_sched_latency, times[i].ns);
                expect[times[i].bucket]++;
        }
        for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
                ck_assert_uint_eq(block.bucket[HISTOGRAM_sched_latency][i], expect[i]);
        ck_assert_uint_eq(block.sum[HISTOGRAM_sched_latency], 127 + 128 + 255 + 256 + 1000000);
        weir_metric_write(f);
        fclose(f);
        /* Cumulative, as Prometheus has it. */
        ck_assert_ptr_nonnull(strstr(text, "weir_sched_latency_seconds_bucket{le=\"1.28e-07\"} 3\n"));
        ck_assert_ptr_nonnull(strstr(text, "weir_sched_latency_seconds_bucket{le=\"5.12e-07\"} 6\n"));
        ck_assert_ptr_nonnull(strstr(text, "weir_sched_latency_seconds_bucket{le=\"+Inf\"} 7\n"));
        ck_assert_ptr_nonnull(strstr(text, "weir_sched_latency_seconds_count 7\n"));
        free(text);
        weir__histogram_add(&block, HISTOGRAM_sched_latency, INT64_MAX);
        ck_assert_uint_eq(block.bucket[HISTOGRAM_sched_latency][HISTOGRAM_BUCKETS - 1], 1);
}

/* ---- locks ---- */

static struct lock lock = { 0 };
static uint32_t    word;
static long        plain[2];

static void *use_locks(void *arg)
{
        (void)arg;
        for (int i = 0; i < 50000 / WEIR_PATIENCE; i++) {
                lock_take(&lock);
                plain[0]++;
                lock_drop(&lock);
                while (!lock_try(&lock))
                        weir__spin_pause();
                plain[0]++;
                lock_drop(&lock);
                word_take(&word);
                plain[1]++;
                word_drop(&word);
        }
        return NULL;
}

PLAIN_TEST(locks_exclude)
{
        pthread_t t[4];

        ck_assert(lock_try(&lock) && !lock_try(&lock));
        lock_drop(&lock);
        for (int i = 0; i < 4; i++)
                pthread_create(&t[i], NULL, use_locks, NULL);
        for (int i = 0; i < 4; i++)
                pthread_join(t[i], NULL);
        ck_assert_int_eq(plain[0], 4 * 2 * (50000 / WEIR_PATIENCE));
        ck_assert_int_eq(plain[1], 4 * (50000 / WEIR_PATIENCE));
}

/* Runs fn in a process of its own; its exit status, 128 + signal when one ended it. */
static int status_of(void (*fn)(const char *), const char *arg)
{
        int   status;
        pid_t child;

        fflush(NULL);
        child = fork();
        if (child == 0) {
                int null = open("/dev/null", O_WRONLY);

                dup2(null, 1);
                dup2(null, 2);
                fn(arg);
                _exit(0);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void break_order(const char *arg)
{
#if WEIR_CHECK >= 1
        static struct lock chan = LOCK_INIT(chan), scheduler = LOCK_INIT(scheduler);

        lock_take(&scheduler);
        lock_take(&chan);
#endif
        (void)arg;
}

static void keep_order(const char *arg)
{
        static struct lock chan = LOCK_INIT(chan), scheduler = LOCK_INIT(scheduler);

        (void)arg;
        lock_take(&chan);
        lock_take(&scheduler);
        lock_drop(&chan);
        lock_drop(&scheduler);
        lock_take(&scheduler);
        lock_drop(&scheduler);
}

PLAIN_TEST(the_debug_build_knows_the_order_of_locks)
{
        ck_assert_int_eq(status_of(keep_order, NULL), 0);
        if (!WEIR_CHECK)
                test_skip("locks are not checked in this build");
        ck_assert_int_ne(status_of(break_order, NULL), 0);
}

/* ---- WEIR_DEBUG ---- */

static void read_debug(const char *text)
{
        setenv("WEIR_DEBUG", text, 1);
        weir__debug_read();
}

PLAIN_TEST(debug_switches_are_set_by_name)
{
        ck_assert_int_eq(weir__debug.deadlock, 1);
        ck_assert_int_eq(weir__debug.spin, -1);
        read_debug("");
        unsetenv("WEIR_DEBUG");
        weir__debug_read();
        read_debug("deadlock=0,schedtrace=250,,spin=-3,guard=strict,inittrace,");
        ck_assert_int_eq(weir__debug.deadlock, 0);
        ck_assert_int_eq(weir__debug.schedtrace, 250);
        ck_assert_int_eq(weir__debug.spin, -3);
        ck_assert_int_eq(weir__debug.guard, 1);
        ck_assert_int_eq(weir__debug.inittrace, 1);
        read_debug("inittrace=0,spin=9223372036854775807");
        ck_assert_int_eq(weir__debug.inittrace, 0);
        ck_assert(weir__debug.spin == INT64_MAX);
}

PLAIN_TEST(what_is_no_debug_switch_ends_the_program)
{
        static const char *const bad[] = {
                "nonsense", "spin=", "spin=x", "spin=1x", "spi=1", "spin1=1", "=1", "spin==1", "spin=1 ",
                "spin=99999999999999999999", "deadlock=0,what=1", "spin=0x10",
                "spin=1111111111111111111111111111111111111111111111111111111111111111",
        };

        for (size_t i = 0; i < COUNT(bad); i++)
                ck_assert_msg(status_of(read_debug, bad[i]) == 2, "%s", bad[i]);
        ck_assert_int_eq(status_of(read_debug, "help"), 0);
        ck_assert_int_eq(status_of(read_debug, "spin=5"), 0);
}

static void read_number(const char *text)
{
        setenv("WEIR_PROCS", text, 1);
        _exit((int)weir__debug_env("WEIR_PROCS", 1, 100, 77));
}

PLAIN_TEST(numbers_of_the_environment_stay_in_their_range)
{
        ck_assert_int_eq(status_of(read_number, "5"), 5);
        ck_assert_int_eq(status_of(read_number, "1"), 1);
        ck_assert_int_eq(status_of(read_number, "100"), 100);
        ck_assert_int_eq(status_of(read_number, ""), 77);
        ck_assert_int_eq(status_of(read_number, "0"), 2);
        ck_assert_int_eq(status_of(read_number, "101"), 2);
        ck_assert_int_eq(status_of(read_number, "two"), 2);
        ck_assert_int_eq(status_of(read_number, "-1"), 2);
}
