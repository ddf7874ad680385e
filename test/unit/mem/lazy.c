/* The switch madvfree: what is given back is the kernel's to take when it likes, and no sooner. */
/* run: WEIR_DEBUG=madvfree=1 */
#include "check.h"
#include "mem/heap.h"
#include "os/os.h"

PLAIN_TEST(lazily_released_memory_stays_resident_without_pressure)
{
        enum { BYTES = 64 << 20 };
        char          *p = memset(weir__malloc(BYTES), 1, BYTES), *q;
        weir_mem_stats s;

        if (WEIR_TSAN || WEIR_ASAN)
                test_skip("the sanitizer's shadow is resident too");
        weir__free(p);
        ck_assert_uint_ge(weir_mem_release(), BYTES - (1 << 20));
        weir_mem_read(&s);
        ck_assert_uint_ge(s.heap_released, BYTES - (1 << 20));
        ck_assert_uint_ge(weir__os_resident(), BYTES / 2);
        q = weir__calloc(1, BYTES);             /* may read what was there: must be cleared */
        for (int i = 0; i < BYTES; i += 4096)
                ck_assert_int_eq(q[i], 0);
        weir__free(q);
        weir__mem_check();
}
