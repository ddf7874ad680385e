/* Search in linear time: the two-way algorithm of Crochemore and Perrin.
 *
 * What    The needle is cut in two where its local period is its period (the critical place: the
 *         longer of the two maximal suffixes, by the order of bytes and by its reverse). At each
 *         place the right part is compared first, forward; a difference there moves on by how far
 *         it came. Then the left part; a difference there moves on by the period.
 * Cost    At most 2n comparisons of bytes and no memory. It runs only on texts in which looking for
 *         two bytes of the needle finds them nearly everywhere (bytes.c).
 * Not     A table of 256 steps beside it, as memmem has: it speeds up what the vectors do
 * better. */
#include "data/bytes.h"

/* Byte i of x, or of x read backwards. */
static inline uint8_t at(const uint8_t *x, size_t n, size_t i, bool back)
{
        return x[back ? n - 1 - i : i];
}

/* The start of the maximal suffix, less one; its period in *ret. */
static inline size_t maximal_suffix(const uint8_t *x, size_t m, bool back, bool reverse,
                                    size_t *ret)
{
        size_t start = SIZE_MAX, j = 0, k = 1, period = 1;

        while (j + k < m) {
                uint8_t a = at(x, m, j + k, back), b = at(x, m, start + k, back);

                if (a == b) {
                        if (k == period) {
                                j += period;
                                k = 1;
                        } else {
                                k++;
                        }
                } else if (reverse ? a > b : a < b) {
                        j += k;
                        k = 1;
                        period = j - start;
                } else {
                        start = j++;
                        k = period = 1;
                }
        }
        *ret = period;
        return start;
}

/* The place of x in s, both read backwards if so told. */
static inline ptrdiff_t two_way(const uint8_t *s, size_t n, const uint8_t *x, size_t m, bool back)
{
        size_t p1, p2, s1 = maximal_suffix(x, m, back, false, &p1);
        size_t s2 = maximal_suffix(x, m, back, true, &p2);
        size_t cut = MAX(s1 + 1, s2 + 1);                       /* SIZE_MAX + 1 is 0 */
        size_t period = s1 + 1 >= s2 + 1 ? p1 : p2, known = 0, i = 0, k = 0;
        bool   periodic;

        while (k < cut && cut + period <= m && at(x, m, k, back) == at(x, m, k + period, back))
                k++;
        periodic = k == cut;
        if (!periodic)
                period = MAX(cut, m - cut) + 1;
        while (i <= n - m) {
                for (k = MAX(cut, known); k < m && at(x, m, k, back) == at(s, n, i + k, back); k++)
                        ;
                if (k < m) {
                        i += k - cut + 1;
                        known = 0;
                        continue;
                }
                for (k = cut; k > known && at(x, m, k - 1, back) == at(s, n, i + k - 1, back); k--)
                        ;
                if (k <= known)
                        return (ptrdiff_t)i;
                i += period;
                known = periodic ? m - period : 0;
        }
        return -1;
}

ptrdiff_t weir__bytes_find_linear(const uint8_t *s, size_t n, const uint8_t *x, size_t m)
{
        return two_way(s, n, x, m, false);
}

/* Looks for the last byte of the needle from the end, until comparing has cost too much. */
ptrdiff_t weir_bytes_find_last(const void *from, size_t n, const void *needle, size_t m)
{
        const uint8_t *s = from, *x = needle;
        size_t         spent = 0, end = n;
        ptrdiff_t      found;

        if (!m)
                return (ptrdiff_t)n;
        while (end >= m) {
                found = chosen.last_index(s + m - 1, end - m + 1, x[m - 1]);
                if (found < 0 || chosen.equal(s + found, x, m))
                        return found;
                end = (size_t)found + m - 1;
                spent += 16 + m;
                if (spent > 1024 + 8 * (n - end))
                        break;
        }
        if (end < m)
                return -1;
        found = two_way(s, end, x, m, true);
        return found < 0 ? found : (ptrdiff_t)(end - m) - found;
}
