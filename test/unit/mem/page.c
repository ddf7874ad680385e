/* The page heap: against a model, aligned, fragmented, given back, failing. */
#include "check.h"
#include "mem/heap.h"
#include "os/os.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static ptrdiff_t alloc(size_t n, size_t align)
{
        bool      zero;
        ptrdiff_t page;

        weir__mem_lock(&weir__heap_lock);
        page = weir__page_alloc(n, align, 0, &zero);
        weir__mem_unlock(&weir__heap_lock);
        return page;
}

static void release(ptrdiff_t page, size_t n)
{
        weir__mem_lock(&weir__heap_lock);
        weir__page_free((size_t)page, n, false);
        weir__mem_unlock(&weir__heap_lock);
}

static char *at(ptrdiff_t page)
{
        return (char *)weir__heap.base + ((size_t)page << PAGE_SHIFT);
}

/* The pages are not those of spans, so the walk as a whole would object. */
static void walk(void)
{
        weir__mem_lock_all();
        weir__page_check();
        weir__mem_unlock_all();
}

PLAIN_TEST(the_first_run_that_fits_is_taken)
{
        ptrdiff_t p[4];

        ck_assert(weir__mem_start());
        for (int i = 0; i < 4; i++)
                p[i] = alloc(3000, 1);
        for (int i = 1; i < 4; i++)
                ck_assert_int_eq(p[i], p[0] + 3000 * i);
        release(p[0], 3000);
        release(p[2], 3000);
        ck_assert_int_eq(alloc(2900, 1), p[0]);
        ck_assert_int_eq(alloc(2900, 1), p[2]);
        ck_assert_int_eq(alloc(100, 1), p[0] + 2900);
        ck_assert_int_eq(alloc(101, 1), p[3] + 3000);
}

PLAIN_TEST(no_page_is_handed_out_twice)
{
        enum { RUNS = 400, OPS = 20000, MODEL = 1 << 20 };
        static uint8_t used[MODEL];
        struct { ptrdiff_t page; size_t n; } run[RUNS] = { 0 };
        uint64_t       seed = 4711;

        ck_assert(weir__mem_start());
        for (int op = 0; op < OPS; op++) {
                unsigned i = weir__rand_below(&seed, RUNS);

                if (run[i].n) {
                        memset(used + run[i].page, 0, run[i].n);
                        release(run[i].page, run[i].n);
                        run[i].n = 0;
                        continue;
                }
                run[i].n = 1 + weir__rand_below(&seed, op % 50 ? 40 : 3000);
                run[i].page = alloc(run[i].n, (size_t)1 << weir__rand_below(&seed, 4));
                ck_assert_int_ge(run[i].page, 0);
                ck_assert_int_lt(run[i].page + (ptrdiff_t)run[i].n, MODEL);
                for (size_t k = 0; k < run[i].n; k++)
                        ck_assert_uint_eq(used[(size_t)run[i].page + k]++, 0);
                if (op % 1000 == 0)
                        walk();
        }
        walk();
}

PLAIN_TEST(pages_are_aligned_as_asked)
{
        ck_assert(weir__mem_start());
        for (size_t align = 1; align <= HUGE_PAGES; align *= 2)
                for (int i = 0; i < 5; i++)
                        ck_assert_uint_eq((size_t)alloc(3, align) % align, 0);
        ck_assert_uint_eq((uintptr_t)at(alloc(1, HUGE_PAGES)) % HUGE_SIZE, 0);
        walk();
}

