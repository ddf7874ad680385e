/* WEIR_DEBUG=memwatch: which sizes only ever grow. */
#include "check.h"
#include "mem/heap.h"
#include <string.h>

enum { LOOKS = 40 };

static char text[4096];

static unsigned look(void)
{
        struct out o = { .str = text, .room = sizeof text };

        memset(text, 0, sizeof text);
        return weir__growth_look(&o);
}

/* 300 blocks of 256 bytes, of which at random half go and come; 64 bytes are taken and given back;
 * of 48 bytes each round loses some. */
PLAIN_TEST(an_injected_leak_is_named_and_nothing_else)
{
        static void *churn[300];
        unsigned     suspects = 0, first = 0;
        uint64_t     rand = 88172645463325252u;

        for (unsigned n = 0; n < LOOKS; n++) {
                for (unsigned i = 0; i < COUNT(churn); i++) {
                        rand ^= rand << 13;
                        rand ^= rand >> 7;
                        rand ^= rand << 17;
                        if (rand & 1 || n == 0) {
                                weir__free(churn[i]);
                                churn[i] = n % 3 || n == 0 ? weir__malloc(256) : NULL;
                        }
                }
                for (int i = 0; i < 100; i++)
                        weir__free(weir__malloc(64));
                for (int i = 0; i < 20 && n % 4 != 3; i++)      /* not in each round */
                        (void)!weir__malloc(48);
                suspects += look();
                if (suspects && !first) {
                        first = n;
                        ck_assert_ptr_nonnull(strstr(text, "malloc 48 +"));
                        ck_assert_ptr_nonnull(strstr(text, "LEAK? from "));
                }
        }
        ck_assert_uint_ge(first, 7);
        ck_assert_uint_le(first, 12);
        /* Again at twice the growth: 8, 16 and 32 rounds that lose. */
        ck_assert_uint_eq(suspects, 2);
}

/* A cache that fills and then stays is called a suspect at most while it fills. */
PLAIN_TEST(what_has_grown_and_stays_is_no_suspect)
{
        for (unsigned n = 0; n < 5; n++) {
                for (int i = 0; i < 1000; i++)
                        (void)!weir__malloc(96);
                ck_assert_uint_eq(look(), 0);
        }
        for (unsigned n = 0; n < LOOKS; n++) {
                for (int i = 0; i < 1000; i++)
                        weir__free(weir__malloc(96));
                ck_assert_uint_eq(look(), 0);
        }
}
