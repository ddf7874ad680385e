/* The number of processors changes while goroutines run. */
/* timeout: 60 */
#include "check.h"
#include "sched/state.h"
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

weir_task(worker, my, { bool *stop; uint64_t *n; })
{
        while (!load_relaxed(my->stop)) {
                for (volatile int i = 0; i < 1000; i++)
                        ;
                owner_add(my->n, 1);
                weir_yield();
        }
}

weir_task(timed, my, { bool *stop; uint64_t *n; })
{
        while (!load_relaxed(my->stop)) {
                weir_sleep(100000);
                owner_add(my->n, 1);
        }
}

static uint32_t running(void)
{
        return load_seq(&sched.nall) - load_seq(&sched.nretired) - load_seq(&sched.nidle);
}

WEIR_TEST_WITH(raised_and_lowered_everything_goes_on, .procs = 2, .timeout = 40)
{
        enum { N = 12 };
        uint64_t n[2 * N] = { 0 }, seed = 1;
        bool     stop = false;
        weir_wg  wg = { 0 };

        ck_assert_int_eq(weir_procs(0), 2);
        ck_assert_int_eq(weir_procs(-5), 2);
        for (int i = 0; i < N; i++) {
                weir_wg_go(&wg, worker, .stop = &stop, .n = &n[i]);
                weir_wg_go(&wg, timed, .stop = &stop, .n = &n[N + i]);
        }
        for (int round = 0; round < 60; round++) {
                int      want = 1 + (int)weir__rand_below(&seed, 8);
                uint64_t before[2 * N];

                weir_procs(want);
                ck_assert_int_eq(weir_procs(0), want);
                while (running() > (uint32_t)want)
                        weir_yield();
                for (int i = 0; i < 2 * N; i++)
                        before[i] = load_relaxed(&n[i]);
                for (int i = 0; i < 2 * N; i++)
                        while (load_relaxed(&n[i]) == before[i])
                                weir_yield();
        }
        store_relaxed(&stop, true);
        weir_wg_wait(&wg);
        ck_assert_uint_le(load_seq(&sched.nall), 8);
}

static void too_many(void *arg)
{
        (void)arg;
        weir_procs(PROCS_MAX + 1);
}

WEIR_TEST(too_many_are_refused)
{
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(too_many, NULL, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "1025"));
        ck_assert_ptr_nonnull(strstr(info.message, "1024"));
}

weir_task(spin, my, { bool *stop; })
{
        while (!load_relaxed(my->stop))
                ;
}

WEIR_TEST_WITH(one_that_computes_gives_its_processor_up_too, .procs = 3, .timeout = 20)
{
        bool    stop = false;
        weir_wg wg = { 0 };

        if (WEIR_ASAN || WEIR_TSAN || !weir__os_text_init())
                test_skip("the runtime takes no processors away here");
        for (int i = 0; i < 3; i++)
                weir_wg_go(&wg, spin, .stop = &stop);
        weir_procs(1);
        while (running() > 1)
                weir_yield();
        weir_procs(3);
        store_relaxed(&stop, true);
        weir_wg_wait(&wg);
}

static int root_follows(int argc, char **argv)
{
        cpu_set_t one, all;
        int       cpu;

        (void)argc;
        (void)argv;
        ck_assert_int_eq(sched_getaffinity(getpid(), sizeof all, &all), 0);
        if (CPU_COUNT(&all) < 2 || weir_procs(0) < 2)
                return 77;
        for (cpu = 0; !CPU_ISSET(cpu, &all); cpu++)
                ;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        ck_assert_int_eq(sched_setaffinity(getpid(), sizeof one, &one), 0);
        while (weir_procs(0) != 1)
                weir_sleep(WEIR_MILLISECOND);
        ck_assert_int_eq(sched_setaffinity(getpid(), sizeof all, &all), 0);
        while (weir_procs(0) == 1)
                weir_sleep(WEIR_MILLISECOND);
        return 0;
}

PLAIN_TEST(the_number_follows_the_affinity)
{
        int r;

        unsetenv("WEIR_PROCS");
        r = weir_run(root_follows, 0, NULL, NULL);
        if (r == 77)
                test_skip("one core");
        ck_assert_int_eq(r, 0);
}

static void compute(void *stop)
{
        while (!load_relaxed((bool *)stop))
                ;
}

/* Once a timer that was set on a processor just before that one retired was forgotten beside a
 * loop. */
WEIR_TEST_WITH(timers_of_a_retired_processor_fire_beside_a_loop, .procs = 4, .timeout = 20)
{
        bool stop[20] = { 0 };

        if (WEIR_ASAN || WEIR_TSAN || !weir__os_text_init())
                test_skip("the runtime takes no processors away here");
        for (int i = 0; i < 20; i++) {
                weir_procs(4);
                for (int k = 0; k < 10; k++)
                        weir_yield();
                weir_procs(1);
                weir_go_fn(compute, &stop[i]);
                weir_sleep(WEIR_MILLISECOND);
                weir_sleep(WEIR_MILLISECOND);
                store_relaxed(&stop[i], true);
        }
}
