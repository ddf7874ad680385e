/* Addresses as text. */
#include "ends.h"
#include "net/address.h"

WEIR_TEST(addresses_are_parsed)
{
        static const struct {
                const char *network, *text;
                int         result;             /* 1: one address; 0: any error */
                const char *back;               /* its text, passive */
        } table[] = {
                { "tcp", "127.0.0.1:80", 1, "127.0.0.1:80" },
                { "tcp", "127.0.0.1:0", 1, "127.0.0.1:0" },
                { "tcp", "127.0.0.1:65535", 1, "127.0.0.1:65535" },
                { "tcp", ":80", 1, "0.0.0.0:80" },
                { "tcp", "[::1]:80", 1, "[::1]:80" },
                { "tcp", "[2001:DB8:0:0:0:0:0:1]:443", 1, "[2001:db8::1]:443" },
                { "tcp", "[::ffff:1.2.3.4]:1", 1, "[::ffff:1.2.3.4]:1" },
                { "tcp", "", -EINVAL, NULL },
                { "tcp", "127.0.0.1", -EINVAL, NULL },
                { "tcp", "127.0.0.1:", -EINVAL, NULL },
                { "tcp", ":", -EINVAL, NULL },
                { "tcp", "127.0.0.1:65536", -EINVAL, NULL },
                { "tcp", "127.0.0.1:99999999999999999999", -EINVAL, NULL },
                { "tcp", "::1:80", -EINVAL, NULL },
                { "tcp", "a:b:80", -EINVAL, NULL },
                { "tcp", "[::1:80", -EINVAL, NULL },
                { "tcp", "[::1]", -EINVAL, NULL },
                { "tcp", "[::1]80", -EINVAL, NULL },
                { "tcp", "[", -EINVAL, NULL },
                { "tcp", "[:", -EINVAL, NULL },
                { "tcp", "[:80", -EINVAL, NULL },
                { "tcp", "127.0.0.1:-1", 0, NULL },
                { "tcp", "127.0.0.1:no-such-service", 0, NULL },
                { "udp", "127.0.0.1:80", -EPROTONOSUPPORT, NULL },
                { "", "127.0.0.1:80", -EPROTONOSUPPORT, NULL },
                { "unix", "/tmp/a", 1, "/tmp/a" },
                { "unix", "@a:b", 1, "@a:b" },
                { "unix", "", -EINVAL, NULL },
        };
        struct address list[ADDRESSES_MAX];
        char           text[300], longer[300];

        for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
                int r = weir__address_parse(table[i].network, table[i].text, true, list);

                ck_assert_msg(table[i].result ? r == table[i].result : r < 0, "%s: %d", table[i].text, r);
                if (!table[i].back)
                        continue;
                ck_assert_int_eq(weir__address_format(&list[0], text, sizeof text),
                                 (int)strlen(table[i].back));
                ck_assert_str_eq(text, table[i].back);
        }
        ck_assert_int_eq(weir__address_parse("tcp", ":80", false, list), 1);
        weir__address_format(&list[0], text, sizeof text);
        ck_assert_str_eq(text, "127.0.0.1:80");
        memset(longer, 'x', sizeof longer - 1);
        longer[sizeof longer - 1] = 0;
        ck_assert_int_eq(weir__address_parse("unix", longer, true, list), -ENAMETOOLONG);
        memcpy(longer + 290, ":80", 4);
        ck_assert_int_eq(weir__address_parse("tcp", longer, true, list), -EINVAL);
        longer[108] = 0;
        ck_assert_int_eq(weir__address_parse("unix", longer, true, list), -ENAMETOOLONG);
        longer[107] = 0;
        ck_assert_int_eq(weir__address_parse("unix", longer, true, list), 1);
        ck_assert_int_eq(weir__address_format(&list[0], text, sizeof text), 107);
        ck_assert_str_eq(text, longer);
}

/* Random text is an address or a negative code, never anything else. */
WEIR_TEST_WITH(any_text_is_refused_or_taken, .timeout = 30)
{
        static const char alphabet[] = "0123456789.:[]abcdef%/@- ";
        struct address    list[ADDRESSES_MAX];
        uint64_t          rand = 12345;
        char              text[24];

        for (int i = 0; i < 200000; i++) {
                uint32_t n = weir__rand_below(&rand, sizeof text - 1);
                char    *colon;

                for (uint32_t k = 0; k < n; k++)
                        text[k] = alphabet[weir__rand_below(&rand, sizeof alphabet - 1)];
                text[n] = 0;
                /* No questions to name servers: only what looks like a number goes on. */
                colon = strrchr(text, ':');
                if (colon && (strpbrk(text, "%/@- ") || strpbrk(colon, "abcdef")))
                        continue;
                if (colon && colon != text && strspn(text, "0123456789.") != (size_t)(colon - text) &&
                    *text != '[')
                        continue;
                if (colon && *text == '[' && weir__rand_below(&rand, 16))
                        continue;
                ck_assert_int_le(weir__address_parse("unix", text, true, list), 1);
        }
}

WEIR_TEST(the_address_must_fit)
{
        char           text[64];
        weir_listener *ln = listen_on("tcp", "127.0.0.1:0", text, sizeof text);
        size_t         n = strlen(text);
        char           small[64];

        ck_assert_int_eq(weir_listener_address(ln, small, n), -ENOBUFS);
        ck_assert_int_eq(weir_listener_address(ln, small, n + 1), (int)n);
        ck_assert_str_eq(small, text);
        ck_assert_int_eq(weir_listener_close(ln), 0);
        ck_assert_int_eq(weir_listener_address(ln, small, sizeof small), WEIR_ECLOSED);
}
