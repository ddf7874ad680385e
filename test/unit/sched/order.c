/* Each program runs in a child of its own, which has WEIR_DEBUG from its parent and answers over a
 * pipe: so a test may run one hundreds of times. */
#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMES = 100, HOUR_S = 3600 };

/* What a program answers. */
struct answer {
        uint64_t trace;         /* hash of what happened, in its order */
        int64_t  value;
};

static struct answer answer;    /* in the child */

static void note(uint64_t what)
{
        answer.trace = (answer.trace ^ what) * UINT64_C(1099511628211);
}

struct outcome {
        struct answer answer;   /* zero if it ended early */
        int           status;
        char          text[8192];       /* of standard error */
};

static void read_to_end(int fd, char *to, size_t size)
{
        size_t  n = 0;
        ssize_t got;
        char    rest[512];

        while ((got = n + 1 < size ? read(fd, to + n, size - n - 1)
                                   : read(fd, rest, sizeof rest)) > 0)
                n += n + 1 < size ? (size_t)got : 0;
        to[n] = 0;
        close(fd);
}

static struct outcome run_with(const char *name, int64_t seed, int (*root)(int, char **),
                               unsigned procs)
{
        struct outcome o = { 0 };
        int            out[2], err[2];
        char           set[64];
        pid_t          pid;

        ck_assert(pipe(out) == 0 && pipe(err) == 0);
        pid = fork();
        ck_assert(pid >= 0);
        if (pid == 0) {
                int r;

                dup2(err[1], STDERR_FILENO);
                snprintf(set, sizeof set, "%s=%lld", name, (long long)seed);
                setenv("WEIR_DEBUG", set, 1);
                answer.trace = UINT64_C(1469598103934665603);
                r = weir_run(root, 0, NULL, &(weir_run_options){ .procs = procs });
                if (write(out[1], &answer, sizeof answer) != sizeof answer)
                        _exit(99);
                _exit(r);
        }
        close(out[1]);
        close(err[1]);
        read_to_end(err[0], o.text, sizeof o.text);
        if (read(out[0], &o.answer, sizeof o.answer) != sizeof o.answer)
                memset(&o.answer, 0, sizeof o.answer);
        close(out[0]);
        ck_assert(waitpid(pid, &o.status, 0) == pid);
        return o;
}

static struct outcome run(int64_t seed, int (*root)(int, char **))
{
        return run_with("sched", seed, root, 0);
}

static int64_t value_of(int64_t seed, int (*root)(int, char **))
{
        struct outcome o = run(seed, root);

        ck_assert_msg(o.status == 0, "seed %lld: status %x\n%s", (long long)seed, o.status, o.text);
        return o.answer.value;
}

/* ---- a program of everything ---- */

struct shared {
        weir_chan *numbers, *quit;
        weir_mutex mutex;
        weir_wg    wg;
};

weir_task(produce, my, { struct shared *s; int id; })
{
        for (int i = 0; i < 5; i++) {
                int v = my->id * 10 + i;

                weir_send(my->s->numbers, &v);
                weir_mutex_lock(&my->s->mutex);
                note((uint64_t)v);
                weir_yield();
                weir_mutex_unlock(&my->s->mutex);
                weir_sleep(my->id * WEIR_MILLISECOND);
                note((uint64_t)weir_now());
        }
        weir_wg_done(&my->s->wg);
}

weir_task(consume, my, { struct shared *s; int id; })
{
        int v, n = 0;

        for (;;) {
                switch (weir_select(
                        [0] = weir_on_recv(my->s->numbers, &v, NULL),
                        [1] = weir_on_recv(my->s->quit, &v, NULL),
                        [2] = weir_on_timeout(3 * WEIR_MILLISECOND))) {
                case 0:
                        note((uint64_t)(my->id * 1000 + v));
                        break;
                case 1:
                        weir_wg_done(&my->s->wg);
                        return;
                case 2:
                        note((uint64_t)(my->id * 100000 + ++n));
                        break;
                }
        }
}

