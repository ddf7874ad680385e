/* The collector among threads that do not come back, forks, signals, and without descriptors. */
/* timeout: 240 */
#include "unit/gc/heap.h"
#include "base/debug.h"
#include "sched/state.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- a graph that changes, and must be whole ---- */

enum { SLOTS = 32, CHAIN = 20 };

static node    *graph[SLOTS];           /* each changed by one goroutine */
static uint32_t over;

static uint64_t mix(uint64_t x)
{
        x ^= x >> 31;
        x *= UINT64_C(0x9E3779B97F4A7C15);
        return x ^ x >> 29;
}

static noinline void grow(node **at, uint64_t seed)
{
        node *n = weir_new(node);

        n->key = mix(seed);
        weir_set(n->left, *at);
        *at = n;
        for (int i = 0; n && i < CHAIN; i++)
                n = n->left;
        if (n)
                weir_set(n->left, (node *)NULL);
        memset(weir_new_bytes(sizeof *n), 0xA5, sizeof *n);
}

static void look(node *n, uint64_t seed)
{
        for (int i = 0; n && i < CHAIN; i++, n = n->left)
                must(n->key == mix(seed - (uint64_t)i));
}

weir_task(changes, my, { int i; weir_wg *wg; })
{
        uint64_t seed = (uint64_t)my->i << 32;

        while (!load_seq(&over)) {
                for (int k = 0; k < 100; k++)
                        grow(&graph[my->i], ++seed);
                look(graph[my->i], seed);
                weir_yield();
        }
        weir_wg_done(my->wg);
}

static void changes_begin(weir_wg *wg, int n)
{
        weir_wg_add(wg, n);
        for (int i = 0; i < n; i++)
                weir_go(changes, .i = i, .wg = wg);
}

static void changes_end(weir_wg *wg)
{
        store_seq(&over, 1);
        weir_wg_wait(wg);
}

static void join(void *arg)
{
        pthread_join(*(pthread_t *)arg, NULL);
}

/* ---- fork ---- */

static void expect_exit(pid_t child, int code)
{
        int status;

        ck_assert_int_gt(child, 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == code, "status %#x", status);
}

static weir_weak *weak;

/* All that the documents allow in the child: what any thread may call, malloc, and stores. */
static _Noreturn void be_a_child(int i)
{
        static weir_gc_cycle c[4];
        weir_mem_stats       s;
        node                *first = graph[0];
        void               **p;

        /* A sanitizer's malloc of this age leaves its locks in the child as they were. */
        for (int k = 0; k < (COPIES ? 0 : 1000); k++) {
                p = malloc((size_t)(k * 37) + 8);
                if (!p)
                        _exit(1);
                p[0] = first;
                free(p);
        }
        for (int k = 0; k < SLOTS; k++)
                for (node *n = graph[k]; n; n = n->left)
                        weir_set(n->right, first);
        if (weir_gc_root_add(c, sizeof c) || weir_gc_root_remove(c, sizeof c) ||
            weir_gc_exclude(c, sizeof c) || weir_gc_include(c, sizeof c))
                _exit(2);
        weir_gc_pin(weir_weak_get(weak));
        weir_gc_unpin(weir_weak_get(weak));
        weir_mem_read(&s);
        if (weir_gc_history(c, 4) > 4 || weir_gc_percent(50) < -1)
                _exit(3);
        if (i % 4 == 0)
                execl("/bin/true", "true", (char *)NULL);
        _exit(0);
}

weir_task(uses_locks, my, { weir_wg *wg; })
{
        static void *there[8];

        while (!load_seq(&over)) {
                weir_gc_pin(weir_weak_get(weak));
                weir_gc_unpin(weir_weak_get(weak));
                (void)weir_gc_root_add(there, sizeof there);
                (void)weir_gc_root_remove(there, sizeof there);
                (void)weir_gc_exclude(there, sizeof there);
                (void)weir_gc_include(there, sizeof there);
                if (!sched.can_ask)
                        weir_yield();           /* no call above looks whether the world stops */
        }
        weir_wg_done(my->wg);
}

