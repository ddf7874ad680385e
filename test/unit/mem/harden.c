/* Hardening does not get in the way of a program that makes no mistake. Those that do: test/crash.
 * */
/* run: WEIR_DEBUG=harden=1 */
#include "check.h"
#include "mem/heap.h"
#include <stdlib.h>

PLAIN_TEST_WITH(blocks_keep_their_content_and_their_exact_size, .timeout = 60)
{
        enum { N = 600, OPS = 40000 };
        struct { unsigned char *p; size_t size; } b[N] = { 0 };
        uint64_t seed = 9;

        for (int op = 0; op < OPS; op++) {
                unsigned i = weir__rand_below(&seed, N);

                if (b[i].p) {
                        ck_assert_uint_eq(b[i].p[b[i].size - 1], (unsigned char)i);
                        ck_assert_uint_eq(weir__malloc_usable_size(b[i].p), b[i].size);
                        weir__free(b[i].p);
                        b[i].p = NULL;
                        continue;
                }
                b[i].size = 1 + weir__rand_below(&seed, op % 100 ? 3000 : 300000);
                b[i].p = op % 2 ? weir__malloc(b[i].size)
                                : weir__memalign((size_t)16 << op % 9, b[i].size);
                ck_assert_ptr_nonnull(b[i].p);
                memset(b[i].p, (int)i, b[i].size);
        }
        weir__mem_check();
}

PLAIN_TEST(fresh_memory_is_poisoned_and_calloc_clears_it)
{
        unsigned char *p = weir__malloc(64), *q = weir__calloc(1, 64);

        for (int i = 0; i < 64; i++) {
                ck_assert_uint_ne(p[i], 0);
                ck_assert_uint_eq(q[i], 0);
        }
}

PLAIN_TEST_WITH(realloc_keeps_the_content, .timeout = 60)
{
        char *p = weir__malloc(10);

        memset(p, 'x', 10);
        for (size_t size = 20; size < 300000; size *= 3) {
                p = weir__realloc(p, size);
                ck_assert_int_eq(p[9], 'x');
        }
        weir__free(p);
}

PLAIN_TEST(addresses_come_in_no_order)
{
        char *p[64];
        int   up = 0;

        for (int i = 0; i < 64; i++)
                p[i] = weir__malloc(200);
        for (int i = 1; i < 64; i++)
                up += p[i] > p[i - 1];
        ck_assert_int_gt(up, 10);
        ck_assert_int_lt(up, 54);
}

PLAIN_TEST(a_freed_block_is_not_handed_out_at_once)
{
        char *p = weir__malloc(5000);

        weir__free(p);
        for (int i = 0; i < 100; i++)
                ck_assert_ptr_ne(weir__malloc(5000), p);
}
