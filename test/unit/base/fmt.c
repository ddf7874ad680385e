/* The runtime's own printf against the C library's. */
#include "check.h"
#include "base/base.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAME(...)                                                               \
        do {                                                                    \
                char   ours_[300], theirs_[300];                                \
                int    n_ = snprintf(theirs_, sizeof theirs_, __VA_ARGS__);     \
                size_t k_ = weir__fmt(ours_, sizeof ours_, __VA_ARGS__);        \
                ck_assert_str_eq(ours_, theirs_);                               \
                ck_assert_uint_eq(k_, (size_t)n_);                              \
        } while (0)

PLAIN_TEST(numbers_look_as_printf_writes_them)
{
        uint64_t rand = 99;

        for (int i = 0; i < 20000; i++) {
                unsigned long long v = (unsigned long long)weir__rand(&rand) << 32 | weir__rand(&rand);
                int                w = (int)weir__rand_below(&rand, 24);

                v >>= weir__rand_below(&rand, 64);
                SAME("%d %i %u %x", (int)v, (int)v, (unsigned)v, (unsigned)v);
                SAME("%ld %lu %lx", (long)v, (unsigned long)v, (unsigned long)v);
                SAME("%lld %llu %llx", (long long)v, v, v);
                SAME("%zu %zx", (size_t)v, (size_t)v);
                SAME("[%*d] [%*llu] [%-*lld]", w, (int)v, w, v, w, (long long)v);
                SAME("[%0*u] [%0*llx] [%12x] [%-12u]", w, (unsigned)v, w, v, (unsigned)v, (unsigned)v);
        }
        SAME("%d %d %lld %lld %llu", INT_MIN, INT_MAX, LLONG_MIN, LLONG_MAX, ULLONG_MAX);
        SAME("%05d %03d %08lld", -42, -7, -123456LL);
}

PLAIN_TEST(strings_characters_and_pointers_too)
{
        SAME("%s|%10s|%-10s|%2s", "abc", "abc", "abc", "abc");
        SAME("%c%c", 'x', 'y');
        SAME("%p", (void *)0x7fff1234);
        SAME("100%% of %s", "it");
        SAME("plain");
        SAME("%s%s", "", "");
}

PLAIN_TEST(what_does_not_fit_is_cut_off_and_ended)
{
        char buf[8], one[1] = { 'x' };

        memset(buf, 'x', sizeof buf);
        ck_assert_uint_eq(weir__fmt(buf, sizeof buf, "%s", "0123456789"), 7);
        ck_assert_str_eq(buf, "0123456");
        ck_assert_uint_eq(weir__fmt(one, 1, "%d", 5), 0);
        ck_assert_int_eq(one[0], 0);
        ck_assert_uint_eq(weir__fmt(NULL, 0, "%d", 5), 0);
}

PLAIN_TEST(a_long_text_keeps_its_beginning)
{
        static char text[3000], buf[2000];

        for (size_t i = 0; i < sizeof text - 1; i++)
                text[i] = (char)('a' + i % 26);
        ck_assert_uint_eq(weir__fmt(buf, sizeof buf, "%s", text), sizeof buf - 1);
        ck_assert(!memcmp(buf, text, sizeof buf - 1));
}

/* Through the buffer of struct out, whose size the text passes many times. */
PLAIN_TEST(a_descriptor_gets_all_of_a_long_text)
{
        struct out o = { 0 };
        char      *text = calloc(1, 60001), *got = calloc(1, 70000), number[16];
        size_t     n = 0;
        ssize_t    k;
        int        fd[2];

        ck_assert_int_eq(pipe(fd), 0);
        o.fd = fd[1];
        for (int i = 0; n < 50000; i++) {
                weir__out_print(&o, "%d,%s;", i, "some text");
                n += (size_t)snprintf(number, sizeof number, "%d,", i);
                strcat(text + n - strlen(number), number);
                strcpy(text + n, "some text;");
                n += strlen("some text;");
        }
        weir__out_flush(&o);
        close(fd[1]);
        for (n = 0; (k = read(fd[0], got + n, 70000 - n)) > 0;)
                n += (size_t)k;
        ck_assert_uint_eq(n, strlen(text));
        ck_assert(!strcmp(got, text));
        free(text);
        free(got);
}
