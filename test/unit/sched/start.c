/* weir_run: its options, its environment, its result and its end; threads that cannot be had. */
#include "check.h"
#include "base/atomic.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int return_arguments(int argc, char **argv)
{
        return argc == 2 && !strcmp(argv[1], "b") ? -4711 : 0;
}

PLAIN_TEST(a_run_passes_arguments_and_the_result_and_is_the_only_one)
{
        char *argv[] = { "a", "b", NULL };

        ck_assert_int_eq(weir_run(NULL, 0, NULL, NULL), -EINVAL);
        ck_assert_int_eq(weir_run(return_arguments, 2, argv, NULL), -4711);
        ck_assert_int_eq(weir_run(return_arguments, 2, argv, NULL), -EALREADY);
}

/* ---- threads that cannot be had ---- */

static void refuse_threads(void)
{
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 2, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
        };
        struct sock_fprog program = { sizeof filter / sizeof *filter, filter };

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
                test_skip("no seccomp filters here");
}

static int return_seven(int argc, char **argv)
{
        (void)argc;
        (void)argv;
        return 7;
}

PLAIN_TEST(a_run_without_a_thread_fails)
{
        refuse_threads();
        ck_assert_int_eq(weir_run(return_seven, 0, NULL, NULL), -EAGAIN);
}

static void hold_shortly(void *arg)
{
        (void)arg;
        usleep(200);
}

weir_task(count_up, my, { int *n; })
{
        __atomic_fetch_add(my->n, 1, __ATOMIC_RELAXED);
}

/* The program goes on with the threads that it has; who waits behind a blocking call waits
 * longer. */
WEIR_TEST_WITH(a_refused_thread_does_not_end_the_program, .procs = 4)
{
        int n = 0;

        refuse_threads();
        for (int round = 0; round < 20; round++) {
                for (int i = 0; i < 40; i++)
                        weir_go(count_up, .n = &n);
                weir_blocking(hold_shortly, NULL);
        }
        while (__atomic_load_n(&n, __ATOMIC_RELAXED) < 20 * 40)
                weir_yield();
}

static uint32_t blocks, returned, ran_on;       /* atomic */

static void hold_thread(void *arg)
{
        (void)arg;
        store_relaxed(&blocks, 1);
        while (!load_relaxed(&returned))
                usleep(1000);
}

weir_task(outlive, my, { int unused; })
{
        weir_blocking(hold_thread, NULL);
        store_relaxed(&ran_on, 1);
}

static int leave_it_behind(int argc, char **argv)
{
        (void)argc;
        (void)argv;
        weir_go(outlive);
        while (!load_relaxed(&blocks))
                weir_yield();
        return 0;
}

PLAIN_TEST(after_the_root_has_returned_no_blocking_call_comes_back)
{
        ck_assert_int_eq(weir_run(leave_it_behind, 0, NULL, NULL), 0);
        store_relaxed(&returned, 1);
        usleep(100 * 1000);             /* time enough to do what it must not */
        ck_assert_uint_eq(load_relaxed(&ran_on), 0);
}

WEIR_TEST(a_run_inside_a_run_fails)
{
        ck_assert_int_eq(weir_run(return_arguments, 0, NULL, NULL), -EALREADY);
}

PLAIN_TEST(a_run_refuses_a_stack_beyond_the_limit)
{
        ck_assert_int_eq(weir_run(return_arguments, 0, NULL,
                                  &(weir_run_options){ .stack_size = (size_t)4 << 30 }), -EINVAL);
        ck_assert_int_eq(weir_run(return_arguments, 0, NULL, NULL), 0);
}

static long gauge(const char *name)
{
        char  *text = NULL, line[64];
        size_t n = 0;
        FILE  *f = open_memstream(&text, &n);
        long   v;

        weir_metric_write(f);
        fclose(f);
        snprintf(line, sizeof line, "\n%s ", name);
        ck_assert_ptr_nonnull(strstr(text, line));
        v = atol(strstr(text, line) + strlen(line));
        free(text);
        return v;
}

static int three_processors(int argc, char **argv)
{
        (void)argc;
        (void)argv;
        ck_assert_int_eq(gauge("weir_procs"), 3);
        return 0;
}

PLAIN_TEST(options_have_precedence_over_the_environment)
{
        setenv("WEIR_PROCS", "2", 1);
        ck_assert_int_eq(weir_run(three_processors, 0, NULL, &(weir_run_options){ .procs = 3 }), 0);
}

PLAIN_TEST(the_environment_sets_the_processors)
{
        setenv("WEIR_PROCS", "3", 1);
        ck_assert_int_eq(weir_run(three_processors, 0, NULL, NULL), 0);
}

weir_task(wait_on, my, { weir_chan *c; })
{
        weir_chan_recv(my->c, NULL, 0);
}

static int return_early(int argc, char **argv)
{
        weir_chan *c = weir_chan_make(int, 0);

        (void)argc;
        (void)argv;
        for (int i = 0; i < 100; i++)
                weir_go(wait_on, .c = c);
        weir_yield();
        return 5;
}

PLAIN_TEST(the_run_ends_with_its_root)
{
        ck_assert_int_eq(weir_run(return_early, 0, NULL, NULL), 5);
}
