/* Memory that is not looked at: excluded ranges, and blocks of weir_malloc_plain. */
#include "check.h"
#include "gc/gc.h"
#include "mem/heap.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { COPIES = WEIR_ASAN || WEIR_TSAN, OBJECTS = 20 };

__attribute__((constructor)) static void collect_anyway(void)
{
        setenv("WEIR_DEBUG", "gcforeign=1", 1);
        setenv("WEIR_GC", "off", 1);
}

static bool foreign(void)
{
        void *p = calloc(1, 1);
        bool  own = weir__mem_own(p);

        free(p);
        return !own;
}

weir_task(fill, my, { void **at; uintptr_t *hidden; size_t step; weir_wg *wg; })
{
        for (int i = 0; i < OBJECTS; i++) {
                void *p = weir_new_bytes(64);

                my->at[(size_t)i * my->step] = p;
                my->hidden[i] = ~(uintptr_t)p;
        }
        weir_wg_done(my->wg);
}

static noinline bool alive(uintptr_t hidden)
{
        struct mem_object o;

        return weir__mem_find((void *)~hidden, &o) && o.kind == MEM_PLAIN;
}

/* Puts objects at at, step words apart, and answers how many of them a collection left. */
static noinline unsigned left(void **at, size_t step)
{
        char volatile waste[4096];
        uintptr_t     hidden[OBJECTS];
        unsigned      n = 0;
        weir_wg       wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(fill, .at = at, .hidden = hidden, .step = step, .wg = &wg);
        weir_wg_wait(&wg);
        for (size_t i = 0; i < sizeof waste; i++)
                waste[i] = 0;
        weir_gc_run();
        for (int i = 0; i < OBJECTS; i++)
                n += alive(hidden[i]);
        /* Or they would hold what comes to be there next. */
        for (size_t i = 0; i < OBJECTS; i++)
                at[i * step] = NULL;
        return n;
}

enum { FEW = COPIES ? OBJECTS : 3 };

static void *globals[1024];

WEIR_TEST(globals_that_are_excluded_hold_nothing)
{
        ck_assert_uint_eq(left(globals, 50), OBJECTS);
        ck_assert_int_eq(weir_gc_exclude(globals, sizeof globals), 0);
        ck_assert_uint_le(left(globals, 50), FEW);
        ck_assert_int_eq(weir_gc_exclude(&globals[10], 800), 0);        /* they may overlap */
        ck_assert_int_eq(weir_gc_include(globals, sizeof globals), 0);
        ck_assert_uint_eq(left(globals + 120, 20), OBJECTS);
        ck_assert_uint_le(left(globals + 10, 5), FEW);
        ck_assert_uint_eq(left(globals + 110, 5), OBJECTS);
        ck_assert_int_eq(weir_gc_include(&globals[10], 800), 0);
        ck_assert_uint_eq(left(globals + 10, 5), OBJECTS);
        memset(globals, 0, sizeof globals);
}

WEIR_TEST(words_that_are_partly_excluded_count)
{
        ck_assert_int_eq(weir_gc_exclude((char *)globals + 4, 8 * OBJECTS - 8), 0);
        /* The first word and the last are not inside. */
        ck_assert_uint_le(left(globals, 1), FEW + 2);
        ck_assert_uint_ge(left(globals, 1), 2);
        ck_assert_int_eq(weir_gc_include((char *)globals + 4, 8 * OBJECTS - 8), 0);
        memset(globals, 0, sizeof globals);
}

WEIR_TEST(named_memory_and_blocks_that_are_excluded_hold_nothing)
{
        size_t size = 1 << 20;
        void **map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        void **block = calloc(1, size);

        ck_assert_int_eq(weir_gc_root_add(map, size), 0);
        ck_assert_uint_eq(left(map, 2000), OBJECTS);
        ck_assert_int_eq(weir_gc_exclude(map, size), 0);
        ck_assert_uint_le(left(map, 2000), FEW);
        ck_assert_int_eq(weir_gc_include(map, size), 0);
        ck_assert_int_eq(weir_gc_root_remove(map, size), 0);
        munmap(map, size);
        if (foreign())
                test_skip("malloc is another's");
        ck_assert_uint_eq(left(block, 2000), OBJECTS);
        ck_assert_int_eq(weir_gc_exclude(block, size), 0);
        for (int i = 0; i < 3; i++)
                ck_assert_uint_le(left(block, 2000), FEW);
        ck_assert_int_eq(weir_gc_include(block, size), 0);
        ck_assert_uint_eq(left(block, 2000), OBJECTS);
        free(block);
}

static noinline void put_one(void **at, uintptr_t *ret)
{
        *at = weir_new_bytes(64);
        *ret = ~(uintptr_t)*at;
}

