/* Goroutines that hold their processor, blocked or computing, do not keep the others from
 * running. */
/* timeout: 60 */
#include "check.h"
#include "registers.h"
#include "sched/state.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t counter(const char *name)
{
        char    *text = NULL, *at, line[128];
        size_t   n = 0;
        FILE    *f = open_memstream(&text, &n);
        uint64_t v;

        weir_metric_write(f);
        fclose(f);
        snprintf(line, sizeof line, "\nweir_%s_total ", name);
        at = strstr(text, line);
        ck_assert_msg(at != NULL, "no %s in\n%s", name, text);
        v = strtoull(at + strlen(line), NULL, 10);
        free(text);
        return v;
}

/* Not where the runtime leaves threads alone: under sanitizers, and linked with -flto. */
static void need_signals(void)
{
        if (WEIR_ASAN || WEIR_TSAN || !weir__os_text_init())
                test_skip("the runtime takes no processors away here");
}

/* ---- computing ---- */

static void set(void *flag)
{
        store_relaxed((bool *)flag, true);
}

static noinline void compute_until(const bool *flag)
{
        while (!load_relaxed(flag))
                ;
}

WEIR_TEST_WITH(a_loop_without_calls_lets_others_run, .procs = 1, .timeout = 10)
{
        need_signals();
        for (int i = 0; i < 5; i++) {
                bool     flag = false;
                uint64_t before = counter("preemptions");

                weir_go_fn(set, &flag);
                compute_until(&flag);
                ck_assert_uint_gt(counter("preemptions"), before);
        }
}

static bool handler_in, handler_over;  /* atomic */

static void linger(int sig)
{
        (void)sig;
        store_relaxed(&handler_in, true);
        while (!load_relaxed(&handler_over))
                ;
}

/* The thread that called weir_run is where the kernel mostly runs a handler of the process; it was
 * the monitor once, and nobody was stopped meanwhile. */
WEIR_TEST_WITH(a_handler_of_the_process_that_lingers_keeps_no_loop_running, .procs = 1, .timeout = 20)
{
        bool started = false;

        need_signals();
        /* The thread that is about to linger starts the monitor, if it comes to that. */
        weir_go_fn(set, &started);
        compute_until(&started);
        signal(SIGUSR1, linger);
        ck_assert_int_eq(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1), 0);
        compute_until(&handler_in);
        for (int i = 0; i < 5; i++) {
                bool flag = false;

                weir_go_fn(set, &flag);
                compute_until(&flag);
        }
        store_relaxed(&handler_over, true);
}

weir_task(hog, my, { uint64_t *turns; bool *stop; })
{
        while (!load_relaxed(my->stop))
                owner_add(my->turns, 1);
}

WEIR_TEST_WITH(hogs_and_sleepers_share_a_processor, .procs = 1, .timeout = 20)
{
        uint64_t turns[3] = { 0 };
        bool     stop = false;
        weir_wg  wg = { 0 };

        need_signals();
        for (int i = 0; i < 3; i++)
                weir_wg_go(&wg, hog, .turns = &turns[i], .stop = &stop);
        for (int i = 0; i < 20; i++)
                weir_sleep(5 * WEIR_MILLISECOND);
        while (!load_relaxed(&turns[0]) || !load_relaxed(&turns[1]) || !load_relaxed(&turns[2]))
                weir_sleep(5 * WEIR_MILLISECOND);
        store_relaxed(&stop, true);
        weir_wg_wait(&wg);
}

WEIR_TEST_WITH(more_hogs_than_processors_all_go_on, .procs = 2, .timeout = 20)
{
        enum { HOGS = 20 };
        uint64_t turns[HOGS] = { 0 };
        bool     stop = false;
        weir_wg  wg = { 0 };

        need_signals();
        for (int i = 0; i < HOGS; i++)
                weir_wg_go(&wg, hog, .turns = &turns[i], .stop = &stop);
        for (int i = 0; i < HOGS; i++)
                while (!load_relaxed(&turns[i]))
                        weir_yield();
        store_relaxed(&stop, true);
        weir_wg_wait(&wg);
}

WEIR_TEST_WITH(between_disable_and_enable_nobody_is_stopped, .procs = 1, .timeout = 20)
{
        bool      flag = false;
        weir_time end;

        need_signals();
        weir_preempt_disable();
        weir_preempt_disable();
        weir_go_fn(set, &flag);
        for (end = weir_now() + 50 * WEIR_MILLISECOND; weir_now() < end;)
                for (volatile int i = 0; i < 1000000; i++)
                        ;
        weir_preempt_enable();
        for (end = weir_now() + 50 * WEIR_MILLISECOND; weir_now() < end;)
                for (volatile int i = 0; i < 1000000; i++)
                        ;
        ck_assert(!load_relaxed(&flag));
        weir_preempt_enable();
        compute_until(&flag);
}

static void enable(void *arg)
{
        (void)arg;
        weir_preempt_enable();
}

WEIR_TEST(enable_without_disable_panics)
{
        weir_panic_info info;

        ck_assert_int_ne(weir_protect(enable, NULL, &info), 0);
        ck_assert_ptr_nonnull(strstr(info.message, "weir_preempt_disable"));
}

/* ---- registers ---- */

weir_task(watcher, my, { uint64_t pattern; bool *stop; uint64_t *bad; })
{
        bool wide = can_watch_vectors();

        while (!load_relaxed(my->stop)) {
                *my->bad += watch_registers(my->pattern);
                if (wide)
                        *my->bad += watch_vectors(my->pattern);
        }
}

