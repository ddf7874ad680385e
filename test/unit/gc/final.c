/* Finalizers: once, in order, with a whole object. */
#include "unit/gc/heap.h"
#include "base/debug.h"
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint32_t finalized;              /* atomic */
static uint64_t order[16];
static node *volatile global, *volatile rescued;

static void count_final(void *obj)
{
        order[load_relaxed(&finalized) % 16] = ((node *)obj)->key;
        fetch_add_seq(&finalized, 1);
}

static void rescue(void *obj)
{
        rescued = obj;
        fetch_add_seq(&finalized, 1);
}

static void wait_final(uint32_t n)
{
        for (int i = 0; i < 2000 && load_seq(&finalized) < n; i++)
                weir_sleep(WEIR_MILLISECOND);
        ck_assert_uint_eq(load_seq(&finalized), n);
}

/* On a goroutine of its own: when it has ended, no word of its stack counts. */
weir_task(maker, my, { uint64_t key; void (*fn)(void *); int n; hidden *ret; weir_wg *wg; })
{
        hidden last = 0;

        for (int i = 0; i < my->n; i++) {
                hidden h = make_node(my->key + (unsigned)i);

                weir_gc_finalize(show(h), my->fn);
                if (i)                          /* a chain, the earlier to the later */
                        weir_set(((node *)show(last))->left, (node *)show(h));
                else
                        *my->ret = h;
                last = h;
        }
        weir_wg_done(my->wg);
}

static noinline hidden make_chain(uint64_t key, int n, void (*fn)(void *))
{
        weir_wg wg = { 0 };
        hidden  h = 0;

        weir_wg_add(&wg, 1);
        weir_go(maker, .key = key, .fn = fn, .n = n, .ret = &h, .wg = &wg);
        weir_wg_wait(&wg);
        return h;
}

static noinline hidden make_final(uint64_t key, void (*fn)(void *))
{
        return make_chain(key, 1, fn);
}

WEIR_TEST(a_finalizer_runs_once_after_its_object_died)
{
        hidden h;

        need_death();
        h = make_final(7, count_final);
        global = show(h);
        collect();
        collect();
        ck_assert_uint_eq(load_seq(&finalized), 0);
        global = NULL;
        collect();
        wait_final(1);
        ck_assert_uint_eq(order[0], 7);
        collect();
        collect();
        wait_final(1);
        ck_assert(!alive(h));
}

WEIR_TEST(who_points_is_finalized_first)
{
        need_death();
        (void)make_chain(1, 2, count_final);
        collect();
        wait_final(1);
        collect();
        wait_final(2);
        ck_assert_uint_eq(order[0], 1);
        ck_assert_uint_eq(order[1], 2);
}

WEIR_TEST(a_finalizer_may_rescue_its_object)
{
        hidden h;

        need_death();
        h = make_final(3, rescue);
        collect();
        wait_final(1);
        collect();
        ck_assert(alive(h));
        ck_assert_uint_eq(rescued->key, 3);
        rescued = NULL;
        collect();
        wait_final(1);
        ck_assert(!alive(h));
}

static void not_an_object(void *p)
{
        weir_gc_finalize(p, count_final);
}

WEIR_TEST(finalizers_are_replaced_and_taken_back)
{
        hidden          a = make_final(1, count_final), b = make_final(2, count_final);
        weir_panic_info info;
        int             local = 0;

        need_death();
        weir_gc_finalize((void *)~a, NULL);
        weir_gc_finalize((void *)~b, rescue);
        ck_assert_int_eq(weir_protect(not_an_object, &local, &info), WEIR_EPANIC);
        ck_assert_msg(strstr(info.message, "not the start of a collected object") != NULL, "%s",
                      info.message);
        ck_assert_int_eq(weir_protect(not_an_object, (char *)~a + 8, NULL), WEIR_EPANIC);
        collect();
        wait_final(1);
        ck_assert_ptr_ne(rescued, NULL);
        ck_assert_uint_eq(rescued->key, 2);
        rescued = NULL;
}

static void allocate_and_park(void *obj)
{
        node *n = weir_new(node);

        weir_set(n->left, obj);
        weir_yield();
        fetch_add_seq(&finalized, 1);
}

WEIR_TEST_WITH(many_finalizers_each_run_once, .procs = 2, .timeout = 60)
{
        enum { MANY = 20000 };

        need_death();
        for (uint32_t i = 0; i < MANY; i++)
                (void)make_final(i, allocate_and_park);
        collect();
        forget();
        collect();
        /* Some may still be seen by a stale word. */
        for (int i = 0; i < 2000 && load_seq(&finalized) < MANY - 100; i++)
                weir_sleep(WEIR_MILLISECOND);
        collect();
        weir_sleep(20 * WEIR_MILLISECOND);
        ck_assert_uint_ge(load_seq(&finalized), MANY - 100);
        ck_assert_uint_le(load_seq(&finalized), MANY);
}

/* ---- what a finalizer may do ---- */

static void collect_inside(void *obj)
{
        weir_gc_run();
        fetch_add_seq(&finalized, (uint32_t)((node *)obj)->key);
}

WEIR_TEST_WITH(a_finalizer_may_collect, .procs = 2)
{
        need_death();
        (void)make_final(1, collect_inside);
        collect();
        wait_final(1);
}

