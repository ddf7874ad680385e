/* Goroutines as the program sees them: identity, what each has of its own, arguments, names,
 * stacks, blocking calls. */
#include "check.h"
#include <fenv.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
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

static void nothing(void *arg)
{
        (void)arg;
}

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
