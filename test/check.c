/* main of every unit test: hands the tests of the file to Check, each as a case of its own, so that
 * Check's report and CK_RUN_CASE know them by name. */
#include "check.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
        TIMEOUT   = 10,         /* seconds that a test has if it does not say */
        SKIPPED   = 77,         /* exit status known to CTest */
        LAST_WORD = 2,          /* seconds before the end at which goroutines are printed */
};

static struct test  *tests;     /* in the order of the file */
static int           ntests;
static struct test **running;   /* by number; const after start */
static struct test  *current;   /* in the process of a test: its test */
static int          *skipped;   /* how many, shared with the processes of the tests */

void test_register(struct test *t)
{
        struct test **at = &tests;

        while (*at && (*at)->line < t->line)
                at = &(*at)->next;
        t->next = *at;
        *at = t;
        ntests++;
}

void test_skip(const char *because)
{
        printf(WEIR_SUITE ": %s: skipped, because %s\n", current->name, because);
        fflush(stdout);
        __atomic_fetch_add(skipped, 1, __ATOMIC_RELAXED);
        _exit(0);
}

static int root(int argc, char **argv)
{
        (void)argc;
        (void)argv;
        current->body();
        return 0;
}

static unsigned timeout_of(const struct test *t)
{
        return (t->options.timeout ? t->options.timeout : TIMEOUT) * WEIR_PATIENCE;
}

/* Asks the runtime for its goroutines shortly before Check kills the process. */
static void arm_last_word(const struct test *t)
{
        struct sigevent   event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGQUIT };
        struct itimerspec when = { .it_value.tv_sec = timeout_of(t) - LAST_WORD };
        timer_t           timer;

        if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
                timer_settime(timer, 0, &when, NULL);
}

START_TEST(run_test)
{
        int r;

        current = running[_i];
        fprintf(stderr, WEIR_SUITE ": %s\n", current->name);
        arm_last_word(current);
        if (current->plain) {
                current->body();
                return;
        }
        r = weir_run(root, 0, NULL, &(weir_run_options){
                .procs      = current->options.procs,
                .stack_size = current->options.stack_size,
        });
        ck_assert_msg(r == 0, "weir_run: %s", weir_strerror(r));
}
END_TEST

static SRunner *make_runner(void)
{
        Suite *suite = suite_create(WEIR_SUITE);
        TCase *tc;
        int    n = 0;

        running = calloc((size_t)ntests, sizeof *running);
        for (struct test *t = tests; t; t = t->next) {
                running[n] = t;
                tc = tcase_create(t->name);
                tcase_set_timeout(tc, timeout_of(t));
                tcase_add_loop_test(tc, run_test, n, n + 1);
                suite_add_tcase(suite, tc);
                n++;
        }
        return srunner_create(suite);
}

static void print_failures(SRunner *sr)
{
        TestResult **failures = srunner_failures(sr);

        for (int i = 0; i < srunner_ntests_failed(sr); i++)
                printf(WEIR_SUITE ": %s: %s:%d: %s\n", tr_tcname(failures[i]),
                       tr_lfile(failures[i]), tr_lno(failures[i]), tr_msg(failures[i]));
        free(failures);
}

int main(void)
{
        SRunner *sr;
        int      run, failed;

        skipped = mmap(NULL, sizeof *skipped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                       -1, 0);
        if (!ntests || skipped == MAP_FAILED) {
                fputs(WEIR_SUITE ": no test\n", stderr);
                return 1;
        }
        sr = make_runner();
        srunner_run_all(sr, CK_SILENT);
        run = srunner_ntests_run(sr);
        failed = srunner_ntests_failed(sr);
        print_failures(sr);
        srunner_free(sr);
        printf(WEIR_SUITE ": %d run, %d failed, %d skipped\n", run, failed, *skipped);
        if (failed)
                return 1;
        return *skipped == run ? SKIPPED : 0;
}
