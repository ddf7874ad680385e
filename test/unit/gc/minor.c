/* Minor collections: what is young and hangs on something old alone is found there, by the one
 * means that leads to it. */
/* run: WEIR_DEBUG=gcgen=2,gcforeign=1 WEIR_GC=off */
#include "check.h"
#include "base/counter.h"
#include "gc/gc.h"
#include "mem/mem.h"
#include <stdlib.h>
#include <string.h>
#include <weir.h>

enum { ROUNDS = 20, ARRAY = 5000 };

typedef struct holder {
        struct holder *other;
        void          *victim;
} holder;
WEIR_TYPE(holder, other, victim);

typedef struct young {
        uint64_t number, rest[7];
} young;
WEIR_TYPE_PLAIN(young);

static void need_it(void)
{
        if (WEIR_ASAN || WEIR_TSAN)
                test_skip("cycles run in one stop, and there are no minor ones");
}

static uint64_t minors(void)
{
        return weir__counter_sum(COUNTER_gc_minor);
}

/* A cycle that is a minor one. */
static void collect_young(void)
{
        uint64_t before = minors();

        do
                weir_gc_run();
        while (minors() == before);
}

/* On a stack that is left again, so that no word of it names the object. */
static noinline void in_depth(void (*fn)(void *arg), void *arg)
{
        volatile char room[16 << 10];

        memset((char *)room, 0, sizeof room);
        fn(arg);
        memset((char *)room, 0, sizeof room);
}

static noinline void wipe(void)
{
        volatile char room[32 << 10];

        memset((char *)room, 0, sizeof room);
}

static young *make(void)
{
        young *y = weir_new(young);

        y->number = 4711;
        return y;
}

static bool is_whole(const young *y)
{
        return y && y->number == 4711 && weir_mem_block(y, NULL, NULL) == 0;
}

/* Takes some of the size, so that what was freed is somebody else's now. */
static void reuse(void)
{
        for (int i = 0; i < 4096; i++)
                weir_new(young)->number = 1;
}

static void put_by_set(void *arg)
{
        holder *h = arg;

        weir_set(h->victim, make());
}

WEIR_TEST_WITH(an_old_object_keeps_what_weir_set_stores, .procs = 2)
{
        holder *h = weir_new(holder);

        need_it();
        weir_gc_run();                          /* it is old */
        for (int i = 0; i < ROUNDS; i++) {
                in_depth(put_by_set, h);
                collect_young();
                reuse();
                ck_assert(is_whole(h->victim));
        }
        ck_assert_uint_ge(minors(), ROUNDS);
}

static void put_past_the_card(void *arg)
{
        holder *h = arg;

        *(void *volatile *)&h->victim = make();
}

/* The test above can fail: without the note that weir_set leaves, the object goes. */
WEIR_TEST_WITH(a_store_that_bypasses_weir_set_is_not_seen, .procs = 2)
{
        holder *h = weir_new(holder);
        int     lost = 0;

        need_it();
        weir_gc_run();
        for (int i = 0; i < ROUNDS; i++) {
                in_depth(put_past_the_card, h);
                collect_young();
                reuse();
                lost += !is_whole(h->victim);
        }
        ck_assert_int_gt(lost, ROUNDS / 2);
}

static void put_in_array(void *arg)
{
        holder *a = arg;

        for (int i = 0; i < ARRAY; i += 37)
                weir_set(a[i].victim, make());
}

WEIR_TEST_WITH(elements_of_a_large_array_are_found_one_by_one, .procs = 2)
{
        holder *a = weir_new_array(holder, ARRAY);

        need_it();
        weir_gc_run();
        for (int round = 0; round < 3; round++) {
                in_depth(put_in_array, a);
                collect_young();
                reuse();
                for (int i = 0; i < ARRAY; i += 37)
                        ck_assert(is_whole(a[i].victim));
        }
}

typedef struct flexible {
        void  *head;
        char   text[40];
        holder tail[];
} flexible;
WEIR_TYPE_FLEX_WITH(flexible, tail, holder, head);

static void put_in_tail(void *arg)
{
        flexible *f = arg;

        weir_set(f->head, make());
        for (int i = 0; i < ARRAY; i += 37)
                weir_set(f->tail[i].victim, make());
        weir_set(f->tail[ARRAY - 1].victim, make());
}

WEIR_TEST_WITH(so_are_elements_of_a_flexible_array_and_what_stands_before_it, .procs = 2)
{
        flexible *f = weir_new_flex(flexible, ARRAY);

        need_it();
        weir_gc_run();
        for (int round = 0; round < 3; round++) {
                in_depth(put_in_tail, f);
                collect_young();
                reuse();
                ck_assert(is_whole(f->head) && is_whole(f->tail[ARRAY - 1].victim));
                for (int i = 0; i < ARRAY; i += 37)
                        ck_assert(is_whole(f->tail[i].victim));
        }
}

