/* Central lists: batches, spans that come and go, two threads at one class.
 *
 * The classes are ones of which the test and the C library allocate nothing by the way. */
#include "check.h"
#include "mem/heap.h"
#include <pthread.h>
#include <stdlib.h>

/* Objects of 816 bytes in a span. */
enum { N = 20 };

PLAIN_TEST(a_fresh_span_hands_out_each_object_once_in_order)
{
        void *p[N];

        ck_assert(weir__mem_start());
        ck_assert_uint_eq(weir__class[CLASS_816].objects, N);
        ck_assert_uint_eq(weir__central_take(CLASS_816, p, N), N);
        for (int i = 1; i < N; i++)
                ck_assert_ptr_eq(p[i], (char *)p[0] + 816 * i);
        weir__central_give(CLASS_816, p, N);
        weir__mem_check();
}

PLAIN_TEST(an_empty_span_goes_back_to_the_page_heap_but_the_last)
{
        enum { SPANS = 20 };
        static void *p[SPANS * N];
        struct central *c = &weir__central[MEM_MANUAL][CLASS_816];
        size_t          used;
        unsigned        n = 0;

        ck_assert(weir__mem_start());
        used = weir__heap_pages.used;
        while (n < SPANS * N)
                n += weir__central_take(CLASS_816, p + n, SPANS * N - n);
        ck_assert_uint_eq(c->spans, SPANS);
        weir__mem_check();
        for (unsigned i = 0; i < n; i += N)
                weir__central_give(CLASS_816, p + i, N);
        weir__central_drain();
        ck_assert_uint_eq(c->spans, 0);
        ck_assert_uint_lt(weir__heap_pages.used, used + SPANS * weir__class[CLASS_816].pages);
        ck_assert_uint_eq(c->returned, SPANS);
        weir__mem_check();
}

PLAIN_TEST(a_batch_goes_from_one_cache_to_another_as_it_is)
{
        void *p[32], *q[32];

        ck_assert(weir__mem_start());
        ck_assert_uint_eq(weir__central_take(CLASS_912, p, 32), 32);
        weir__central_give(CLASS_912, p, 32);
        ck_assert_uint_eq(weir__central[MEM_MANUAL][CLASS_912].ntransfer, 32);
        ck_assert_uint_eq(weir__central_take(CLASS_912, q, 32), 32);
        ck_assert_mem_eq(p, q, sizeof p);
        weir__mem_check();
}

static void *hammer(void *arg)
{
        void    *p[64];
        unsigned bad = 0;

        for (int i = 0; i < 20000; i++) {
                unsigned n = weir__central_take(CLASS_720, p, 64);

                for (unsigned k = 0; k < n; k++)
                        *(void **)p[k] = arg;
                for (unsigned k = 0; k < n; k++)        /* nobody else has it */
                        bad += *(void **)p[k] != arg;
                weir__central_give(CLASS_720, p, n);
        }
        return (void *)(uintptr_t)bad;
}

PLAIN_TEST(two_threads_at_one_class_lose_and_share_nothing)
{
        struct central *c = &weir__central[MEM_MANUAL][CLASS_720];
        pthread_t       t[2];
        void           *bad;

        ck_assert(weir__mem_start());
        for (uintptr_t i = 0; i < 2; i++)
                pthread_create(&t[i], NULL, hammer, (void *)(i + 1));
        for (int i = 0; i < 2; i++) {
                pthread_join(t[i], &bad);
                ck_assert_ptr_null(bad);
        }
        ck_assert_uint_eq(c->taken, c->given);
        weir__mem_check();
        weir__central_drain();
        ck_assert_uint_eq(c->spans, 0);
}