static void *forks(void *arg)
{
        (void)arg;
        while (!load_seq(&over)) {
                pid_t child = fork();

                if (!child)
                        be_a_child(1);
                expect_exit(child, 0);
        }
        return NULL;
}

weir_task(collects, my, { weir_wg *wg; })
{
        while (!load_seq(&over))
                weir_gc_run();
        weir_wg_done(my->wg);
}

/* A goroutine and a thread of the program fork while others change what is collected. (A thread
 * that was stopped inside of fork, with the allocator's locks, once held everybody up.) */
WEIR_TEST_WITH(fork_while_marking_leaves_parent_and_child_unharmed, .procs = 3, .timeout = 100)
{
        enum { FORKS = 60 };
        weir_wg        wg = { 0 };
        pthread_t      t;
        node *volatile kept = weir_new(node);
        weir_mem_stats before, after;

        weak = weir_weak_make(kept);
        changes_begin(&wg, 3);
        weir_wg_add(&wg, 2);
        weir_go(uses_locks, .wg = &wg);
        weir_go(collects, .wg = &wg);
        ck_assert_int_eq(pthread_create(&t, NULL, forks, NULL), 0);
        weir_mem_read(&before);
        for (int i = 0; i < FORKS; i++) {
                pid_t child = fork();

                if (!child)
                        be_a_child(i);
                expect_exit(child, 0);
                weir_yield();
        }
        weir_mem_read(&after);
        changes_end(&wg);
        weir_blocking(join, &t);
        if (!foreign())
                ck_assert_uint_gt(after.gc_cycles, before.gc_cycles);
        ck_assert_ptr_eq(weir_weak_get(weak), kept);
}

static void says(pid_t child, int fd, const char *words)
{
        char    text[4096];
        size_t  n = 0;
        ssize_t r;

        while (n < sizeof text - 1 && (r = read(fd, text + n, sizeof text - 1 - n)) > 0)
                n += (size_t)r;
        text[n] = 0;
        close(fd);
        expect_exit(child, 2);
        ck_assert_msg(strstr(text, words), "%s\nis not in\n%s", words, text);
}

static void allocate(void)
{
        for (int i = 0; i < 100000; i++)
                (void)weir_new(node);
}

static void refused_in_child(void (*fn)(void), const char *words)
{
        int   fd[2];
        pid_t child;

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
        says(child, fd[0], words);
}

WEIR_TEST_WITH(a_child_is_told_that_it_has_no_collector, .procs = 2, .timeout = 60)
{
        weir_wg wg = { 0 };

        changes_begin(&wg, 2);
        weir_wg_add(&wg, 1);
        weir_go(collects, .wg = &wg);
        for (int i = 0; i < 5; i++) {
                refused_in_child(allocate, "weir_gc_alloc: called after fork");
                refused_in_child(weir_gc_run, "weir_gc_run: called after fork");
        }
        changes_end(&wg);
}

/* ---- threads that never come back ---- */

static uint32_t arrived;

static void *computes_for_ever(void *arg)
{
        node *volatile n = show(*(hidden *)arg);

        store_seq(&arrived, 1);
        while (!load_relaxed(&over))
                ;
        must(n->key == 4711);
        return NULL;
}

static void *blocks_for_ever(void *arg)
{
        node *volatile n = show(*(hidden *)arg);
        int            fd[2];
        char           c;

        ck_assert_int_eq(pipe(fd), 0);
        store_seq(&arrived, 1);
        while (!load_seq(&over)) {
                struct timespec ts = { .tv_nsec = 1000000 };

                syscall(SYS_nanosleep, &ts, NULL);
        }
        close(fd[1]);
        must(read(fd[0], &c, 1) == 0 && n->key == 4711);
        close(fd[0]);
        return NULL;
}

/* As threads of libraries do. */
static void *blocks_with_all_signals_off(void *arg)
{
        sigset_t all;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, NULL);
        return blocks_for_ever(arg);
}