WEIR_TEST_WITH(a_finalizer_may_collect_where_all_is_done_in_one_stop, .procs = 2)
{
        weir__debug.gcstop = 1;
        need_death();
        (void)make_final(1, collect_inside);
        collect();
        wait_final(1);
}

static weir_chan *gate;

static void park_inside(void *obj)
{
        int v;

        (void)obj;
        weir_recv(gate, &v);
        fetch_add_seq(&finalized, 100);
}

WEIR_TEST(a_finalizer_that_parks_holds_up_no_other_cycle)
{
        need_death();
        gate = weir_chan_make(int, 0);
        (void)make_final(1, park_inside);
        collect();
        (void)make_final(1, count_final);
        collect();
        wait_final(1);
        weir_chan_close(gate);
        wait_final(101);
}

static int pipes[2];

/* Not by a name of libc's that weir provides: the thread itself blocks, unannounced. */
static void block_inside(void *obj)
{
        char c;

        (void)obj;
        if (syscall(SYS_read, pipes[0], &c, 1) == 1)
                fetch_add_seq(&finalized, 100);
}

WEIR_TEST_WITH(a_finalizer_that_blocks_its_thread_holds_up_no_other_cycle, .procs = 1)
{
        weir_mem_stats before, after;

        need_death();                           /* nor can a signal tell there that it blocks */
        ck_assert_int_eq(pipe(pipes), 0);
        (void)make_final(1, block_inside);
        collect();
        weir_mem_read(&before);
        for (uint32_t i = 1; i <= 20; i++) {
                (void)make_final(i, count_final);
                collect();
                wait_final(i);
        }
        weir_mem_read(&after);
        ck_assert_uint_ge(after.gc_cycles - before.gc_cycles, 20);
        ck_assert_int_eq(write(pipes[1], "x", 1), 1);
        wait_final(120);
}

/* Those behind it in the queue are called by another goroutine, though nothing else dies. */
WEIR_TEST(what_waits_behind_a_finalizer_that_never_returns_is_called_in_the_end)
{
        enum { MORE = 10 };

        need_death();
        gate = weir_chan_make(int, 0);
        (void)make_final(1, park_inside);
        for (int i = 0; i < MORE; i++)
                (void)make_final(1, i == MORE / 2 ? park_inside : count_final);
        for (int i = 0; i < 100 && load_seq(&finalized) < MORE - 1; i++) {
                collect();
                weir_sleep(WEIR_MILLISECOND);
        }
        wait_final(MORE - 1);
}

static void exit_inside(void *obj)
{
        (void)obj;
        fetch_add_seq(&finalized, 1);
        weir_go_exit();
}

WEIR_TEST(a_finalizer_that_ends_its_goroutine_ends_no_other)
{
        enum { ALL = 10 };

        need_death();
        for (int i = 0; i < ALL; i++)
                (void)make_final(1, exit_inside);
        for (int i = 0; i < 200 && load_seq(&finalized) < ALL; i++) {
                collect();
                weir_sleep(WEIR_MILLISECOND);
        }
        wait_final(ALL);
}

static void panic_plainly(void *obj)
{
        weir_panic("of %llu", (unsigned long long)((node *)obj)->key);
}

static void panic_and_catch(void *obj)
{
        weir_panic_info info;

        if (weir_protect(panic_plainly, obj, &info) == WEIR_EPANIC && strstr(info.message, "of 7"))
                fetch_add_seq(&finalized, 1);
}

WEIR_TEST(a_finalizer_may_panic_and_catch_it)
{
        need_death();
        for (int i = 0; i < 5; i++)
                (void)make_final(7, panic_and_catch);
        collect();
        wait_final(5);
}

static void finalize_again(void *obj)
{
        if (fetch_add_seq(&finalized, 1) < 4)
                weir_gc_finalize(obj, finalize_again);
}

WEIR_TEST(a_finalizer_may_ask_again)
{
        hidden h;

        need_death();
        h = make_final(1, finalize_again);
        for (uint32_t i = 1; i <= 5; i++) {
                collect();
                wait_final(i);
        }
        collect();
        ck_assert(!alive(h));
}

weir_task(hang, my, { hidden h; weir_wg *wg; })
{
        node *to = show(my->h);

        for (int i = 0; i < 50; i++) {
                node *n = weir_new(node);

                n->key = (uint64_t)i;
                weir_set(n->left, to->right);
                weir_set(to->right, n);
        }
        weir_wg_done(my->wg);
}

/* A list hangs on the object; memory that was given away would be somebody else's soon. */
WEIR_TEST(what_a_rescued_object_reaches_is_whole)
{
        weir_wg wg = { 0 };

        need_death();
        weir_wg_add(&wg, 1);
        weir_go(hang, .h = make_final(100, rescue), .wg = &wg);
        weir_wg_wait(&wg);
        collect();
        wait_final(1);
        for (int i = 0; i < 5; i++) {
                node *n = rescued->right;

                for (int k = 0; k < 1000; k++)
                        memset(weir_new(node), 0xA5, sizeof *n);
                collect();
                for (int k = 49; k >= 0; k--, n = n->left)
                        ck_assert(n && n->key == (uint64_t)k);
                ck_assert_ptr_null(n);
        }
        rescued = NULL;
}
