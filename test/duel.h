/* A duel: one way to do the routines on bytes against the plain one, on random input.
 *
 * Each input lies at the end of a page with a page behind it that may not be touched, or at the
 * start of one with such a page before it, or anywhere: so that one byte read too many is a fault.
 * Lengths go up to 600, alphabets from 1 to 256 bytes, so that matches are rare or everywhere. */
#ifndef TEST_DUEL_H
#define TEST_DUEL_H

#include "arch/arch.h"
#include <stdlib.h>
#include <sys/mman.h>

enum { DUEL_PAGE = 4096, DUEL_MAX = 600 };

struct duel {
        const struct bytes_ops *one, *plain;
        uint64_t                seed;
        uint8_t                *page[2];        /* between pages that may not be touched */
        uint8_t                *a, *b;
        size_t                  n;
        char                    what[96];       /* which routine was wrong, and where */
};

static inline uint8_t *duel_map(void)
{
        uint8_t *p = mmap(NULL, 3 * DUEL_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED || mprotect(p + DUEL_PAGE, DUEL_PAGE, PROT_READ | PROT_WRITE))
                abort();
        return p + DUEL_PAGE;
}

static inline uint8_t *duel_place(struct duel *d, int i, size_t n)
{
        switch (weir__rand_below(&d->seed, 3)) {
        case 0:
                return d->page[i] + DUEL_PAGE - n;
        case 1:
                return d->page[i];
        default:
                return d->page[i] + weir__rand_below(&d->seed, DUEL_PAGE - (uint32_t)n + 1);
        }
}

static inline size_t duel_length(struct duel *d)
{
        return weir__rand_below(&d->seed, weir__rand_below(&d->seed, 2) ? 70 : DUEL_MAX);
}

static inline void duel_fill(struct duel *d, uint8_t *p, size_t n)
{
        static const uint16_t letters[] = { 1, 2, 3, 8, 60, 256 };
        uint32_t              k = letters[weir__rand_below(&d->seed, 6)];
        uint8_t               base = weir__rand_below(&d->seed, 2) ? 0x3c : (uint8_t)weir__rand(&d->seed);

        for (size_t i = 0; i < n; i++)
                p[i] = (uint8_t)(base + weir__rand_below(&d->seed, k));
}

static inline bool duel_wrong(struct duel *d, const char *routine)
{
        weir__fmt(d->what, sizeof d->what, "%s %s: %zu bytes at page + %zu and + %zu",
                  d->one->name, routine, d->n, (size_t)((uintptr_t)d->a % DUEL_PAGE),
                  (size_t)((uintptr_t)d->b % DUEL_PAGE));
        return false;
}

static inline int duel_sign(int c)
{
        return (c > 0) - (c < 0);
}

static inline ptrdiff_t duel_find(const uint8_t *s, size_t n, const uint8_t *x, size_t m)
{
        for (size_t i = 0; i + m <= n; i++)
                if (!memcmp(s + i, x, m))
                        return (ptrdiff_t)i;
        return -1;
}

static inline bool duel_search(struct duel *d)
{
        const struct bytes_ops *one = d->one, *plain = d->plain;
        struct bytes_set        set = { { { 0 } } };
        uint8_t                 x;
        size_t                  m;
        ptrdiff_t               got, want;

        d->n = duel_length(d);
        d->a = duel_place(d, 0, d->n);
        duel_fill(d, d->a, d->n);
        x = d->n && weir__rand_below(&d->seed, 4) ? d->a[weir__rand_below(&d->seed, (uint32_t)d->n)]
                                                  : (uint8_t)weir__rand(&d->seed);
        if (one->index(d->a, d->n, x) != plain->index(d->a, d->n, x))
                return duel_wrong(d, "index");
        if (one->last_index(d->a, d->n, x) != plain->last_index(d->a, d->n, x))
                return duel_wrong(d, "last_index");
        if (one->count(d->a, d->n, x) != plain->count(d->a, d->n, x))
                return duel_wrong(d, "count");
        for (int i = 0; i < 3; i++)
                bytes_set_add(&set, (uint8_t)weir__rand(&d->seed));
        if (weir__rand_below(&d->seed, 2))
                bytes_set_add(&set, x);
        if (one->index_set(d->a, d->n, &set) != plain->index_set(d->a, d->n, &set))
                return duel_wrong(d, "index_set");
        if (weir__rand_below(&d->seed, 2))
                for (size_t i = 0; i < d->n; i++)
                        if (i + 5 < d->n || weir__rand_below(&d->seed, 4))
                                d->a[i] &= 0x7f;
        if (one->ascii(d->a, d->n) != plain->ascii(d->a, d->n))
                return duel_wrong(d, "ascii");
        if (d->n < 2)
                return true;
        m = 2 + weir__rand_below(&d->seed, weir__rand_below(&d->seed, 2) ? MIN((uint32_t)d->n - 1, 8u)
                                                                         : (uint32_t)d->n - 1);
        d->b = duel_place(d, 1, m);
        if (weir__rand_below(&d->seed, 3)) {
                memcpy(d->b, d->a + weir__rand_below(&d->seed, (uint32_t)(d->n - m + 1)), m);
                if (weir__rand_below(&d->seed, 2))
                        d->b[weir__rand_below(&d->seed, (uint32_t)m)] ^= 1;
        } else {
                duel_fill(d, d->b, m);
        }
        got = one->find(d->a, d->n, d->b, m);
        want = duel_find(d->a, d->n, d->b, m);
        if (got < -1 ? want >= 0 && want < -2 - got : got != want)
                return duel_wrong(d, "find");
        return true;
}

