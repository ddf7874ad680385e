/* Which block an address is in. */
#include "check.h"
#include "mem/mem.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir.h>

WEIR_TEST(a_block_is_found_from_any_of_its_bytes)
{
        char  *p, *object = weir_new_bytes(100);
        void  *start = NULL;
        size_t size = 0;
        int    local, unset = 7;

        ck_assert_int_eq(weir_mem_block(object + 50, &start, &size), 0);
        ck_assert_ptr_eq(start, object);
        ck_assert_uint_ge(size, 100);
        ck_assert_int_eq(weir_mem_block(&local, NULL, NULL), -ENOENT);
        ck_assert_int_eq(weir_mem_block(NULL, NULL, NULL), -ENOENT);
        start = &unset;
        ck_assert_int_eq(weir_mem_block((void *)1, &start, NULL), -ENOENT);
        ck_assert_ptr_eq(start, &unset);
        p = malloc(1);
        if (!weir__mem_own(p)) {                /* malloc is another's */
                free(p);
                return;
        }
        free(p);
        for (size_t n = 1; n < 1 << 20; n = n * 3 + 1) {
                p = malloc(n);
                ck_assert_int_eq(weir_mem_block(p, &start, &size), 0);
                ck_assert_ptr_eq(start, p);
                ck_assert_uint_ge(size, n);
                ck_assert_int_eq(weir_mem_block(p + n - 1, &start, NULL), 0);
                ck_assert_ptr_eq(start, p);
                free(p);
        }
}

/* ---- casts ---- */

struct wide { uint64_t word[8]; };

struct attempt {
        char  *at;
        size_t size;            /* of what is cast to: 1, 8 or 64 */
};

static void cast(void *arg)
{
        struct attempt *a = arg;

        if (a->size == 1)
                a->at = (char *)weir_cast(char, a->at);
        else if (a->size == 8)
                a->at = (char *)weir_cast(uint64_t, a->at);
        else
                a->at = (char *)weir_cast(struct wide, a->at);
}

static const char *refusal(char *at, size_t size)
{
        static weir_panic_info info;
        struct attempt         a = { at, size };

        if (!weir_protect(cast, &a, &info)) {
                must(a.at == at);
                return "";
        }
        return info.message;
}

/* Every size at every place of a block: what fits and is aligned is let through, nothing else. */
WEIR_TEST(a_cast_is_refused_where_it_does_not_fit)
{
        static const size_t sizes[] = { 1, 8, 64 };
        void               *start;
        size_t              size;
        char                want[80];

        for (size_t n = 1; n < 5000; n = n * 2 + 1) {
                char *p = weir_new_bytes(n);

                ck_assert_int_eq(weir_mem_block(p, &start, &size), 0);
                for (size_t i = 0; i < size; i++)
                        for (size_t k = 0; k < COUNT(sizes); k++) {
                                const char *said = refusal(p + i, sizes[k]);

                                if (sizes[k] > 1 && i % 8)
                                        must(strstr(said, "is not aligned to the 8 bytes of"));
                                else if (sizes[k] <= size - i)
                                        must(!*said);
                                else {
                                        snprintf(want, sizeof want,
                                                 "has %zu bytes, the block has %zu", sizes[k],
                                                 size - i);
                                        must(strstr(said, want));
                                }
                        }
                weir_keep_alive(p);
        }
}

WEIR_TEST(a_cast_of_other_memory_is_judged_by_its_alignment)
{
        static uint64_t global[9];
        uint64_t        local[8] = { 0 };

        must(!*refusal((char *)global, 64) && !*refusal((char *)local, 64));
        must(strstr(refusal((char *)global + 4, 64), "not aligned"));
        must(!weir_cast(struct wide, NULL));
}
