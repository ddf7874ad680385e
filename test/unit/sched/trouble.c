/* What the system refuses, and what a program does behind the runtime's back: a clear error, or
 * everybody goes on. */
/* timeout: 60 */
#include "check.h"
#include "sched/state.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- threads refused ---- */

#if !WEIR_ASAN && !WEIR_TSAN            /* these have calls of the same names */

static uint32_t refuse;                 /* atomic: threads cannot be had */
static uint32_t refused;                /* atomic: how often */

/* In place of libc's, for the runtime as well. */
int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
        int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
        void *sym = dlsym(RTLD_NEXT, "pthread_create");

        if (load_seq(&refuse)) {
                fetch_add_seq(&refused, 1);
                return EAGAIN;
        }
        memcpy(&next, &sym, sizeof next);
        return next(t, attr, fn, arg);
}

static void block_shortly(void *arg)
{
        (void)arg;
        weir__os_sleep(2000000);
}

weir_task(blocks, my, { weir_wg *wg; })
{
        for (int i = 0; i < 5; i++) {
                weir_blocking(block_shortly, NULL);
                usleep(1000);
                weir_yield();
        }
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(without_more_threads_blocking_calls_take_turns, .procs = 4, .timeout = 30)
{
        weir_wg wg = { 0 };

        store_seq(&refuse, 1);
        weir_wg_add(&wg, 20);
        for (int i = 0; i < 20; i++)
                weir_go(blocks, .wg = &wg);
        weir_wg_wait(&wg);
        ck_assert_uint_gt(load_seq(&refused), 0);
        store_seq(&refuse, 0);
        weir_wg_add(&wg, 20);
        for (int i = 0; i < 20; i++)
                weir_go(blocks, .wg = &wg);
        weir_wg_wait(&wg);
}

static int root(int argc, char **argv)
{
        (void)argc;
        (void)argv;
        return 0;
}

PLAIN_TEST(without_the_first_thread_weir_run_says_why)
{
        store_seq(&refuse, 1);
        ck_assert_int_eq(weir_run(root, 0, NULL, NULL), -EAGAIN);
}

/* ---- the clock ---- */

static uint32_t jumps;                  /* atomic: questions for the time of day */

/* The time of day jumps years back and forth at each look; the monotonic clock does not. */
int clock_gettime(clockid_t clock, struct timespec *ret)
{
        int r = (int)syscall(SYS_clock_gettime, clock, ret);

        if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
                ret->tv_sec += fetch_add_seq(&jumps, 1) % 2 ? 100000000 : -100000000;
        return r;
}

weir_task(sleeps, my, { weir_wg *wg; })
{
        weir_time t = weir_now(), now;

        for (int i = 0; i < 50; i++) {
                weir_sleep(WEIR_MILLISECOND);
                now = weir_now();
                ck_assert_int_ge(now - t, WEIR_MILLISECOND);
                t = now;
        }
        weir_wg_done(my->wg);
}

/* Nothing here may ask for it: the kernel's own timed waits are given monotonic time as well. */
WEIR_TEST_WITH(jumps_of_the_time_of_day_change_nothing, .procs = 2, .timeout = 20)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 10);
        for (int i = 0; i < 10; i++)
                weir_go(sleeps, .wg = &wg);
        weir_wg_wait(&wg);
        ck_assert_uint_eq(load_seq(&jumps), 0);
}

/* ---- no memory ---- */

weir_task(waits, my, { weir_chan *gate; weir_wg *wg; })
{
        int v;

        weir_recv(my->gate, &v);
        weir_wg_done(my->wg);
}

struct start {
        weir_chan *gate;
        weir_wg   *wg;
        int        n;
};

static void start_without_end(void *arg)
{
        struct start *s = arg;

        for (;;) {
                weir_wg_add(s->wg, 1);
                weir_go_with(&(weir_go_options){ .stack_size = 64 * 1024 * 1024 }, waits,
                             .gate = s->gate, .wg = s->wg);
                s->n++;
        }
}

/* What the process has of it now, the reserve of the heap included. */
static rlim_t address_space(void)
{
        FILE         *f = fopen("/proc/self/statm", "r");
        unsigned long pages = 0;

        ck_assert_ptr_nonnull(f);
        ck_assert_int_eq(fscanf(f, "%lu", &pages), 1);
        fclose(f);
        return (rlim_t)pages * 4096;
}

