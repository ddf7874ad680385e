/* What is tied to objects: pins, finalizers, cleanups, weak pointers. */
#include "unit/gc/heap.h"
#include "gc/gc.h"
#include "sched/state.h"
#include <string.h>

enum { MANY = 100 };

static hidden made[MANY];

weir_task(maker, my, { uint64_t key; int n; weir_wg *wg; })
{
        for (int i = 0; i < my->n; i++) {
                node *n = weir_new(node);

                n->key = my->key + (uint64_t)i;
                made[i] = hide(n);
        }
        weir_wg_done(my->wg);
}

/* On a goroutine of its own: when it has ended, no word of its stack counts. */
static noinline void make(uint64_t key, int n)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(maker, .key = key, .n = n, .wg = &wg);
        weir_wg_wait(&wg);
}

static unsigned count_alive(int n)
{
        unsigned alive_ = 0;

        for (int i = 0; i < n; i++)
                alive_ += alive(made[i]);
        return alive_;
}

static uint32_t calls;                  /* atomic */
static uint64_t seen[MANY];
static void *volatile rescued;

static void wait_calls(uint32_t n)
{
        for (int i = 0; i < 5000 && load_seq(&calls) < n; i++)
                weir_sleep(WEIR_MILLISECOND);
        ck_assert_uint_eq(load_seq(&calls), n);
}

static void on_cleanup(void *arg)
{
        seen[fetch_add_seq(&calls, 1) % MANY] = *(uint64_t *)arg;
}

/* ---- weak pointers ---- */

weir_task(weak_maker, my, { weir_weak **ret; int n; weir_wg *wg; })
{
        for (int i = 0; i < my->n; i++) {
                my->ret[i] = weir_weak_make(show(made[i]));
                ck_assert_ptr_eq(weir_weak_make(show(made[i])), my->ret[i]);
        }
        weir_wg_done(my->wg);
}

static noinline weir_weak **make_weak(int n)
{
        weir_weak **ret = weir_new_bytes((size_t)n * sizeof *ret);
        weir_wg     wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(weak_maker, .ret = ret, .n = n, .wg = &wg);
        weir_wg_wait(&wg);
        return ret;
}

static noinline uint64_t key_by(const weir_weak *w)
{
        const node *n = weir_weak_get(w);

        return n ? n->key : 0;
}

WEIR_TEST(a_weak_pointer_does_not_keep_and_is_null_afterwards)
{
        weir_weak **w;
        unsigned    gone = 0;

        make(1, MANY);
        w = make_weak(MANY);
        rescued = show(made[50]);
        for (int i = 0; i < MANY; i++)
                ck_assert_uint_eq(key_by(w[i]), (uint64_t)i + 1);
        collect();
        for (int i = 0; i < MANY; i++) {
                if (i == 50)
                        ck_assert_uint_eq(key_by(w[i]), 51);
                else
                        gone += key_by(w[i]) == 0;
                ck_assert(key_by(w[i]) == 0 || alive(made[i]));
        }
        ck_assert_uint_ge(gone, COPIES ? 0 : MANY - 5);
        rescued = NULL;
        ck_assert_ptr_null(weir_weak_make(NULL));
        ck_assert_ptr_null(weir_weak_get(NULL));
        weir_keep_alive(w);
}

WEIR_TEST(records_of_weak_pointers_that_died_go)
{
        static node *volatile kept[MANY];
        uint64_t              before;

        need_death();
        make(1, MANY);
        for (int i = 0; i < MANY; i++)
                kept[i] = show(made[i]);
        before = weir__special_count();
        (void)make_weak(MANY);
        ck_assert_uint_eq(weir__special_count(), before + MANY);
        collect();
        collect();
        ck_assert_uint_le(weir__special_count(), before + 5);
        ck_assert_uint_eq(count_alive(MANY), MANY);
        memset((void *)kept, 0, sizeof kept);
}

static void rescue(void *obj)
{
        rescued = obj;
        fetch_add_seq(&calls, 1);
}

