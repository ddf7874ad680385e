/* Bytes: the public routines, on those that fit the processor.
 *
 * What    A table of function pointers, chosen by a constructor from what src/arch offers. It holds
 *         the plain routines until then: constructors of the program may come first.
 * Cost    A call through the table costs what one through the table of a shared library does, 0.3
 *         ns more than a direct one.
 * Not     ifunc: see src/arch/feature.c. A test of features in each call: more to predict. */
#include "data/bytes.h"
#include "os/os.h"

__attribute__((constructor(102))) static void choose(void)
{
        const struct bytes_ops *best = weir__arch_bytes_best();

        chosen = best ? *best : weir__bytes_plain;
        weir__os_freeze(&weir__bytes_page, sizeof weir__bytes_page);
}

ptrdiff_t weir_bytes_index(const void *s, size_t n, uint8_t b)
{
        return chosen.index(s, n, b);
}

ptrdiff_t weir_bytes_last_index(const void *s, size_t n, uint8_t b)
{
        return chosen.last_index(s, n, b);
}

ptrdiff_t weir_bytes_index_any(const void *s, size_t n, const void *any, size_t m)
{
        struct bytes_set set = { { { 0 } } };

        if (m == 1)
                return chosen.index(s, n, *(const uint8_t *)any);
        if (!m || !n)
                return -1;
        for (size_t i = 0; i < m; i++)
                bytes_set_add(&set, ((const uint8_t *)any)[i]);
        return chosen.index_set(s, n, &set);
}

ptrdiff_t weir_bytes_find(const void *s, size_t n, const void *needle, size_t m)
{
        ptrdiff_t at;
        size_t    from;

        if (m < 2)
                return m ? chosen.index(s, n, *(const uint8_t *)needle) : 0;
        if (m > n)
                return -1;
        at = chosen.find(s, n, needle, m);
        if (likely(at >= -1))
                return at;
        from = (size_t)(-2 - at);
        if (n - from < m)
                return -1;
        at = weir__bytes_find_linear((const uint8_t *)s + from, n - from, needle, m);
        return at < 0 ? at : at + (ptrdiff_t)from;
}

size_t weir_bytes_count(const void *s, size_t n, uint8_t b)
{
        return chosen.count(s, n, b);
}

bool weir_bytes_equal(const void *a, const void *b, size_t n)
{
        return chosen.equal(a, b, n);
}

int weir_bytes_compare(const void *a, size_t na, const void *b, size_t nb)
{
        return chosen.compare(a, na, b, nb);
}

bool weir_bytes_equal_fold(const void *a, const void *b, size_t n)
{
        return chosen.equal_fold(a, b, n);
}

bool weir_bytes_has_prefix(const void *s, size_t n, const void *part, size_t m)
{
        return m <= n && chosen.equal(s, part, m);
}

bool weir_bytes_has_suffix(const void *s, size_t n, const void *part, size_t m)
{
        return m <= n && (!m || chosen.equal((const char *)s + (n - m), part, m));
}

void weir_bytes_lower(void *to, const void *s, size_t n)
{
        chosen.lower(to, s, n);
}

void weir_bytes_upper(void *to, const void *s, size_t n)
{
        chosen.upper(to, s, n);
}

void weir_bytes_reverse(void *s, size_t n)
{
        chosen.reverse(s, n);
}