static void holds_through_cycles(void *(*fn)(void *))
{
        hidden    h = make_node(4711);
        pthread_t t;

        if (!sched.can_ask)
                test_skip("no signal tells here where a thread is");
        ck_assert_int_eq(pthread_create(&t, NULL, fn, &h), 0);
        while (!load_seq(&arrived))
                weir_yield();
        for (int i = 0; i < 100; i++) {
                collect();
                ck_assert_msg(alive(h), "was lost in cycle %d", i);
                memset(weir_new(node), 0xA5, sizeof(node));
        }
        store_seq(&over, 1);
        weir_blocking(join, &t);
}

WEIR_TEST_WITH(a_thread_that_computes_for_ever_holds_what_it_has, .procs = 2, .timeout = 30)
{
        holds_through_cycles(computes_for_ever);
}

WEIR_TEST_WITH(a_thread_that_waits_for_ever_holds_what_it_has, .procs = 2, .timeout = 30)
{
        holds_through_cycles(blocks_for_ever);
}

WEIR_TEST_WITH(one_that_blocks_all_signals_does_so_in_a_call, .procs = 2, .timeout = 30)
{
        holds_through_cycles(blocks_with_all_signals_off);
}

static void *spins_with_all_signals_off(void *arg)
{
        sigset_t all;

        (void)arg;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, NULL);
        store_seq(&arrived, 1);
        while (!load_relaxed(&over))
                ;
        return NULL;
}

/* It cannot be stopped; it must not stop others. */
WEIR_TEST_WITH(one_that_blocks_all_signals_and_computes_holds_nobody_up, .procs = 2, .timeout = 60)
{
        pthread_t t;

        if (!sched.can_ask)
                test_skip("no signal tells here where a thread is");
        ck_assert_int_eq(pthread_create(&t, NULL, spins_with_all_signals_off, NULL), 0);
        while (!load_seq(&arrived))
                weir_yield();
        for (int i = 0; i < 20; i++)
                collect();
        store_seq(&over, 1);
        weir_blocking(join, &t);
}

weir_task(goes_away, my, { hidden h; weir_wg *wg; })
{
        weir_wg *wg = my->wg;
        hidden   h = my->h;

        weir_thread_lock();
        computes_for_ever(&h);                  /* never calls the runtime again */
        weir_wg_done(wg);
}

WEIR_TEST_WITH(a_goroutine_that_never_calls_the_runtime_holds_what_it_has, .procs = 2,
               .timeout = 30)
{
        hidden  h = make_node(4711);
        weir_wg wg = { 0 };

        if (!sched.can_ask)
                test_skip("no signal tells here where a thread is");
        weir_wg_add(&wg, 1);
        weir_go(goes_away, .h = h, .wg = &wg);
        while (!load_seq(&arrived))
                weir_yield();
        for (int i = 0; i < 100; i++) {
                collect();
                ck_assert_msg(alive(h), "was lost in cycle %d", i);
                memset(weir_new(node), 0xA5, sizeof(node));
        }
        store_seq(&over, 1);
        weir_wg_wait(&wg);
}

/* ---- no descriptors ---- */

static int use_up(int *fds, int most)
{
        int n = 0;

        while (n < most && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
                n++;
        return n;
}

/* A list of threads that cannot be opened was once taken for one without any: what threads of the
 * program held was lost as soon as the process had no descriptor left. */
WEIR_TEST_WITH(without_a_descriptor_threads_still_hold_what_they_have, .procs = 2, .timeout = 30)
{
        static int    fds[1000];
        struct rlimit r;
        int           n;

        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
        r.rlim_cur = MIN(r.rlim_max, (rlim_t)500);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
        n = use_up(fds, 1000);
        ck_assert_int_lt(n, 1000);
        holds_through_cycles(computes_for_ever);
        while (n)
                close(fds[--n]);
}

WEIR_TEST_WITH(so_do_those_that_block_signals, .procs = 2, .timeout = 30)
{
        static int    fds[1000];
        struct rlimit r;
        hidden        h = make_node(4711);
        pthread_t     t;
        int           n;

        if (!sched.can_ask)
                test_skip("no signal tells here where a thread is");
        ck_assert_int_eq(pthread_create(&t, NULL, blocks_with_all_signals_off, &h), 0);
        while (!load_seq(&arrived))
                weir_yield();
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
        r.rlim_cur = MIN(r.rlim_max, (rlim_t)500);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &r), 0);
        n = use_up(fds, 1000);
        ck_assert_int_lt(n, 1000);
        for (int i = 0; i < 50; i++) {
                collect();
                ck_assert_msg(alive(h), "was lost in cycle %d", i);
                memset(weir_new(node), 0xA5, sizeof(node));
        }
        while (n)
                close(fds[--n]);
        store_seq(&over, 1);
        weir_blocking(join, &t);
}