WEIR_TEST(a_weak_pointer_is_null_before_the_finalizer_and_stays_so)
{
        weir_weak **w;

        need_death();
        make(7, 1);
        w = make_weak(1);
        weir_gc_finalize(show(made[0]), rescue);
        collect();
        wait_calls(1);
        ck_assert_uint_eq(((node *)rescued)->key, 7);
        ck_assert_ptr_null(weir_weak_get(w[0]));
        collect();
        ck_assert(alive(made[0]));
        ck_assert_ptr_null(weir_weak_get(w[0]));
        ck_assert_ptr_ne(weir_weak_make(rescued), w[0]);        /* a new life, a new handle */
        rescued = NULL;
        weir_keep_alive(w);
}

static void weak_of(void *p)
{
        (void)weir_weak_make(p);
}

/* One goroutine turns weak pointers into strong ones and back while others collect: what it holds
 * is whole, and what it does not hold any more may go. */
weir_task(takes, my, { weir_weak **w; uint32_t *stop; uint64_t *took; weir_wg *wg; })
{
        uint64_t s = 1;

        while (!load_seq(my->stop)) {
                int   i = (int)((s = s * 6364136223846793005u + 1442695040888963407u) >> 33) % MANY;
                node *n = weir_weak_get(my->w[i]), *held;

                if (!n) {
                        n = weir_new(node);
                        n->key = (uint64_t)i + 1;
                        weir_set(n->left, n);
                        my->w[i] = weir_weak_make(n);
                }
                held = n;
                n = NULL;
                for (int k = 0; k < (int)(s >> 60); k++)
                        weir_yield();
                must(held->key == (uint64_t)i + 1 && held->left == held);
                ++*my->took;
        }
        weir_wg_done(my->wg);
}

WEIR_TEST_WITH(what_a_weak_pointer_gave_lives, .procs = 2, .timeout = 60)
{
        weir_weak **w = weir_new_bytes(MANY * sizeof *w);
        uint32_t    stop = 0;
        uint64_t    took = 0;
        weir_wg     wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(takes, .w = w, .stop = &stop, .took = &took, .wg = &wg);
        for (int i = 0; i < (COPIES ? 20 : 200); i++) {
                weir_gc_run();
                for (int k = 0; k < 500; k++)
                        memset(weir_new(node), 0xA5, sizeof(node));
        }
        store_seq(&stop, 1);
        weir_wg_wait(&wg);
        ck_assert_uint_gt(took, 0);
}

/* ---- cleanups ---- */

weir_task(cleanup_adder, my, { int n, each; weir_cleanup *ret; weir_wg *wg; })
{
        for (int i = 0; i < my->n; i++)
                for (int k = 0; k < my->each; k++) {
                        uint64_t *arg = weir_new_bytes(8);

                        *arg = (uint64_t)(i * my->each + k);
                        *my->ret++ = weir_gc_cleanup(show(made[i]), on_cleanup, arg);
                }
        weir_wg_done(my->wg);
}

static noinline void add_cleanups(int n, int each, weir_cleanup *ret)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(cleanup_adder, .n = n, .each = each, .ret = ret, .wg = &wg);
        weir_wg_wait(&wg);
}

WEIR_TEST(cleanups_of_one_object_all_run_once_with_their_argument)
{
        weir_cleanup c[3];

        need_death();
        make(1, 1);
        add_cleanups(1, 3, c);
        rescued = show(made[0]);
        collect();
        collect();
        ck_assert_uint_eq(load_seq(&calls), 0);
        rescued = NULL;
        collect();
        wait_calls(3);
        ck_assert_uint_eq(seen[0] + seen[1] + seen[2], 0 + 1 + 2);
        ck_assert_uint_ne(seen[0], seen[1]);
        ck_assert(!alive(made[0]));             /* not held up by them */
        collect();
        wait_calls(3);
        for (int i = 0; i < 3; i++)
                ck_assert(!weir_cleanup_stop(c[i]));
}