static inline bool duel_compare(struct duel *d)
{
        const struct bytes_ops *one = d->one, *plain = d->plain;

        d->n = duel_length(d);
        d->a = duel_place(d, 0, d->n);
        d->b = duel_place(d, 1, d->n);
        duel_fill(d, d->a, d->n);
        if (d->n)
                memcpy(d->b, d->a, d->n);
        for (uint32_t k = weir__rand_below(&d->seed, 3); d->n && k; k--)
                d->b[weir__rand_below(&d->seed, (uint32_t)d->n)] ^= weir__rand_below(&d->seed, 2)
                        ? 0x20 : (uint8_t)weir__rand(&d->seed);
        if (one->equal(d->a, d->b, d->n) != plain->equal(d->a, d->b, d->n))
                return duel_wrong(d, "equal");
        for (size_t less = 0; less < 3 && less <= d->n; less++)
                if (duel_sign(one->compare(d->a, d->n - less, d->b, d->n)) !=
                            duel_sign(plain->compare(d->a, d->n - less, d->b, d->n)) ||
                    duel_sign(one->compare(d->a, d->n, d->b, d->n - less)) !=
                            duel_sign(plain->compare(d->a, d->n, d->b, d->n - less)))
                        return duel_wrong(d, "compare");
        if (one->equal_fold(d->a, d->b, d->n) != plain->equal_fold(d->a, d->b, d->n))
                return duel_wrong(d, "equal_fold");
        return true;
}

static inline bool duel_change(struct duel *d, const char *name,
                               void (*one)(void *, const void *, size_t),
                               void (*plain)(void *, const void *, size_t))
{
        uint8_t want[DUEL_MAX], before[DUEL_MAX];

        d->n = duel_length(d);
        d->a = duel_place(d, 0, d->n);
        duel_fill(d, d->a, d->n);
        for (size_t i = 0; i < d->n; i++)
                before[i] = d->a[i];
        plain(want, before, d->n);
        d->b = weir__rand_below(&d->seed, 2) ? d->a : duel_place(d, 1, d->n);
        one(d->b, d->a, d->n);
        for (size_t i = 0; i < d->n; i++)
                if (d->b[i] != want[i] || (d->b != d->a && d->a[i] != before[i]))
                        return duel_wrong(d, name);
        return true;
}

static inline bool duel_reverse(struct duel *d)
{
        uint8_t want[DUEL_MAX];

        d->n = duel_length(d);
        d->a = d->b = duel_place(d, 0, d->n);
        duel_fill(d, d->a, d->n);
        for (size_t i = 0; i < d->n; i++)
                want[d->n - 1 - i] = d->a[i];
        d->one->reverse(d->a, d->n);
        for (size_t i = 0; i < d->n; i++)
                if (d->a[i] != want[i])
                        return duel_wrong(d, "reverse");
        return true;
}

/* False: d->what says what was wrong. */
static inline bool duel(struct duel *d, int rounds)
{
        bool right = true;

        d->page[0] = duel_map();
        d->page[1] = duel_map();
        for (int i = 0; right && i < rounds; i++)
                right = duel_search(d) && duel_compare(d) && duel_reverse(d) &&
                        duel_change(d, "lower", d->one->lower, d->plain->lower) &&
                        duel_change(d, "upper", d->one->upper, d->plain->upper);
        munmap(d->page[0] - DUEL_PAGE, 3 * DUEL_PAGE);
        munmap(d->page[1] - DUEL_PAGE, 3 * DUEL_PAGE);
        return right;
}

#endif
