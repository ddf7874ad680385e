/* fork, exec, exit, signals, libraries that come and go: what a process may do around
 * goroutines. */
/* timeout: 60 */
#include "check.h"
#include "sched/state.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int *shared;                     /* counts across processes */

static void share(void)
{
        shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        ck_assert_ptr_ne(shared, MAP_FAILED);
}

static int status_of(pid_t child)
{
        int status;

        ck_assert_int_gt(child, 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        return status;
}

static void expect_exit(pid_t child, int code)
{
        int status = status_of(child);

        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == code, "status %#x", status);
}

/* Others that run, so that there is something to leave half done. */
weir_task(busy, my, { bool *stop; weir_chan *c; })
{
        while (!load_relaxed(my->stop)) {
                int v = 0;

                free(malloc(100));
                (void)weir_chan_try_send(my->c, &v, sizeof v);
                weir_yield();
        }
        weir_send(my->c, &(int){ 1 });
}

struct others {
        bool       stop;
        weir_chan *c;
        int        n;
};

static void others_start(struct others *o, int n)
{
        *o = (struct others){ .c = weir_chan_make(int, 2), .n = n };
        for (int i = 0; i < n; i++)
                weir_go(busy, .stop = &o->stop, .c = o->c);
}

static void others_stop(struct others *o)
{
        int v, n = 0;

        store_relaxed(&o->stop, true);
        while (n < o->n && weir_recv(o->c, &v))
                n += v;
}

/* ---- fork ---- */

WEIR_TEST_WITH(a_child_has_the_c_library_and_ends_as_it_likes, .procs = 4, .timeout = 40)
{
        struct others o;

        others_start(&o, 8);
        for (int i = 0; i < 50; i++) {
                pid_t child = fork();

                if (!child) {
                        char *p = malloc(1000);
                        FILE *f = fopen("/dev/null", "w");

                        if (!p || !f || fprintf(f, "%d", i) < 1 || fclose(f))
                                _exit(1);
                        free(p);
                        usleep(1000);
                        if (weir_now() <= 0 || weir_go_id() != 0)
                                _exit(2);
                        _exit(7);
                }
                expect_exit(child, 7);
        }
        others_stop(&o);
}

WEIR_TEST_WITH(a_child_can_become_another_program, .procs = 4, .timeout = 40)
{
        struct others o;

        others_start(&o, 8);
        for (int i = 0; i < 20; i++) {
                pid_t child = fork();

                if (!child) {
                        execl("/bin/sh", "sh", "-c", "exit 9", (char *)NULL);
                        _exit(1);
                }
                expect_exit(child, 9);
        }
        others_stop(&o);
}

/* What a call prints when it ends the process; 2 is the status. */
static void expect_end(void (*fn)(void), const char *says)
{
        char    text[4096];
        size_t  n = 0;
        ssize_t r;
        int     fd[2];
        pid_t   child;

        ck_assert_int_eq(pipe(fd), 0);
        child = fork();
        if (!child) {
                dup2(fd[1], STDERR_FILENO);
                close(fd[0]);
                close(fd[1]);
                fn();
                _exit(0);
        }
        close(fd[1]);
        while (n < sizeof text - 1 && (r = read(fd[0], text + n, sizeof text - 1 - n)) > 0)
                n += (size_t)r;
        text[n] = 0;
        close(fd[0]);
        expect_exit(child, 2);
        ck_assert_msg(strstr(text, says), "%s\nis not in\n%s", says, text);
}

static weir_chan *chan;

static void do_nothing(void *arg)
{
        (void)arg;
}

static void child_sends(void)     { weir_send(chan, &(int){ 1 }); }
static void child_try_sends(void) { (void)weir_chan_try_send(chan, &(int){ 1 }, sizeof(int)); }
static void child_starts(void)    { weir_go_fn(do_nothing, NULL); }
static void child_sleeps(void)    { weir_sleep(1); }
static void child_yields(void)    { weir_yield(); }
static void child_blocks(void)    { weir_blocking(do_nothing, NULL); }

WEIR_TEST_WITH(a_child_that_needs_the_runtime_is_told_so, .procs = 2, .timeout = 20)
{
        chan = weir_chan_make(int, 1);
        expect_end(child_sends, "weir_chan_send: called after fork");
        expect_end(child_try_sends, "weir_chan_try_send: called after fork");
        expect_end(child_starts, "weir_go: called after fork");
        expect_end(child_sleeps, "weir_sleep: called after fork");
        expect_end(child_yields, "weir_yield: called after fork");
        expect_end(child_blocks, "weir_blocking: called after fork");
}