WEIR_TEST_WITH(without_address_space_a_start_panics_and_the_others_go_on, .procs = 2, .timeout = 20)
{
        weir_wg         wg = { 0 };
        struct start    s = { weir_chan_make(int, 0), &wg, 0 };
        struct rlimit   old, low;
        weir_panic_info info;

        ck_assert_int_eq(getrlimit(RLIMIT_AS, &old), 0);
        low = old;
        low.rlim_cur = address_space() + ((rlim_t)4 << 30);
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &low), 0);
        ck_assert_int_eq(weir_protect(start_without_end, &s, &info), WEIR_EPANIC);
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &old), 0);
        ck_assert_ptr_nonnull(strstr(info.message, "weir_go"));
        ck_assert_int_gt(s.n, 3);
        weir_wg_done(&wg);                      /* of the one that was not started */
        weir_chan_close(s.gate);
        weir_wg_wait(&wg);
}

#endif

/* ---- descriptors ---- */

static struct g *reader;                /* atomic: who came to reads last */

weir_task(reads, my, { weir_conn *c; weir_chan *out; })
{
        char    b;
        ssize_t r;

        store_release(&reader, weir__sched_g());
        r = weir_conn_read(my->c, &b, 1);
        weir_send(my->out, &r);
}

/* A goroutine that reads, once it waits for something to come. */
static void start_reader(weir_conn *c, weir_chan *out)
{
        struct g *g;

        store_relaxed(&reader, NULL);
        weir_go(reads, .c = c, .out = out);
        while (!(g = load_acquire(&reader)) || load_acquire(&g->state) != G_PARKED ||
               load_relaxed(&g->why) != WHY_READ)
                weir_yield();
}

static weir_conn *open_end(int fd)
{
        weir_conn *c;

        ck_assert_int_eq(weir_fd_open(fd, &c), 0);
        return c;
}

WEIR_TEST_WITH(two_readers_of_one_descriptor_each_get_a_byte, .procs = 4)
{
        for (int i = 0; i < 100; i++) {
                weir_chan *out = weir_chan_make(ssize_t, 0);
                weir_conn *r, *w;
                int        fd[2];
                ssize_t    n;

                ck_assert_int_eq(pipe(fd), 0);
                r = open_end(fd[0]);
                w = open_end(fd[1]);
                weir_go(reads, .c = r, .out = out);
                weir_go(reads, .c = r, .out = out);
                ck_assert_int_eq(weir_conn_write(w, "ab", 2), 2);
                for (int k = 0; k < 2; k++) {
                        ck_assert(weir_recv(out, &n));
                        ck_assert_int_eq(n, 1);
                }
                weir_conn_close(r);
                weir_conn_close(w);
        }
}

WEIR_TEST(a_descriptor_is_opened_once)
{
        weir_conn *c, *again = (weir_conn *)&again;
        int        fd[2];

        ck_assert_int_eq(pipe(fd), 0);
        c = open_end(fd[0]);
        ck_assert_int_eq(weir_fd_open(fd[0], &again), -EEXIST);
        ck_assert_ptr_eq(again, (weir_conn *)&again);
        ck_assert_int_eq(write(fd[1], "x", 1), 1);
        ck_assert_int_eq(weir_conn_read(c, &(char){ 0 }, 1), 1);        /* the first is as it was */
        ck_assert_int_eq(weir_conn_close(c), 0);
        close(fd[1]);
}

/* Closed by weir_conn_close, whoever waits is told. Closed behind the runtime's back, the kernel
 * forgets that anybody waits; a deadline or weir_conn_close still ends it. */
WEIR_TEST_WITH(who_waits_on_a_descriptor_that_is_closed_goes_on, .procs = 2)
{
        weir_chan *out = weir_chan_make(ssize_t, 0);
        weir_conn *c;
        int        fd[2];
        ssize_t    n;

        ck_assert_int_eq(pipe(fd), 0);
        c = open_end(fd[0]);
        start_reader(c, out);
        ck_assert_int_eq(weir_conn_close(c), 0);
        ck_assert(weir_recv(out, &n));
        ck_assert_int_eq(n, WEIR_ECLOSED);
        close(fd[1]);

        ck_assert_int_eq(pipe(fd), 0);
        c = open_end(fd[0]);
        start_reader(c, out);
        /* What the reader did before it parked comes before the close, then. */
        ck_assert_int_eq(weir_conn_set_deadline(c, weir_now() + 60 * WEIR_SECOND), 0);
        close(fd[0]);
        ck_assert_int_eq(weir_conn_set_deadline(c, weir_now() + 5 * WEIR_MILLISECOND), 0);
        ck_assert(weir_recv(out, &n));
        ck_assert_int_eq(n, WEIR_ETIMEOUT);
        weir_go(reads, .c = c, .out = out);
        ck_assert(weir_recv(out, &n));
        ck_assert_int_lt(n, 0);
        ck_assert_int_eq(weir_conn_close(c), 0);
        close(fd[1]);
}
