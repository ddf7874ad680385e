/* Goroutines as the program sees them: identity, fairness, what each has of its own, arguments,
 * names, stacks, blocking calls, metrics. */
#include "check.h"
#include "base/atomic.h"
#include <fenv.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- identity ---- */

weir_task(tell_id, my, { weir_chan *out; })
{
        uint64_t id = weir_go_id();

        weir_yield();
        ck_assert_uint_eq(weir_go_id(), id);
        weir_send(my->out, &id);
}

WEIR_TEST_WITH(every_goroutine_has_a_number_of_its_own, .procs = 4)
{
        enum { MANY = 1000 };
        weir_chan *out = weir_chan_make(uint64_t, 0);
        static bool seen[1 << 20];

        ck_assert_uint_eq(weir_go_id(), 1);
        seen[1] = true;
        for (int i = 0; i < MANY; i++)
                weir_go(tell_id, .out = out);
        for (int i = 0; i < MANY; i++) {
                uint64_t id;

                weir_recv(out, &id);
                ck_assert(id < sizeof seen && !seen[id]);
                seen[id] = true;
        }
}

weir_task(wait_on, my, { weir_chan *c; })
{
        weir_chan_recv(my->c, NULL, 0);
}

WEIR_TEST_WITH(the_count_rises_and_falls_with_goroutines, .procs = 2)
{
        weir_chan *c = weir_chan_make(int, 0);

        ck_assert_uint_eq(weir_go_count(), 1);
        for (int i = 0; i < 100; i++)
                weir_go(wait_on, .c = c);
        ck_assert_uint_eq(weir_go_count(), 101);
        weir_chan_close(c);
        while (weir_go_count() != 1)
                weir_yield();
}

static void *outside(void *arg)
{
        *(uint64_t *)arg = weir_go_id() + 1000 * (weir_go_count() > 0);
        return NULL;
}

WEIR_TEST(a_thread_of_the_program_is_no_goroutine)
{
        uint64_t  got = 1;
        pthread_t t;

        ck_assert_int_eq(pthread_create(&t, NULL, outside, &got), 0);
        pthread_join(t, NULL);
        ck_assert_uint_eq(got, 1000);
}

PLAIN_TEST(before_the_run_there_is_no_goroutine)
{
        ck_assert_uint_eq(weir_go_id(), 0);
        ck_assert_uint_eq(weir_go_count(), 0);
        ck_assert(weir_now() > 0);
        weir_metric_write(stderr);
        weir_dump(stderr);
}

/* ---- fairness ---- */

weir_task(yielder, my, { uint64_t *turns; bool *stop; })
{
        while (!load_relaxed(my->stop)) {
                ++*my->turns;
                weir_yield();
        }
}

WEIR_TEST_WITH(yields_are_shared_evenly, .procs = 1, .timeout = 20)
{
        enum { MANY = 10, TURNS = 20000 };
        uint64_t turns[MANY] = { 0 }, least = UINT64_MAX, most = 0;
        bool     stop = false;

        for (int i = 0; i < MANY; i++)
                weir_go(yielder, .turns = &turns[i], .stop = &stop);
        while (turns[0] < TURNS)
                weir_yield();
        for (int i = 0; i < MANY; i++) {
                least = turns[i] < least ? turns[i] : least;
                most = turns[i] > most ? turns[i] : most;
        }
        ck_assert_msg(least * 10 >= most * 9, "from %llu to %llu turns", (unsigned long long)least,
                      (unsigned long long)most);
        store_relaxed(&stop, true);
        while (weir_go_count() != 1)
                weir_yield();
}

weir_task(set_true, my, { bool *flag; })
{
        *my->flag = true;
}

static void set_flag(void *flag)
{
        *(bool *)flag = true;
}

static void nothing(void *arg)
{
        (void)arg;
}

weir_task(comes_back, my, { bool *stop; })
{
        while (!load_relaxed(my->stop))
                weir_blocking(nothing, NULL);
}

weir_task(starts_more, my, { bool *stop; })
{
        while (!load_relaxed(my->stop)) {
                for (int i = 0; i < 3 && weir_go_count() < 400; i++)
                        weir_go_fn(nothing, NULL);
                weir_yield();
        }
}

/* The global queue, never empty, once went before those that were started first; they lay below
 * newer ones and never ran. */
