/* Stopping the world: nobody runs while it is stopped, and what everybody holds is seen. */
#include "check.h"
#include "mem/mem.h"
#include "sched/state.h"
#include "sched/world.h"
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { COUNTERS = 8 };

static uint64_t count[COUNTERS];        /* atomic */
static bool     stop;                   /* atomic */

static void settle(void)
{
        for (int i = 0; i < COUNTERS; i++)
                store_seq(&count[i], 0);
        store_seq(&stop, false);
}

weir_task(compute, my, { int i; weir_wg *wg; })
{
        while (!load_relaxed(&stop))
                fetch_add_relaxed(&count[my->i], 1);
        weir_wg_done(my->wg);
}

weir_task(talk, my, { int i; weir_chan *in, *out; weir_wg *wg; })
{
        int v;

        while (weir_recv(my->in, &v)) {
                fetch_add_relaxed(&count[my->i], 1);
                if (load_relaxed(&stop))
                        weir_chan_close(my->out);
                else
                        weir_send(my->out, &v);
                if (load_relaxed(&stop))
                        break;
        }
        weir_wg_done(my->wg);
}

static void compute_blocking(void *arg)
{
        while (!load_relaxed(&stop))
                fetch_add_relaxed((uint64_t *)arg, 1);
}

weir_task(block, my, { int i; weir_wg *wg; })
{
        weir_blocking(compute_blocking, &count[my->i]);
        weir_wg_done(my->wg);
}

static void *compute_foreign(void *arg)
{
        compute_blocking(arg);
        return NULL;
}

static void *allocate_foreign(void *arg)
{
        while (!load_relaxed(&stop)) {
                free(malloc(100));
                fetch_add_relaxed((uint64_t *)arg, 1);
        }
        return NULL;
}

static void *sleep_foreign(void *arg)
{
        while (!load_relaxed(&stop)) {
                poll(NULL, 0, 1);
                fetch_add_relaxed((uint64_t *)arg, 1);
        }
        return NULL;
}

static uint64_t sum(void)
{
        uint64_t n = 0;

        for (int i = 0; i < COUNTERS; i++)
                n += load_seq(&count[i]);
        return n;
}

/* A loop stops only where a signal can find it. */
static void need_signals(void)
{
        if (!sched.can_ask)
                test_skip("no signal tells here where a thread is");
}

static void join(void *arg)
{
        pthread_join(*(pthread_t *)arg, NULL);
}

WEIR_TEST_WITH(nobody_runs_while_the_world_is_stopped, .procs = 2)
{
        weir_wg    wg = { 0 };
        pthread_t  t[3];
        weir_chan *a = weir_chan_make(int, 1), *b = weir_chan_make(int, 1);
        int        v = 0;
        uint64_t   last = 0;

        need_signals();
        settle();
        weir_wg_add(&wg, 5);
        weir_go(compute, .i = 0, .wg = &wg);
        weir_go(compute, .i = 1, .wg = &wg);
        weir_go(block, .i = 2, .wg = &wg);
        weir_go(talk, .i = 3, .in = a, .out = b, .wg = &wg);
        weir_go(talk, .i = 4, .in = b, .out = a, .wg = &wg);
        weir_send(a, &v);
        pthread_create(&t[0], NULL, compute_foreign, &count[5]);
        pthread_create(&t[1], NULL, allocate_foreign, &count[6]);
        pthread_create(&t[2], NULL, sleep_foreign, &count[7]);
        for (int i = 0; i < 50; i++) {
                uint64_t before;

                while (sum() == last)
                        weir_yield();
                weir__world_stop();
                before = last = sum();
                for (int64_t end = weir__os_now() + 2000000; weir__os_now() < end;)
                        ck_assert_uint_eq(sum(), before);
                weir__world_start();
        }
        store_seq(&stop, true);
        weir_wg_wait(&wg);
        for (int i = 0; i < 3; i++)
                weir_blocking(join, &t[i]);
}

static uint32_t breeding;                /* atomic: chains that go on */

/* Counts, starts the next one, and ends: there is always one that is just coming or going. */
static void *breed(void *arg)
{
        pthread_t t;

        for (int i = 0; i < 1000; i++)
                fetch_add_relaxed((uint64_t *)arg, 1);
        if (load_relaxed(&stop) || pthread_create(&t, NULL, breed, arg)) {
                fetch_sub_seq(&breeding, 1);
                return NULL;
        }
        pthread_detach(t);
        return NULL;
}

