/* Bytes: every way against the plain one; then what the public routines answer at the edges. */
/* timeout: 240 */
#include "check.h"
#include "../../duel.h"
#include "data/bytes.h"
#include <string.h>
#include <time.h>

static void fight(const char *name)
{
        const struct bytes_ops *one = !strcmp(name, "plain") ? &weir__bytes_plain : NULL;
        struct duel             d = { .plain = &weir__bytes_plain, .seed = 88172645463325252u };

        for (const struct bytes_ops *const *o = weir__arch_bytes; *o; o++)
                if (!strcmp((*o)->name, name))
                        one = *o;
        if (!one || one->needs & ~weir__arch_ask())
                test_skip("not on this processor");
        d.one = one;
        ck_assert_msg(duel(&d, 20000), "%s", d.what);
}

PLAIN_TEST_WITH(plain_answers_as_itself, .timeout = 60)
{
        fight("plain");
}

PLAIN_TEST_WITH(sse2_answers_as_plain, .timeout = 60)
{
        fight("sse2");
}

PLAIN_TEST_WITH(avx2_answers_as_plain, .timeout = 60)
{
        fight("avx2");
}

PLAIN_TEST_WITH(avx512_answers_as_plain, .timeout = 60)
{
        fight("avx512");
}

PLAIN_TEST(the_chosen_way_is_that_of_the_features)
{
        const struct bytes_ops *best = weir__arch_bytes_best();

        ck_assert_str_eq(chosen.name, best ? best->name : "plain");
}

PLAIN_TEST(nothing_at_no_address_is_fine)
{
        uint32_t  c;
        weir_view rest = { 0 }, part;

        ck_assert_int_eq(weir_bytes_index(NULL, 0, 0), -1);
        ck_assert_int_eq(weir_bytes_last_index(NULL, 0, 0), -1);
        ck_assert_int_eq(weir_bytes_index_any(NULL, 0, "ab", 2), -1);
        ck_assert_int_eq(weir_bytes_index_any("ab", 2, NULL, 0), -1);
        ck_assert_int_eq(weir_bytes_find(NULL, 0, NULL, 0), 0);
        ck_assert_int_eq(weir_bytes_find(NULL, 0, "ab", 2), -1);
        ck_assert_int_eq(weir_bytes_find_last(NULL, 0, NULL, 0), 0);
        ck_assert_int_eq(weir_bytes_find_last("abc", 3, NULL, 0), 3);
        ck_assert_uint_eq(weir_bytes_count(NULL, 0, 0), 0);
        ck_assert(weir_bytes_equal(NULL, NULL, 0));
        ck_assert(weir_bytes_equal_fold(NULL, NULL, 0));
        ck_assert_int_eq(weir_bytes_compare(NULL, 0, NULL, 0), 0);
        ck_assert_int_lt(weir_bytes_compare(NULL, 0, "a", 1), 0);
        ck_assert(weir_bytes_has_prefix(NULL, 0, NULL, 0));
        ck_assert(weir_bytes_has_suffix(NULL, 0, NULL, 0));
        weir_bytes_lower(NULL, NULL, 0);
        weir_bytes_upper(NULL, NULL, 0);
        weir_bytes_reverse(NULL, 0);
        weir_utf8_reverse(NULL, 0);
        ck_assert(weir_utf8_valid(NULL, 0));
        ck_assert_uint_eq(weir_utf8_count(NULL, 0), 0);
        ck_assert_uint_eq(weir_utf8_decode(NULL, 0, &c), 0);
        ck_assert(!weir_bytes_cut(&rest, ",", 1, &part));
        ck_assert(!weir_bytes_next_field(&rest, &part));
}

static volatile bool caught;

static void look_at_null(void *arg)
{
        (void)arg;
        weir_bytes_index(NULL, 1, 'x');
}

WEIR_TEST(a_bad_address_is_a_fault_that_can_be_caught)
{
        weir_panic_info info;

        if (WEIR_ASAN || WEIR_TSAN)
                test_skip("the sanitizer reports it first");
        ck_assert_int_eq(weir_protect(look_at_null, NULL, &info), WEIR_EPANIC);
        ck_assert_ptr_nonnull(strstr(info.message, "SIGSEGV"));
        caught = true;
}