static void put_by_move(void *arg)
{
        holder *a = arg, some[100] = { { 0 } };

        for (int i = 0; i < 100; i++)
                some[i].victim = make();
        weir_gc_move(&a[1000], some, sizeof some);
}

WEIR_TEST_WITH(what_weir_gc_move_copies_is_found, .procs = 2)
{
        holder *a = weir_new_array(holder, ARRAY);

        need_it();
        weir_gc_run();
        in_depth(put_by_move, a);
        collect_young();
        reuse();
        for (int i = 1000; i < 1100; i++)
                ck_assert(is_whole(a[i].victim));
}

static void put_plainly(void *arg)
{
        *(young **)arg = make();
}

static young *global;

WEIR_TEST_WITH(plain_memory_keeps_what_is_stored_there, .procs = 2)
{
        young **plain = weir_new_bytes(20000), **blocks = malloc(20000);

        need_it();
        if (!weir__mem_own(blocks)) {           /* another's malloc, whose blocks nobody looks at */
                free(blocks);
                blocks = weir_new_bytes(20000);
        }
        plain += 1000;
        blocks += 1000;
        weir_gc_run();
        for (int i = 0; i < ROUNDS; i++) {
                in_depth(put_plainly, plain);
                in_depth(put_plainly, blocks);
                in_depth(put_plainly, &global);
                collect_young();
                reuse();
                ck_assert(is_whole(*plain) && is_whole(*blocks) && is_whole(global));
        }
        weir_keep_alive(blocks);
}

/* ---- born while a collection marks ---- */

enum { SLOTS = 20000 };

static holder  *typed;                  /* old ones, SLOTS of each */
static young  **plain, **blocks;
static uint32_t collecting;             /* atomic */

weir_task(collect_once, my, { weir_wg *wg; })
{
        collect_young();
        __atomic_store_n(&collecting, 0, __ATOMIC_RELEASE);
        weir_wg_done(my->wg);
}

/* Fills slots from one collection's begin to its end, and touches them no more. Answers how
 * many. */
static int fill_beside(void)
{
        weir_wg wg = { 0 };
        int     n = 0;

        __atomic_store_n(&collecting, 1, __ATOMIC_RELEASE);
        weir_wg_add(&wg, 1);
        weir_go(collect_once, .wg = &wg);
        while (__atomic_load_n(&collecting, __ATOMIC_ACQUIRE) && n < SLOTS) {
                in_depth(put_by_set, &typed[n]);
                in_depth(put_plainly, &plain[n]);
                in_depth(put_plainly, &blocks[n]);
                n++;
                if (n % 64 == 0)
                        weir_yield();
        }
        weir_wg_wait(&wg);
        return n;
}

static void make_slots(void)
{
        typed = weir_new_array(holder, SLOTS);
        plain = weir_new_bytes(SLOTS * sizeof *plain);
        blocks = malloc(SLOTS * sizeof *blocks);
        if (!weir__mem_own(blocks)) {           /* another's, where nobody looks */
                free(blocks);
                blocks = weir_new_bytes(SLOTS * sizeof *blocks);
        }
        memset(blocks, 0, SLOTS * sizeof *blocks);
        weir_gc_run();
}

/* The one pointer to each was stored while the collection that it was born in ran, and nothing was
 * written after that. */
WEIR_TEST_WITH(what_is_born_in_a_collection_is_kept_by_old_objects, .procs = 2)
{
        int most = 0;

        need_it();
        make_slots();
        for (int round = 0; round < ROUNDS; round++) {
                int n = fill_beside();

                wipe();
                for (int again = 0; again < 2; again++) {
                        collect_young();
                        reuse();
                        for (int i = 0; i < n; i++)
                                ck_assert_msg(is_whole(typed[i].victim) && is_whole(plain[i]) &&
                                              is_whole(blocks[i]), "round %d, slot %d of %d: %d %d %d",
                                              round, i, n, is_whole(typed[i].victim),
                                              is_whole(plain[i]), is_whole(blocks[i]));
                }
                most = MAX(most, n);
        }
        ck_assert_int_gt(most, 100);
}

/* The test above can fail: without the cards of the last collection objects go. */
WEIR_TEST_WITH(without_the_cards_of_the_last_collection_it_is_not, .procs = 2)
{
        int lost = 0;

        need_it();
        make_slots();
        for (int round = 0; round < 10 * ROUNDS && !lost; round++) {
                int n = fill_beside();

                wipe();
                weir__cards_swap();
                weir__cards_clear();
                collect_young();
                reuse();
                for (int i = 0; i < n; i++)
                        lost += !is_whole(typed[i].victim);
                memset(typed, 0, SLOTS * sizeof *typed);
        }
        ck_assert_int_gt(lost, 0);
}

