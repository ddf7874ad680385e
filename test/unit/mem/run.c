/* Objects of the collected kinds: runs, tiny packing, marks, sweeping. */
#include "check.h"
#include "mem/heap.h"
#include <pthread.h>
#include <stdlib.h>

PLAIN_TEST(objects_are_zeroed_aligned_and_do_not_overlap)
{
        enum { N = 3000 };
        static unsigned char *p[N];
        static size_t         size[N];
        uint64_t              seed = 3;
        unsigned              dirty;

        for (int round = 0; round < 3; round++) {
                for (int i = 0; i < N; i++) {
                        enum mem_kind kind = MEM_TYPED + (int)weir__rand_below(&seed, 3);

                        size[i] = weir__rand_below(&seed, i % 100 ? 700 : 200000);
                        p[i] = weir__mem_alloc(kind, size[i]);
                        if (size[i] >= 16)
                                ck_assert_uint_eq((uintptr_t)p[i] % 16, 0);
                        dirty = 0;
                        for (size_t k = 0; k < size[i]; k++)
                                dirty |= p[i][k];
                        ck_assert_uint_eq(dirty, 0);
                        memset(p[i], 1 + i % 255, size[i]);
                }
                for (int i = 0; i < N; i++)
                        if (size[i])
                                ck_assert_uint_eq(p[i][size[i] - 1], 1 + i % 255);
                weir__mem_check();
                weir__mem_sweep();      /* all dead: the next round gets dirty memory */
                weir__mem_check();
        }
}

PLAIN_TEST(tiny_objects_without_pointers_share_sixteen_bytes)
{
        char *a = weir__mem_alloc(MEM_NOSCAN, 1), *b = weir__mem_alloc(MEM_NOSCAN, 8);
        char *c = weir__mem_alloc(MEM_NOSCAN, 4), *d;

        ck_assert_ptr_eq(b, a + 8);
        ck_assert_uint_eq((uintptr_t)c % 4, 0);
        d = weir__mem_alloc(MEM_NOSCAN, 12);
        ck_assert_uint_eq((uintptr_t)d % 4, 0);
        ck_assert(d >= c + 4 || d + 12 <= c);
        ck_assert_ptr_ne(weir__mem_alloc(MEM_PLAIN, 1), weir__mem_alloc(MEM_PLAIN, 1));
}

PLAIN_TEST(a_sweep_frees_what_is_not_marked_and_nothing_else)
{
        enum { N = 20000 };
        static uint64_t *p[N];
        weir_mem_stats   before, after;
        size_t           freed;

        weir_mem_read(&before);
        for (int i = 0; i < N; i++) {
                p[i] = weir__mem_alloc(MEM_PLAIN, 48);
                p[i][5] = (uint64_t)i;
        }
        for (int i = 0; i < N; i += 3) {
                ck_assert(weir__mem_mark((char *)p[i] + 17));   /* interior */
                ck_assert(!weir__mem_mark(p[i]));               /* already */
        }
        freed = weir__mem_sweep();
        ck_assert_uint_eq(freed, N - (N + 2) / 3);
        weir__mem_check();
        weir_mem_read(&after);
        ck_assert_uint_eq(after.heap_objects - before.heap_objects, (N + 2) / 3);
        for (int i = 0; i < N; i += 3)
                ck_assert_uint_eq(p[i][5], (uint64_t)i);
        for (int i = 0; i < N; i++) {                           /* the holes are used again */
                uint64_t *q = weir__mem_alloc(MEM_PLAIN, 48);

                for (int k = 0; k < 6; k++)
                        ck_assert_uint_eq(q[k], 0);
                q[5] = UINT64_MAX;
        }
        for (int i = 0; i < N; i += 3)
                ck_assert_uint_eq(p[i][5], (uint64_t)i);
        weir__mem_check();
}

PLAIN_TEST(a_swept_class_gives_its_pages_back)
{
        size_t used;

        weir__mem_alloc(MEM_NOSCAN, 64);
        weir__mem_sweep();
        used = weir__heap_pages.used;
        for (int i = 0; i < 100000; i++)
                weir__mem_alloc(MEM_NOSCAN, 64);
        for (int i = 0; i < 10; i++)
                weir__mem_alloc(MEM_TYPED, 1 << 20);
        ck_assert_uint_ge(weir__heap_pages.used, used + 2000);
        weir__mem_sweep();
        ck_assert_uint_le(weir__heap_pages.used, used + 20);
        weir__mem_check();
}

PLAIN_TEST(only_used_objects_of_the_collector_can_be_marked)
{
        char *collected = weir__mem_alloc(MEM_PLAIN, 100), *large, *manual = weir__malloc(100);

        large = weir__mem_alloc(MEM_NOSCAN, 1 << 20);
        ck_assert(!weir__mem_mark(NULL));
        ck_assert(!weir__mem_mark(&manual));
        ck_assert(!weir__mem_mark(manual));
        ck_assert(weir__mem_mark(large + 500000));
        ck_assert(!weir__mem_mark(large));
        ck_assert(weir__mem_mark(collected + 99));
        weir__free(manual);
}