WEIR_TEST_WITH(the_first_started_run_though_others_start_and_come_back, .procs = 1, .timeout = 30)
{
        bool    stop = false, ran = false;
        weir_wg wg = { 0 }, first = { 0 };

        for (int i = 0; i < 64; i++)      /* fewer leave the queue empty at times */
                weir_wg_go(&wg, comes_back, .stop = &stop);
        for (int i = 0; i < 1000; i++)
                weir_yield();                   /* until these run */
        for (int i = 0; i < 100; i++)
                weir_wg_go(&first, set_true, .flag = &ran);
        weir_wg_go(&wg, starts_more, .stop = &stop);
        weir_wg_wait(&first);
        store_relaxed(&stop, true);
        weir_wg_wait(&wg);
}

WEIR_TEST_WITH(a_pair_that_keeps_each_other_busy_starves_nobody, .procs = 1)
{
        bool started = false, timed = false;

        weir_go(set_true, .flag = &started);
        weir_timer_start(WEIR_MILLISECOND, 0, set_flag, &timed);
        weir_go(yielder, .turns = &(uint64_t){ 0 }, .stop = &timed);
        while (!started || !timed)
                weir_yield();
}

static void hold_until_asleep(void *arg)
{
        (void)arg;
        nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
}

weir_task(yield_then_stop, my, { unsigned yields; weir_chan *c; })
{
        for (unsigned i = 0; i < my->yields; i++)
                weir_yield();
        weir_chan_recv(my->c, NULL, 0);
}

weir_task(spin_until, my, { bool *stop; })
{
        while (!*my->stop)
                weir_yield();
}

/* A processor that went idle at the very moment its slice was over kept a budget of 0; a goroutine
 * back from a blocking call took it without the scheduler's loop, and the next switch made that 0
 * the largest number there is: timers, the poller and the global queue were not looked at any
 * more. */
static void tick_and_go(void *arg)
{
        (void)arg;
}

static void hold_shortly(void *arg)
{
        (void)arg;
        usleep(200);
}

weir_task(compute_and_yield, my, { bool *stop; })
{
        while (!load_relaxed(my->stop)) {
                weir_time end = weir_now() + 200 * WEIR_MICROSECOND;

                while (weir_now() < end)
                        ;
                weir_yield();
        }
}

/* A processor that comes to its scheduler for each tick must still look at the global queue, where
 * blocking calls come back. */
WEIR_TEST_WITH(ticks_do_not_put_off_the_wide_look, .procs = 1, .timeout = 30)
{
        weir_timer *t = weir_timer_start(WEIR_MILLISECOND, WEIR_MILLISECOND, tick_and_go, NULL);
        bool        stop = false;
        weir_time   start;

        for (int i = 0; i < 3; i++)
                weir_go(compute_and_yield, .stop = &stop);
        start = weir_now();
        for (int i = 0; i < 20; i++)
                weir_blocking(hold_shortly, NULL);
        ck_assert_int_lt(weir_now() - start, 20 * 40 * WEIR_MILLISECOND);
        store_relaxed(&stop, true);
        weir_timer_stop(t);
}

WEIR_TEST_WITH(timers_fire_after_a_blocking_call_whatever_was_left_of_the_slice, .procs = 1, .timeout = 30)
{
        weir_chan *never = weir_chan_make(int, 0);

        for (unsigned yields = 0; yields < 64; yields++) {
                bool timed = false;

                weir_go(yield_then_stop, .yields = yields, .c = never);
                weir_blocking(hold_until_asleep, NULL);
                weir_go(spin_until, .stop = &timed);
                weir_timer_start(1, 0, set_flag, &timed);
                while (!timed)
                        weir_yield();
        }
}

/* ---- what each goroutine has of its own ---- */

weir_task(keep_errno, my, { int value; weir_wg *wg; })
{
        ck_assert_int_eq(errno, 0);
        errno = my->value;
        for (int i = 0; i < 200; i++) {
                weir_yield();
                ck_assert_int_eq(errno, my->value);
                if (i % 50 == 0)
                        weir_sleep(100 * WEIR_MICROSECOND);
                ck_assert_int_eq(errno, my->value);
        }
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(errno_belongs_to_the_goroutine, .procs = 4)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 50);
        for (int i = 0; i < 50; i++)
                weir_go(keep_errno, .value = 1000 + i, .wg = &wg);
        weir_wg_wait(&wg);
}

/* Volatile, so that no compiler computes it. */
static volatile double one = 1, ten = 10;