static int everything(int argc, char **argv)
{
        struct shared s = { .numbers = weir_chan_make(int, 2), .quit = weir_chan_make(int, 0) };

        (void)argc;
        (void)argv;
        weir_wg_add(&s.wg, 6);
        for (int i = 0; i < 6; i++)
                weir_go(produce, .s = &s, .id = i);
        for (int i = 0; i < 3; i++)
                weir_go(consume, .s = &s, .id = i);
        weir_wg_wait(&s.wg);
        weir_wg_add(&s.wg, 3);
        weir_chan_close(s.quit);
        weir_wg_wait(&s.wg);
        return 0;
}

static void replays(int64_t seed, int (*root)(int, char **), int times)
{
        struct outcome first = run(seed, root);

        ck_assert_msg(first.status == 0, "status %x\n%s", first.status, first.text);
        for (int i = 1; i < times; i++) {
                struct outcome o = run(seed, root);

                ck_assert_msg(o.status == 0, "status %x\n%s", o.status, o.text);
                ck_assert_msg(o.answer.trace == first.answer.trace, "run %d differs", i);
        }
}

static void different(const char *name, int64_t seeds, int (*root)(int, char **), int least)
{
        static uint64_t seen[1000];
        int             n = 0;

        for (int64_t seed = 1; seed <= seeds; seed++) {
                struct outcome o = run_with(name, seed, root, 1);
                int            i;

                ck_assert_msg(o.status == 0, "status %x\n%s", o.status, o.text);
                for (i = 0; i < n && seen[i] != o.answer.trace; i++)
                        ;
                seen[i] = o.answer.trace;
                n += i == n;
        }
        ck_assert_msg(n >= least, "%d orders in %lld seeds", n, (long long)seeds);
}

PLAIN_TEST(a_seed_gives_the_same_order_every_time)
{
        replays(20261121, everything, TIMES);
        replays(0, everything, 5);
}

PLAIN_TEST(seeds_give_different_orders)
{
        different("sched", TIMES, everything, TIMES * 95 / 100);
}

/* ---- the draw ---- */

weir_task(sign, my, { weir_wg *wg; int id; })
{
        answer.value = answer.value * 10 + my->id;
        weir_wg_done(my->wg);
}

static int three(int argc, char **argv)
{
        weir_wg wg = { 0 };

        (void)argc;
        (void)argv;
        weir_wg_add(&wg, 3);
        for (int i = 1; i <= 3; i++)
                weir_go(sign, .wg = &wg, .id = i);
        weir_wg_wait(&wg);
        note((uint64_t)answer.value);
        return 0;
}

PLAIN_TEST(every_order_of_three_comes_about_as_often)
{
        static const int64_t orders[] = { 123, 132, 213, 231, 312, 321 };
        int                  count[6] = { 0 };

        for (int64_t seed = 0; seed < 300; seed++) {
                int64_t v = value_of(seed, three);

                for (int i = 0; i < 6; i++)
                        count[i] += v == orders[i];
        }
        for (int i = 0; i < 6; i++)
                ck_assert_msg(count[i] >= 25, "%lld: %d of 300", (long long)orders[i], count[i]);
}

weir_task(leave, my, { weir_wg *wg; })
{
        weir_wg_done(my->wg);
}

static int more_than_a_queue_holds(int argc, char **argv)
{
        static weir_wg wg;

        (void)argc;
        (void)argv;
        weir_wg_add(&wg, 3000);
        for (int i = 0; i < 3000; i++)
                weir_go(leave, .wg = &wg);
        weir_wg_wait(&wg);
        answer.value = (int64_t)weir_go_count();
        return 0;
}

PLAIN_TEST(all_of_a_crowd_run)
{
        ck_assert_int_eq(value_of(5, more_than_a_queue_holds), 1);
}

static int ask_for_processors(int argc, char **argv)
{
        (void)argc;
        (void)argv;
        answer.value = weir_procs(3) * 10 + weir_procs(0);
        return 0;
}

PLAIN_TEST(there_is_one_processor_whatever_is_asked)
{
        struct outcome o = run_with("sched", 1, ask_for_processors, 4);

        ck_assert_int_eq(o.status, 0);
        ck_assert_int_eq(o.answer.value, 11);
}

/* ---- the clock ---- */

