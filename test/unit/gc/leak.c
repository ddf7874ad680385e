/* Leaks are told: goroutines that nothing can wake, and blocks that nothing points to. */
#include "check.h"
#include "gc/gc.h"
#include <stdlib.h>
#include <string.h>

__attribute__((constructor)) static void only_when_told(void)
{
        setenv("WEIR_GC", "off", 1);
}

/* Whether malloc is another's: then nothing is collected. */
static bool foreign(void)
{
        void *p = calloc(1, 1);
        bool  own = weir__mem_own(p);

        free(p);
        return !own;
}

static char *report;

static noinline void wipe(void)
{
        char volatile waste[8192];

        for (size_t i = 0; i < sizeof waste; i++)
                waste[i] = 0;
}

static noinline size_t count(const char *what)
{
        size_t n = 0;

        for (const char *at = report; (at = strstr(at, what)); at++)
                n++;
        return n;
}

/* How many goroutines a report tells of. Its own block is not to be one. */
static noinline size_t look(void)
{
        size_t size = 0;
        FILE  *f;

        free(report);
        report = NULL;
        f = open_memstream(&report, &size);
        wipe();
        weir_gc_leaks(f);
        fclose(f);
        return count("that nothing can wake");
}

/* The same, once it is so many: those who are to be stuck may still be on their way. */
static noinline void must_leak(size_t expected)
{
        size_t n = 0;

        if (foreign())
                test_skip("malloc is another's, so nothing is collected");
        for (int i = 0; i < 20; i++)
                weir_yield();
        for (int i = 0; i < 500 && (n = look()) != expected; i++)
                weir_sleep(WEIR_MILLISECOND);
        ck_assert_msg(n == expected, "%zu, not %zu:\n%s", n, expected, report);
}

static weir_chan *kept;

weir_task(waits_for_one, my, { weir_chan *c; })
{
        int v;

        weir_recv(my->c, &v);
}

weir_task(sends_one, my, { weir_chan *c; })
{
        int v = 1;

        weir_send(my->c, &v);
}

/* Starts goroutines whose channel nobody else has, on a stack of its own. */
weir_task(leaks_some, my, { int n; weir_wg *wg; })
{
        for (int i = 0; i < my->n; i++)
                if (i % 2)
                        weir_go(waits_for_one, .c = weir_chan_make(int, i % 3));
                else
                        weir_go(sends_one, .c = weir_chan_make(int, 0));
        weir_wg_done(my->wg);
}

static noinline void leak_some(int n)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(leaks_some, .n = n, .wg = &wg);
        weir_wg_wait(&wg);
}

WEIR_TEST(a_clean_program_leaks_nothing)
{
        void *volatile a = malloc(1000), *volatile b = malloc(100000);

        weir_go(waits_for_one, .c = (kept = weir_chan_make(int, 0)));
        must_leak(0);
        ck_assert_str_eq(report, "");
        free(a);
        free(b);
        must_leak(0);
        ck_assert_str_eq(report, "");
        weir_chan_close(kept);
}

WEIR_TEST(goroutines_whose_channel_nobody_else_reaches_are_told)
{
        leak_some(10);
        must_leak(10);
        ck_assert_uint_eq(count("entry waits_for_one"), 5);
        ck_assert_uint_eq(count("entry sends_one"), 5);
        ck_assert_uint_ge(count("started at"), 10);
        ck_assert_uint_ge(count("leaks_some"), 10);
        must_leak(10);        /* and live on */
}

weir_task(waits_for_both, my, { weir_chan *mine, *other; weir_wg *wg; })
{
        int        v;
        weir_chan *other = my->other;

        if (weir_recv(my->mine, &v))
                weir_send(other, &v);
        weir_wg_done(my->wg);
}

static weir_wg both;

static noinline void make_chain(int n, bool circle)
{
        weir_chan *first = weir_chan_make(int, 0), *mine = first;

        kept = first;
        weir_wg_add(&both, n);
        for (int i = 0; i < n; i++) {
                weir_chan *next = i == n - 1 ? circle ? first : weir_chan_make(int, 1)
                                             : weir_chan_make(int, 0);

                weir_go(waits_for_both, .mine = mine, .other = next, .wg = &both);
                mine = next;
        }
}

weir_task(makes_chain, my, { int n; bool circle; weir_wg *wg; })
{
        make_chain(my->n, my->circle);
        weir_wg_done(my->wg);
}

static noinline void chain(int n, bool circle)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(makes_chain, .n = n, .circle = circle, .wg = &wg);
        weir_wg_wait(&wg);
}

/* Who may be woken may wake others; the search comes to them one by one. */
WEIR_TEST(who_can_be_woken_by_one_that_can_be_is_not_stuck)
{
        int v = 7;

        chain(50, false);
        must_leak(0);
        weir_send(kept, &v);
        weir_wg_wait(&both);
}

WEIR_TEST(a_chain_is_stuck_when_nobody_reaches_its_start)
{
        chain(50, false);
        kept = NULL;
        must_leak(50);
}

WEIR_TEST(a_circle_that_nobody_reaches_is_stuck)
{
        chain(5, true);
        must_leak(0);
        kept = NULL;
        must_leak(5);
}

