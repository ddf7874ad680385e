/* The routines on bytes, all ways, against simple loops. The first byte is the length of the
 * needle, which follows; the rest is the text. */
/* mode: random */
#include "data/bytes.h"
#include <stdlib.h>

#define must(cond) ((cond) ? (void)0 : (fprintf(stderr, "not true: %s\n", #cond), abort()))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ptrdiff_t find(const uint8_t *s, size_t n, const uint8_t *x, size_t m, bool last)
{
        ptrdiff_t at = -1;

        for (size_t i = 0; i + m <= n; i++)
                if (!m || !memcmp(s + i, x, m)) {
                        at = (ptrdiff_t)i;
                        if (!last)
                                break;
                }
        return at;
}

static void one_way(const struct bytes_ops *o, const uint8_t *s, size_t n, const uint8_t *x, size_t m)
{
        const struct bytes_ops *plain = &weir__bytes_plain;
        uint8_t                *copy = malloc(n + 1), *other = malloc(n + 1);
        uint8_t                 b = m ? x[0] : 'a';
        struct bytes_set        set = { { { 0 } } };
        ptrdiff_t               at, want;

        for (size_t i = 0; i < m; i++)
                bytes_set_add(&set, x[i]);
        must(o->index(s, n, b) == plain->index(s, n, b));
        must(o->last_index(s, n, b) == plain->last_index(s, n, b));
        must(o->count(s, n, b) == plain->count(s, n, b));
        must(o->index_set(s, n, &set) == plain->index_set(s, n, &set));
        must(o->ascii(s, n) == plain->ascii(s, n));
        must((o->compare(s, n, x, m) > 0) == (plain->compare(s, n, x, m) > 0));
        o->lower(copy, s, n);
        plain->upper(other, s, n);
        must(o->equal_fold(copy, other, n) && o->equal_fold(s, copy, n));
        plain->lower(other, s, n);
        must(o->equal(copy, other, n));
        memcpy(copy, s, n);
        o->reverse(copy, n);
        plain->reverse(copy, n);
        must(o->equal(copy, s, n));
        if (m >= 2 && m <= n) {
                at = o->find(s, n, x, m);
                want = find(s, n, x, m, false);
                must(at < -1 ? want < 0 || want >= -2 - at : at == want);
        }
        free(copy);
        free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        size_t         m, n, parts = 0, at = 0;
        const uint8_t *x, *s;
        weir_view      rest, part;
        uint8_t       *turned;
        uint64_t       has = weir__arch_ask();

        if (!size)
                return 0;
        m = MIN((size_t)data[0], size - 1);
        x = data + 1;
        s = x + m;
        n = size - 1 - m;
        one_way(&weir__bytes_plain, s, n, x, m);
        for (const struct bytes_ops *const *o = weir__arch_bytes; *o; o++)
                if (!((*o)->needs & ~has))
                        one_way(*o, s, n, x, m);
        must(weir_bytes_find(s, n, x, m) == find(s, n, x, m, false));
        must(weir_bytes_find_last(s, n, x, m) == find(s, n, x, m, true));

        rest = (weir_view){ (const char *)s, n };
        while (weir_bytes_cut(&rest, x, m, &part)) {
                must((const uint8_t *)part.ptr == s + at);
                at += part.len + m;
                parts++;
        }
        must(m ? at == n + m : at == n && parts == weir_utf8_count(s, n));

        turned = malloc(n + 1);
        memcpy(turned, s, n);
        weir_utf8_reverse(turned, n);
        if (weir_utf8_valid(s, n)) {
                must(weir_utf8_valid(turned, n) && weir_utf8_count(turned, n) == weir_utf8_count(s, n));
                weir_utf8_reverse(turned, n);
                must(!memcmp(turned, s, n));
        }
        free(turned);
        return 0;
}