static void make_garbage(void *arg)
{
        void **hidden = arg;

        while (__atomic_load_n(&collecting, __ATOMIC_ACQUIRE))
                for (int i = 0; i < 100; i++)
                        hidden[i] = (void *)~(uintptr_t)make();
}

/* So do not what was born in one collection and is garbage in the next. */
WEIR_TEST_WITH(what_is_born_in_a_collection_goes_in_the_next, .procs = 2)
{
        static void *hidden[100];

        need_it();
        make_slots();
        for (int round = 0; round < ROUNDS; round++) {
                weir_wg wg = { 0 };
                int     left = 0;

                __atomic_store_n(&collecting, 1, __ATOMIC_RELEASE);
                weir_wg_add(&wg, 1);
                weir_go(collect_once, .wg = &wg);
                in_depth(make_garbage, hidden);
                weir_wg_wait(&wg);
                wipe();
                collect_young();
                weir__mem_sweep_some(UINT32_MAX);
                for (int i = 0; i < 100; i++)
                        left += weir_mem_block((void *)~(uintptr_t)hidden[i], NULL, NULL) == 0;
                ck_assert_int_le(left, 5);
        }
}

static void make_some(void *arg)
{
        void **hidden = arg;

        for (int i = 0; i < 100; i++)
                hidden[i] = (void *)~(uintptr_t)make();
}

WEIR_TEST_WITH(young_garbage_goes_in_a_minor_collection, .procs = 2)
{
        static void *hidden[100];
        int          left = 0;

        need_it();
        weir_gc_run();
        in_depth(make_some, hidden);
        wipe();
        collect_young();
        weir__mem_sweep_some(UINT32_MAX);
        for (int i = 0; i < 100; i++)
                left += weir_mem_block((void *)~(uintptr_t)hidden[i], NULL, NULL) == 0;
        ck_assert_int_le(left, 5);              /* some look like a word on a stack */
}

static void hang_some(void *arg)
{
        void  **hidden = arg;
        holder *a = (holder *)~(uintptr_t)hidden[0];

        for (int i = 0; i < 100; i++) {
                weir_set(a[i].victim, make());
                hidden[i] = (void *)~(uintptr_t)a[i].victim;
        }
}

/* Of old garbage a full one gets rid, each eighth here. */
WEIR_TEST_WITH(old_garbage_goes_in_a_full_collection, .procs = 2)
{
        static void *hidden[100];
        holder      *a = weir_new_array(holder, 100);
        int          left = 0;

        need_it();
        hidden[0] = (void *)~(uintptr_t)a;
        in_depth(hang_some, hidden);
        collect_young();
        for (int i = 0; i < 100; i++)
                weir_set(a[i].victim, NULL);
        wipe();
        collect_young();
        for (int i = 0; i < 100; i++)
                left += weir_mem_block((void *)~(uintptr_t)hidden[i], NULL, NULL) == 0;
        ck_assert_int_ge(left, 95);             /* not by a minor one */
        for (int i = 0; i < 16; i++)
                weir_gc_run();
        weir__mem_sweep_some(UINT32_MAX);
        left = 0;
        for (int i = 0; i < 100; i++)
                left += weir_mem_block((void *)~(uintptr_t)hidden[i], NULL, NULL) == 0;
        ck_assert_int_le(left, 5);
        weir_keep_alive(a);
}

static int finalized;

static void count(void *obj)
{
        (void)obj;
        __atomic_fetch_add(&finalized, 1, __ATOMIC_RELAXED);
}

static void make_finalized(void *arg)
{
        (void)arg;
        for (int i = 0; i < 100; i++)
                weir_gc_finalize(make(), count);
}

WEIR_TEST_WITH(finalizers_of_young_objects_run_after_a_minor_collection, .procs = 2)
{
        need_it();
        weir_gc_run();
        in_depth(make_finalized, NULL);
        wipe();
        for (int i = 0; i < 100 && __atomic_load_n(&finalized, __ATOMIC_RELAXED) < 95; i++) {
                collect_young();
                weir_yield();
        }
        ck_assert_int_ge(__atomic_load_n(&finalized, __ATOMIC_RELAXED), 95);
}

/* A list that grows at its old end, one link between collections: each link is old when the next
 * one is hung on it. */
WEIR_TEST_WITH(a_list_that_grows_over_many_minor_collections_stays_whole, .procs = 2)
{
        holder *first = weir_new(holder), *last = first;
        int     n = 0;

        need_it();
        for (int i = 0; i < 200; i++) {
                weir_set(last->other, weir_new(holder));
                last = last->other;
                weir_set(last->victim, make());
                if (i % 3 == 0)
                        collect_young();
                reuse();
        }
        for (holder *h = first->other; h; h = h->other, n++)
                ck_assert(is_whole(h->victim));
        ck_assert_int_eq(n, 200);
}