WEIR_TEST_WITH(threads_that_come_and_go_are_stopped, .procs = 2, .timeout = 30)
{
        need_signals();
        settle();
        for (int i = 0; i < 2; i++) {
                pthread_t t;

                fetch_add_seq(&breeding, 1);
                ck_assert_int_eq(pthread_create(&t, NULL, breed, &count[i]), 0);
                pthread_detach(t);
        }
        for (int i = 0; i < 100; i++) {
                uint64_t before = sum();
                bool     same = true;

                while (sum() == before)
                        weir_yield();
                weir__world_stop();
                before = sum();
                for (int64_t end = weir__os_now() + 1000000; same && weir__os_now() < end;)
                        same = sum() == before;
                weir__world_start();
                ck_assert(same);
        }
        store_seq(&stop, true);
        while (load_seq(&breeding))
                weir_yield();
}

weir_task(stop_often, my, { weir_wg *wg; })
{
        for (int i = 0; i < 500; i++) {
                weir__world_stop();
                ck_assert_uint_eq(fetch_add_seq(&count[0], 1) % 2, 0);
                fetch_add_seq(&count[0], 1);
                weir__world_start();
                weir_yield();
        }
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(several_stop_it_by_turns, .procs = 3)
{
        weir_wg wg = { 0 };

        settle();
        weir_wg_add(&wg, 4);
        for (int i = 0; i < 4; i++)
                weir_go(stop_often, .wg = &wg);
        weir_wg_wait(&wg);
        ck_assert_uint_eq(load_seq(&count[0]), 4000);
}

/* ---- what is seen ---- */

struct hunt {
        uintptr_t want;
        int       found;
};

static no_sanitize void look_for(struct world_range r, void *arg)
{
        struct hunt *h = arg;

        for (uintptr_t *at = (uintptr_t *)r.low; at + 1 <= (uintptr_t *)r.high; at++)
                h->found += *at == ~h->want;
}

static void nothing(void *arg)
{
        (void)arg;
}

static void nowhere(uintptr_t low, uintptr_t high, void *arg)
{
        (void)low;
        (void)high;
        (void)arg;
}

static int hunt(uintptr_t inverted)
{
        struct hunt h = { .want = inverted };

        weir__world_stop();
        weir__os_globals(nothing, nowhere, NULL);
        weir__world_each(look_for, &h);
        weir__world_start();
        return h.found;
}

/* The value is held in one register alone, loops, and never calls. */
#define IN_REGISTER(reg) \
        weir_task(in_##reg, my, { uintptr_t inverted; bool *there, *go; weir_wg *wg; }) \
        { \
                uintptr_t inverted = my->inverted; \
                bool     *there = my->there, *go = my->go; \
                my->inverted = 0; \
                __asm__ volatile("mov %0, %%" #reg "\n\t" \
                                 "not %%" #reg "\n\t" \
                                 "movb $1, (%1)\n" \
                                 "1:\tcmpb $0, (%2)\n\t" \
                                 "je 1b\n\t" \
                                 "xor %%" #reg ", %%" #reg \
                                 : : "S"(inverted), "D"(there), "d"(go) \
                                 : #reg, "memory", "cc"); \
                weir_wg_done(my->wg); \
        }
IN_REGISTER(rax)
IN_REGISTER(rbx)
IN_REGISTER(rcx)
IN_REGISTER(r8)
IN_REGISTER(r9)
IN_REGISTER(r10)
IN_REGISTER(r11)
IN_REGISTER(r12)
IN_REGISTER(r13)
IN_REGISTER(r14)
IN_REGISTER(r15)

#define SEEN_IN(reg) \
        do { \
                uintptr_t inverted = ~(UINT64_C(0xABCDEF0012340000) + __LINE__); \
                bool      there = false, go = false; \
                weir_wg   wg = { 0 }; \
                weir_wg_add(&wg, 1); \
                weir_go(in_##reg, .inverted = inverted, .there = &there, .go = &go, .wg = &wg); \
                while (!load_seq(&there)) \
                        weir_yield(); \
                ck_assert_msg(hunt(inverted) >= 1, "not seen in " #reg); \
                store_seq(&go, true); \
                weir_wg_wait(&wg); \
        } while (0)

WEIR_TEST_WITH(each_register_is_seen, .procs = 2)
{
        need_signals();
        SEEN_IN(rax);
        SEEN_IN(rbx);
        SEEN_IN(rcx);
        SEEN_IN(r8);
        SEEN_IN(r9);
        SEEN_IN(r10);
        SEEN_IN(r11);
        SEEN_IN(r12);
        SEEN_IN(r13);
        SEEN_IN(r14);
        SEEN_IN(r15);
}

weir_task(in_vector, my, { uintptr_t inverted; bool *there, *go; weir_wg *wg; })
{
        uintptr_t inverted = my->inverted;
        bool     *there = my->there, *go = my->go;

        my->inverted = 0;
        __asm__ volatile("mov %0, %%rax\n\t"
                         "not %%rax\n\t"
                         "movq %%rax, %%xmm7\n\t"
                         "xor %%rax, %%rax\n\t"
                         "movb $1, (%1)\n"
                         "1:\tcmpb $0, (%2)\n\t"
                         "je 1b\n\t"
                         "pxor %%xmm7, %%xmm7"
                         : : "S"(inverted), "D"(there), "d"(go) : "rax", "xmm7", "memory", "cc");
        weir_wg_done(my->wg);
}

static __thread uintptr_t in_tls __attribute__((aligned(8)));

static struct g *waiter;                /* atomic: who came to parked */

weir_task(parked, my, { uintptr_t inverted; weir_chan *c; weir_wg *wg; })
{
        volatile uintptr_t here[3] = { 0, ~my->inverted, 0 };
        int                v;

        store_release(&waiter, weir__sched_g());
        my->inverted = 0;
        weir_recv(my->c, &v);
        store_relaxed(&here[1], 0);
        weir_wg_done(my->wg);
}

static void hold_blocking(void *arg)
{
        volatile uintptr_t here = ~*(uintptr_t *)arg;

        store_seq(&count[0], 1);
        while (!load_relaxed(&stop))
                ;
        store_relaxed(&here, 0);
}

weir_task(blocked, my, { uintptr_t inverted; weir_wg *wg; })
{
        weir_blocking(hold_blocking, &my->inverted);
        weir_wg_done(my->wg);
}

static void *foreign_local(void *arg)
{
        volatile uintptr_t here = ~*(uintptr_t *)arg;

        store_seq(&count[0], 1);
        while (!load_relaxed(&stop))
                usleep(100);
        store_relaxed(&here, 0);
        return NULL;
}

static void *foreign_tls(void *arg)
{
        *(volatile uintptr_t *)&in_tls = ~*(uintptr_t *)arg;
        store_seq(&count[0], 1);
        while (!load_relaxed(&stop))
                ;
        return NULL;
}

static void *foreign_specific(void *arg)
{
        pthread_key_t key;

        pthread_key_create(&key, NULL);
        pthread_setspecific(key, (void *)~*(uintptr_t *)arg);
        store_seq(&count[0], 1);
        while (!load_relaxed(&stop))
                usleep(100);
        pthread_key_delete(key);
        return NULL;
}

static void seen_in_thread(void *(*fn)(void *), uintptr_t inverted, const char *what)
{
        pthread_t t;

        settle();
        ck_assert_int_eq(pthread_create(&t, NULL, fn, &inverted), 0);
        while (!load_seq(&count[0]))
                weir_yield();
        ck_assert_msg(hunt(inverted) >= 1, "not seen: %s", what);
        store_seq(&stop, true);
        weir_blocking(join, &t);
}

WEIR_TEST_WITH(stacks_and_thread_locals_are_seen, .procs = 2)
{
        weir_chan *c = weir_chan_make(int, 0);
        weir_wg    wg = { 0 };
        uintptr_t  inverted = ~UINT64_C(0x1234567812345671);
        bool       there = false, go = false;
        struct g  *g;

        need_signals();
        weir_wg_add(&wg, 1);
        weir_go(parked, .inverted = inverted, .c = c, .wg = &wg);
        while (!(g = load_acquire(&waiter)) || load_acquire(&g->state) != G_PARKED)
                weir_yield();
        ck_assert_int_ge(hunt(inverted), 1);
        weir_chan_close(c);
        weir_wg_wait(&wg);
        ck_assert_int_eq(hunt(inverted), 0);

        settle();
        weir_wg_add(&wg, 1);
        weir_go(blocked, .inverted = inverted, .wg = &wg);
        while (!load_seq(&count[0]))
                weir_yield();
        ck_assert_int_ge(hunt(inverted), 1);
        store_seq(&stop, true);
        weir_wg_wait(&wg);

        weir_wg_add(&wg, 1);
        weir_go(in_vector, .inverted = inverted, .there = &there, .go = &go, .wg = &wg);
        while (!load_seq(&there))
                weir_yield();
        ck_assert_int_ge(hunt(inverted), 1);
        store_seq(&go, true);
        weir_wg_wait(&wg);

        seen_in_thread(foreign_local, inverted, "a local of a thread of the program");
        seen_in_thread(foreign_tls, inverted, "its thread-local variable");
        seen_in_thread(foreign_specific, inverted, "what pthread_setspecific keeps");
}