PLAIN_TEST(what_is_allocated_while_marking_is_on_survives)
{
        char *p;

        weir__mem_sweep();
        weir__run_marks = true;
        p = weir__mem_alloc(MEM_PLAIN, 300);
        *p = 7;
        weir__run_marks = false;
        weir__mem_sweep();
        ck_assert_ptr_nonnull(weir__span_of((uintptr_t)p));
        ck_assert_int_eq(*p, 7);
        for (int i = 0; i < 1000; i++)
                ck_assert_ptr_ne(weir__mem_alloc(MEM_PLAIN, 300), p);
        weir__mem_check();
}

PLAIN_TEST(an_object_is_found_by_any_address_in_it)
{
        struct mem_object  o;
        char              *p = weir__mem_alloc(MEM_PLAIN, 100), *manual = weir__malloc(100);
        char              *large = weir__mem_alloc_typed(7, 3 << 20);
        char              *small = weir__mem_alloc_typed(8, 40);

        for (int i = 0; i < 112; i++) {
                ck_assert(weir__mem_find(p + i, &o));
                ck_assert_ptr_eq(o.base, p);
                ck_assert_uint_eq(o.size, 112);
                ck_assert_int_eq(o.kind, MEM_PLAIN);
                ck_assert_ptr_null(o.span->types);
        }
        ck_assert(weir__mem_find(manual + 50, &o));
        ck_assert_int_eq(o.kind, MEM_MANUAL);
        ck_assert_ptr_eq(o.base, manual);
        ck_assert(weir__mem_find(large + (2 << 20), &o));
        ck_assert_ptr_eq(o.base, large);
        ck_assert_uint_eq(o.span->types[o.index], 7);
        ck_assert_int_eq(o.kind, MEM_TYPED);
        ck_assert(weir__mem_find(small + 39, &o));
        ck_assert_uint_eq(o.span->types[o.index], 8);
        ck_assert(!weir__mem_find(&o, &o));
        ck_assert(!weir__mem_find(large + (3 << 20), &o) || o.base != large);
        weir__mem_sweep();
        ck_assert(!weir__mem_find(p, &o));
        ck_assert(!weir__mem_find(large, &o));
        weir__free(manual);
}

/* After the cycle has begun each allocation sweeps what it needs, and no more. */
PLAIN_TEST(a_sweep_goes_as_far_as_allocations_need_it)
{
        enum { N = 64 * 100 };
        static char *p[N];
        uint64_t     todo;
        size_t       used;

        weir__mem_sweep();
        for (int i = 0; i < N; i++)
                *(p[i] = weir__mem_alloc(MEM_PLAIN, 128)) = 1;
        for (int i = 0; i < N; i += 2)
                ck_assert(weir__mem_mark(p[i]));
        weir__mem_sweep_begin();
        todo = weir__unswept;
        used = weir__heap_pages.used;
        ck_assert_uint_ge(todo, 100);
        weir__mem_check();
        for (int i = 0; i < 64; i++) {                  /* two spans of 64, half of them free */
                char *q = weir__mem_alloc(MEM_PLAIN, 128);

                ck_assert_int_eq(*q, 0);
                *q = 2;
                weir__mem_mark(q);
        }
        ck_assert_uint_le(todo - weir__unswept, 3);
        ck_assert_uint_eq(weir__heap_pages.used, used);
        weir__mem_check();
        while (weir__mem_sweep_some(7))
                weir__mem_check();
        ck_assert_uint_eq(weir__unswept, 0);
        for (int i = 0; i < N; i += 2)
                ck_assert_int_eq(*p[i], 1);
}

PLAIN_TEST(large_objects_are_swept_once_each)
{
        char *keep, *fresh;

        weir__mem_sweep();
        keep = weir__mem_alloc(MEM_NOSCAN, 1 << 20);
        weir__mem_alloc(MEM_NOSCAN, 1 << 20);
        ck_assert(weir__mem_mark(keep));
        weir__mem_sweep_begin();
        ck_assert_uint_eq(weir__unswept, 2);
        fresh = weir__mem_alloc(MEM_NOSCAN, 1 << 20);           /* of this cycle: stays */
        *keep = *fresh = 5;
        while (weir__mem_sweep_some(1))
                ;
        ck_assert_uint_eq(weir__spans_large, 2);
        ck_assert_int_eq(*keep, 5);
        ck_assert_int_eq(*fresh, 5);
        ck_assert_uint_eq(weir__mem_sweep(), 2);
        ck_assert_uint_eq(weir__spans_large, 0);
}

static int paces;

static void pace(void)
{
        paces++;
}

PLAIN_TEST(the_pace_is_told_when_so_much_was_allocated)
{
        weir__mem_sweep();
        weir__mem_hooks.pace = pace;
        weir__mem_trigger = 1 << 20;
        while (weir__mem_since < 1 << 19)
                weir__mem_alloc(MEM_PLAIN, 1000);
        ck_assert_int_eq(paces, 0);
        while (weir__mem_since < 1 << 20)
                weir__mem_alloc(MEM_PLAIN, 1000);
        ck_assert_int_eq(paces, 1);
        weir__mem_sweep();
        ck_assert_uint_eq(weir__mem_since, 0);
}