static int sleep_an_hour(int argc, char **argv)
{
        weir_time since = weir_now();

        (void)argc;
        (void)argv;
        weir_sleep(HOUR_S * WEIR_SECOND);
        answer.value = weir_now() - since;
        return 0;
}

PLAIN_TEST(a_sleep_of_an_hour_ends_at_once_an_hour_later)
{
        ck_assert_int_eq(value_of(1, sleep_an_hour), HOUR_S * WEIR_SECOND);
}

static int64_t ticks;

static void tick(void *arg)
{
        (void)arg;
        ticks++;
        note((uint64_t)weir_now());
}

static int tick_for_a_day(int argc, char **argv)
{
        weir_timer *t = weir_timer_start(WEIR_SECOND, WEIR_SECOND, tick, NULL);

        (void)argc;
        (void)argv;
        weir_sleep(24 * HOUR_S * WEIR_SECOND + WEIR_MILLISECOND);
        weir_timer_stop(t);
        answer.value = ticks;
        return 0;
}

PLAIN_TEST(a_ticker_ticks_each_second_of_a_day)
{
        ck_assert_int_eq(value_of(1, tick_for_a_day), 24 * HOUR_S);
}

static int time_out(int argc, char **argv)
{
        weir_chan *c = weir_chan_make(int, 0);
        weir_time  since = weir_now();
        int        v;

        (void)argc;
        (void)argv;
        for (int i = 1; i <= 3; i++)
                if (weir_select([0] = weir_on_recv(c, &v, NULL),
                                [1] = weir_on_timeout(i * WEIR_SECOND)) != 1)
                        return 1;
        answer.value = weir_now() - since;
        return 0;
}

PLAIN_TEST(timeouts_come_when_they_are_due)
{
        ck_assert_int_eq(value_of(1, time_out), 6 * WEIR_SECOND);
}

static bool rang;

static void ring(void *arg)
{
        (void)arg;
        rang = true;
}

/* All of these would go on for ever if time moved only when everybody is parked. */
static int wait_in_loops(int argc, char **argv)
{
        weir_time until = weir_now() + WEIR_SECOND;

        (void)argc;
        (void)argv;
        while (weir_now() < until)
                weir_yield();
        until += WEIR_SECOND;
        while (weir_now() < until)
                ;
        weir_timer_start(WEIR_SECOND, 0, ring, NULL);
        while (!rang)
                weir_yield();
        answer.value = 1;
        return 0;
}

PLAIN_TEST(loops_that_wait_for_a_time_end)
{
        ck_assert_int_eq(value_of(1, wait_in_loops), 1);
}

/* ---- what goes wrong ---- */

weir_task(add_unlocked, my, { int64_t *sum; weir_wg *wg; })
{
        for (int i = 0; i < 3; i++) {
                int64_t read = *my->sum;

                if (i == 1 && read == 2)        /* a rare moment to be interrupted */
                        weir_yield();
                *my->sum = read + 1;
                weir_yield();
        }
        weir_wg_done(my->wg);
}

static int lose_an_update(int argc, char **argv)
{
        int64_t sum = 0;
        weir_wg wg = { 0 };

        (void)argc;
        (void)argv;
        weir_wg_add(&wg, 2);
        weir_go(add_unlocked, .sum = &sum, .wg = &wg);
        weir_go(add_unlocked, .sum = &sum, .wg = &wg);
        weir_wg_wait(&wg);
        if (sum != 6)
                weir_panic("sum is %lld", (long long)sum);
        return 0;
}

PLAIN_TEST(a_search_finds_a_wrong_order_and_its_seed_shows_it_again)
{
        struct outcome o;
        int64_t        seed = 0;
        int            right = 0;
        char           says[64];

        while ((o = run(seed, lose_an_update)).status == 0) {
                right++;
                ck_assert_int_lt(++seed, 1000);
        }
        ck_assert(WIFEXITED(o.status));
        ck_assert_int_eq(WEXITSTATUS(o.status), 2);
        ck_assert_msg(strstr(o.text, "panic: sum is ") != NULL, "%s", o.text);
        snprintf(says, sizeof says, "weir: WEIR_DEBUG=sched=%lld replays this order\n",
                 (long long)seed);
        ck_assert_ptr_nonnull(strstr(o.text, says));
        for (int i = 0; i < 20; i++)
                ck_assert_int_eq(run(seed, lose_an_update).status, o.status);
        for (; right < 1 && seed < 1000; seed++)
                right += run(seed, lose_an_update).status == 0;
        ck_assert_int_gt(right, 0);                     /* and it is not wrong in every order */
}