PLAIN_TEST(fresh_pages_and_returned_ones_read_as_zero)
{
        size_t    cursor = 0;
        bool      zero;
        ptrdiff_t p;

        ck_assert(weir__mem_start());
        weir__mem_lock(&weir__heap_lock);
        p = weir__page_alloc(600, 1, 0, &zero);
        weir__mem_unlock(&weir__heap_lock);
        ck_assert(zero);
        memset(at(p), 1, 600 * PAGE_SIZE);
        release(p, 600);

        weir__mem_lock(&weir__heap_lock);
        ck_assert_int_eq(weir__page_alloc(600, 1, 0, &zero), p);
        weir__mem_unlock(&weir__heap_lock);
        ck_assert(!zero);                       /* nobody cleared them */
        release(p, 600);

        while (weir__page_release(&cursor, 100, false))
                ;
        ck_assert_uint_eq(weir__heap_pages.idle, 0);
        weir__mem_lock(&weir__heap_lock);
        ck_assert_int_eq(weir__page_alloc(600, 1, 0, &zero), p);
        weir__mem_unlock(&weir__heap_lock);
        ck_assert(zero);
        for (size_t i = 0; i < 600 * PAGE_SIZE; i += 512)
                ck_assert_int_eq(at(p)[i], 0);
}

PLAIN_TEST(released_memory_leaves_the_process)
{
        size_t    cursor = 0, before, with, after;
        ptrdiff_t p;

        if (WEIR_TSAN || WEIR_ASAN)
                test_skip("the sanitizer's shadow is resident too");
        ck_assert(weir__mem_start());
        before = weir__os_resident();
        p = alloc(8192, 1);
        memset(at(p), 1, 8192 * PAGE_SIZE);
        with = weir__os_resident();
        ck_assert_uint_ge(with, before + (60 << 20));
        release(p, 8192);
        ck_assert_uint_ge(weir__os_resident(), before + (60 << 20));
        while (weir__page_release(&cursor, 1024, true))
                ;
        after = weir__os_resident();
        ck_assert_uint_le(after, before + (8 << 20));
        walk();
}

/* Beyond what is opened the range has no right of access: a wild store there is a fault. */
PLAIN_TEST(a_store_beyond_what_is_opened_faults)
{
        int   status;
        pid_t pid;

        ck_assert(weir__mem_start());
        weir__free(weir__malloc(1));
        pid = fork();
        if (!pid) {
                signal(SIGSEGV, SIG_DFL);
                *(volatile char *)at((ptrdiff_t)weir__heap_pages.grown + 5) = 1;
                _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFSIGNALED(status) ? WTERMSIG(status) == SIGSEGV : WEXITSTATUS(status) != 0);
}

/* What a program has locked the kernel may keep; it must not be taken for fresh then. */
PLAIN_TEST(locked_memory_is_not_taken_for_zero)
{
        enum { BYTES = 16 << 20 };
        unsigned char *p = memset(weir__malloc(BYTES), 1, BYTES), *q;

        if (mlock(p, BYTES))
                test_skip("no memory may be locked");
        weir__free(p);
        weir_mem_release();
        q = weir__calloc(1, BYTES);
        for (int i = 0; i < BYTES; i += 512)
                ck_assert_uint_eq(q[i], 0);
        memset(q, 1, BYTES);
        q = weir__realloc(q, 4 * BYTES);                /* perhaps in steps */
        for (int i = 0; i < BYTES; i += 512)
                ck_assert_uint_eq(q[i], 1);
        weir__free(q);
        weir__mem_check();
}

/* A spike must not leave behind what described it: structs of spans and their table. */
PLAIN_TEST(tables_go_with_the_pages_that_they_describe)
{
        enum { N = 262144 };
        static char *p[N];
        size_t       before, during, after;

        ck_assert(weir__mem_start());
        weir__free(memset(weir__malloc(4096), 1, 4096));
        memset(p, 1, sizeof p);
        before = weir__os_resident();
        for (int i = 0; i < N; i++)                     /* 1 GiB, of which nothing is touched */
                p[i] = weir__malloc(4096);
        during = weir__os_resident();
        ck_assert_uint_ge(during, before + (512 << 10));
        for (int i = 0; i < N; i++)
                weir__free(p[i]);
        weir__cache_flush(weir__cache_own);
        weir_mem_release();
        after = weir__os_resident();
        if (!WEIR_TSAN && !WEIR_ASAN)
                ck_assert_uint_le(after, before + (during - before) / 2);
        weir__mem_check();
        for (int i = 0; i < N; i++)                     /* and come again */
                p[i] = weir__malloc(4096);
        weir__mem_check();
        for (int i = 0; i < N; i++)
                weir__free(p[i]);
        weir__mem_check();
}