WEIR_TEST(a_cleanup_that_was_stopped_does_not_run)
{
        weir_cleanup c[3];

        need_death();
        make(1, 1);
        add_cleanups(1, 3, c);
        ck_assert(weir_cleanup_stop(c[1]));
        ck_assert(!weir_cleanup_stop(c[1]));
        ck_assert(!weir_cleanup_stop((weir_cleanup){ 0 }));
        collect();
        wait_calls(2);
        ck_assert_uint_eq(seen[0] + seen[1], 0 + 2);
}

static void count_call(void *obj)
{
        (void)obj;
        fetch_add_seq(&calls, 1);
}

WEIR_TEST(objects_in_a_circle_get_their_cleanups_and_no_finalizers)
{
        weir_cleanup c[2];

        need_death();
        make(1, 2);
        weir_set(((node *)show(made[0]))->left, (node *)show(made[1]));
        weir_set(((node *)show(made[1]))->left, (node *)show(made[0]));
        add_cleanups(2, 1, c);
        collect();
        wait_calls(2);
        make(1, 2);
        weir_set(((node *)show(made[0]))->left, (node *)show(made[1]));
        weir_set(((node *)show(made[1]))->left, (node *)show(made[0]));
        weir_gc_finalize(show(made[0]), count_call);
        weir_gc_finalize(show(made[1]), count_call);
        collect();
        collect();
        ck_assert_uint_eq(count_alive(2), 2);
        weir_gc_finalize(show(made[0]), NULL);
        weir_set(((node *)show(made[1]))->left, (node *)NULL);
        collect();
        wait_calls(3);
}

WEIR_TEST(a_cleanup_waits_for_the_finalizer_of_its_object)
{
        weir_cleanup c[1];

        need_death();
        make(9, 1);
        add_cleanups(1, 1, c);
        weir_gc_finalize(show(made[0]), rescue);
        collect();
        wait_calls(1);
        ck_assert_ptr_ne(rescued, NULL);
        collect();
        wait_calls(1);
        rescued = NULL;
        collect();
        wait_calls(2);
        ck_assert(!alive(made[0]));
}

/* ---- pins ---- */

static void pin(void *p)
{
        weir_gc_pin(p);
}

static void unpin(void *p)
{
        weir_gc_unpin(p);
}

static noinline void pin_inside(hidden h)
{
        weir_gc_pin((char *)show(h) + 9);
}

WEIR_TEST(what_is_pinned_stays_until_it_was_unpinned_as_often)
{
        unsigned stayed = 0;

        make(1, MANY);
        for (int i = 0; i < MANY; i += 2) {
                weir_gc_pin(show(made[i]));
                pin_inside(made[i]);
                weir_set(((node *)show(made[i]))->left, (node *)show(made[i + 1]));
        }
        for (int round = 0; round < 3; round++) {
                collect();
                ck_assert_uint_eq(count_alive(MANY), MANY);
                for (int i = 0; i < MANY; i++)
                        ck_assert_uint_eq(((node *)show(made[i]))->key, (uint64_t)i + 1);
                for (int i = 0; round == 0 && i < MANY; i += 2)
                        weir_gc_unpin(show(made[i]));
        }
        for (int i = 0; i < MANY; i += 2)
                weir_gc_unpin(show(made[i]));
        collect();
        stayed = count_alive(MANY);
        ck_assert_uint_le(stayed, COPIES ? MANY : 5);
}

static void ties_to_nothing(void (*fn)(void *p), const char *words)
{
        static int      global;
        int             local = 0;
        void           *block = malloc(100);
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(fn, &local, &info), WEIR_EPANIC);
        ck_assert_msg(strstr(info.message, words) != NULL, "%s", info.message);
        ck_assert_int_eq(weir_protect(fn, &global, NULL), WEIR_EPANIC);
        ck_assert_int_eq(weir_protect(fn, block, NULL), WEIR_EPANIC);
        free(block);
}

