/* The soft limit that WEIR_MEMORY says. */
/* run: WEIR_MEMORY=1.5GiB */
#include "check.h"

PLAIN_TEST(the_variable_is_read_with_its_unit)
{
        ck_assert_uint_eq(weir_memory_limit(0), 1536u << 20);
}

PLAIN_TEST(a_call_overrides_the_variable)
{
        weir_memory_limit(1 << 30);
        ck_assert_uint_eq(weir_memory_limit(0), 1 << 30);
}
