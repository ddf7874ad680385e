/* The routines on bytes in plain C: what each must answer, in the shortest way to say it. The
 * others are compared with these, and a processor without any of theirs runs on them. */
#include "data/bytes.h"

static ptrdiff_t index_byte(const void *from, size_t n, uint8_t b)
{
        const uint8_t *s = from;

        for (size_t i = 0; i < n; i++)
                if (s[i] == b)
                        return (ptrdiff_t)i;
        return -1;
}

static ptrdiff_t last_index_byte(const void *from, size_t n, uint8_t b)
{
        const uint8_t *s = from;

        while (n--)
                if (s[n] == b)
                        return (ptrdiff_t)n;
        return -1;
}

static size_t count_byte(const void *from, size_t n, uint8_t b)
{
        const uint8_t *s = from;
        size_t         c = 0;

        for (size_t i = 0; i < n; i++)
                c += s[i] == b;
        return c;
}

static int compare_bytes(const void *a, size_t na, const void *b, size_t nb)
{
        const uint8_t *p = a, *q = b;

        for (size_t i = 0; i < na && i < nb; i++)
                if (p[i] != q[i])
                        return p[i] - q[i];
        return (na > nb) - (na < nb);
}

static bool equal_bytes(const void *a, const void *b, size_t n)
{
        return compare_bytes(a, n, b, n) == 0;
}

/* Looks at a few places only, and leaves the rest to the search whose worst case is linear. */
static ptrdiff_t find_bytes(const void *from, size_t n, const void *needle, size_t m)
{
        const uint8_t *s = from;
        size_t         spent = 0;

        for (size_t i = 0; i <= n - m; i++) {
                size_t same = 0;

                while (same < m && s[i + same] == ((const uint8_t *)needle)[same])
                        same++;
                if (same == m)
                        return (ptrdiff_t)i;
                spent += same;
                if (spent > 64 + 2 * i)
                        return -2 - (ptrdiff_t)(i + 1);
        }
        return -1;
}

static ptrdiff_t index_of_set(const void *from, size_t n, const struct bytes_set *set)
{
        const uint8_t *s = from;

        for (size_t i = 0; i < n; i++)
                if (bytes_set_has(set, s[i]))
                        return (ptrdiff_t)i;
        return -1;
}

static inline uint8_t lower_byte(uint8_t b)
{
        return (uint8_t)(b - 'A') < 26 ? (uint8_t)(b + ('a' - 'A')) : b;
}

static void lower_bytes(void *to, const void *from, size_t n)
{
        for (size_t i = 0; i < n; i++)
                ((uint8_t *)to)[i] = lower_byte(((const uint8_t *)from)[i]);
}

static void upper_bytes(void *to, const void *from, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                uint8_t b = ((const uint8_t *)from)[i];

                ((uint8_t *)to)[i] = (uint8_t)(b - 'a') < 26 ? (uint8_t)(b - ('a' - 'A')) : b;
        }
}

static bool equal_folded(const void *a, const void *b, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (lower_byte(((const uint8_t *)a)[i]) != lower_byte(((const uint8_t *)b)[i]))
                        return false;
        return true;
}

static void reverse_bytes(void *from, size_t n)
{
        uint8_t *s = from;

        for (size_t i = 0; i < n / 2; i++) {
                uint8_t b = s[i];

                s[i] = s[n - 1 - i];
                s[n - 1 - i] = b;
        }
}

static size_t ascii_bytes(const void *from, size_t n)
{
        const uint8_t *s = from;
        size_t         i = 0;

        while (i < n && s[i] < 128)
                i++;
        return i;
}

#define PLAIN                           \
{                                       \
        .name = "plain",                \
        .index = index_byte,            \
        .last_index = last_index_byte,  \
        .count = count_byte,            \
        .equal = equal_bytes,           \
        .compare = compare_bytes,       \
        .find = find_bytes,             \
        .index_set = index_of_set,      \
        .lower = lower_bytes,           \
        .upper = upper_bytes,           \
        .equal_fold = equal_folded,     \
        .reverse = reverse_bytes,       \
        .ascii = ascii_bytes,           \
        }

const struct bytes_ops weir__bytes_plain = PLAIN;

/* The chosen ones: these until the constructor in bytes.c has run, for constructors of the program
 * may come before it. */
union bytes_page weir__bytes_page __attribute__((aligned(4096))) = { .ops = PLAIN };
