/* The routines on bytes, written once over vectors. A file of the processor defines what a vector
 * is and includes this:
 *
 *      VEC, VSIZE      a vector and how many bytes it has
 *      CMP             the answer of a comparison, a truth per byte
 *      MASK, LANE      a word with LANE bits for each byte of a CMP, the first lowest, of which
 *                      bits() sets the lowest alone
 *      splat load store load_part      a vector of one byte; from, to memory; of the first n <
 *                      VSIZE bytes, the rest zero. No byte outside of what is asked for is read
 *      eq ne range     compare; range: v[i] - low < width, without sign
 *      both either bits any tally      of CMPs; tally: how many are true
 *      unlike join any_bit     the bits that differ; those of either; whether there are any
 *      add_where       adds to the bytes where a CMP is true
 *      high            where a byte is 128 and more
 *      turn            the bytes in reverse order
 *      SET, set_load, in_set           a struct bytes_set as vectors, if HAVE_SET
 *      store_part                      to the first n < VSIZE bytes, if HAVE_STORE_PART
 *      OPS, OPS_NAME, OPS_NEEDS        the table to make
 *
 * What    Each loads whole vectors from the first byte on, four at a time where it is long, and one
 *         that ends with the last byte and overlaps what was seen. Less than a vector is one
 *         load_part. No alignment is asked for: a load that crosses lines costs one more cycle, and
 *         where two streams are read one of them is aligned.
 * Cost    bench/bytes. With AVX-512, index takes 2 ns at 16 bytes and 8 at 1 KiB.
 * Not     Assembly: the compilers do as well on these loops, and know the tables for the unwinder.
 *         Reading beyond the end within a page: no tool that watches memory would agree. */
#include "arch/arch.h"

static inline MASK low_bits(size_t n)          /* of the first n < VSIZE bytes */
{
        return ((MASK)1 << (n * LANE)) - 1;
}

static inline unsigned first_of(MASK m)
{
        return (unsigned)__builtin_ctzll(m) / LANE;
}

static inline unsigned last_of(MASK m)
{
        return (63 - (unsigned)__builtin_clzll(m)) / LANE;
}

static ptrdiff_t index_byte(const void *from, size_t n, uint8_t b)
{
        const uint8_t *s = from, *end = s + n, *p = s;
        VEC            v = splat(b);
        MASK           m;

        if (n < VSIZE) {
                if (!n)
                        return -1;
                m = bits(eq(load_part(s, n), v)) & low_bits(n);
                return m ? (ptrdiff_t)first_of(m) : -1;
        }
        for (; end - p >= 4 * VSIZE; p += 4 * VSIZE) {
                CMP c0 = eq(load(p), v), c1 = eq(load(p + VSIZE), v);
                CMP c2 = eq(load(p + 2 * VSIZE), v), c3 = eq(load(p + 3 * VSIZE), v);

                if (likely(!any(either(either(c0, c1), either(c2, c3)))))
                        continue;
                if ((m = bits(c0)))
                        return p - s + first_of(m);
                if ((m = bits(c1)))
                        return p - s + VSIZE + first_of(m);
                if ((m = bits(c2)))
                        return p - s + 2 * VSIZE + first_of(m);
                return p - s + 3 * VSIZE + first_of(bits(c3));
        }
        for (; end - p >= VSIZE; p += VSIZE)
                if ((m = bits(eq(load(p), v))))
                        return p - s + first_of(m);
        if (p < end) {
                p = end - VSIZE;
                if ((m = bits(eq(load(p), v))))
                        return p - s + first_of(m);
        }
        return -1;
}