static int other_root(int argc, char **argv)
{
        (void)argc;
        (void)argv;
        return 0;
}

WEIR_TEST_WITH(a_child_cannot_start_or_join_a_runtime, .procs = 2, .timeout = 20)
{
        pid_t child = fork();

        if (!child)
                _exit(weir_run(other_root, 0, NULL, NULL) == -EALREADY &&
                                      weir_thread_attach() == -ESRCH
                              ? 3
                              : 1);
        expect_exit(child, 3);
}

WEIR_TEST_WITH(a_child_can_print_where_the_goroutines_were, .procs = 2, .timeout = 20)
{
        struct others o;

        others_start(&o, 4);
        for (int i = 0; i < 20; i++) {
                pid_t child = fork();

                if (!child) {
                        char  *text = NULL;
                        size_t n = 0;
                        FILE  *f = open_memstream(&text, &n);

                        weir_dump(f);
                        weir_metric_write(f);
                        fclose(f);
                        _exit(strstr(text, "entry busy") ? 4 : 1);
                }
                expect_exit(child, 4);
        }
        others_stop(&o);
}

weir_task(forks_and_ends, my, { weir_chan *done; })
{
        pid_t child = fork();

        if (child) {
                int status = status_of(child);

                weir_send(my->done, &status);
        }
}

WEIR_TEST_WITH(a_goroutine_that_ends_in_the_child_ends_it_with_a_message, .procs = 2)
{
        weir_chan *done = weir_chan_make(int, 0);
        int        status;

        weir_go(forks_and_ends, .done = done);
        ck_assert(weir_recv(done, &status));
        ck_assert(WIFEXITED(status));
        ck_assert_int_eq(WEXITSTATUS(status), 2);
}

static void *fork_elsewhere(void *ret)
{
        pid_t child = fork();

        if (!child)
                _exit(weir_thread_attach() == -ESRCH ? 5 : 1);
        *(pid_t *)ret = child;
        return NULL;
}

WEIR_TEST_WITH(a_thread_of_the_program_forks_too, .procs = 2, .timeout = 20)
{
        struct others o;

        others_start(&o, 4);
        for (int i = 0; i < 20; i++) {
                pthread_t t;
                pid_t     child;

                ck_assert_int_eq(pthread_create(&t, NULL, fork_elsewhere, &child), 0);
                pthread_join(t, NULL);
                expect_exit(child, 5);
        }
        others_stop(&o);
}

PLAIN_TEST(a_child_of_a_process_that_has_not_begun_may_run)
{
        pid_t child = fork();

        if (!child)
                _exit(weir_run(other_root, 0, NULL, NULL) == 0 ? 6 : 1);
        expect_exit(child, 6);
}

WEIR_TEST_WITH(sigquit_ends_a_child_as_it_ends_any_process, .procs = 2)
{
        pid_t child;
        int   status;

        share();
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        child = fork();
        if (!child) {
                __atomic_store_n(&shared[0], 1, __ATOMIC_SEQ_CST);
                for (;;)
                        pause();
        }
        /* Elsewhere it may come before fork has returned in the child. This sanitizer delivers what
         * comes there only later, to the default that is back by then, which it takes for nothing
         * to do. */
        while (WEIR_TSAN && !__atomic_load_n(&shared[0], __ATOMIC_SEQ_CST))
                usleep(1000);
        kill(child, SIGQUIT);
        status = status_of(child);
        ck_assert(WIFSIGNALED(status));
        ck_assert_int_eq(WTERMSIG(status), SIGQUIT);
}

static void count_exit(void)
{
        shared[0]++;
}

static int returns_in_the_child(int argc, char **argv)
{
        pid_t child;

        (void)argc;
        (void)argv;
        child = fork();
        if (!child)
                return 11;
        expect_exit(child, 11);
        return 12;
}

PLAIN_TEST(returning_from_the_root_is_exit_in_a_child_too)
{
        pid_t child;

        share();
        child = fork();
        if (!child) {
                atexit(count_exit);
                exit(weir_run(returns_in_the_child, 0, NULL, NULL));
        }
        expect_exit(child, 12);
        ck_assert_int_eq(shared[0], 2);         /* once in each of the two processes */
}

