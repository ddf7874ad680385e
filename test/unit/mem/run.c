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