weir_task(keep_rounding, my, { int mode; double expected; weir_wg *wg; bool inherited; })
{
        if (!my->inherited)
                fesetround(my->mode);
        for (int i = 0; i < 100; i++) {
                ck_assert_int_eq(fegetround(), my->mode);
                ck_assert(one / ten == my->expected);
                if (i % 10)
                        weir_yield();
                else
                        weir_sleep(50 * WEIR_MICROSECOND);
        }
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(the_rounding_mode_belongs_to_the_goroutine, .procs = 4)
{
        static const int modes[] = { FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO };
        weir_wg          wg = { 0 };

        weir_wg_add(&wg, 24);
        for (int i = 0; i < 24; i++) {
                double expected;

                fesetround(modes[i % 4]);
                expected = one / ten;
                if (i < 12)
                        fesetround(FE_TONEAREST);
                weir_go(keep_rounding, .mode = modes[i % 4], .expected = expected, .wg = &wg,
                        .inherited = i >= 12);
        }
        fesetround(FE_TONEAREST);
        weir_wg_wait(&wg);
        ck_assert_int_eq(fegetround(), FE_TONEAREST);
}

/* Enough values that live across calls to need every callee-saved register and spills. */
static double churn(uint64_t seed, bool yields)
{
        uint64_t a = seed, b = seed * 3, c = seed * 5, d = seed * 7, e = seed * 11, f = seed * 13;
        double   x = (double)seed, y = x * 2, z = x * 3, w = x * 4;

        for (int i = 0; i < 200; i++) {
                a += b ^ c;
                b = (b << 7 | b >> 57) + d;
                c ^= e;
                d += f;
                e = e * 31 + a;
                f -= b;
                x = x * 0.5 + (double)(a % 1000);
                y += x / 3;
                z = z * 0.25 + y;
                w -= z / 7;
                if (yields)
                        weir_yield();
        }
        return (double)((a ^ b ^ c ^ d ^ e ^ f) % 1000003) + x + y + z + w;
}

weir_task(churner, my, { uint64_t seed; weir_wg *wg; })
{
        double expected = churn(my->seed, false);

        for (int i = 0; i < 5; i++)
                ck_assert(churn(my->seed, true) == expected);
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(registers_survive_switches, .procs = 4, .timeout = 20)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 20);
        for (int i = 0; i < 20; i++)
                weir_go(churner, .seed = 12345u + (unsigned)i, .wg = &wg);
        weir_wg_wait(&wg);
}

/* ---- arguments, names, stacks ---- */

struct big {
        unsigned char byte[4001];
};

static void check_big(void *arg)
{
        struct big *b = arg;

        ck_assert_uint_eq((uintptr_t)arg % _Alignof(max_align_t), 0);
        for (size_t i = 1; i < sizeof b->byte; i++)
                ck_assert_uint_eq(b->byte[i], (unsigned char)(b->byte[0] + i));
}

WEIR_TEST_WITH(arguments_are_copied_and_aligned, .procs = 2)
{
        weir_wg    wg = { 0 };
        struct big b;

        for (int k = 0; k < 50; k++) {
                for (size_t i = 0; i < sizeof b.byte; i++)
                        b.byte[i] = (unsigned char)((size_t)k + i);
                weir_wg_go_copy(&wg, check_big, &b, sizeof b);
                memset(&b, 0xff, sizeof b);
        }
        weir_wg_wait(&wg);
        weir_go_copy(nothing, NULL, 0, NULL);
}

static char *dump_text(void)
{
        char  *text = NULL;
        size_t n = 0;
        FILE  *f = open_memstream(&text, &n);

        weir_dump(f);
        fclose(f);
        return text;
}

WEIR_TEST(names_are_copied_and_cut)
{
        weir_chan *c = weir_chan_make(int, 0);
        char       name[200] = "short lived text", *text;

        weir_go_with(&(weir_go_options){ .name = name }, wait_on, .c = c);
        memset(name, 'n', sizeof name - 1);
        weir_go_with(&(weir_go_options){ .name = name }, wait_on, .c = c);
        memset(name, 'x', sizeof name);
        weir_yield();
        text = dump_text();
        ck_assert_msg(strstr(text, "\"short lived text\"") != NULL, "%s", text);
        ck_assert_msg(strstr(text, "\"nnnnnnnnnn") != NULL, "%s", text);
        ck_assert_ptr_null(strstr(text, "xxx"));
        free(text);
        weir_chan_close(c);
}

static __attribute__((noinline)) size_t touch(const char *base, size_t room)
{
        volatile char own[512];

        own[0] = 1;
        if ((size_t)(base - (const char *)own) + 2048 >= room)
                return (size_t)(base - (const char *)own);
        return touch(base, room) + (size_t)(own[0] - 1);
}

