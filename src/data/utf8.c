/* UTF-8: decoding, validity, order of characters.
 *
 * What    Runs of ASCII are passed by the vectors; other characters are decoded one by one. A byte
 *         that starts no valid character (a stray continuation, an overlong form, a surrogate, a
 *         character cut short) is a unit of its own everywhere.
 * Not     Validation of all by vectors (tables of nibbles): three times the code for text that is
 *         mostly not ASCII. */
#include "data/bytes.h"

/* The length of the character at s, of n > 0 bytes, 0 if there is none. */
static inline size_t decode(const uint8_t *s, size_t n, uint32_t *ret)
{
        uint32_t c = s[0];

        if (c < 0x80) {
                *ret = c;
                return 1;
        }
        if (c < 0xe0) {
                if (c < 0xc2 || n < 2 || (s[1] & 0xc0) != 0x80)
                        return 0;
                *ret = (c & 0x1f) << 6 | (s[1] & 0x3fu);
                return 2;
        }
        if (c < 0xf0) {
                if (n < 3 || (s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80)
                        return 0;
                c = (c & 0x0f) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
                *ret = c;
                return c < 0x800 || (c >= 0xd800 && c < 0xe000) ? 0 : 3;
        }
        if (c > 0xf4 || n < 4 || (s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80 ||
            (s[3] & 0xc0) != 0x80)
                return 0;
        c = (c & 0x07) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu);
        *ret = c;
        return c < 0x10000 || c > 0x10ffff ? 0 : 4;
}

size_t weir_utf8_decode(const void *s, size_t n, uint32_t *ret)
{
        size_t k = n ? decode(s, n, ret) : 0;

        if (n && !k) {
                *ret = 0xfffd;
                k = 1;
        }
        return k;
}

/* Where the next run that is worth passing by vectors may begin. */
static inline size_t pass_ascii(const uint8_t *s, size_t i, size_t n)
{
        return s[i] < 0x80 && n - i >= 16 ? i + chosen.ascii(s + i, n - i) : i;
}

bool weir_utf8_valid(const void *from, size_t n)
{
        const uint8_t *s = from;
        uint32_t       c;
        size_t         i = n >= 16 ? chosen.ascii(s, n) : 0;

        while (i < n) {
                size_t k = decode(s + i, n - i, &c);

                if (!k)
                        return false;
                i += k;
                if (i < n)
                        i = pass_ascii(s, i, n);
        }
        return true;
}

size_t weir_utf8_count(const void *from, size_t n)
{
        const uint8_t *s = from;
        uint32_t       c;
        size_t         i = 0, count = 0;

        while (i < n) {
                size_t run = pass_ascii(s, i, n) - i, k;

                count += run;
                i += run;
                if (i == n)
                        break;
                k = decode(s + i, n - i, &c);
                i += k ? k : 1;
                count++;
        }
        return count;
}

/* Turns each character round and then all bytes: the characters come out the right way again. */
void weir_utf8_reverse(void *from, size_t n)
{
        uint8_t *s = from;
        uint32_t c;
        size_t   i = 0;

        while (i < n) {
                size_t k;

                i = pass_ascii(s, i, n);
                if (i == n)
                        break;
                k = decode(s + i, n - i, &c);
                for (size_t a = i, b = i + k; a + 1 < b; a++) {
                        uint8_t byte = s[--b];

                        s[b] = s[a];
                        s[a] = byte;
                }
                i += k ? k : 1;
        }
        chosen.reverse(s, n);
}