static ptrdiff_t last_index_byte(const void *from, size_t n, uint8_t b)
{
        const uint8_t *s = from, *p = s + n;
        VEC            v = splat(b);
        MASK           m;

        if (n < VSIZE) {
                if (!n)
                        return -1;
                m = bits(eq(load_part(s, n), v)) & low_bits(n);
                return m ? (ptrdiff_t)last_of(m) : -1;
        }
        for (; p - s >= 4 * VSIZE; p -= 4 * VSIZE) {
                CMP c0 = eq(load(p - VSIZE), v), c1 = eq(load(p - 2 * VSIZE), v);
                CMP c2 = eq(load(p - 3 * VSIZE), v), c3 = eq(load(p - 4 * VSIZE), v);

                if (likely(!any(either(either(c0, c1), either(c2, c3)))))
                        continue;
                if ((m = bits(c0)))
                        return p - s - VSIZE + last_of(m);
                if ((m = bits(c1)))
                        return p - s - 2 * VSIZE + last_of(m);
                if ((m = bits(c2)))
                        return p - s - 3 * VSIZE + last_of(m);
                return p - s - 4 * VSIZE + last_of(bits(c3));
        }
        for (; p - s >= VSIZE; p -= VSIZE)
                if ((m = bits(eq(load(p - VSIZE), v))))
                        return p - s - VSIZE + last_of(m);
        if (p > s && (m = bits(eq(load(s), v))))
                return last_of(m);
        return -1;
}

static size_t count_byte(const void *from, size_t n, uint8_t b)
{
        const uint8_t *p = from, *end = p + n;
        VEC            v = splat(b);
        size_t         c0 = 0, c1 = 0, c2 = 0, c3 = 0;

        for (; end - p >= 4 * VSIZE; p += 4 * VSIZE) {
                c0 += tally(eq(load(p), v));
                c1 += tally(eq(load(p + VSIZE), v));
                c2 += tally(eq(load(p + 2 * VSIZE), v));
                c3 += tally(eq(load(p + 3 * VSIZE), v));
        }
        for (; end - p >= VSIZE; p += VSIZE)
                c0 += tally(eq(load(p), v));
        if (p < end) {
                size_t left = (size_t)(end - p);
                MASK   m = bits(eq(load_part(p, left), v)) & low_bits(left);

                for (; m; m &= m - 1)
                        c1++;
        }
        return c0 + c1 + c2 + c3;
}

/* Two long streams: one of them is aligned, so that only the loads of the other cross lines. */
enum { ALIGN_ABOVE = 8 * VSIZE };

static inline size_t to_aligned(const uint8_t *p)
{
        return -(uintptr_t)p & (VSIZE - 1);
}

/* Cheaper than four comparisons, whose answers are in few registers with slow ways between them. */
static inline bool differ_4(const uint8_t *p, const uint8_t *q)
{
        VEC d0 = unlike(load(p), load(q));
        VEC d1 = unlike(load(p + VSIZE), load(q + VSIZE));
        VEC d2 = unlike(load(p + 2 * VSIZE), load(q + 2 * VSIZE));
        VEC d3 = unlike(load(p + 3 * VSIZE), load(q + 3 * VSIZE));

        return any_bit(join(join(d0, d1), join(d2, d3)));
}

static bool equal_bytes(const void *a, const void *b, size_t n)
{
        const uint8_t *p = a, *q = b;
        size_t         i = 0;

        if (n < VSIZE)
                return !n || !any(ne(load_part(p, n), load_part(q, n)));
        if (n > ALIGN_ABOVE && (i = to_aligned(p)) && any(ne(load(p), load(q))))
                return false;
        for (; n - i >= 4 * VSIZE; i += 4 * VSIZE)
                if (differ_4(p + i, q + i))
                        return false;
        for (; n - i >= VSIZE; i += VSIZE)
                if (any(ne(load(p + i), load(q + i))))
                        return false;
        return i == n || !any(ne(load(p + n - VSIZE), load(q + n - VSIZE)));
}

/* How many bytes at the start are equal. */
static inline size_t common(const uint8_t *p, const uint8_t *q, size_t n)
{
        size_t i = 0;
        MASK   m;

        if (n < VSIZE) {
                if (!n)
                        return 0;
                m = bits(ne(load_part(p, n), load_part(q, n)));
                return m ? first_of(m) : n;
        }
        if (n > ALIGN_ABOVE && (i = to_aligned(p)) && (m = bits(ne(load(p), load(q)))))
                return first_of(m);
        while (n - i >= 4 * VSIZE && !differ_4(p + i, q + i))
                i += 4 * VSIZE;
        for (; n - i >= VSIZE; i += VSIZE)
                if ((m = bits(ne(load(p + i), load(q + i)))))
                        return i + first_of(m);
        if (i == n)
                return n;
        i = n - VSIZE;
        m = bits(ne(load(p + i), load(q + i)));
        return m ? i + first_of(m) : n;
}

