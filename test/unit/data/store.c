/* Which block an address is in. */
#include "check.h"
#include "mem/mem.h"
#include <errno.h>
#include <stdlib.h>
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