/* ---- exit ---- */

weir_task(exits, my, { int how; })
{
        if (my->how == 0)
                exit(21);
        if (my->how == 1)
                quick_exit(22);
        if (my->how == 2)
                _exit(23);
        abort();
}

weir_task(blocked, my, { int fd; })
{
        char c;

        (void)!read(my->fd, &c, 1);
}

static int how_to_exit;

static int exits_beside_others(int argc, char **argv)
{
        struct others o;
        int           fd[2];

        (void)argc;
        (void)argv;
        if (pipe(fd))
                return 1;
        others_start(&o, 4);
        weir_go(blocked, .fd = fd[0]);
        weir_go(exits, .how = how_to_exit);
        weir_recv(weir_chan_make(int, 0), &fd[0]);
        return 1;
}

static pid_t run_and_exit(int how)
{
        pid_t child = fork();

        if (!child) {
                setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
                atexit(count_exit);
                at_quick_exit(count_exit);
                how_to_exit = how;
                _exit(weir_run(exits_beside_others, 0, NULL, &(weir_run_options){ .procs = 3 }));
        }
        return child;
}

PLAIN_TEST(exit_on_a_goroutine_runs_handlers_once_while_others_go_on)
{
        share();
        for (int i = 1; i <= 20; i++) {
                expect_exit(run_and_exit(0), 21);
                ck_assert_int_eq(shared[0], i);
        }
}

PLAIN_TEST(quick_exit_and_underscore_exit_end_the_process)
{
        share();
        expect_exit(run_and_exit(1), 22);
        ck_assert_int_eq(shared[0], 1);
        expect_exit(run_and_exit(2), 23);
        ck_assert_int_eq(shared[0], 1);
}

PLAIN_TEST(abort_on_a_goroutine_is_sigabrt)
{
        int status;

        share();
        status = status_of(run_and_exit(3));
        ck_assert(WIFSIGNALED(status));
        ck_assert_int_eq(WTERMSIG(status), SIGABRT);
}

/* ---- other programs ---- */

/* Blocked, ignored and caught signals as /proc shows them, of a program that was started. */
static void expect_clean_signals(int fd)
{
        char    text[4096];
        size_t  n = 0;
        ssize_t r;

        while (n < sizeof text - 1 && (r = read(fd, text + n, sizeof text - 1 - n)) > 0)
                n += (size_t)r;
        text[n] = 0;
        ck_assert_msg(strstr(text, "SigBlk:\t0000000000000000"), "%s", text);
        ck_assert_msg(strstr(text, "SigCgt:\t0000000000000000"), "%s", text);
}

WEIR_TEST_WITH(a_spawned_program_has_no_signals_of_ours, .procs = 2, .timeout = 30)
{
        char *const   argv[] = { (char[]){ "cat" }, (char[]){ "/proc/self/status" }, NULL };
        struct others o;

        others_start(&o, 4);
        for (int i = 0; i < 20; i++) {
                posix_spawn_file_actions_t actions;
                pid_t                      child;
                int                        fd[2];

                ck_assert_int_eq(pipe(fd), 0);
                posix_spawn_file_actions_init(&actions);
                posix_spawn_file_actions_adddup2(&actions, fd[1], STDOUT_FILENO);
                posix_spawn_file_actions_addclose(&actions, fd[0]);
                ck_assert_int_eq(posix_spawn(&child, "/bin/cat", &actions, NULL, argv, environ), 0);
                posix_spawn_file_actions_destroy(&actions);
                close(fd[1]);
                expect_clean_signals(fd[0]);
                close(fd[0]);
                expect_exit(child, 0);
        }
        others_stop(&o);
}

WEIR_TEST_WITH(system_and_popen_work_on_goroutines, .procs = 2, .timeout = 20)
{
        struct others o;
        char          line[16];
        FILE         *f;

        others_start(&o, 4);
        for (int i = 0; i < 10; i++) {
                ck_assert_int_eq(WEXITSTATUS(system("exit 13")), 13);
                f = popen("echo out", "r");
                ck_assert_ptr_nonnull(f);
                ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
                ck_assert_str_eq(line, "out\n");
                ck_assert_int_eq(pclose(f), 0);
        }
        others_stop(&o);
}

/* ---- signals ---- */