/* One thread allocates, with marking on, what others mark by whatever address they have: no mark
 * may be lost, and nothing but an object of that place may be found. */
enum { SHARED = 4096 };
static char    *shared[SHARED];
static uint32_t marking;

static void *mark(void *arg)
{
        uint64_t seed = (uintptr_t)arg;

        while (load_relaxed(&marking)) {
                char             *p = load_acquire(&shared[weir__rand_below(&seed, SHARED)]);
                struct mem_object o;

                if (!p || !weir__mem_find(p + weir__rand_below(&seed, 64), &o))
                        continue;
                if (o.base != p || o.size != 64 || o.kind != MEM_PLAIN)
                        return p;
                weir__mem_mark_object(&o);
                weir__mem_find((char *)weir__heap.base + weir__rand_below(&seed, 64 << 20), &o);
        }
        return NULL;
}

PLAIN_TEST(marks_are_set_beside_threads_that_allocate)
{
        pthread_t t[2];
        uint64_t  seed = 1;
        void     *bad;

        marking = 1;
        for (uintptr_t i = 0; i < COUNT(t); i++)
                pthread_create(&t[i], NULL, mark, (void *)(i + 2));
        store_relaxed(&weir__run_marks, true);
        for (int round = 0; round < 20; round++) {
                for (int i = 0; i < SHARED; i++) {
                        store_release(&shared[i], weir__mem_alloc(MEM_PLAIN, 64));
                        weir__free(weir__malloc(weir__rand_below(&seed, 200000)));
                }
        }
        store_relaxed(&weir__run_marks, false);
        store_relaxed(&marking, 0);
        for (size_t i = 0; i < COUNT(t); i++) {
                pthread_join(t[i], &bad);
                ck_assert_ptr_null(bad);
        }
        ck_assert_uint_eq(weir__mem_sweep(), 0);                /* all were marked at birth */
        ck_assert_uint_eq(weir__mem_sweep(), 20 * SHARED);
        weir__mem_check();
}

static void *allocate(void *arg)
{
        uint64_t seed = (uintptr_t)arg;

        for (int i = 0; i < 50000; i++) {
                size_t         n = 1 + weir__rand_below(&seed, 200);
                unsigned char *p = weir__mem_alloc(MEM_NOSCAN, n);

                if (p[0] || p[n - 1])
                        return p;
                p[0] = p[n - 1] = 1;
        }
        return NULL;
}

PLAIN_TEST(threads_allocate_beside_each_other)
{
        pthread_t t[3];
        void     *bad;

        for (uintptr_t i = 0; i < COUNT(t); i++)
                pthread_create(&t[i], NULL, allocate, (void *)(i + 1));
        for (size_t i = 0; i < COUNT(t); i++) {
                pthread_join(t[i], &bad);
                ck_assert_ptr_null(bad);
        }
        weir__mem_sweep();
        weir__mem_check();
        ck_assert_uint_eq(weir__central[MEM_NOSCAN][CLASS_64].spans, 0);
}

/* ---- objects freed by hand ---- */

PLAIN_TEST(a_dropped_object_is_handed_out_again_zeroed)
{
        for (size_t size = 16; size <= 300000; size = size * 3 / 2 + 8)
                for (int kind = MEM_TYPED; kind < MEM_KINDS; kind++) {
                        char    *p = weir__mem_alloc((enum mem_kind)kind, size);
                        bool     again = false;
                        unsigned tries = 0;

                        memset(p, 0xff, size);
                        weir__mem_drop(p);
                        weir__mem_check();
                        for (; !again && tries < 5000; tries++) {
                                char *q = weir__mem_alloc((enum mem_kind)kind, size);

                                again = q == p;
                                for (size_t i = 0; i < size; i += 8)
                                        ck_assert_msg(!q[i], "byte %zu of %zu", i, size);
                        }
                        ck_assert_msg(again, "%zu bytes of kind %d never came back", size, kind);
                }
        weir__mem_drop(NULL);
        weir__mem_check();
}

PLAIN_TEST(dropped_objects_are_all_free_again)
{
        enum { N = 20000 };
        static void   *p[N];
        uint64_t       seed = 7;
        weir_mem_stats before, after;

        weir_mem_read(&before);
        for (int round = 0; round < 20; round++) {
                for (int i = 0; i < N; i++) {
                        size_t size = 16 + weir__rand_below(&seed, 2000);

                        p[i] = weir__mem_alloc(MEM_NOSCAN, size);
                        memset(p[i], round, size);
                }
                for (int i = 0; i < N; i++)
                        weir__mem_drop(p[(i * 7919) % N]);
                weir__mem_check();
        }
        weir_mem_read(&after);
        ck_assert_uint_lt(after.heap_in_use, before.heap_in_use + (60 << 20));
}