PLAIN_TEST(a_prefix_stands_before_what_it_begins)
{
        ck_assert_int_lt(weir_bytes_compare("ab", 2, "abc", 3), 0);
        ck_assert_int_gt(weir_bytes_compare("abc", 3, "ab", 2), 0);
        ck_assert_int_gt(weir_bytes_compare("b", 1, "abc", 3), 0);
        ck_assert_int_gt(weir_bytes_compare("\xff", 1, "\x7f", 1), 0);
}

PLAIN_TEST(prefixes_and_suffixes)
{
        ck_assert(weir_bytes_has_prefix("weir.h", 6, "weir", 4));
        ck_assert(!weir_bytes_has_prefix("weir.h", 6, "weird", 5));
        ck_assert(!weir_bytes_has_prefix("w", 1, "weir", 4));
        ck_assert(weir_bytes_has_suffix("weir.h", 6, ".h", 2));
        ck_assert(!weir_bytes_has_suffix("weir.h", 6, ".c", 2));
        ck_assert(!weir_bytes_has_suffix("h", 1, ".h", 2));
}

static ptrdiff_t find_naive(const char *s, size_t n, const char *x, size_t m, bool last)
{
        ptrdiff_t at = -1;

        for (size_t i = 0; i + m <= n; i++)
                if (!memcmp(s + i, x, m)) {
                        at = (ptrdiff_t)i;
                        if (!last)
                                break;
                }
        return at;
}

/* Few letters and needles with every period: the linear search and both directions. */
PLAIN_TEST_WITH(needles_are_found_where_they_are, .timeout = 60)
{
        char     s[200], x[24];
        uint64_t seed = 4711;

        for (int round = 0; round < 300000; round++) {
                size_t   n = weir__rand_below(&seed, 200), m = 1 + weir__rand_below(&seed, 23);
                uint32_t letters = 1 + weir__rand_below(&seed, 3), period = 1 + weir__rand_below(&seed, 6);

                for (size_t i = 0; i < n; i++)
                        s[i] = (char)('a' + (i >= period && weir__rand_below(&seed, 8)
                                             ? s[i - period] - 'a'
                                             : (int)weir__rand_below(&seed, letters)));
                for (size_t i = 0; i < m; i++)
                        x[i] = (char)('a' + (i >= period && weir__rand_below(&seed, 12)
                                             ? x[i - period] - 'a'
                                             : (int)weir__rand_below(&seed, letters)));
                must(weir_bytes_find(s, n, x, m) == find_naive(s, n, x, m, false));
                must(weir_bytes_find_last(s, n, x, m) == find_naive(s, n, x, m, true));
                if (m <= n && m > 1)
                        must(weir__bytes_find_linear((uint8_t *)s, n, (uint8_t *)x, m) ==
                             find_naive(s, n, x, m, false));
        }
}