static uint32_t handled;

static void count_signal(int sig)
{
        (void)sig;
        fetch_add_seq(&handled, 1);
}

WEIR_TEST_WITH(signals_of_the_process_run_its_handlers_on_any_thread, .procs = 4, .timeout = 20)
{
        struct others o;

        /* Without SA_ONSTACK: on whichever stack runs. */
        ck_assert_int_eq(sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = count_signal,
                                                                 .sa_flags = SA_RESTART }, NULL), 0);
        others_start(&o, 8);
        for (uint32_t i = 0; i < 500; i++) {
                kill(getpid(), SIGUSR1);
                while (load_seq(&handled) <= i)
                        weir_yield();
        }
        others_stop(&o);
        ck_assert_uint_eq(load_seq(&handled), 500);
}

static uint32_t in_handler;             /* atomic: how often it ended */

static void linger(int sig)
{
        (void)sig;
        for (volatile int i = 0; i < 20000000; i++)
                ;
        fetch_add_seq(&in_handler, 1);
}

struct aim {
        uint32_t tid, *stop;
};

/* A thread of the program that interrupts the runtime's. */
static void *interrupt(void *arg)
{
        struct aim *a = arg;

        while (!load_seq(a->stop)) {
                uint32_t before = load_seq(&in_handler);

                weir__os_thread_signal((int)load_seq(&a->tid), SIGUSR1);
                for (int i = 0; i < 1000 && load_seq(&in_handler) == before; i++)
                        usleep(100);
                usleep(1000);           /* so that others have a share */
        }
        return NULL;
}

/* Once a goroutine whose program's handler had interrupted weir_yield lost its processor there: the
 * frames below the handler's were not looked at, and weir_yield went on without one. */
WEIR_TEST_WITH(a_handler_that_lingers_inside_a_call_of_weir_does_no_harm, .procs = 1, .timeout = 30)
{
        uint32_t      stop = 0;
        struct aim    a = { .stop = &stop, .tid = (uint32_t)weir__os_thread_id() };
        struct others o;
        pthread_t     t;

        ck_assert_int_eq(sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = linger,
                                                                 .sa_flags = SA_RESTART }, NULL), 0);
        others_start(&o, 4);
        ck_assert_int_eq(pthread_create(&t, NULL, interrupt, &a), 0);
        while (load_seq(&in_handler) < 20) {
                for (int i = 0; i < 10; i++)
                        weir_yield();
                store_seq(&a.tid, (uint32_t)weir__os_thread_id());
        }
        store_seq(&stop, 1);
        pthread_join(t, NULL);
        others_stop(&o);
}

static void handle_and_use_stack(int sig)
{
        volatile char room[4096];

        (void)sig;
        for (size_t i = 0; i < sizeof room; i += 64)
                room[i] = 1;
        fetch_add_seq(&handled, room[64]);
}

static void raise_here(void *wg)
{
        raise(SIGUSR2);
        weir_wg_done(wg);
}

weir_task(small, my, { weir_wg *wg; })
{
        raise_here(my->wg);
}

WEIR_TEST_WITH(a_handler_without_a_stack_of_its_own_runs_on_the_smallest, .procs = 2)
{
        weir_wg wg = { 0 };

        signal(SIGUSR2, handle_and_use_stack);
        weir_wg_add(&wg, 100);
        for (int i = 0; i < 100; i++)
                weir_go_with(&(weir_go_options){ .stack_size = 1 }, small, .wg = &wg);
        weir_wg_wait(&wg);
        ck_assert_uint_eq(load_seq(&handled), 100);
}

/* A handler from before weir_run goes on to get what is not ours. */
static int raises_urgent(int argc, char **argv)
{
        (void)argc;
        (void)argv;
        for (int i = 0; i < 10; i++)
                raise(SIGURG);
        return load_seq(&handled) == 10 ? 31 : 1;
}

PLAIN_TEST(a_handler_of_sigurg_from_before_still_gets_its_signals)
{
        signal(SIGURG, count_signal);
        ck_assert_int_eq(weir_run(raises_urgent, 0, NULL, &(weir_run_options){ .procs = 1 }), 31);
}

