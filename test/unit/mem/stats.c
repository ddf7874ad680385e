/* What is read off the heap: sums that agree, the table, samples. */
#include "check.h"
#include "mem/heap.h"
#include "os/os.h"
#include <stdlib.h>

PLAIN_TEST(sys_is_in_use_and_idle_and_idle_holds_released)
{
        weir_mem_stats s;

        for (int i = 0; i < 100; i++) {
                weir__free(weir__malloc((size_t)i << 15));
                weir_mem_read(&s);
                ck_assert_uint_eq(s.heap_sys, s.heap_in_use + s.heap_idle);
                ck_assert_uint_le(s.heap_released, s.heap_idle);
        }
        weir_mem_read_exact(&s);
        ck_assert_uint_eq(s.heap_sys, s.heap_in_use + s.heap_idle);
        ck_assert_uint_eq(s.heap_in_use, (uint64_t)weir__heap_pages.used << PAGE_SHIFT);
}

PLAIN_TEST(mallocs_and_frees_are_counted_one_by_one)
{
        enum { N = 500 };                       /* few: no thread to give memory back */
        weir_mem_stats a, b, c;
        static void   *p[N];

        weir__free(weir__malloc(1));
        weir_mem_read(&a);
        for (int i = 0; i < N; i++)
                p[i] = weir__malloc((size_t)i * 40);
        weir_mem_read(&b);
        for (int i = 0; i < N; i++)
                weir__free(p[i]);
        weir_mem_read(&c);
        /* Assertions allocate: they come last. */
        ck_assert_uint_eq(b.mallocs - a.mallocs, N);
        ck_assert_uint_eq(b.frees, a.frees);
        ck_assert_uint_ge(b.total_alloc - a.total_alloc, (uint64_t)N * (N - 1) / 2 * 40);
        ck_assert_uint_eq(c.mallocs, b.mallocs);
        ck_assert_uint_eq(c.frees - b.frees, N);
}

PLAIN_TEST(a_read_takes_some_microseconds)
{
        enum { N = 1000 };
        weir_mem_stats s;
        int64_t        start;

        weir__free(weir__malloc(1));
        start = weir__os_now();
        for (int i = 0; i < N; i++)
                weir_mem_read(&s);
        ck_assert_int_le((weir__os_now() - start) / N, 5000 * WEIR_PATIENCE);
}

static void report(char *ret, size_t size)
{
        FILE *f = fmemopen(ret, size, "w");

        weir_mem_report(f);
        fclose(f);
}

PLAIN_TEST(the_report_names_the_class_that_strands_most)
{
        enum { N = 20000 };
        static void *p[N];
        static char  text[16384];

        for (int i = 0; i < N; i++)
                p[i] = weir__malloc(300);
        for (int i = 0; i < N; i++)             /* one of ten stays, in each span */
                if (i % 10)
                        weir__free(p[i]);
        report(text, sizeof text);
        ck_assert_msg(strstr(text, "most stranded: malloc of 320 bytes"), "%s", text);
        ck_assert_ptr_nonnull(strstr(text, "heap: "));
}

/* Of what is allocated nearly all comes from the cache, and what does not from the level below. */
PLAIN_TEST_WITH(each_level_is_asked_by_the_one_above_only_when_it_is_empty, .timeout = 60)
{
        enum { N = 1000000 };
        struct central *c = &weir__central[MEM_MANUAL][CLASS_80];
        uint32_t        per = weir__class[CLASS_80].objects;
        static void    *p[N];

        for (int i = 0; i < N; i++)
                p[i] = weir__malloc(80);
        ck_assert_uint_le(c->refills, N / 100);         /* a span at a time: 102 objects */
        ck_assert_uint_le(c->refills, N / per + 60);
        ck_assert_uint_le(c->grown, N / per + 60);
        ck_assert_uint_ge(c->grown, N / per);
        for (int i = 0; i < N; i++)
                weir__free(p[i]);
        weir__mem_check();
}

PLAIN_TEST(the_report_tells_how_full_spans_are)
{
        enum { N = 42 * 40 };                   /* objects of 192 bytes, 42 in a span */
        static void *p[N];
        static char  text[16384];
        char        *line;
        unsigned     size, spans, partial, to[5];
        unsigned long long objects, used, stranded;

        for (int i = 0; i < N; i++)
                p[i] = weir__malloc(192);
        weir__cache_flush(weir__cache_own);
        for (int i = 0; i < N; i++)             /* a tenth of half of them stays */
                if (i >= N / 2 && i % 10)
                        weir__free(p[i]);
        weir__cache_flush(weir__cache_own);
        weir__central_drain();
        report(text, sizeof text);
        line = strstr(text, "malloc      192");
        ck_assert_msg(line != NULL, "%s", text);
        ck_assert_int_eq(sscanf(line, "malloc %u %llu %llu %u %u %llu %u %u %u %u %u", &size,
                                &objects, &used, &spans, &partial, &stranded, &to[0], &to[1],
                                &to[2], &to[3], &to[4]), 11);
        ck_assert_uint_eq(spans, to[0] + to[1] + to[2] + to[3] + to[4]);
        ck_assert_uint_ge(to[0], 19);
        ck_assert_uint_ge(to[4], 19);
        ck_assert_uint_eq(spans, 40);
}

PLAIN_TEST(release_gives_back_what_is_idle)
{
        char          *p = weir__malloc(64 << 20);
        weir_mem_stats s;
        size_t         before;

        if (WEIR_TSAN || WEIR_ASAN)
                test_skip("the sanitizer's shadow is resident too");
        memset(p, 1, 64 << 20);
        before = weir__os_resident();
        weir__free(p);
        ck_assert_uint_ge(weir_mem_release(), 60 << 20);
        ck_assert_uint_le(weir__os_resident(), before - (60 << 20));
        weir_mem_read(&s);
        ck_assert_uint_eq(s.heap_released, s.heap_idle);
        weir__mem_check();
}

/* ---- samples ---- */

static struct { void *p; size_t size; } sampled[4096];
static size_t nsampled, nfreed, unknown;

static void on_alloc(void *p, size_t size)
{
        if (nsampled < COUNT(sampled)) {
                sampled[nsampled].p = p;
                sampled[nsampled++].size = size;
        }
}

static void on_free(void *p)
{
        for (size_t i = 0; i < nsampled; i++)
                if (sampled[i].p == p) {
                        sampled[i].p = NULL;
                        nfreed++;
                        return;
                }
        unknown++;
}

PLAIN_TEST(samples_come_once_in_so_many_bytes_and_their_frees_are_told)
{
        enum { BLOCKS = 100000, SIZE = 127, MEAN = 100 * 128 };
        static const struct mem_sampler sampler = { on_alloc, on_free };
        static void                    *p[BLOCKS];

        weir__mem_sample(&sampler, MEAN);
        for (int i = 0; i < BLOCKS; i++)
                p[i] = weir__malloc(SIZE);
        weir__mem_sample(NULL, 0);
        ck_assert_uint_ge(nsampled, 800);       /* 1000 expected, deviation 32 */
        ck_assert_uint_le(nsampled, 1200);
        for (size_t i = 0; i < nsampled; i++)
                ck_assert_uint_eq(sampled[i].size, SIZE);
        for (int i = 0; i < BLOCKS; i++)
                weir__free(p[i]);
        ck_assert_uint_eq(nfreed, nsampled);
        ck_assert_uint_eq(unknown, 0);
        weir__mem_check();
}
