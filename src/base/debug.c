/* WEIR_DEBUG, from the one table debug.def. */
#include "base/debug.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct debug weir__debug = {
#define DEBUG(name, value, what) .name = value,
#include "base/debug.def"
#undef DEBUG
};

bool (*weir__debug_cpu)(const char *item, size_t n);

static const struct {
        const char *name, *what;
        int64_t    *value;
} table[] = {
#define DEBUG(name, value, what) { #name, what, &weir__debug.name },
#include "base/debug.def"
#undef DEBUG
};

static bool parse_number(const char *s, const char *end, int64_t *ret)
{
        char      copy[32], *stop;
        long long v;

        if (end == s || (size_t)(end - s) >= sizeof copy)
                return false;
        memcpy(copy, s, (size_t)(end - s));
        copy[end - s] = 0;
        errno = 0;
        v = strtoll(copy, &stop, 10);
        if (*stop || errno)
                return false;
        *ret = v;
        return true;
}

static _Noreturn void help(void)
{
        puts("WEIR_DEBUG=name=value,name=value; the names, with their defaults:");
        for (size_t i = 0; i < COUNT(table); i++)
                printf("  %-14s %3lld  %s\n", table[i].name, (long long)*table[i].value,
                       table[i].what);
        puts("  cpu.NAME        on  off: do not use this feature of the processor; weir cpu lists them");
        fflush(stdout);
        exit(0);
}

static bool matches(const char *name, const char *s, size_t n)
{
        return strlen(name) == n && !strncmp(name, s, n);
}

static void set(const char *item, size_t n)
{
        const char *eq = memchr(item, '=', n);
        size_t      name = eq ? (size_t)(eq - item) : n;

        if (matches("help", item, n))
                help();
        if (n > 4 && !strncmp(item, "cpu.", 4) && weir__debug_cpu &&
            weir__debug_cpu(item + 4, n - 4))
                return;
        for (size_t i = 0; i < COUNT(table); i++) {
                if (!matches(table[i].name, item, name))
                        continue;
                if (!eq || matches("strict", eq + 1, n - name - 1))
                        *table[i].value = 1;
                else if (!parse_number(eq + 1, item + n, table[i].value))
                        break;
                return;
        }
        fprintf(stderr, "weir: WEIR_DEBUG: cannot use '%.*s'; WEIR_DEBUG=help lists the names\n",
                (int)n, item);
        exit(2);
}

void weir__debug_read(void)
{
        const char *s = getenv("WEIR_DEBUG");

        while (s && *s) {
                size_t n = strcspn(s, ",");

                if (n)
                        set(s, n);
                s += n + (s[n] == ',');
        }
}

/* Before the C library has its pointer to the environment, which a preloaded malloc sees, the
 * kernel's copy is read. */
const char *weir__debug_early_env(const char *name)
{
        static char buf[8192];          /* one thread, at start */
        size_t      len = strlen(name);
        ssize_t     n;
        int         fd, keep;

        if (environ) {
                for (char **e = environ; *e; e++)
                        if (!strncmp(*e, name, len) && (*e)[len] == '=')
                                return *e + len + 1;
                return NULL;
        }
        keep = errno;
        fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? 0 : read(fd, buf, sizeof buf - 1);
        if (fd >= 0)
                close(fd);
        errno = keep;
        buf[MAX(n, 0)] = 0;
        for (const char *e = buf; e < buf + n; e += strlen(e) + 1)
                if (!strncmp(e, name, len) && e[len] == '=')
                        return e + len + 1;
        return NULL;
}

int64_t weir__debug_early(const char *name, int64_t fallback)
{
        const char *s = weir__debug_early_env("WEIR_DEBUG");
        size_t      len = strlen(name);

        while (s && *s) {
                size_t n = strcspn(s, ",");

                if (n >= len && !strncmp(s, name, len)) {
                        const char *v = s + len + 1;
                        bool        minus = s[len] == '=' && *v == '-';
                        int64_t     value = 0;

                        if (n == len)
                                return 1;
                        if (s[len] == '=') {
                                for (v += minus; *v >= '0' && *v <= '9'; v++)
                                        value = value * 10 + (*v - '0');
                                return minus ? -value : value;
                        }
                }
                s += n + (s[n] == ',');
        }
        return fallback;
}

int64_t weir__debug_env(const char *name, int64_t min, int64_t max, int64_t fallback)
{
        const char *s = getenv(name);
        int64_t     v;

        if (!s || !*s)
                return fallback;
        if (!parse_number(s, s + strlen(s), &v) || v < min || v > max) {
                fprintf(stderr, "weir: %s=%s: not a number from %lld to %lld\n", name, s,
                        (long long)min, (long long)max);
                exit(2);
        }
        return v;
}
