/* Small things: messages, word lists, files. */
#include "cmd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *verb_name;

void fail_as(const char *verb)
{
        verb_name = verb;
}

void fail(const char *fmt, ...)
{
        va_list ap;

        fprintf(stderr, "weir%s%s: ", verb_name ? " " : "", verb_name ? verb_name : "");
        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fputc('\n', stderr);
        exit(STATUS_USAGE);
}

void *allocate(size_t size)
{
        void *p = calloc(1, size);

        if (!p)
                fail("out of memory");
        return p;
}

char *format(const char *fmt, ...)
{
        va_list ap;
        char   *s;

        va_start(ap, fmt);
        if (vasprintf(&s, fmt, ap) < 0)
                fail("out of memory");
        va_end(ap);
        return s;
}

void words_add(struct words *w, const char *word)
{
        w->v = realloc(w->v, (w->n + 2) * sizeof *w->v);
        if (!w->v)
                fail("out of memory");
        w->v[w->n++] = format("%s", word);
        w->v[w->n] = NULL;
}

void words_add_all(struct words *w, const struct words *more)
{
        for (size_t i = 0; i < more->n; i++)
                words_add(w, more->v[i]);
}

/* Copies the word at *text, quotes taken off, to out and moves *text behind it. */
static void unquote(const char **text, char *out)
{
        const char *s = *text;
        char        quote = 0;

        for (; *s && (quote || !strchr(" \t\n", *s)); s++) {
                if (quote ? *s == quote : *s == '\'' || *s == '"') {
                        quote = quote ? 0 : *s;
                        continue;
                }
                if (*s == '\\' && quote != '\'' && s[1])
                        s++;
                *out++ = *s;
        }
        *out = '\0';
        *text = s;
}

void words_split(struct words *w, const char *text)
{
        char *word;

        if (!text)
                return;
        word = allocate(strlen(text) + 1);
        for (;;) {
                text += strspn(text, " \t\n");
                if (!*text)
                        return;
                unquote(&text, word);
                words_add(w, word);
        }
}

const char *base_name(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

bool has_suffix(const char *s, const char *suffix)
{
        size_t n = strlen(s), m = strlen(suffix);

        return n > m && strcmp(s + n - m, suffix) == 0;
}

char *find_command(const char *name)
{
        const char *path = getenv("PATH"), *end;
        struct stat st;
        char       *file;

        if (strchr(name, '/'))
                return access(name, X_OK) == 0 ? format("%s", name) : NULL;
        for (path = path ? path : "/usr/bin:/bin"; ; path = end + 1) {
                end = strchrnul(path, ':');
                file = format("%.*s/%s", end > path ? (int)(end - path) : 1,
                              end > path ? path : ".", name);
                if (stat(file, &st) == 0 && S_ISREG(st.st_mode) && access(file, X_OK) == 0)
                        return file;
                free(file);
                if (!*end)
                        return NULL;
        }
}

bool copy_file(const char *from, int to)
{
        char    buf[1 << 16];
        ssize_t n, m;
        int     fd, err;

        fd = open(from, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        while ((n = read(fd, buf, sizeof buf)) > 0) {
                for (char *p = buf; n > 0; p += m, n -= m) {
                        m = write(to, p, (size_t)n);
                        if (m < 0) {
                                n = -1;
                                goto end;
                        }
                }
        }
end:
        err = errno;
        close(fd);
        errno = err;
        return n == 0;
}

void remove_tree(const char *dir)
{
        struct dirent *e;
        DIR           *d;

        if (unlink(dir) == 0)
                return;
        d = opendir(dir);
        if (!d)
                return;
        while ((e = readdir(d)))
                unlinkat(dirfd(d), e->d_name, 0);
        closedir(d);
        rmdir(dir);
}
