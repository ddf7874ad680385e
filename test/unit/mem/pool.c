/* Memory of channels and pools of records. */
#include "check.h"
#include "mem/mem.h"
#include <string.h>

PLAIN_TEST(fresh_memory_is_zero_and_aligned)
{
        for (size_t size = 1; size < 5000; size = size * 3 + 1) {
                unsigned char *p = weir__mem_new(size, "test");

                ck_assert_uint_eq((uintptr_t)p % CACHE_LINE, 0);
                for (size_t i = 0; i < size; i++)
                        ck_assert_uint_eq(p[i], 0);
                memset(p, 0xff, size);
        }
}

struct record {
        void *pool_words[2];
        int   number;
};

enum { KEPT = 5 };

static struct pool pool = POOL_INIT(sizeof(struct record), KEPT, "record");

PLAIN_TEST(a_record_is_used_again_only_after_so_many_others)
{
        struct record *r[20];
        bool           fresh;

        for (int i = 0; i < 20; i++) {
                r[i] = weir__pool_get(&pool, &fresh);
                ck_assert(fresh);
                ck_assert_int_eq(r[i]->number, 0);
                r[i]->number = i;
        }
        for (int i = 0; i < KEPT; i++) {
                struct record *other;

                weir__pool_put(&pool, r[i]);
                other = weir__pool_get(&pool, &fresh);
                ck_assert(fresh);
                for (int k = 0; k < 20; k++)
                        ck_assert_ptr_ne(other, r[k]);
        }
        for (int i = KEPT; i < 20; i++)
                weir__pool_put(&pool, r[i]);
        for (int i = 0; i < 20 - KEPT; i++) {           /* the oldest first, content kept */
                struct record *again = weir__pool_get(&pool, &fresh);

                ck_assert(!fresh);
                ck_assert_ptr_eq(again, r[i]);
                ck_assert_int_eq(again->number, i);
        }
        weir__pool_get(&pool, &fresh);
        ck_assert(fresh);
}