static void no_function(void *p)
{
        (void)weir_gc_cleanup(p, NULL, NULL);
}

static void of_itself(void *p)
{
        (void)weir_gc_cleanup(p, on_cleanup, (char *)p + 8);
}

WEIR_TEST(what_is_no_object_is_refused)
{
        weir_panic_info info;
        node           *n = weir_new(node);

        ties_to_nothing(pin, "is no address of a collected object");
        ties_to_nothing(unpin, "is no address of a collected object");
        ties_to_nothing(weak_of, "is not the start of a collected object");
        ck_assert_int_eq(weir_protect(no_function, n, &info), WEIR_EPANIC);
        ck_assert_msg(strstr(info.message, "NULL function") != NULL, "%s", info.message);
        ck_assert_int_eq(weir_protect(weak_of, (char *)n + 8, NULL), WEIR_EPANIC);
        ck_assert_int_eq(weir_protect(unpin, n, &info), WEIR_EPANIC);
        ck_assert_msg(strstr(info.message, "is not pinned") != NULL, "%s", info.message);
        ck_assert_int_eq(weir_protect(of_itself, n, &info), WEIR_EPANIC);
        ck_assert_msg(strstr(info.message, "would never die") != NULL, "%s", info.message);
}

/* ---- many ---- */

enum { MILLION = COPIES || WEIR_CHECK >= 3 ? 20000 : 1000000 };

static uint64_t third[3];               /* atomic: called: finalizers, cleanups; cleared: weak */

static void million_final(void *obj)
{
        fetch_add_seq(&third[0], 1 + 0 * ((node *)obj)->key);
}

static void million_cleanup(void *arg)
{
        fetch_add_seq(&third[1], (uint64_t)(uintptr_t)arg);
}

weir_task(make_million, my, { int from, to; weir_weak **w; weir_wg *wg; })
{
        for (int i = my->from; i < my->to; i++) {
                node *n = weir_new(node);

                switch (i % 3) {
                case 0:
                        weir_gc_finalize(n, million_final);
                        break;
                case 1:
                        (void)weir_gc_cleanup(n, million_cleanup, (void *)(uintptr_t)1);
                        break;
                default:
                        my->w[i / 3] = weir_weak_make(n);
                }
        }
        weir_wg_done(my->wg);
}

/* Each once, while collections run beside those who make them. */
WEIR_TEST_WITH(a_million_of_each_kind_come_and_go, .procs = 2, .timeout = 90)
{
        enum { EACH = MILLION / 3, PARTS = 8 };
        weir_weak **w;
        uint64_t    left = 0;
        weir_wg     wg = { 0 };

        need_death();
        weir_gc_percent(100);
        w = weir_new_bytes((EACH + 1) * sizeof *w);
        weir_wg_add(&wg, PARTS);
        for (int i = 0; i < PARTS; i++)
                weir_go(make_million, .from = (int)((int64_t)MILLION * i / PARTS), .w = w,
                        .to = (int)((int64_t)MILLION * (i + 1) / PARTS), .wg = &wg);
        weir_wg_wait(&wg);
        collect();
        collect();
        for (int i = 0; i < 20000 && (load_seq(&third[0]) < EACH - 50 ||
                                     load_seq(&third[1]) < EACH - 50); i++)
                weir_sleep(WEIR_MILLISECOND);
        collect();
        for (int i = 0; i < EACH; i++)
                left += weir_weak_get(w[i]) != NULL;
        ck_assert_uint_ge(load_seq(&third[0]), EACH - 50);
        ck_assert_uint_le(load_seq(&third[0]), EACH + 1);
        ck_assert_uint_ge(load_seq(&third[1]), EACH - 50);
        ck_assert_uint_le(load_seq(&third[1]), EACH + 1);
        ck_assert_uint_le(left, 50);
        ck_assert_uint_le(weir__special_count(), 200);
        weir_keep_alive(w);
}