WEIR_TEST_WITH(sigurg_may_be_blocked_in_a_thread, .procs = 1, .timeout = 20)
{
        sigset_t set, old;
        char     c = 'x';
        int      fd[2];

        sigemptyset(&set);
        sigaddset(&set, SIGURG);
        ck_assert_int_eq(pipe(fd), 0);
        weir_thread_lock();
        ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &set, &old), 0);
        for (int i = 0; i < 100; i++) {
                ck_assert_int_eq(write(fd[1], &c, 1), 1);
                ck_assert_int_eq(read(fd[0], &c, 1), 1);
                weir_sleep(WEIR_MILLISECOND / 10);
        }
        ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
        weir_thread_unlock();
}

/* ---- SIGSTOP and SIGCONT ---- */

static int sleeps_and_sends(int argc, char **argv)
{
        struct others o;

        (void)argc;
        (void)argv;
        others_start(&o, 4);
        for (int i = 0; i < 100; i++) {
                weir_sleep(2 * WEIR_MILLISECOND);
                fetch_add_seq((uint32_t *)shared, 1);
        }
        others_stop(&o);
        return 41;
}

PLAIN_TEST(a_process_that_is_stopped_and_continued_goes_on)
{
        pid_t child;
        int   status;

        share();
        child = fork();
        if (!child)
                _exit(weir_run(sleeps_and_sends, 0, NULL, &(weir_run_options){ .procs = 3 }));
        for (uint32_t i = 0; i < 5; i++) {
                while (load_seq((uint32_t *)shared) <= i * 10)
                        usleep(100);
                kill(child, SIGSTOP);
                ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
                ck_assert(WIFSTOPPED(status));
                kill(child, SIGCONT);
        }
        expect_exit(child, 41);
}

/* ---- libraries ---- */

weir_task(calls_library, my, { weir_chan *in, *out; int (*twice)(int); })
{
        int v;

        while (weir_recv(my->in, &v)) {
                v = my->twice(v);
                weir_send(my->out, &v);
        }
        weir_chan_close(my->out);
}

static void dump_to_nowhere(void)
{
        char  *text = NULL;
        size_t n = 0;
        FILE  *f = open_memstream(&text, &n);

        weir_dump(f);
        fclose(f);
        ck_assert_ptr_nonnull(strstr(text, "goroutine 1"));
        free(text);
}

WEIR_TEST_WITH(libraries_come_and_go_while_goroutines_run, .procs = 4, .timeout = 40)
{
        struct others o;

        others_start(&o, 4);
        for (int i = 0; i < 20; i++) {
                void      *lib = dlopen(TEST_LIBRARY, RTLD_NOW | RTLD_LOCAL);
                weir_chan *in = weir_chan_make(int, 0), *out = weir_chan_make(int, 0);
                void      *sym;
                int      (*twice)(int), v;

                ck_assert_msg(lib != NULL, "%s", dlerror());
                sym = dlsym(lib, "test_library_twice");
                ck_assert_ptr_nonnull(sym);
                memcpy(&twice, &sym, sizeof twice);
                weir_go(calls_library, .in = in, .out = out, .twice = twice);
                for (int k = 0; k < 10; k++) {
                        weir_send(in, &k);
                        ck_assert(weir_recv(out, &v));
                        ck_assert_int_eq(v, 2 * k);
                }
                dump_to_nowhere();
                weir_chan_close(in);
                ck_assert(!weir_recv(out, &v));
                ck_assert_int_eq(dlclose(lib), 0);
                dump_to_nowhere();
        }
        others_stop(&o);
}

/* The library's function waits for the others: a dump then walks through its frames. */
static char   *seen;
static int     look_around(int v)
{
        size_t n = 0;
        FILE  *f = open_memstream(&seen, &n);

        weir_dump(f);
        fclose(f);
        return v;
}

WEIR_TEST_WITH(a_dump_names_the_functions_of_a_loaded_library, .procs = 2)
{
        void *lib = dlopen(TEST_LIBRARY, RTLD_NOW | RTLD_LOCAL), *sym;
        int (*call)(int (*fn)(int), int);

        ck_assert_msg(lib != NULL, "%s", dlerror());
        sym = dlsym(lib, "test_library_call");
        ck_assert_ptr_nonnull(sym);
        memcpy(&call, &sym, sizeof call);
        ck_assert_int_eq(call(look_around, 20), 21);
        ck_assert_msg(strstr(seen, "test_library_call"), "%s", seen);
        free(seen);
        ck_assert_int_eq(dlclose(lib), 0);
        dump_to_nowhere();
}
