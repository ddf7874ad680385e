#include "check.h"

#include <limits.h>

PLAIN_TEST(own_codes_have_name_and_sentence)
{
#define CHECK_CODE(name, code, sentence)                                        \
        ck_assert_int_eq(name, code);                                           \
        ck_assert_str_eq(weir_error_name(code), #name);                         \
        ck_assert_str_eq(weir_strerror(code), sentence);
        WEIR_ERROR_TABLE(CHECK_CODE)
}

PLAIN_TEST(codes_are_the_released_ones)
{
        ck_assert_int_eq(WEIR_ECLOSED, -20001);
        ck_assert_int_eq(WEIR_ECANCELED, -20002);
        ck_assert_int_eq(WEIR_ETIMEOUT, -20003);
        ck_assert_int_eq(WEIR_EPANIC, -20004);
        ck_assert_int_eq(WEIR_ELIMIT, -20005);
}

PLAIN_TEST(errno_codes_are_named_as_in_errno_h)
{
        ck_assert_str_eq(weir_error_name(-ECONNREFUSED), "ECONNREFUSED");
        ck_assert_str_eq(weir_strerror(-ECONNREFUSED), "Connection refused");
        ck_assert_str_eq(weir_error_name(-EAGAIN), "EAGAIN");
        ck_assert_str_eq(weir_error_name(-ENOENT), "ENOENT");
}

PLAIN_TEST(zero_is_success)
{
        ck_assert_str_eq(weir_error_name(0), "OK");
        ck_assert_str_eq(weir_strerror(0), "Success");
}

PLAIN_TEST(numbers_that_are_no_code_have_a_text)
{
        static const int numbers[] = { 1, ECONNREFUSED, -4095, -19999, -20006, INT_MIN, INT_MAX };

        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
                ck_assert_str_eq(weir_error_name(numbers[i]), "UNKNOWN");
                ck_assert_str_eq(weir_strerror(numbers[i]), "Unknown error");
        }
}

PLAIN_TEST(texts_are_stable)
{
        const char *name = weir_error_name(-EPIPE), *text = weir_strerror(-EPIPE);

        for (int err = -200; err <= 200; err++) {
                ck_assert_ptr_nonnull(weir_error_name(err));
                ck_assert_ptr_nonnull(weir_strerror(err));
        }
        ck_assert_ptr_eq(weir_error_name(-EPIPE), name);
        ck_assert_str_eq(text, "Broken pipe");
}
