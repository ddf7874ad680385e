/* Text without malloc, stdio or locks: what the runtime uses to speak while it is dying.
 *
 * A dump may be written from a signal handler, with malloc's lock held by the very thread that
 * prints. So this knows its own small part of printf's language and writes with write(2). When the
 * caller gave a FILE the same text goes through fwrite, and then malloc may be used as ever. */
#include "base/base.h"
#include <errno.h>
#include <unistd.h>

void weir__out_flush(struct out *o)
{
        size_t done = 0;

        if (o->file) {
                (void)fwrite(o->buf, 1, o->len, o->file);
                o->len = 0;
                return;
        }
        while (done < o->len) {
                ssize_t n = write(o->fd, o->buf + done, o->len - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                done += (size_t)n;
        }
        o->len = 0;
}

static void put(struct out *o, const char *s, size_t n)
{
        if (o->str) {
                n = MIN(n, o->room - o->len);
                memcpy(o->str + o->len, s, n);
                o->len += n;
                return;
        }
        while (n) {
                size_t k = MIN(n, sizeof o->buf - o->len);

                memcpy(o->buf + o->len, s, k);
                o->len += k;
                s += k;
                n -= k;
                if (o->len == sizeof o->buf)
                        weir__out_flush(o);
        }
}

static void pad(struct out *o, int n, char c)
{
        while (n-- > 0)
                put(o, &c, 1);
}

static void put_number(struct out *o, unsigned long long v, unsigned base, bool minus, int width,
                       char fill, bool left)
{
        char tmp[24];
        int  n = 0;

        do
                tmp[sizeof tmp - 1 - (size_t)n++] = "0123456789abcdef"[v % base];
        while ((v /= base) && n < 22);
        if (minus && fill == '0' && !left) {            /* the zeros stand behind the sign */
                put(o, "-", 1);
                width--;
        } else if (minus) {
                tmp[sizeof tmp - 1 - (size_t)n++] = '-';
        }
        if (!left)
                pad(o, width - n, fill);
        put(o, tmp + sizeof tmp - n, (size_t)n);
        if (left)
                pad(o, width - n, ' ');
}

struct spec {
        bool left;
        char fill;
        int  width, size;               /* size: 0 int, 1 long, 2 long long, 3 size_t */
};

static const char *read_spec(const char *f, struct spec *s, va_list *ap)
{
        *s = (struct spec){ .fill = ' ' };
        for (;; f++) {
                if (*f == '-')
                        s->left = true;
                else if (*f == '0')
                        s->fill = '0';
                else
                        break;
        }
        if (*f == '*') {
                s->width = va_arg(*ap, int);
                f++;
        }
        while (*f >= '0' && *f <= '9')
                s->width = s->width * 10 + (*f++ - '0');
        for (; *f == 'l'; f++)
                s->size++;
        if (*f == 'z') {
                s->size = 3;
                f++;
        }
        return f;
}

static unsigned long long arg_unsigned(const struct spec *s, va_list *ap)
{
        switch (s->size) {
        case 0:
                return va_arg(*ap, unsigned);
        case 1:
                return va_arg(*ap, unsigned long);
        case 2:
                return va_arg(*ap, unsigned long long);
        default:
                return va_arg(*ap, size_t);
        }
}

static void put_signed(struct out *o, const struct spec *s, va_list *ap)
{
        long long v = s->size == 0 ? va_arg(*ap, int) : s->size == 1 ? va_arg(*ap, long)
                                                      : va_arg(*ap, long long);

        put_number(o, v < 0 ? -(unsigned long long)v : (unsigned long long)v, 10, v < 0, s->width,
                   s->fill, s->left);
}

static void put_string(struct out *o, const struct spec *s, const char *str)
{
        size_t n = strlen(str ? str : (str = "(null)"));

        if (!s->left)
                pad(o, s->width - (int)n, ' ');
        put(o, str, n);
        if (s->left)
                pad(o, s->width - (int)n, ' ');
}

void weir__out_vprint(struct out *o, const char *fmt, va_list args)
{
        struct spec s;
        va_list     ap;

        va_copy(ap, args);
        for (const char *f = fmt; *f; f++) {
                const char *start = f;

                if (*f != '%') {
                        while (f[1] && f[1] != '%')
                                f++;
                        put(o, start, (size_t)(f + 1 - start));
                        continue;
                }
                f = read_spec(f + 1, &s, &ap);
                switch (*f) {
                case 'd':
                case 'i':
                        put_signed(o, &s, &ap);
                        break;
                case 'u':
                        put_number(o, arg_unsigned(&s, &ap), 10, false, s.width, s.fill, s.left);
                        break;
                case 'x':
                        put_number(o, arg_unsigned(&s, &ap), 16, false, s.width, s.fill, s.left);
                        break;
                case 'p':
                        put(o, "0x", 2);
                        put_number(o, (uintptr_t)va_arg(ap, void *), 16, false, 0, '0', false);
                        break;
                case 's':
                        put_string(o, &s, va_arg(ap, const char *));
                        break;
                case 'c': {
                        char c = (char)va_arg(ap, int);

                        put(o, &c, 1);
                        break;
                }
                case '%':
                        put(o, f, 1);
                        break;
                case 0:
                        put(o, start, (size_t)(f - start));
                        va_end(ap);
                        return;
                default:
                        put(o, start, (size_t)(f + 1 - start));
                        break;
                }
        }
        va_end(ap);
}

void weir__out_print(struct out *o, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        weir__out_vprint(o, fmt, ap);
        va_end(ap);
}

size_t weir__fmt(char *buf, size_t size, const char *fmt, ...)
{
        char       none;
        struct out o = { .str = size ? buf : &none, .room = size ? size - 1 : 0 };
        va_list    ap;

        va_start(ap, fmt);
        weir__out_vprint(&o, fmt, ap);
        va_end(ap);
        if (size)
                buf[o.len] = 0;
        return o.len;
}