weir_task(deep, my, { size_t room; weir_wg *wg; })
{
        char base = 0;

        ck_assert_uint_ge(touch(&base, my->room) + 2048, my->room);
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(a_stack_has_the_size_asked_for, .procs = 2)
{
        static const size_t sizes[] = { 1, 16384, 16385, 32768, 100000, 262144, 1 << 20, 16 << 20 };
        weir_wg             wg = { 0 };

        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                weir_go_options opt = { .stack_size = sizes[i] };
                size_t          room = sizes[i] > 16384 ? sizes[i] : 16384;

                /* Sanitizers' frames are larger than the margin. */
                if (WEIR_PATIENCE > 1)
                        room /= 4;
                weir_wg_add(&wg, 1);
                weir_go_with(&opt, deep, .room = room - 1024, .wg = &wg);
        }
        weir_wg_wait(&wg);
}

WEIR_TEST_WITH(the_run_sets_the_default_stack, .stack_size = 4 << 20)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(deep, .room = (WEIR_PATIENCE > 1 ? 1 : 4) << 20, .wg = &wg);
        weir_wg_wait(&wg);
}

/* ---- blocking calls ---- */

static void read_pipe(void *arg)
{
        char c;

        ck_assert_int_eq(read(*(int *)arg, &c, 1), 1);
}

weir_task(write_pipe, my, { int fd; })
{
        ck_assert_int_eq(write(my->fd, "x", 1), 1);
}

WEIR_TEST_WITH(a_blocking_call_lets_others_run, .procs = 1)
{
        int fd[2];

        ck_assert_int_eq(pipe(fd), 0);
        weir_go(write_pipe, .fd = fd[1]);
        weir_blocking(read_pipe, &fd[0]);
}