PLAIN_TEST(huge_pages_go_whole)
{
        size_t    cursor = 0, n = 0, got;
        ptrdiff_t p;

        ck_assert(weir__mem_start());
        p = alloc(4 * HUGE_PAGES, HUGE_PAGES);
        release(p + 10, 100);                           /* not a whole one */
        release(p + HUGE_PAGES, HUGE_PAGES + 50);       /* one and a piece */
        while ((got = weir__page_release(&cursor, 1000, true)))
                n += got;
        ck_assert_uint_eq(n, HUGE_PAGES);
        cursor = 0;
        while ((got = weir__page_release(&cursor, 1000, false)))
                n += got;
        ck_assert_uint_ge(n, HUGE_PAGES + 150);
        walk();
}

static int by_value(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return (x > y) - (x < y);
}

/* Is a search still short when the heap is full of holes too small? Half of the searches are:
 * others may have lost their core. To look at each hole takes ten times the limit and more. */
PLAIN_TEST(a_search_among_a_hundred_thousand_holes_is_short)
{
        enum { HOLES = 100000, TRIES = 2000 };
        static int64_t took[TRIES];
        ptrdiff_t      first, last;

        ck_assert(weir__mem_start());
        first = alloc(2 * HOLES, 1);
        for (int i = 0; i < HOLES; i++)
                release(first + 2 * i, 1);
        for (int i = 0; i < TRIES; i++) {
                took[i] = weir__os_now();
                last = alloc(2, 1);
                release(last, 2);
                took[i] = weir__os_now() - took[i];
                ck_assert_int_ge(last, first + 2 * HOLES - 1);
        }
        qsort(took, TRIES, sizeof *took, by_value);
        ck_assert_int_lt(took[TRIES / 2], 10000 * WEIR_PATIENCE);
        walk();
}

PLAIN_TEST(the_heap_grows_beyond_four_gibibytes)
{
        ptrdiff_t p;

        ck_assert(weir__mem_start());
        if (weir__heap.pages < (size_t)(6ull << 30) / PAGE_SIZE)
                test_skip("the address space is limited");
        p = alloc((size_t)(5ull << 30) / PAGE_SIZE, 1);
        ck_assert_int_ge(p, 0);
        at(p)[(5ull << 30) - 1] = 1;
        ck_assert_int_eq(at(p)[(5ull << 30) - 1], 1);
        walk();
}

PLAIN_TEST(more_than_the_range_is_refused)
{
        ck_assert(weir__mem_start());
        ck_assert_int_eq(alloc(weir__heap.pages + 1, 1), -1);
        ck_assert_int_eq(alloc(SIZE_MAX, 1), -1);
        ck_assert_int_eq(alloc(SIZE_MAX - 100, 256), -1);
        ck_assert_int_ge(alloc(1, 1), 0);
        walk();
}

PLAIN_TEST(a_run_grows_into_the_free_pages_behind_it_and_no_further)
{
        bool      zero;
        ptrdiff_t p, q;

        ck_assert(weir__mem_start());
        p = alloc(30, 1);
        q = alloc(10, 1);
        release(p + 20, 10);
        weir__mem_lock(&weir__heap_lock);
        ck_assert(weir__page_extend((size_t)p + 20, 10, &zero));
        ck_assert(!weir__page_extend((size_t)q, 1, &zero));
        weir__mem_unlock(&weir__heap_lock);
        walk();
}
