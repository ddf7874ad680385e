/* What is reachable stays, wherever the pointer is; what is not goes. */
#include "unit/gc/heap.h"
#include "base/debug.h"
#include "sched/state.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct number {
        uint64_t value;
        void    *not_a_pointer;
} number;
WEIR_TYPE_PLAIN(number);

static node *volatile   global;
static __thread node *volatile local_to_thread;
static void           *block;

WEIR_TEST(what_nothing_points_to_goes)
{
        int gone = 0;

        for (int i = 0; i < 100; i++) {
                hidden h = make_node(1);

                collect();
                gone += !alive(h);
        }
        ck_assert_int_ge(gone, COPIES ? 0 : 95);
}

WEIR_TEST(globals_and_thread_locals_hold)
{
        static node *volatile in_function WEIR_UNUSED;

        STAYS_AND_GOES(global = show(h), global = NULL);
        STAYS_AND_GOES(in_function = show(h), in_function = NULL);
        weir_thread_lock();                     /* else the drop may be on another */
        STAYS_AND_GOES(local_to_thread = show(h), local_to_thread = NULL);
        weir_thread_unlock();
}

WEIR_TEST(what_a_thread_keeps_by_key_holds)
{
        static pthread_key_t key[40];           /* more than what is beside the thread itself */

        if (foreign())
                test_skip("malloc is another's");
        for (size_t i = 0; i < COUNT(key); i++)
                ck_assert_int_eq(pthread_key_create(&key[i], NULL), 0);
        weir_thread_lock();
        STAYS_AND_GOES(pthread_setspecific(key[0], show(h)), pthread_setspecific(key[0], NULL));
        STAYS_AND_GOES(pthread_setspecific(key[39], show(h)), pthread_setspecific(key[39], NULL));
        weir_thread_unlock();
}

WEIR_TEST(blocks_of_malloc_hold)
{
        if (foreign())
                test_skip("malloc is another's");
        STAYS_AND_GOES(block = malloc(24); ((hidden *)block)[1] = (hidden)show(h),
                       memset(block, 0, 24); free(block));
        STAYS_AND_GOES(block = calloc(1, 300000); ((hidden *)block)[30000] = (hidden)show(h),
                       memset(block, 0, 300000); free(block));
        STAYS_AND_GOES(block = malloc(16); ((hidden *)block)[0] = (hidden)show(h);
                       block = realloc(block, 100000), memset(block, 0, 100000); free(block));
}

WEIR_TEST(objects_hold_by_their_kind)
{
        hidden typed = make_node(0);
        void **plain = weir_new_bytes(100 * sizeof *plain);
        number *noscan = weir_new(number);
        int     gone = 0;

        global = (node *)~typed;
        STAYS_AND_GOES(weir_set(global->left, show(h)), weir_set(global->left, NULL));
        STAYS_AND_GOES(plain[37] = show(h), plain[37] = NULL);
        weir_keep_alive(plain);
        /* In what was declared to hold none, a pointer does not count. */
        for (int i = 0; i < 5; i++) {
                hidden h = make_node(1);

                noscan->not_a_pointer = show(h);
                noscan->value = (hidden)show(h);
                global->key = (hidden)show(h);
                collect();
                gone += !alive(h);
        }
        weir_keep_alive(noscan);
        global = NULL;
        ck_assert_int_ge(gone, COPIES ? 0 : 4);
}

WEIR_TEST(pointers_into_and_to_the_end_hold)
{
        static char *volatile inside;
        node       **array;

        /* Of a typed object: into it, and on a stack one past its end. */
        STAYS_AND_GOES(inside = (char *)show(h) + 16, inside = NULL);
        {
                char *volatile end WEIR_UNUSED;

                STAYS_AND_GOES(end = (char *)show(h) + sizeof(node), end = NULL);
        }
        for (size_t size = 1; size < 200000; size = size * 5 / 2 + 1) {
                char  *bytes = weir_new_bytes(size);
                hidden h = hide(bytes);

                memset(bytes, 0x5a, size);
                inside = bytes + size;
                bytes = NULL;
                collect();
                ck_assert_msg(alive(h), "%zu bytes, a pointer to their end", size);
                inside--;
                collect();
                ck_assert_msg(alive(h), "%zu bytes, a pointer to the last", size);
                ck_assert_int_eq(*inside, 0x5a);
        }
        array = weir_gc_alloc(&(weir_type){ .name = "node *", .size = sizeof *array, .nptrs = 1,
                                            .ptrs = (weir_ptrs[]){ { 0, 1 } } }, 1000);
        STAYS_AND_GOES(weir_set(array[999], show(h)), weir_set(array[999], NULL));
        weir_keep_alive(array);
        inside = NULL;
}

