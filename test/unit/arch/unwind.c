/* The unwinder: through plain calls, libc, a signal frame, a parked goroutine, and over garbage. */
#include "check.h"
#include "os/os.h"
#include "sched/state.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES = 64 };

struct trace {
        int  n;
        char name[NAMES][64];
};

static void walk(const struct regs *regs, bool after_call, struct trace *ret)
{
        struct walk w;
        size_t      offset;

        ret->n = 0;
        weir__arch_walk_start(&w, regs, after_call);
        do {
                if (!weir__os_symbol_find(weir__arch_walk_pc(&w), ret->name[ret->n],
                                          sizeof ret->name[0], &offset))
                        strcpy(ret->name[ret->n], "?");
        } while (++ret->n < NAMES && weir__arch_walk_next(&w));
}

/* The position of a name from at on; -1: it is not there. Compilers may add to names. */
static int find(const struct trace *t, const char *name, int at)
{
        for (; at < t->n; at++)
                if (!strncmp(t->name[at], name, strlen(name)))
                        return at;
        return -1;
}

static struct trace found;

static noinline void look(void)
{
        struct regs r;

        weir__arch_capture(&r);
        walk(&r, true, &found);
}

static noinline int deep_call(int n)
{
        volatile char room[100];

        room[n] = 1;
        if (n == 0)
                look();
        else
                return deep_call(n - 1) + room[n];
        return room[n];
}

WEIR_TEST(plain_calls_are_walked_to_the_outermost)
{
        int at;

        ck_assert_int_eq(deep_call(5), 6);
        at = find(&found, "look", 0);
        ck_assert_int_eq(at, 0);
        for (int i = 0; i < 6; i++) {
                ck_assert_int_eq(find(&found, "deep_call", at + 1), at + 1);
                at++;
        }
        at = find(&found, "plain_calls_are_walked_to_the_outermost", at);
        ck_assert_int_gt(at, 0);
        ck_assert_int_gt(find(&found, "weir__sched_first_frame", at), 0);
        ck_assert_str_eq(found.name[found.n - 1], "weir__arch_entry");
}

PLAIN_TEST(a_thread_of_the_program_is_walked_to_main)
{
        deep_call(3);
        ck_assert_int_gt(find(&found, "main", 0), 0);
}

static int compare(const void *a, const void *b)
{
        if (!found.n)
                look();
        return *(const int *)a - *(const int *)b;
}

WEIR_TEST(the_way_leads_through_qsort)
{
        int v[] = { 3, 1, 2, 5, 4 };

        found.n = 0;
        qsort(v, COUNT(v), sizeof *v, compare);
        ck_assert_int_eq(find(&found, "look", 0), 0);
        ck_assert_int_eq(find(&found, "compare", 0), 1);
        ck_assert_int_gt(find(&found, "the_way_leads_through_qsort", 2), 2);
        ck_assert_str_eq(found.name[found.n - 1], "weir__arch_entry");
}

static struct trace at_interruption;

static void on_signal(int sig, siginfo_t *info, void *context)
{
        struct regs r;

        (void)sig;
        (void)info;
        look();                                         /* through the signal frame */
        weir__arch_signal_regs(context, &r);
        walk(&r, false, &at_interruption);              /* from what was interrupted */
}

static volatile sig_atomic_t spun;

static noinline void interrupted(void)
{
        raise(SIGUSR1);
        spun++;
}

WEIR_TEST(the_way_leads_through_a_signal_frame)
{
        struct sigaction sa = { .sa_flags = SA_SIGINFO };

        sa.sa_sigaction = on_signal;
        sigaction(SIGUSR1, &sa, NULL);
        interrupted();
        ck_assert_int_eq(find(&found, "look", 0), 0);
        ck_assert_int_ge(find(&found, "interrupted", 2), 2);
        ck_assert_int_gt(find(&found, "the_way_leads_through_a_signal_frame", 3), 3);
        ck_assert_int_ge(find(&at_interruption, "interrupted", 0), 0);
        ck_assert_int_gt(find(&at_interruption, "the_way_leads_through_a_signal_frame", 1), 0);
        ck_assert_str_eq(at_interruption.name[at_interruption.n - 1], "weir__arch_entry");
}

static struct g *parked_g;

static noinline void wait_deep(weir_chan *c, int n)
{
        if (n)
                wait_deep(c, n - 1);
        else
                weir_chan_recv(c, NULL, 0);
        __asm__ volatile("");           /* no sibling call, no loop */
}

weir_task(waits, my, { weir_chan *c; })
{
        parked_g = weir__sched_g();
        wait_deep(my->c, 3);
        __asm__ volatile("");           /* no sibling call */
}

WEIR_TEST_WITH(a_parked_goroutine_is_walked, .procs = 1)
{
        weir_chan   *c = weir_chan_make(int, 0);
        struct trace t;
        struct regs  r;
        int          at;

        weir_go(waits, .c = c);
        while (!parked_g || load_acquire(&parked_g->state) != G_PARKED)
                weir_yield();
        ck_assert(weir__arch_context_regs(&parked_g->ctx, &r));
        walk(&r, true, &t);
        at = find(&t, "weir_chan_recv", 0);
        ck_assert_int_ge(at, 0);
        for (int i = 0; i < 4; i++)
                ck_assert_int_gt(find(&t, "wait_deep", at + 1 + i), at + i);
        ck_assert_int_gt(find(&t, "waits", at + 5), at);
        ck_assert_str_eq(t.name[t.n - 1], "weir__arch_entry");
        weir_chan_close(c);
}

/* Registers that make no sense, over stacks that make none. Values at the ends of the address space
 * are likely: a base register of -1 once made the walk read beside its buffer. */
static uint64_t any_number(uint64_t *rand, const uint64_t *stack, size_t words)
{
        switch (weir__rand_below(rand, 8)) {
        case 0:
                return 0;
        case 1:
                return UINT64_MAX - weir__rand_below(rand, 32);
        case 2:
                return weir__rand_below(rand, 5000);
        case 3:
                return (uintptr_t)look + weir__rand_below(rand, 100000) - 50000;
        case 4:
                return (uintptr_t)qsort + weir__rand_below(rand, 100000) - 50000;
        case 5:
                return (uint64_t)weir__rand(rand) << 32 | weir__rand(rand);
        default:
                return (uintptr_t)stack + weir__rand_below(rand, (uint32_t)(words * 8));
        }
}

PLAIN_TEST(garbage_ends_the_walk_and_nothing_else)
{
        enum { WORDS = 4096, STEPS = 2000 };
        static uint64_t stack[WORDS];
        uint64_t        rand = 4711;

        for (int round = 0; round < 3000; round++) {
                struct regs r;
                struct walk w;

                for (int i = 0; i < WORDS / 8; i++)
                        stack[weir__rand_below(&rand, WORDS)] = any_number(&rand, stack, WORDS);
                for (int i = 0; i < ARCH_REGS; i++)
                        r.r[i] = any_number(&rand, stack, WORDS);
                if (round % 2)
                        r.r[ARCH_PC] = (uintptr_t)look + weir__rand_below(&rand, 20000);
                memset(&w, round, sizeof w);
                weir__arch_walk_start(&w, &r, round % 3);
                for (int i = 0; i < STEPS && weir__arch_walk_next(&w); i++)
                        ;
        }
}
