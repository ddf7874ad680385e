/* Faults of goroutines, overflows and the end of a goroutine from within. */
/* skip: address because its own handler comes first for faults that nobody catches */
#include "check.h"
#include "os/os.h"
#include "sched/sched.h"
#include <stdlib.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void read_bad(void *arg)
{
        (void)*(volatile int *)arg;
}

WEIR_TEST(a_bad_address_is_a_panic_that_names_it)
{
        weir_panic_info info;

        for (int i = 0; i < 100; i++) {
                ck_assert_int_eq(weir_protect(read_bad, (void *)0x10, &info), WEIR_EPANIC);
                ck_assert_str_eq(info.message, "SIGSEGV: nothing at address 0x10");
                ck_assert((uintptr_t)info.pc >= (uintptr_t)read_bad &&
                          (uintptr_t)info.pc < (uintptr_t)read_bad + 128);
        }
        ck_assert_int_eq(weir_protect(read_bad, (void *)0x4242424242424240, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "SIGSEGV: "));       /* user-mode Linux tells it */
}

static void write_to(void *arg)
{
        *(volatile int *)arg = 1;
}

WEIR_TEST(a_write_where_one_may_only_read_is_a_panic)
{
        weir_panic_info info;
        char            expected[64];
        void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        ck_assert_int_eq(weir_protect(write_to, p, &info), WEIR_EPANIC);
        snprintf(expected, sizeof expected, "SIGSEGV: no permission for address %p", p);
        ck_assert_str_eq(info.message, expected);
}

WEIR_TEST(a_mapping_beyond_the_end_of_its_file_is_a_panic)
{
        weir_panic_info info;
        int             fd = memfd_create("empty", MFD_CLOEXEC);
        void           *p;

        ck_assert_int_ge(fd, 0);
        p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
        ck_assert(p != MAP_FAILED);
        ck_assert_int_eq(weir_protect(read_bad, p, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "SIGBUS: no memory behind address 0x"));
        close(fd);
}

#if defined(__x86_64__)
static void divide(void *arg)
{
        (void)arg;
        __asm__ volatile("xorl %%ecx, %%ecx\n\tmovl $1, %%eax\n\tcltd\n\tidivl %%ecx"
                         : : : "eax", "ecx", "edx", "cc");
}

static void nonsense(void *arg)
{
        (void)arg;
        __asm__ volatile("ud2");
}

WEIR_TEST(a_division_by_zero_and_an_illegal_instruction_are_panics)
{
        weir_panic_info info;

        for (int i = 0; i < 20; i++) {
                ck_assert_int_eq(weir_protect(divide, NULL, &info), WEIR_EPANIC);
                ck_assert_ptr_nonnull(strstr(info.message, "SIGFPE: integer division by zero at 0x"));
                ck_assert_int_eq(weir_protect(nonsense, NULL, &info), WEIR_EPANIC);
                ck_assert_ptr_nonnull(strstr(info.message, "SIGILL: illegal instruction at 0x"));
        }
}
#endif

static int handlers;

static void count_up(int **n)
{
        ++**n;
}

static noinline void fault_below(int depth, volatile int *at)
{
        __attribute__((cleanup(count_up))) int *here = &handlers;

        if (depth)
                fault_below(depth - 1, at);
        else
                *at = 1;
        __asm__ volatile("" : : "r"(here));
}

static void start_below(void *arg)
{
        fault_below(9, arg);
}

WEIR_TEST(cleanup_handlers_above_a_fault_run)
{
        handlers = 0;
        ck_assert_int_eq(weir_protect(start_below, (void *)0x40, NULL), WEIR_EPANIC);
#ifdef __clang__                                /* knows no -fnon-call-exceptions: not in the very frame */
        ck_assert_int_ge(handlers, 9);
#else
        ck_assert_int_eq(handlers, 10);
#endif
}

/* ---- overflow ---- */