weir_task(block_here, my, { int fd; weir_wg *wg; })
{
        weir_blocking(read_pipe, &my->fd);
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(many_may_block_at_once, .procs = 2, .timeout = 20)
{
        weir_wg wg = { 0 };
        int     fd[2];

        ck_assert_int_eq(pipe(fd), 0);
        weir_wg_add(&wg, 40);
        for (int i = 0; i < 40; i++)
                weir_go(block_here, .fd = fd[0], .wg = &wg);
        for (int i = 0; i < 40; i++) {
                weir_yield();
                ck_assert_int_eq(write(fd[1], "x", 1), 1);
        }
        weir_wg_wait(&wg);
}

static void set_errno(void *arg)
{
        errno = *(int *)arg;
}

WEIR_TEST(errno_of_a_blocking_call_comes_back)
{
        weir_blocking(set_errno, &(int){ 4711 });
        ck_assert_int_eq(errno, 4711);
}

static void block_nothing(void *arg)
{
        (void)arg;
        weir_blocking(NULL, NULL);
}

WEIR_TEST(a_blocking_call_of_nothing_panics)
{
        ck_assert_int_eq(weir_protect(block_nothing, NULL, NULL), WEIR_EPANIC);
        weir_yield();
}

/* ---- metrics ---- */

static bool name_char(char c)
{
        return c == '_' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* The lines of a histogram: rising buckets up to +Inf, sum and count. Answers what follows. */
static char *check_buckets(char *rest, const char *name, size_t k)
{
        double   le, last = 0;
        uint64_t count = 0;
        char    *line, value[32];

        do {
                unsigned long long n;

                line = strsep(&rest, "\n");
                ck_assert_msg(!strncmp(line, name, k), "%s", line);
                ck_assert_int_eq(sscanf(line + k, "_bucket{le=\"%31[^\"]\"} %llu", value, &n), 2);
                ck_assert_uint_ge(n, count);
                count = n;
                le = strcmp(value, "+Inf") ? strtod(value, NULL) : 1e9;
                ck_assert(le > last);
                last = le;
        } while (le < 1e9);
        line = strsep(&rest, "\n");
        ck_assert(!strncmp(line + k, "_sum ", 5));
        line = strsep(&rest, "\n");
        ck_assert(!strncmp(line + k, "_count ", 7));
        ck_assert_uint_ge(strtoull(line + k + 7, NULL, 10), count);
        return rest;
}

WEIR_TEST(every_metric_has_help_type_and_a_number)
{
        char  *text = NULL, *line, *rest, name[128], kind[16];
        size_t n = 0, metrics = 0;
        FILE  *f = open_memstream(&text, &n);

        weir_metric_write(f);
        fclose(f);
        rest = text;
        while ((line = strsep(&rest, "\n")) && *line) {
                size_t k;
                char  *end;

                ck_assert_int_eq(sscanf(line, "# HELP %127s", name), 1);
                ck_assert(strlen(line) > strlen("# HELP ") + strlen(name) + 5);
                for (k = 0; name[k]; k++)
                        ck_assert_msg(name_char(name[k]), "%s", name);
                line = strsep(&rest, "\n");
                ck_assert_int_eq(sscanf(line, "# TYPE %*s %15s", kind), 1);
                ck_assert(strstr(line, name) == line + strlen("# TYPE "));
                if (!strcmp(kind, "histogram")) {
                        rest = check_buckets(rest, name, k);
                        metrics++;
                        continue;
                }
                ck_assert(!strcmp(kind, k > 6 && !strcmp(name + k - 6, "_total") ? "counter" : "gauge"));
                line = strsep(&rest, "\n");
                ck_assert(!strncmp(line, name, k) && line[k] == ' ');
                (void)strtoull(line + k + 1, &end, 10);
                ck_assert(end > line + k + 1 && !*end);
                metrics++;
        }
        ck_assert_uint_ge(metrics, 20);
        free(text);
}

/* ---- weir_run ---- */

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

/* ---- a goroutine that computes without a call ---- */

static weir_time waited, ticked;        /* atomic */

weir_task(note_time, my, { weir_time *when; })
{
        __atomic_store_n(my->when, weir_now(), __ATOMIC_RELAXED);
}

static void note_tick(void *arg)
{
        __atomic_store_n((weir_time *)arg, weir_now(), __ATOMIC_RELAXED);
}

weir_task(compute_long, my, { bool *stop; weir_time *start; })
{
        weir_timer_start(WEIR_MILLISECOND, 0, note_tick, &ticked);
        weir_go(note_time, .when = &waited);
        *my->start = weir_now();
        while (weir_now() - *my->start < 500 * WEIR_MILLISECOND)
                ;
        store_release(my->stop, true);
}

/* All processors are busy, so nobody steals. */
WEIR_TEST_WITH(who_waits_behind_a_long_computation_goes_elsewhere, .procs = 2)
{
        bool      stop = false;
        weir_time start = 0;

        for (int i = 0; i < 3; i++)
                weir_go(compute_and_yield, .stop = &stop);
        weir_go(compute_long, .stop = &stop, .start = &start);
        while (!load_acquire(&stop))
                weir_yield();
        weir_sleep(20 * WEIR_MILLISECOND);
        ck_assert_int_ne(load_relaxed(&waited), 0);
        ck_assert_int_lt(load_relaxed(&waited) - start, 250 * WEIR_MILLISECOND);
        ck_assert_int_lt(load_relaxed(&ticked) - start, 250 * WEIR_MILLISECOND);
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

static uint32_t ran_on;         /* atomic */

static void hold_thread(void *arg)
{
        (void)arg;
        usleep(50 * 1000);
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
        weir_sleep(5 * WEIR_MILLISECOND);
        return 0;
}

PLAIN_TEST(after_the_root_has_returned_no_blocking_call_comes_back)
{
        ck_assert_int_eq(weir_run(leave_it_behind, 0, NULL, NULL), 0);
        usleep(150 * 1000);
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

/* ---- the histogram of waits ---- */

static uint64_t latency_count(void)
{
        char    *text = NULL, *at;
        size_t   n = 0;
        FILE    *f = open_memstream(&text, &n);
        uint64_t count;

        weir_metric_write(f);
        fclose(f);
        at = strstr(text, "\nweir_sched_latency_seconds_count ");
        ck_assert_ptr_nonnull(at);
        count = strtoull(strchr(at, ' '), NULL, 10);
        free(text);
        return count;
}

weir_task(answer, my, { weir_chan *in, *out; })
{
        int v;

        while (weir_recv(my->in, &v))
                weir_send(my->out, &v);
}

WEIR_TEST_WITH(one_wait_in_sixty_four_is_measured, .procs = 1)
{
        enum { ROUNDS = 6400 };
        weir_chan *in = weir_chan_make(int, 0), *out = weir_chan_make(int, 0);
        uint64_t   before = latency_count(), got;

        weir_go(answer, .in = in, .out = out);
        for (int i = 0, v; i < ROUNDS; i++) {
                weir_send(in, &i);
                ck_assert(weir_recv(out, &v));
        }
        got = latency_count() - before;         /* one or two are readied in each round */
        ck_assert_msg(got >= ROUNDS / 64 - 2 && got <= 4 * ROUNDS / 64 + 2, "%llu",
                      (unsigned long long)got);
        weir_chan_close(in);
}
