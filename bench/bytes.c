/* Routines on bytes at 16 bytes, 1 KiB and 1 MiB.
 *
 * NAME_SIZE      what is looked for is not there, or both sides are equal: all bytes are looked at
 * find_worst_4K  aaaa...ab in aaaa...: where a plain search compares everything everywhere
 * libc_NAME_SIZE glibc's on the same memory; its twin in Go is the same routine of Go again
 *
 * One op is one call. Fair: both sides search the same bytes for the same ones, in memory that was
 * touched before, and use the result. Go's compiler inlines nothing here but the call itself. */
#define _GNU_SOURCE
#include "bench.h"

#include <stdlib.h>
#include <string.h>

enum { K = 1024, M = 1024 * 1024 };

static char *text, *same;
static volatile size_t sink;

/* A text of small letters, and a copy of it, with room beside them. */
static void prepare(struct bench *b, size_t n)
{
        if (!text) {
                text = bench_alloc(1, M + 64);
                same = bench_alloc(1, M + 64);
        }
        for (size_t i = 0; i < n; i++)
                text[i] = same[i] = (char)('a' + i * 7 % 25);
        bench_timer_reset(b);
}

#define hide(p) __asm__ volatile("" : "+r"(p) : : "memory")

#define SIZES(NAME, EXPR)                                                               \
        BENCH(NAME##_16) { RUN(16, EXPR) }                                              \
        BENCH(NAME##_1K) { RUN(K, EXPR) }                                               \
        BENCH(NAME##_1M) { RUN(M, EXPR) }
#define RUN(SIZE, EXPR)                                                                 \
        char  *s, *t;                                                                   \
        size_t n = (SIZE);                                                              \
        prepare(b, n);                                                                  \
        s = text;                                                                       \
        t = same;                                                                       \
        for (int64_t i = 0; i < b->n; i++) {                                            \
                hide(s);                                                                \
                hide(n);                                                                \
                sink = (size_t)(EXPR);                                                  \
        }                                                                               \
        (void)t;

SIZES(index, weir_bytes_index(s, n, 'Z'))
SIZES(last_index, weir_bytes_last_index(s, n, 'Z'))
SIZES(count, weir_bytes_count(s, n, 'c'))
SIZES(equal, weir_bytes_equal(s, t, n))
SIZES(compare, weir_bytes_compare(s, n, t, n))
SIZES(find, weir_bytes_find(s, n, "hovcjqz", 7))
SIZES(index_any, weir_bytes_index_any(s, n, "ZXYWV!", 6))
SIZES(equal_fold, weir_bytes_equal_fold(s, t, n))
SIZES(lower, (weir_bytes_lower(t, s, n), 0))
SIZES(reverse, (weir_bytes_reverse(s, n), 0))
SIZES(utf8_valid, weir_utf8_valid(s, n))

BENCH(find_worst_4K)
{
        static char all[4096];
        char       *s = all;

        memset(all, 'a', sizeof all);
        bench_timer_reset(b);
        for (int64_t i = 0; i < b->n; i++) {
                hide(s);
                sink = (size_t)weir_bytes_find(s, sizeof all, "aaaaaaaaaaaaaaaaaaab", 20);
        }
}

SIZES(libc_index, memchr(s, 'Z', n))
SIZES(libc_last_index, memrchr(s, 'Z', n))
SIZES(libc_equal, memcmp(s, t, n) == 0)
SIZES(libc_compare, memcmp(s, t, n))
SIZES(libc_find, memmem(s, n, "hovcjqz", 7))

BENCH(libc_find_worst_4K)
{
        static char all[4096];
        char       *s = all;

        memset(all, 'a', sizeof all);
        bench_timer_reset(b);
        for (int64_t i = 0; i < b->n; i++) {
                hide(s);
                sink = (size_t)memmem(s, sizeof all, "aaaaaaaaaaaaaaaaaaab", 20);
        }
}
