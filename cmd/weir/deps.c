/* What a program was made of, as the compiler and the linker told it.
 *
 * What      deps_write keeps the list beside the program, deps_hold compares it with the present.
 *
 * Shape     a text file, one line per file:
 *
 *                 weir deps 1
 *                 content 0123456789abcdef0123456789abcdef /usr/include/stdio.h
 *                 version 1029384 1700000000.123456789 /lib/x86_64-linux-gnu/libc.so.6
 *
 *           Sources and headers count by content, so that a touched or checked-out file costs
 *           nothing; what the linker took counts by size and time, because it is large and changes
 *           only when somebody installs it.
 *
 * Order     A file that changes while the compiler runs may have been read before or after. So a
 *           file whose times are not older than the start of the compilation makes deps_write
 *           refuse, and the program is used once.
 *
 * Not       A header that appears in a folder searched before the one where it was found last time
 *           is not noticed, as in ccache's direct mode: the check would cost a look into every
 *           folder for every header. */
#include "cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_LINE "weir deps 1\n"

/* Reads a file as one string; NULL: it is not there. */
static char *read_text(const char *file)
{
        char   *text = NULL;
        size_t  size = 0;
        ssize_t n = -1;
        FILE   *f;

        f = fopen(file, "re");
        if (f) {
                n = getdelim(&text, &size, '\0', f);
                fclose(f);
        }
        return n < 0 ? NULL : text;
}

/* Returns the text behind the colon that ends the target of a make rule. */
static const char *prerequisites(const char *text)
{
        while (text && (text = strchr(text, ':')))
                if (strchr(" \t\\\n", *++text))
                        break;
        return text;
}

void deps_parse(const char *file, struct words *w)
{
        char       *text = read_text(file), *word;
        const char *s = prerequisites(text);
        size_t      n = 0;
        bool        more = s;

        word = allocate(text ? strlen(text) + 1 : 1);
        for (; more; s++) {
                bool continues = s[0] == '\\' && s[1] == '\n';

                if (!continues && s[0] && !strchr(" \t\n", s[0])) {
                        if ((s[0] == '\\' && s[1] && strchr(" \t#:", s[1])) ||
                            (s[0] == '$' && s[1] == '$'))
                                s++;
                        word[n++] = *s;
                        continue;
                }
                word[n] = '\0';
                if (n)
                        words_add(w, word);
                n = 0;
                more = continues || (*s && *s != '\n');
                s += continues;
        }
        free(word);
        free(text);
}

static bool later(struct timespec a, struct timespec b)
{
        return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec >= b.tv_nsec;
}

static bool seen(const struct words *w, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(w->v[i], w->v[n]) == 0)
                        return true;
        return false;
}

static bool write_line(FILE *f, const char *path, bool by_content, struct timespec start)
{
        struct stat st;
        struct hash h;

        if (strchr(path, '\n') || stat(path, &st) < 0)
                return false;
        if (later(st.st_mtim, start) || later(st.st_ctim, start))
                return false;
        if (!by_content)
                return fprintf(f, "version %lld %lld.%09ld %s\n", (long long)st.st_size,
                               (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, path) > 0;
        return hash_file(path, &h, NULL) &&
               fprintf(f, "content %016llx%016llx %s\n", (unsigned long long)h.high,
                       (unsigned long long)h.low, path) > 0;
}

bool deps_write(const char *file, const struct words *contents, const struct words *versions,
                struct timespec start)
{
        bool  ok;
        FILE *f;

        f = fopen(file, "wxe");
        if (!f)
                return false;
        ok = fputs(FIRST_LINE, f) >= 0;
        for (size_t i = 0; ok && i < contents->n; i++)
                ok = seen(contents, i) || write_line(f, contents->v[i], true, start);
        for (size_t i = 0; ok && i < versions->n; i++)
                ok = seen(versions, i) || write_line(f, versions->v[i], false, start);
        if (fclose(f) != 0)
                ok = false;
        if (!ok)
                unlink(file);
        return ok;
}

static bool line_holds(const char *line)
{
        unsigned long long low, high;
        long long          size, sec;
        struct stat        st;
        struct hash        h;
        long               nsec;
        int                path = 0;

        if (sscanf(line, "content %16llx%16llx %n", &high, &low, &path) == 2 && path)
                return hash_file(line + path, &h, NULL) && h.low == low && h.high == high;
        if (sscanf(line, "version %lld %lld.%9ld %n", &size, &sec, &nsec, &path) == 3 && path)
                return stat(line + path, &st) == 0 && st.st_size == size &&
                       st.st_mtim.tv_sec == sec && st.st_mtim.tv_nsec == nsec;
        return false;
}

bool deps_hold(const char *file)
{
        char *text = read_text(file), *rest = text, *line;

        if (!text || strncmp(text, FIRST_LINE, strlen(FIRST_LINE)) != 0)
                return false;
        rest += strlen(FIRST_LINE);
        while ((line = strsep(&rest, "\n")) && *line)
                if (!line_holds(line))
                        return false;
        return true;
}
