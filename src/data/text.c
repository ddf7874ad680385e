/* Taking text apart and putting it together. */
#include "data/bytes.h"
#include <stdarg.h>
#include <weir/go.h>

/* ---- taking apart ---- */

bool weir_bytes_cut(weir_view *rest, const void *separator, size_t m, weir_view *ret)
{
        ptrdiff_t at;
        uint32_t  c;

        if (!rest->ptr)
                return false;
        *ret = *rest;
        if (!m) {
                ret->len = weir_utf8_decode(rest->ptr, rest->len, &c);
                if (!ret->len) {
                        *rest = (weir_view){ 0 };
                        return false;
                }
                rest->ptr += ret->len;
                rest->len -= ret->len;
                return true;
        }
        at = weir_bytes_find(rest->ptr, rest->len, separator, m);
        if (at < 0) {
                *rest = (weir_view){ 0 };
                return true;
        }
        ret->len = (size_t)at;
        rest->ptr += ret->len + m;
        rest->len -= ret->len + m;
        return true;
}

static inline bool is_space(char c)
{
        return c == ' ' || (unsigned char)(c - '\t') < 5;
}

bool weir_bytes_next_field(weir_view *rest, weir_view *ret)
{
        const char *p = rest->ptr, *end = rest->len ? p + rest->len : p, *start;

        while (p < end && is_space(*p))
                p++;
        start = p;
        while (p < end && !is_space(*p))
                p++;
        rest->ptr = p;
        rest->len = (size_t)(end - p);
        if (p == start)
                return false;
        ret->ptr = start;
        ret->len = (size_t)(p - start);
        return true;
}

weir_views weir_bytes_split(const void *s, size_t n, const void *separator, size_t m)
{
        weir_view  rest = { n ? s : "", n }, part;
        weir_views all = { 0 };

        while (weir_bytes_cut(&rest, separator, m, &part))
                weir_append(all, part);
        return all;
}

weir_views weir_bytes_fields(const void *s, size_t n)
{
        weir_view  rest = { s, n }, part;
        weir_views all = { 0 };

        while (weir_bytes_next_field(&rest, &part))
                weir_append(all, part);
        return all;
}

weir_view weir_view_trim(weir_view v)
{
        while (v.len && is_space(v.ptr[v.len - 1]))
                v.len--;
        while (v.len && is_space(*v.ptr)) {
                v.ptr++;
                v.len--;
        }
        return v;
}

/* ---- putting together ---- */

void weir_builder_reserve(weir_builder *b, size_t n)
{
        b->ptr = weir_slice_grow_by(b->ptr, b->len, &b->cap, 1, n, WEIR_NOSCAN);
}

void weir_builder_add(weir_builder *b, const void *s, size_t n)
{
        if (!n)
                return;
        if (n > b->cap - b->len)                /* the old block stays: s may point into it */
                weir_builder_reserve(b, n);
        memmove(b->ptr + b->len, s, n);
        b->len += n;
}

void weir_builder_add_byte(weir_builder *b, uint8_t byte)
{
        if (b->len == b->cap)
                weir_builder_reserve(b, 1);
        b->ptr[b->len++] = (char)byte;
}

void weir_builder_add_string(weir_builder *b, const char *s)
{
        weir_builder_add(b, s, strlen(s));
}

void weir_builder_add_char(weir_builder *b, uint32_t c)
{
        char   s[4];
        size_t n = 0;

        if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
                c = 0xfffd;
        if (c < 0x80) {
                s[n++] = (char)c;
        } else if (c < 0x800) {
                s[n++] = (char)(0xc0 | c >> 6);
        } else if (c < 0x10000) {
                s[n++] = (char)(0xe0 | c >> 12);
                s[n++] = (char)(0x80 | (c >> 6 & 0x3f));
        } else {
                s[n++] = (char)(0xf0 | c >> 18);
                s[n++] = (char)(0x80 | (c >> 12 & 0x3f));
                s[n++] = (char)(0x80 | (c >> 6 & 0x3f));
        }
        if (c >= 0x80)
                s[n++] = (char)(0x80 | (c & 0x3f));
        weir_builder_add(b, s, n);
}

void weir_builder_print(weir_builder *b, const char *fmt, ...)
{
        va_list ap;
        size_t  room = b->cap - b->len;
        int     n;

        va_start(ap, fmt);
        n = vsnprintf(room ? b->ptr + b->len : NULL, room, fmt, ap);
        va_end(ap);
        if (n < 0)
                weir_panic("weir_builder_print: the format \"%s\" cannot be printed", fmt);
        if ((size_t)n >= room) {
                weir_builder_reserve(b, (size_t)n + 1);         /* and the zero byte */
                va_start(ap, fmt);
                n = vsnprintf(b->ptr + b->len, b->cap - b->len, fmt, ap);
                va_end(ap);
        }
        b->len += (size_t)n;
}

char *weir_builder_take(weir_builder *b, size_t *ret_len)
{
        char *s;

        weir_builder_add_byte(b, 0);
        s = b->ptr;
        if (ret_len)
                *ret_len = b->len - 1;
        *b = (weir_builder){ 0 };
        return s;
}