static double seconds(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
        return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A search whose cost is the product of the lengths would take minutes. */
PLAIN_TEST_WITH(searching_takes_linear_time, .timeout = 60)
{
        static char s[4 << 20], x[1 << 16];
        double      start = seconds();

        memset(s, 'a', sizeof s);
        memset(x, 'a', sizeof x);
        x[sizeof x / 2] = 'b';                                  /* a..aba..a */
        ck_assert_int_eq(weir_bytes_find(s, sizeof s, x, sizeof x), -1);
        ck_assert_int_eq(weir_bytes_find_last(s, sizeof s, x, sizeof x), -1);
        x[sizeof x / 2] = 'a';
        x[0] = 'b';                                             /* ba..a */
        ck_assert_int_eq(weir_bytes_find(s, sizeof s, x, sizeof x), -1);
        ck_assert_int_eq(weir_bytes_find_last(s, sizeof s, x, sizeof x), -1);
        x[0] = 'a';
        x[sizeof x - 1] = 'b';                                  /* a..ab */
        ck_assert_int_eq(weir_bytes_find(s, sizeof s, x, sizeof x), -1);
        ck_assert_int_eq(weir_bytes_find_last(s, sizeof s, x, sizeof x), -1);
        for (size_t i = 0; i < sizeof s; i += 1000)             /* starts that go far */
                s[i] = 'b';
        x[sizeof x - 1] = 'a';
        x[999] = 'b';
        x[1999] = 'b';
        x[3000] = 'b';
        ck_assert_int_eq(weir_bytes_find(s, sizeof s, x, sizeof x), -1);
        ck_assert_int_eq(weir_bytes_find_last(s, sizeof s, x, sizeof x), -1);
        ck_assert_double_lt(seconds() - start, 20);
}

PLAIN_TEST(case_is_that_of_ascii_alone)
{
        uint8_t all[256], low[256], up[256];

        for (int i = 0; i < 256; i++)
                all[i] = (uint8_t)i;
        weir_bytes_lower(low, all, 256);
        weir_bytes_upper(up, all, 256);
        for (int i = 0; i < 256; i++) {
                ck_assert_uint_eq(low[i], i >= 'A' && i <= 'Z' ? i + 32 : i);
                ck_assert_uint_eq(up[i], i >= 'a' && i <= 'z' ? i - 32 : i);
                for (int k = 0; k < 256; k++)
                        must(weir_bytes_equal_fold(all + i, all + k, 1) == (low[i] == low[k]));
        }
}

/* ---- UTF-8 ---- */

/* The table of well-formed sequences in the Unicode standard, said plainly. */
static size_t well_formed(const uint8_t *s, size_t n)
{
        uint8_t low = 0x80, top = 0xbf;
        size_t  k;

        if (s[0] < 0x80)
                return 1;
        if (s[0] < 0xc2 || s[0] > 0xf4)
                return 0;
        k = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
        if (s[0] == 0xe0)
                low = 0xa0;
        if (s[0] == 0xed)
                top = 0x9f;
        if (s[0] == 0xf0)
                low = 0x90;
        if (s[0] == 0xf4)
                top = 0x8f;
        if (n < k || s[1] < low || s[1] > top)
                return 0;
        for (size_t i = 2; i < k; i++)
                if (s[i] < 0x80 || s[i] > 0xbf)
                        return 0;
        return k;
}

PLAIN_TEST_WITH(valid_utf8_is_that_of_the_standards_table, .timeout = 60)
{
        static const uint8_t edge[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2,
                                        0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5,
                                        0xff };
        uint8_t  s[80];
        uint64_t seed = 99;

        for (int round = 0; round < 500000; round++) {
                size_t n = weir__rand_below(&seed, 80), bad = 0, chars = 0, k;
                bool   ascii = weir__rand_below(&seed, 2);

                for (size_t i = 0; i < n; i++)
                        s[i] = ascii && weir__rand_below(&seed, 30)
                                       ? 'x' : edge[weir__rand_below(&seed, COUNT(edge))];
                for (size_t i = 0; i < n; i += k, chars++) {
                        uint32_t c;

                        k = well_formed(s + i, n - i);
                        must(weir_utf8_decode(s + i, n - i, &c) == (k ? k : 1));
                        if (!k) {
                                must(c == 0xfffd);
                                bad++;
                                k = 1;
                        }
                }
                must(weir_utf8_valid(s, n) == (bad == 0));
                must(weir_utf8_count(s, n) == chars);
        }
}

PLAIN_TEST_WITH(reversed_characters_are_whole, .timeout = 60)
{
        weir_builder b = { 0 };
        uint64_t     seed = 5;
        uint32_t     c[64], got;

        for (int round = 0; round < 20000; round++) {
                size_t n = weir__rand_below(&seed, 64), at = 0;

                b.len = 0;
                for (size_t i = 0; i < n; i++) {
                        do
                                c[i] = weir__rand_below(&seed, 1u << (7 + weir__rand_below(&seed, 15)));
                        while (c[i] > 0x10ffff || (c[i] >= 0xd800 && c[i] < 0xe000));
                        weir_builder_add_char(&b, c[i]);
                }
                weir_utf8_reverse(b.ptr, b.len);
                for (size_t i = n; i--;) {
                        at += weir_utf8_decode(b.ptr + at, b.len - at, &got);
                        must(got == c[i]);
                }
                must(at == b.len);
        }
}

PLAIN_TEST(reversing_twice_changes_nothing_even_of_broken_text)
{
        char text[] = "a\xff\xc3\xa4\xe2\x82z\xf0\x9f\x98\x80\x80", turned[sizeof text];

        memcpy(turned, text, sizeof text);
        weir_utf8_reverse(turned, sizeof text - 1);
        ck_assert_int_eq(turned[sizeof text - 2], 'a');
        ck_assert(!memcmp(turned, "\x80\xf0\x9f\x98\x80z\x82\xe2\xc3\xa4\xff" "a", sizeof text - 1));
        weir_utf8_reverse(turned, sizeof text - 1);
        ck_assert(!memcmp(turned, text, sizeof text));
}