weir_task(selects, my, { weir_chan *a, *b; weir_duration timeout; })
{
        int v;

        if (my->timeout)
                weir_select([0] = weir_on_recv(my->a, &v, NULL),
                            [1] = weir_on_timeout(my->timeout));
        else
                weir_select([0] = weir_on_recv(my->a, &v, NULL),
                            [1] = weir_on_recv(my->b, &v, NULL));
}

weir_task(waits_on_nothing, my, { int how; })
{
        int v = 0;

        switch (my->how) {
        case 0:
                weir_recv((weir_chan *)NULL, &v);
                break;
        case 1:
                weir_send((weir_chan *)NULL, &v);
                break;
        default:
                weir_select_n(NULL, 0);
        }
}

static struct shared { weir_mutex lock; weir_wg wg; } *shared;

weir_task(waits_with_sync, my, { struct shared *s; bool wg; })
{
        if (my->wg)
                weir_wg_wait(&my->s->wg);
        else
                weir_mutex_lock(&my->s->lock);
}

weir_task(makes_selects, my, { weir_wg *wg; })
{
        weir_chan     *c = weir_chan_make(int, 0);
        struct shared *s = weir_new_bytes(sizeof *s);

        weir_go(selects, .a = c, .b = weir_chan_make(int, 0));
        weir_go(selects, .a = kept, .b = weir_chan_make(int, 0));
        weir_go(selects, .a = weir_chan_make(int, 0), .timeout = 3600 * WEIR_SECOND);
        for (int how = 0; how < 3; how++)
                weir_go(waits_on_nothing, .how = how);
        weir_mutex_lock(&s->lock);
        weir_wg_add(&s->wg, 1);
        shared = weir_new_bytes(sizeof *s);
        weir_mutex_lock(&shared->lock);
        weir_wg_add(&shared->wg, 1);
        for (int wg = 0; wg < 2; wg++) {
                weir_go(waits_with_sync, .s = s, .wg = wg);
                weir_go(waits_with_sync, .s = shared, .wg = wg);
        }
        weir_wg_done(my->wg);
}

WEIR_TEST(each_way_to_wait_is_known)
{
        weir_wg wg = { 0 };

        kept = weir_chan_make(int, 0);
        weir_wg_add(&wg, 1);
        weir_go(makes_selects, .wg = &wg);
        weir_wg_wait(&wg);
        must_leak(1 + 3 + 2);
        ck_assert_uint_eq(count("entry selects"), 1);
        ck_assert_uint_eq(count("entry waits_on_nothing"), 3);
        ck_assert_uint_eq(count("entry waits_with_sync"), 2);
        weir_chan_close(kept);
}

/* ---- blocks ---- */

static noinline void leak_blocks(size_t size, int n)
{
        for (int i = 0; i < n; i++) {
                void **p = malloc(size);

                memset(p, 0xAB, size);
                __asm__ volatile("" : : "r"(p) : "memory");
        }
}

weir_task(leaks_blocks, my, { size_t size; int n; weir_wg *wg; })
{
        leak_blocks(my->size, my->n);
        weir_wg_done(my->wg);
}

static noinline void leak_apart(size_t size, int n)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(leaks_blocks, .size = size, .n = n, .wg = &wg);
        weir_wg_wait(&wg);
}

static void *global_block;

WEIR_TEST(blocks_that_nothing_points_to_are_told)
{
        void **inside;

        leak_apart(320, 20);
        leak_apart(100000, 3);
        global_block = malloc(320);
        inside = malloc(320);
        *(void **)global_block = (char *)inside + 100;
        inside = NULL;
        must_leak(0);
        /* A stale word may point to the last of them. */
        ck_assert_msg(strstr(report, "20 blocks of malloc of up to 320 bytes") ||
                      strstr(report, "19 blocks of malloc of up to 320 bytes"), "%s", report);
        ck_assert_msg(strstr(report, "3 blocks of malloc of up to 100000 bytes") ||
                      strstr(report, "2 blocks of malloc of up to 100000 bytes"), "%s", report);
        ck_assert_uint_ge(count("abababababababab abababababababab"), 8 + 2);
        ck_assert_uint_eq(count("blocks of malloc"), 2);
        free(*(char **)global_block - 100);
        free(global_block);
}

WEIR_TEST(blocks_that_collected_objects_or_their_cleanups_name_are_not)
{
        static void **volatile object;

        object = weir_new_bytes(64);
        object[3] = malloc(1000);
        (void)weir_gc_cleanup(object, free, malloc(2000));
        wipe();
        must_leak(0);
        ck_assert_str_eq(report, "");
        object = NULL;
}

WEIR_TEST_WITH(blocks_of_threads_and_timers_are_reached, .procs = 4)
{
        weir_timer *t[100];

        for (int i = 0; i < 100; i++)
                t[i] = weir_timer_start(3600 * WEIR_SECOND, 0, free, NULL);
        for (int i = 0; i < 100; i++)
                weir_sleep(10);
        must_leak(0);
        ck_assert_str_eq(report, "");
        for (int i = 0; i < 100; i++)
                weir_timer_stop(t[i]);
}