/* A page that was passed over was not seen to be without pointers. */
WEIR_TEST(an_included_page_is_read_though_nobody_wrote_it_since)
{
        size_t    size = 1 << 20;
        void    **block = calloc(1, size), *volatile keep;
        uintptr_t hidden;

        if (foreign())
                test_skip("malloc is another's");
        ck_assert_int_eq(weir_gc_exclude(block, size), 0);
        put_one(&block[5000], &hidden);
        keep = block[5000];
        for (int i = 0; i < 3; i++)
                weir_gc_run();
        ck_assert_int_eq(weir_gc_include(block, size), 0);
        ck_assert_ptr_nonnull(keep);
        keep = NULL;
        weir_gc_run();
        ck_assert(alive(hidden));
        free(block);
}

WEIR_TEST(ranges_that_make_no_sense_are_refused)
{
        ck_assert_int_eq(weir_gc_exclude(NULL, 8), -EINVAL);
        ck_assert_int_eq(weir_gc_exclude(globals, SIZE_MAX), -EINVAL);
        ck_assert_int_eq(weir_gc_include(globals, 8), -ENOENT);
        ck_assert_int_eq(weir_gc_exclude(globals, 8), 0);
        ck_assert_int_eq(weir_gc_include(globals, 16), -ENOENT);
        ck_assert_int_eq(weir_gc_include(globals, 8), 0);
        ck_assert_int_eq(weir_gc_include(globals, 8), -ENOENT);
}

WEIR_TEST(ranges_at_random_are_what_a_bitmap_says)
{
        enum { WORDS = 512, RANGES = 200 };
        static uintptr_t heap[WORDS];
        static uint8_t   inside[WORDS];
        struct { uint32_t low, n; } range[RANGES] = { 0 };
        uint64_t s = 1;

        for (int round = 0; round < 4000; round++) {
                uint32_t i = (uint32_t)((s = s * 6364136223846793005u + 1) >> 40) % RANGES;

                if (range[i].n) {
                        ck_assert_int_eq(weir_gc_include(&heap[range[i].low], range[i].n * 8), 0);
                        range[i].n = 0;
                } else {
                        range[i].low = (uint32_t)(s >> 20) % WORDS;
                        range[i].n = 1 + (uint32_t)(s >> 33) % 8;
                        ck_assert_int_eq(weir_gc_exclude(&heap[range[i].low], range[i].n * 8), 0);
                }
                memset(inside, 0, sizeof inside);
                for (int k = 0; k < RANGES; k++)
                        for (uint32_t w = 0; w < range[k].n && range[k].low + w < WORDS; w++)
                                inside[range[k].low + w] = 1;
                weir__exclude_look();
                for (uint32_t w = 0; w < WORDS; w++)
                        must(weir__exclude_any((uintptr_t)&heap[w], (uintptr_t)&heap[w + 1]) ==
                             inside[w]);
        }
}

/* ---- plain blocks ---- */

WEIR_TEST(plain_blocks_of_all_sizes_hold_nothing)
{
        if (foreign())
                test_skip("malloc is another's");
        for (size_t size = 1; size < (1 << 20); size = size * 3 / 2 + 1) {
                char  *p = weir_malloc_plain(size);
                size_t room = weir__malloc_usable_size(p);

                ck_assert_uint_ge(room, size);
                memset(p, 0x5a, room);
                if (room >= 8 * OBJECTS)
                        ck_assert_uint_le(left((void **)(void *)p, 1), FEW);
                p = realloc(p, 2 * size + 1);
                if (size < 8 * OBJECTS)
                        ck_assert_int_eq(p[size - 1], 0x5a);
                room = weir__malloc_usable_size(p);
                if (room >= 8 * OBJECTS)
                        ck_assert_uint_le(left((void **)(void *)p, 1), FEW);
                free(p);
        }
}

WEIR_TEST(plain_blocks_do_not_become_others_by_being_freed)
{
        enum { N = 2000 };
        static void *p[N], *q[N];

        if (foreign())
                test_skip("malloc is another's");
        for (int round = 0; round < 5; round++) {
                unsigned mixed = 0;

                for (int i = 0; i < N; i++) {
                        p[i] = weir_malloc_plain(200);
                        q[i] = malloc(200);
                        mixed += !weir__span_of((uintptr_t)p[i])->unscanned;
                        mixed += weir__span_of((uintptr_t)q[i])->unscanned;
                }
                ck_assert_uint_eq(mixed, 0);
                for (int i = 0; i < N; i++) {
                        free(p[i]);
                        free(q[i]);
                }
        }
        weir__mem_check();
}

WEIR_TEST(large_plain_blocks_stay_so_when_they_grow)
{
        char  *p;
        size_t size = 100000;

        if (foreign())
                test_skip("malloc is another's");
        p = weir_malloc_plain(size);
        for (; size < (40 << 20); size *= 2) {
                p = realloc(p, size);
                ck_assert_ptr_nonnull(p);
                ck_assert(weir__span_of((uintptr_t)p)->unscanned);
                ck_assert_uint_eq(load_relaxed(&weir__heap.watch[((uintptr_t)p - weir__heap.base) >>
                                                                 PAGE_SHIFT]), 0);
        }
        p = realloc(p, 100);
        ck_assert(weir__span_of((uintptr_t)p)->unscanned);
        free(p);
        p = malloc(100000);                     /* perhaps the same pages */
        ck_assert(!weir__span_of((uintptr_t)p)->unscanned);
        free(p);
}