static int compare_bytes(const void *a, size_t na, const void *b, size_t nb)
{
        const uint8_t *p = a, *q = b;
        size_t         n = na < nb ? na : nb, i = common(p, q, n);

        return i == n ? (na > nb) - (na < nb) : p[i] - q[i];
}

/* ---- find ----
 *
 * Two bytes of the needle, which differ if any do, are looked for at once; where both are, the rest
 * is compared. In a text made to have many such places that is quadratic, so the comparing is
 * counted, and the caller told to go on otherwise when it has cost much more than the looking. */

struct find {
        const uint8_t *s, *needle;
        size_t         m, spent;
};

/* The first place among those of mask, seen from at; -1: none. */
static inline ptrdiff_t verify(struct find *f, size_t at, MASK mask)
{
        for (; mask; mask &= mask - 1) {
                size_t i = at + first_of(mask), same = common(f->s + i, f->needle, f->m);

                if (same == f->m)
                        return (ptrdiff_t)i;
                f->spent += 16 + same;
        }
        return -1;
}

static ptrdiff_t find_bytes(const void *from, size_t n, const void *needle, size_t m)
{
        struct find f = { .s = from, .needle = needle, .m = m };
        size_t      places = n - m + 1, other = m - 1, i = 0;
        VEC         v0, v1;
        ptrdiff_t   at;

        while (other > 1 && f.needle[other] == f.needle[0])
                other--;
        v0 = splat(f.needle[0]);
        v1 = splat(f.needle[other]);
        if (places < VSIZE) {
                CMP c0 = eq(load_part(f.s, places), v0);
                CMP c1 = eq(load_part(f.s + other, places), v1);

                return verify(&f, 0, bits(both(c0, c1)) & low_bits(places));
        }
        for (; places - i >= 2 * VSIZE; i += 2 * VSIZE) {
                const uint8_t *p = f.s + i;
                CMP c0 = both(eq(load(p), v0), eq(load(p + other), v1));
                CMP c1 = both(eq(load(p + VSIZE), v0), eq(load(p + VSIZE + other), v1));

                if (likely(!any(either(c0, c1))))
                        continue;
                if ((at = verify(&f, i, bits(c0))) >= 0 ||
                    (at = verify(&f, i + VSIZE, bits(c1))) >= 0)
                        return at;
                if (unlikely(f.spent > 1024 + 8 * i))
                        return -2 - (ptrdiff_t)(i + 2 * VSIZE);
        }
        for (; i < places; i += VSIZE) {
                CMP c0, c1;

                if (places - i < VSIZE)
                        i = places - VSIZE;
                c0 = eq(load(f.s + i), v0);
                c1 = eq(load(f.s + i + other), v1);
                at = verify(&f, i, bits(both(c0, c1)));
                if (at >= 0)
                        return at;
        }
        return -1;
}

/* ---- sets, case, order ---- */

static ptrdiff_t index_of_set(const void *from, size_t n, const struct bytes_set *set)
{
        const uint8_t *s = from;
        size_t         i = 0;

#if HAVE_SET
        SET  vectors = set_load(set);
        MASK m;

        if (n < VSIZE) {
                if (!n)
                        return -1;
                m = bits(in_set(&vectors, load_part(s, n))) & low_bits(n);
                return m ? (ptrdiff_t)first_of(m) : -1;
        }
        for (; n - i >= VSIZE; i += VSIZE)
                if ((m = bits(in_set(&vectors, load(s + i)))))
                        return (ptrdiff_t)(i + first_of(m));
        if (i < n) {
                i = n - VSIZE;
                if ((m = bits(in_set(&vectors, load(s + i)))))
                        return (ptrdiff_t)(i + first_of(m));
        }
#else
        for (; i < n; i++)
                if (bytes_set_has(set, s[i]))
                        return (ptrdiff_t)i;
#endif
        return -1;
}

static inline VEC lower_vec(VEC v)
{
        return add_where(v, range(v, 'A', 26), 'a' - 'A');
}

