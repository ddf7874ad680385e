/* Splitting, fields, trimming, the builder. */
#include "check.h"
#include "base/base.h"
#include <string.h>

static bool is(weir_view v, const char *s)
{
        return weir_view_equal(v, weir_view_of(s));
}

PLAIN_TEST(n_separators_make_n_plus_one_parts)
{
        weir_views v = weir_bytes_split(",a,,b,", 6, ",", 1);

        ck_assert_uint_eq(v.len, 5);
        ck_assert(is(v.ptr[0], "") && is(v.ptr[1], "a") && is(v.ptr[2], "") && is(v.ptr[3], "b") &&
                  is(v.ptr[4], ""));
        ck_assert_uint_eq(weir_bytes_split("", 0, ",", 1).len, 1);
        ck_assert_uint_eq(weir_bytes_split(NULL, 0, ",", 1).len, 1);
}

PLAIN_TEST(parts_and_separators_make_the_whole_again)
{
        char     s[100], joined[100];
        uint64_t seed = 3;

        for (int round = 0; round < 20000; round++) {
                size_t    n = weir__rand_below(&seed, 100), m = 1 + weir__rand_below(&seed, 2), at = 0;
                weir_view rest = { s, n }, part;

                for (size_t i = 0; i < n; i++)
                        s[i] = (char)('a' + weir__rand_below(&seed, 3));
                for (int first = 1; weir_bytes_cut(&rest, "ab", m, &part); first = 0) {
                        if (!first) {
                                memcpy(joined + at, "ab", m);
                                at += m;
                        }
                        must(weir_bytes_find(part.ptr, part.len, "ab", m) == -1);
                        memcpy(joined + at, part.ptr, part.len);
                        at += part.len;
                }
                must(at == n);
                must(!memcmp(s, joined, n));
        }
}

PLAIN_TEST(an_empty_separator_takes_characters)
{
        weir_views v = weir_bytes_split("a\xc3\xa4\xff", 4, "", 0);

        ck_assert_uint_eq(v.len, 3);
        ck_assert(is(v.ptr[0], "a") && is(v.ptr[1], "\xc3\xa4") && is(v.ptr[2], "\xff"));
        ck_assert_uint_eq(weir_bytes_split("", 0, "", 0).len, 0);
}

PLAIN_TEST(fields_are_what_is_not_white)
{
        weir_views v = weir_bytes_fields(" \t one\n\vtwo\f\rthree", 18);

        ck_assert_uint_eq(v.len, 3);
        ck_assert(is(v.ptr[0], "one") && is(v.ptr[1], "two") && is(v.ptr[2], "three"));
        ck_assert_uint_eq(weir_bytes_fields(" \t ", 3).len, 0);
        ck_assert(is(weir_view_trim(weir_view_of("\t a b \n")), "a b"));
        ck_assert(is(weir_view_trim(weir_view_of(" ")), ""));
}

PLAIN_TEST(a_builder_holds_what_was_added)
{
        weir_builder b = { 0 };
        size_t       len;
        char        *s;

        weir_builder_add(&b, NULL, 0);
        weir_builder_add_string(&b, "weir");
        weir_builder_add_byte(&b, ' ');
        weir_builder_print(&b, "%d-%s", 42, "x");
        weir_builder_add_char(&b, 0xe4);
        weir_builder_add_char(&b, 0x20ac);
        weir_builder_add_char(&b, 0x1f600);
        weir_builder_add_char(&b, 0xd800);
        s = weir_builder_take(&b, &len);
        ck_assert_str_eq(s, "weir 42-x\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbd");
        ck_assert_uint_eq(len, strlen(s));
        ck_assert_ptr_null(b.ptr);
        ck_assert_str_eq(weir_builder_take(&b, NULL), "");
}

PLAIN_TEST(a_builder_adds_its_own_bytes_and_long_prints)
{
        weir_builder b = { 0 };

        weir_builder_add_string(&b, "0123456789abcdef");
        for (int i = 0; i < 12; i++)
                weir_builder_add(&b, b.ptr, b.len);
        ck_assert_uint_eq(b.len, 16u << 12);
        for (size_t i = 0; i < b.len; i++)
                must(b.ptr[i] == "0123456789abcdef"[i % 16]);
        b.len = 0;
        weir_builder_print(&b, "%0*d", 200000, 7);
        ck_assert_uint_eq(b.len, 200000);
        ck_assert_int_eq(b.ptr[199999], '7');
}