static noinline int deeper(int n)
{
        __attribute__((cleanup(count_up))) int *here = &handlers;
        volatile char room[512];

        room[n % 512] = (char)n;
        if (here)
                n = deeper(n + 1);
        return n + room[7];
}

static void dive(void *arg)
{
        *(int *)arg = deeper(0);
}

static size_t depth_of(const struct stack *s)
{
        return weir__stack_used(s);
}

weir_task(diver, my, { weir_wg *wg; int rounds; })
{
        weir_panic_info info;
        int             n;

        for (int i = 0; i < my->rounds; i++) {
                handlers = 0;
                ck_assert_int_eq(weir_protect(dive, &n, &info), WEIR_EPANIC);
                ck_assert_ptr_nonnull(strstr(info.message, "stack overflow: all of the 64 KiB stack is "
                                                           "used, at address 0x"));
                ck_assert_int_ge(handlers, 60);
                /* The guard is one again, and the memory of the dive went back. */
                ck_assert_uint_eq(weir__os_peek(&(char){ 0 }, weir__sched_g()->stack.low - 1, 1), 0);
                ck_assert_uint_le(depth_of(&weir__sched_g()->stack), 40 * 1024);
                weir_yield();
        }
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(an_overflow_can_be_caught_again_and_again, .procs = 1)
{
        weir_wg wg = { 0 };

#if WEIR_TSAN
        test_skip("the stack may be full in the middle of the sanitizer's own code");
#endif
        weir_wg_add(&wg, 1);
        weir_go_with(&(weir_go_options){ .stack_size = 65536 }, diver, .wg = &wg, .rounds = 200);
        weir_wg_wait(&wg);
}

/* Not at the first byte of the guard: the frame that does not fit is larger than a page. */
static noinline int deeper_in_strides(int n)
{
        volatile char room[6000];

        room[0] = (char)n;
        return n < 0 ? 0 : deeper_in_strides(n + 1) + room[0];
}

static void stride(void *arg)
{
        *(int *)arg = deeper_in_strides(0);
}

WEIR_TEST(an_overflow_by_large_frames_can_be_caught)
{
        weir_panic_info info;
        int             n;

#if WEIR_TSAN
        test_skip("the stack may be full in the middle of the sanitizer's own code");
#endif
        for (int i = 0; i < 20; i++) {
                ck_assert_int_eq(weir_protect(stride, &n, &info), WEIR_EPANIC);
                ck_assert_ptr_nonnull(strstr(info.message, "stack overflow"));
        }
}

/* ---- many at once ---- */

weir_task(failing, my, { weir_wg *wg; weir_chan *go; int *caught; int kind; })
{
        weir_panic_info info;
        char            c;

        weir_recv(my->go, &c);
        ck_assert_int_eq(weir_protect(read_bad, (void *)(uintptr_t)(my->kind * 8), &info),
                         WEIR_EPANIC);
        ck_assert_int_eq((int)strtol(strrchr(info.message, 'x') + 1, NULL, 16), my->kind * 8);
        __atomic_fetch_add(my->caught, 1, __ATOMIC_RELAXED);
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(a_thousand_goroutines_fault_at_once, .procs = 4, .timeout = 60)
{
        weir_wg    wg = { 0 };
        weir_chan *go = weir_chan_make(char, 0);
        int        caught = 0;

        weir_wg_add(&wg, 1000);
        for (int i = 0; i < 1000; i++)
                weir_go(failing, .wg = &wg, .go = go, .caught = &caught, .kind = 1 + i % 500);
        weir_chan_close(go);
        weir_wg_wait(&wg);
        ck_assert_int_eq(caught, 1000);
}

/* ---- handlers of the program ---- */

static volatile sig_atomic_t earlier;
static void                 *repaired;

static void earlier_handler(int sig)
{
        (void)sig;
        earlier++;
        mprotect(repaired, 4096, PROT_READ | PROT_WRITE);
}

static int root_with_handler(int argc, char **argv)
{
        weir_panic_info info;
        volatile int   *p = repaired;

        (void)argc;
        (void)argv;
        *p = 7;                                 /* the handler repairs it, and the store is done again */
        if (earlier != 1 || *p != 7)
                return 1;
        raise(SIGSEGV);                         /* sent: nobody's fault */
        if (earlier != 2)
                return 2;
        if (weir_protect(read_bad, (void *)0x10, &info) != WEIR_EPANIC || earlier != 2)
                return 3;                       /* who protects himself comes first */
        return 0;
}

PLAIN_TEST(a_handler_installed_before_gets_what_nobody_catches)
{
        repaired = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert(repaired != MAP_FAILED);
        signal(SIGSEGV, earlier_handler);
        ck_assert_int_eq(weir_run(root_with_handler, 0, NULL, NULL), 0);
}

struct page {
        char byte[4096];
};

/* The element is on a page that may not be read, and then on one that may not be written: the
 * runtime copies it, with the channel's lock held. */
static int root_faults_inside(int argc, char **argv)
{
        weir_chan   *c = weir_chan_make(struct page, 1);
        struct page *p = repaired;

        (void)argc;
        (void)argv;
        weir_send(c, p);
        if (earlier != 1)
                return 1;
        p->byte[4095] = 5;
        weir_recv(c, p);
        if (p->byte[4095])
                return 2;
        mprotect(p, 4096, PROT_READ);
        weir_send(c, p);
        weir_recv(c, p);
        return earlier == 2 ? 0 : 3;
}

PLAIN_TEST(a_handler_installed_before_mends_a_fault_inside_the_runtime)
{
        repaired = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert(repaired != MAP_FAILED);
        signal(SIGSEGV, earlier_handler);
        ck_assert_int_eq(weir_run(root_faults_inside, 0, NULL, NULL), 0);
}

static int ticks;

static void tick(int sig)
{
        (void)sig;
        __atomic_fetch_add(&ticks, 1, __ATOMIC_RELAXED);
}

weir_task(worker, my, { weir_chan *c; int n; })
{
        for (int i = 0; i < my->n; i++) {
                weir_send(my->c, &i);
                weir_yield();
        }
}

/* Its frame lands on the stack of whichever goroutine runs. */
WEIR_TEST_WITH(a_handler_without_an_alternate_stack_does_no_harm, .procs = 2)
{
        struct sigaction sa = { .sa_handler = tick };
        weir_chan       *c = weir_chan_make(int, 0);
        struct itimerval every = { { 0, 1000 }, { 0, 1000 } };
        long             sum = 0;
        int              v;

        sigaction(SIGALRM, &sa, NULL);
        setitimer(ITIMER_REAL, &every, NULL);
        while (__atomic_load_n(&ticks, __ATOMIC_RELAXED) < 100) {
                for (int i = 0; i < 8; i++)
                        weir_go_with(&(weir_go_options){ .stack_size = 16384 }, worker, .c = c,
                                     .n = 1000);
                for (int i = 0; i < 8000; i++) {
                        weir_recv(c, &v);
                        sum += v;
                }
                ck_assert_int_eq(sum, 8L * 999 * 1000 / 2);
                sum = 0;
        }
        setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
}

/* ---- threads of the program ---- */

static int caught_there;

static void *attached(void *arg)
{
        weir_panic_info info;

        (void)arg;
        if (weir_thread_attach() < 0)
                return NULL;
        for (int i = 0; i < 20; i++)
                caught_there += weir_protect(read_bad, (void *)0x28, &info) == WEIR_EPANIC &&
                                !strcmp(info.message, "SIGSEGV: nothing at address 0x28");
        weir_thread_detach();
        return NULL;
}

static void join(void *arg)
{
        pthread_join(*(pthread_t *)arg, NULL);
}

WEIR_TEST_WITH(an_attached_thread_catches_its_faults, .procs = 2)
{
        pthread_t t;

        ck_assert_int_eq(pthread_create(&t, NULL, attached, NULL), 0);
        weir_blocking(join, &t);
        ck_assert_int_eq(caught_there, 20);
}