weir_task(holder, my, { node *n; weir_chan *c; weir_wg *wg; })
{
        node *n = my->n;
        int   v;

        my->n = NULL;
        weir_recv(my->c, &v);
        ck_assert_uint_eq(n->key, 4711);
        weir_wg_done(my->wg);
}

weir_task(by_argument, my, { node *n; weir_chan *c; weir_wg *wg; })
{
        int v;

        weir_recv(my->c, &v);
        ck_assert_uint_eq(my->n->key, 4711);
        weir_wg_done(my->wg);
}

static noinline void start_holder(hidden h, weir_chan *c, weir_wg *wg, bool run_first)
{
        weir_wg_add(wg, 2);
        weir_go(holder, .n = show(h), .c = c, .wg = wg);
        weir_go(by_argument, .n = show(h), .c = c, .wg = wg);
        for (int i = 0; run_first && i < 10; i++)
                weir_yield();
}

WEIR_TEST(goroutines_and_their_arguments_hold)
{
        weir_wg    wg = { 0 };
        weir_chan *c = weir_chan_make(int, 2);
        int        v = 0;

        for (int first = 0; first < 2; first++)
                STAYS_AND_GOES(start_holder(h, c, &wg, first),
                               weir_send(c, &v); weir_send(c, &v); weir_wg_wait(&wg));
}

WEIR_TEST(channels_hold_what_they_carry)
{
        weir_chan *c = weir_chan_make(node *, 4);
        node      *n = NULL;

        STAYS_AND_GOES(n = show(h); weir_send(c, &n); n = NULL,
                       ck_assert(weir_recv(c, &n)); n = NULL);
}

static void on_timer(void *arg)
{
        ((node *)arg)->key++;
}

static noinline weir_timer *start_timer(hidden h)
{
        return weir_timer_start(3600 * WEIR_SECOND, 0, on_timer, show(h));
}

WEIR_TEST(timers_hold_their_argument)
{
        for (int i = 0; i < 5; i++) {
                hidden      h = make_node(1);
                weir_timer *t = start_timer(h);

                collect();
                ck_assert(alive(h));
                weir_timer_stop(t);
        }
}

static void *thread_with_local(void *arg)
{
        hidden        *h = arg;
        node *volatile n = show(h[0]);

        store_seq(&h[1], 1);
        while (load_seq(&h[1]) == 1)
                usleep(100);
        n = NULL;
        (void)n;
        return NULL;
}

static void join(void *arg)
{
        pthread_join(*(pthread_t *)arg, NULL);
}

WEIR_TEST_WITH(threads_of_the_program_hold, .procs = 2)
{
        pthread_t t;
        hidden    words[2];

        if (!sched.can_ask)
                test_skip("no signal tells here where a thread is");
        STAYS_AND_GOES(words[0] = h; store_seq(&words[1], 0);
                       pthread_create(&t, NULL, thread_with_local, words);
                       while (!load_seq(&words[1])) weir_yield(),
                       store_seq(&words[1], 2); weir_blocking(join, &t));
}

WEIR_TEST(named_memory_holds_and_other_mappings_do_not)
{
        hidden *map = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int     gone = 0;

        ck_assert_ptr_ne(map, MAP_FAILED);
        ck_assert_int_eq(weir_gc_root_add(map, 65536), 0);
        STAYS_AND_GOES(map[8191] = (hidden)show(h), map[8191] = 0);
        ck_assert_int_eq(weir_gc_root_remove(map, 65536), 0);
        ck_assert_int_eq(weir_gc_root_remove(map, 65536), -ENOENT);
        ck_assert_int_eq(weir_gc_root_add((char *)map + 1, 8), -EINVAL);
        ck_assert_int_eq(weir_gc_root_add(NULL, 8), -EINVAL);
        for (int i = 0; i < 5; i++) {
                hidden h = make_node(1);

                map[0] = (hidden)show(h);
                collect();
                gone += !alive(h);
        }
        ck_assert_int_ge(gone, COPIES ? 0 : 4);
        munmap(map, 65536);
}

/* Roots are marked by one marker, and there are more of them here than the boxes to the other one
 * hold, which does not run yet. Once the first waited for it there for ever. */
WEIR_TEST_WITH(more_roots_than_one_marker_can_send_hold, .procs = 2)
{
        enum { ROOTS = 40000 };
        static node *volatile many[ROOTS];

        weir__debug.gcstop = 1;
        for (uint64_t i = 0; i < ROOTS; i++) {
                many[i] = weir_new(node);
                many[i]->key = i;
                if (i % 100 == 0)
                        (void)weir_new_bytes(100000);   /* over many pieces of the heap */
        }
        collect();
        for (uint64_t i = 0; i < ROOTS; i++)
                must(many[i]->key == i && alive(hide(many[i])));
        memset((void *)many, 0, sizeof many);
}