WEIR_TEST_WITH(who_is_stopped_finds_every_register_as_it_was, .procs = 1, .timeout = 30)
{
        uint64_t bad[3] = { 0 }, before = counter("preemptions");
        bool     stop = false;
        weir_wg  wg = { 0 };

        need_signals();
        for (uint64_t i = 0; i < 3; i++)
                weir_wg_go(&wg, watcher, .pattern = UINT64_C(0x123456789abcdef1) * (i + 1),
                           .stop = &stop, .bad = &bad[i]);
        while (counter("preemptions") < before + 50)
                weir_yield();
        store_relaxed(&stop, true);
        weir_wg_wait(&wg);
        for (int i = 0; i < 3; i++)
                ck_assert_uint_eq(bad[i], 0);
}

/* ---- in a library ---- */

static int compare_slowly(const void *a, const void *b)
{
        int x = *(const int *)a, y = *(const int *)b;

        for (volatile int i = 0; i < 100000; i++)
                ;
        return (x > y) - (x < y);
}

/* Below qsort nobody is stopped: a lock of libc could be held there. The others go on anyhow. */
WEIR_TEST_WITH(a_callback_of_libc_goes_on_without_a_processor, .procs = 1, .timeout = 20)
{
        enum { N = 200 };
        int      v[N];
        bool     flag = false;
        uint64_t handoffs = counter("handoffs"), stops = counter("preemptions");

        need_signals();
        for (int i = 0; i < N; i++)
                v[i] = (i * 7919) % N;
        weir_go_fn(set, &flag);
        qsort(v, N, sizeof v[0], compare_slowly);
        ck_assert(load_relaxed(&flag));
        ck_assert_uint_gt(counter("handoffs"), handoffs);
        ck_assert_uint_eq(counter("preemptions"), stops);
        for (int i = 0; i < N; i++)
                ck_assert_int_eq(v[i], i);
}

/* ---- blocking calls that nobody announced ---- */

weir_task(write_byte, my, { int fd; })
{
        ck_assert_int_eq(write(my->fd, "x", 1), 1);
}

WEIR_TEST_WITH(a_blocking_read_is_ended_by_another_goroutine, .procs = 1, .timeout = 10)
{
        int      fd[2];
        char     c;
        uint64_t before = counter("handoffs");

        need_signals();
        ck_assert_int_eq(pipe(fd), 0);
        for (int i = 0; i < 20; i++) {
                weir_go(write_byte, .fd = fd[1]);
                ck_assert_int_eq(read(fd[0], &c, 1), 1);
                ck_assert_uint_ne(weir_go_id(), 0);
                weir_yield();
        }
        ck_assert_uint_ge(counter("handoffs"), before + 20);
}

weir_task(unlock_file, my, { int fd; })
{
        ck_assert_int_eq(flock(my->fd, LOCK_UN), 0);
}

WEIR_TEST_WITH(a_lock_of_a_file_is_ended_by_another_goroutine, .procs = 1, .timeout = 10)
{
        char path[] = "/tmp/weir-hold-XXXXXX";
        int  one = mkstemp(path), two = open(path, O_RDWR);

        need_signals();
        ck_assert_int_ge(two, 0);
        unlink(path);
        ck_assert_int_eq(flock(one, LOCK_EX), 0);
        weir_go(unlock_file, .fd = one);
        ck_assert_int_eq(flock(two, LOCK_EX), 0);
        close(one);
        close(two);
}

weir_task(timer_wakes, my, { bool *stop; uint32_t *n; })
{
        while (!load_relaxed(my->stop)) {
                weir_sleep(WEIR_MILLISECOND);
                owner_add(my->n, 1);
        }
}

WEIR_TEST_WITH(timers_go_on_while_a_thread_waits_in_the_system, .procs = 1, .timeout = 20)
{
        bool     stop = false;
        uint32_t n = 0;
        weir_wg  wg = { 0 };
        int      fd[2];

        need_signals();
        ck_assert_int_eq(pipe(fd), 0);
        weir_wg_go(&wg, timer_wakes, .stop = &stop, .n = &n);
        while (n < 100) {
                char c;

                weir_go(write_byte, .fd = fd[1]);
                ck_assert_int_eq(read(fd[0], &c, 1), 1);
        }
        store_relaxed(&stop, true);
        weir_wg_wait(&wg);
}

/* errno of a call that was interrupted is the call's. */
WEIR_TEST_WITH(errno_survives_a_hand_off, .procs = 1, .timeout = 10)
{
        bool flag = false;
        int  status;
        pid_t child;

        need_signals();
        weir_go_fn(set, &flag);
        child = fork();
        if (!child) {
                struct timespec ts = { .tv_nsec = 50000000 };

                while (nanosleep(&ts, &ts))
                        ;
                _exit(7);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(WEXITSTATUS(status), 7);
        ck_assert(load_relaxed(&flag));
        errno = 5;
        ck_assert_int_eq(waitpid(child, &status, 0), -1);
        ck_assert_int_eq(errno, ECHILD);
}

/* ---- seen from outside ---- */

WEIR_TEST_WITH(a_dump_shows_who_is_stopped_and_who_held, .procs = 1, .timeout = 20)
{
        uint64_t turns = 0, before = counter("preemptions");
        bool     stop = false;
        char    *text = NULL;
        size_t   n = 0;
        FILE    *f = open_memstream(&text, &n);
        weir_wg  wg = { 0 };

        need_signals();
        weir_wg_go(&wg, hog, .turns = &turns, .stop = &stop);
        while (counter("preemptions") == before)
                weir_yield();
        weir_dump(f);
        fclose(f);
        ck_assert_msg(strstr(text, "entry hog"), "%s", text);
        ck_assert_msg(strstr(text, "computed for"), "%s", text);
        free(text);
        store_relaxed(&stop, true);
        weir_wg_wait(&wg);
}