/* ---- threads, calls that block, descriptors ---- */

weir_task(stay, my, { weir_chan *c; weir_wg *wg; int id; })
{
        int v;

        weir_thread_lock();
        for (int i = 0; i < 5; i++) {
                note((uint64_t)my->id);
                weir_yield();
                if (my->id % 2)
                        weir_send(my->c, &i);
                else
                        weir_recv(my->c, &v);
        }
        weir_thread_unlock();
        weir_wg_done(my->wg);
}

static int on_threads(int argc, char **argv)
{
        weir_chan *c = weir_chan_make(int, 0);
        weir_wg    wg = { 0 };

        (void)argc;
        (void)argv;
        weir_wg_add(&wg, 4);
        for (int i = 0; i < 4; i++)
                weir_go(stay, .c = c, .wg = &wg, .id = i);
        weir_wg_wait(&wg);
        return 0;
}

PLAIN_TEST(goroutines_on_threads_of_their_own_keep_to_the_order)
{
        for (int64_t seed = 0; seed < 5; seed++)
                replays(seed, on_threads, 10);
}

static void block(void *arg)
{
        usleep(1000);
        *(bool *)arg = true;
}

weir_task(blocker, my, { weir_wg *wg; int id; })
{
        bool called = false;

        note((uint64_t)my->id);
        weir_blocking(block, &called);
        note((uint64_t)my->id + called);
        weir_wg_done(my->wg);
}

static int call_and_block(int argc, char **argv)
{
        weir_wg wg = { 0 };

        (void)argc;
        (void)argv;
        weir_wg_add(&wg, 5);
        for (int i = 0; i < 5; i++)
                weir_go(blocker, .wg = &wg, .id = i * 10);
        weir_wg_wait(&wg);
        return 0;
}

PLAIN_TEST(calls_that_block_keep_the_order)
{
        replays(4, call_and_block, 20);
}

static int pipe_fd[2];

static void *write_late(void *arg)
{
        usleep(1000);
        return write(pipe_fd[1], "x", 1) == 1 ? arg : NULL;
}

/* A thread of the system answers in real time, before the clock has jumped over the deadline; the
 * second time nobody answers, and it jumps. */
static int read_from_a_thread(int argc, char **argv)
{
        weir_conn *c;
        pthread_t  t;
        char       b;

        (void)argc;
        (void)argv;
        if (pipe(pipe_fd) < 0 || weir_fd_open(pipe_fd[0], &c) < 0)
                return 1;
        if (pthread_create(&t, NULL, write_late, NULL))
                return 2;
        weir_conn_set_read_deadline(c, weir_now() + HOUR_S * WEIR_SECOND);
        while (weir_conn_read(c, &b, 1) == WEIR_ETIMEOUT)
                weir_conn_set_read_deadline(c, weir_now() + HOUR_S * WEIR_SECOND);
        pthread_join(t, NULL);
        weir_conn_set_read_deadline(c, weir_now() + HOUR_S * WEIR_SECOND);
        answer.value = weir_conn_read(c, &b, 1) == WEIR_ETIMEOUT && b == 'x';
        weir_conn_close(c);
        return 0;
}

PLAIN_TEST(descriptors_are_served_and_deadlines_jump)
{
        ck_assert_int_eq(value_of(1, read_from_a_thread), 1);
}

/* ---- the usual order, disturbed ---- */

PLAIN_TEST(disturbed_orders_differ)
{
        different("shuffle", TIMES, everything, 10);
}

PLAIN_TEST(disturbed_crowds_all_run)
{
        for (unsigned procs = 1; procs <= 4; procs++) {
                struct outcome o = run_with("shuffle", procs, more_than_a_queue_holds, procs);

                ck_assert_msg(o.status == 0, "status %x\n%s", o.status, o.text);
        }
}