/* The program closes what is not its own, as daemons do, and opens files in their place. */
WEIR_TEST_WITH(descriptors_that_the_program_takes_away_are_opened_anew, .procs = 2, .timeout = 30)
{
        struct stat s;
        char        path[64], name[64];
        int         closed = 0;

        collect();
        for (int fd = 3; fd < 100; fd++) {
                ssize_t n;

                snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
                n = readlink(path, name, sizeof name - 1);
                name[MAX(n, (ssize_t)0)] = 0;
                if (n > 5 && !strcmp(name + n - 5, "/task")) {
                        ck_assert_int_eq(dup2(STDERR_FILENO, fd), fd);
                        closed++;
                }
        }
        ck_assert_int_eq(closed, 2);
        holds_through_cycles(blocks_with_all_signals_off);
        ck_assert_int_eq(fstat(STDERR_FILENO, &s), 0);
}

/* ---- signals ---- */

static uint64_t handled;                /* atomic */

static void on_signal(int sig)
{
        volatile char room[500];                /* on whatever stack */

        room[0] = room[499] = (char)sig;
        fetch_add_relaxed(&handled, 1);
}

static void *storms(void *arg)
{
        static const int signals[] = { SIGUSR1, SIGUSR2, SIGURG };
        int              preempt = *(int *)arg, i = 0;

        while (!load_seq(&over)) {
                struct timespec ts = { .tv_nsec = 20000 };

                kill(getpid(), signals[i++ % (preempt ? 3 : 2)]);
                syscall(SYS_nanosleep, &ts, NULL);
        }
        return NULL;
}

/* Of the program's own, to handlers on whatever stack, and those that the runtime itself uses. */
WEIR_TEST_WITH(a_storm_of_signals_harms_nothing, .procs = 2, .timeout = 60)
{
        struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
        struct sigevent  event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM };
        struct itimerspec often = { { 0, 50000 }, { 0, 50000 } }, never = { { 0, 0 }, { 0, 0 } };
        weir_wg          wg = { 0 };
        pthread_t        t;
        timer_t          timer;
        int              preempt = 1, cycles = 0;
        weir_time        end;

        sigemptyset(&sa.sa_mask);
        ck_assert_int_eq(sigaction(SIGUSR2, &sa, NULL), 0);
        sa.sa_flags |= SA_ONSTACK;
        ck_assert_int_eq(sigaction(SIGUSR1, &sa, NULL), 0);
        ck_assert_int_eq(sigaction(SIGALRM, &sa, NULL), 0);
        if (!WEIR_TSAN)                         /* the monitor reads it */
                weir__debug.slice = 1;
        (void)weir_gc_percent(100);             /* who allocates waits for the marker */
        changes_begin(&wg, 4);
        ck_assert_int_eq(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
        ck_assert_int_eq(timer_settime(timer, 0, &often, NULL), 0);
        ck_assert_int_eq(pthread_create(&t, NULL, storms, &preempt), 0);
        for (end = weir_now() + 3 * WEIR_SECOND; cycles < 10 || weir_now() < end; cycles++)
                weir_gc_run();
        changes_end(&wg);
        printf("%d cycles, %llu signals\n", cycles, (unsigned long long)load_seq(&handled));
        ck_assert_int_eq(timer_settime(timer, 0, &never, NULL), 0);
        weir_blocking(join, &t);
        timer_delete(timer);
        ck_assert_uint_gt(load_seq(&handled), 1000);
}