static inline VEC upper_vec(VEC v)
{
        return add_where(v, range(v, 'a', 26), (uint8_t)('A' - 'a'));
}

/* to may be s, so that nothing may be done twice: no last vector that overlaps. */
#ifdef HAVE_STORE_PART
#define CASE_REST(vec, low, delta)                                                      \
        if (i < n)                                                                      \
                store_part(d + i, n - i, vec(load_part(s + i, n - i)))
#else
#define CASE_REST(vec, low, delta)                                                      \
        for (; i < n; i++)                                                              \
                d[i] = (uint8_t)(s[i] + ((uint8_t)(s[i] - (low)) < 26 ? (delta) : 0))
#endif
#define CASE_LOOP(name, vec, low, delta)                                                \
        static void name(void *to, const void *from, size_t n)                          \
        {                                                                               \
                const uint8_t *s = from;                                                \
                uint8_t       *d = to;                                                  \
                size_t         i = 0;                                                   \
                                                                                        \
                for (; n - i >= VSIZE; i += VSIZE)                                      \
                        store(d + i, vec(load(s + i)));                                 \
                CASE_REST(vec, low, delta);                                             \
        }

CASE_LOOP(lower_bytes, lower_vec, 'A', 'a' - 'A')
CASE_LOOP(upper_bytes, upper_vec, 'a', 'A' - 'a')

static bool equal_folded(const void *a, const void *b, size_t n)
{
        const uint8_t *p = a, *q = b;
        size_t         i = 0;

        for (; n - i >= VSIZE; i += VSIZE)
                if (any(ne(lower_vec(load(p + i)), lower_vec(load(q + i)))))
                        return false;
        return i == n ||
               !any(ne(lower_vec(load_part(p + i, n - i)), lower_vec(load_part(q + i, n - i))));
}

static void reverse_bytes(void *from, size_t n)
{
        uint8_t *p = from, *q = p + n;

        for (; q - p >= 2 * VSIZE; p += VSIZE, q -= VSIZE) {
                VEC low = load(p), top = load(q - VSIZE);

                store(p, turn(top));
                store(q - VSIZE, turn(low));
        }
        if (q - p >= VSIZE) {                   /* two that overlap, both loaded first */
                VEC low = load(p), top = load(q - VSIZE);

                store(p, turn(top));
                store(q - VSIZE, turn(low));
                return;
        }
        for (; q - p >= 16; p += 8, q -= 8) {
                uint64_t low, top;

                memcpy(&low, p, 8);
                memcpy(&top, q - 8, 8);
                low = __builtin_bswap64(low);
                top = __builtin_bswap64(top);
                memcpy(p, &top, 8);
                memcpy(q - 8, &low, 8);
        }
        for (; q - p >= 2; p++, q--) {
                uint8_t b = *p;

                *p = q[-1];
                q[-1] = b;
        }
}

static size_t ascii_bytes(const void *from, size_t n)
{
        const uint8_t *s = from;
        size_t         i = 0;
        MASK           m;

        for (; n - i >= 4 * VSIZE; i += 4 * VSIZE) {
                CMP c0 = high(load(s + i)), c1 = high(load(s + i + VSIZE));
                CMP c2 = high(load(s + i + 2 * VSIZE)), c3 = high(load(s + i + 3 * VSIZE));

                if (any(either(either(c0, c1), either(c2, c3))))
                        break;
        }
        for (; n - i >= VSIZE; i += VSIZE)
                if ((m = bits(high(load(s + i)))))
                        return i + first_of(m);
        if (i == n)
                return n;
        m = bits(high(load_part(s + i, n - i)));
        return m ? i + first_of(m) : n;
}

const struct bytes_ops OPS = {
        .name = OPS_NAME,
        .needs = OPS_NEEDS,
        .index = index_byte,
        .last_index = last_index_byte,
        .count = count_byte,
        .equal = equal_bytes,
        .compare = compare_bytes,
        .find = find_bytes,
        .index_set = index_of_set,
        .lower = lower_bytes,
        .upper = upper_bytes,
        .equal_fold = equal_folded,
        .reverse = reverse_bytes,
        .ascii = ascii_bytes,
};
