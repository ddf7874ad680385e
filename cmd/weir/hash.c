/* Hashes of files and of lists of strings. Each string goes in with its length, so that no two
 * different lists give the same bytes. */
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct hasher {
        XXH3_state_t state;
};

static struct hash from_xxh(XXH128_hash_t h)
{
        return (struct hash){ .low = h.low64, .high = h.high64 };
}

struct hasher *hasher_new(void)
{
        /* Not from allocate(): the state is an aligned type. */
        static struct hasher h;

        XXH3_128bits_reset(&h.state);
        return &h;
}

static void add(struct hasher *h, const void *data, size_t size)
{
        uint64_t n = size;

        XXH3_128bits_update(&h->state, &n, sizeof n);
        if (size)
                XXH3_128bits_update(&h->state, data, size);
}

void hasher_string(struct hasher *h, const char *s)
{
        add(h, s ? "1" : "0", 1);
        if (s)
                add(h, s, strlen(s));
}

void hasher_words(struct hasher *h, const struct words *w)
{
        add(h, &w->n, sizeof w->n);
        for (size_t i = 0; i < w->n; i++)
                hasher_string(h, w->v[i]);
}

void hasher_hash(struct hasher *h, struct hash value)
{
        add(h, &value, sizeof value);
}

void hasher_stat(struct hasher *h, const char *path)
{
        struct stat st;

        hasher_string(h, path);
        if (!path || stat(path, &st) < 0)
                return;
        add(h, &st.st_size, sizeof st.st_size);
        add(h, &st.st_mtim, sizeof st.st_mtim);
        add(h, &st.st_ctim, sizeof st.st_ctim);
}

struct hash hasher_result(struct hasher *h)
{
        return from_xxh(XXH3_128bits_digest(&h->state));
}

static bool asks_for_time(const char *text, size_t size)
{
        static const char *const names[] = { "__DATE__", "__TIME__", "__TIMESTAMP__" };

        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
                if (memmem(text, size, names[i], strlen(names[i])))
                        return true;
        return false;
}

/* Reads all of fd, of which the file system says that it holds size bytes. Not by mmap: an editor
 * that truncates the file meanwhile would end us by SIGBUS. */
static char *read_all(int fd, size_t size)
{
        char   *text = allocate(size + 1);
        ssize_t n;

        for (size_t at = 0; at < size; at += (size_t)n) {
                n = read(fd, text + at, size - at);
                if (n == 0)
                        errno = EAGAIN;
                if (n <= 0) {
                        free(text);
                        return NULL;
                }
        }
        return text;
}

bool hash_file(const char *path, struct hash *ret, bool *timed)
{
        struct stat st;
        char       *text = NULL;
        int         fd, err;

        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        if (fstat(fd, &st) == 0) {
                if (S_ISDIR(st.st_mode))
                        errno = EISDIR;
                else
                        text = read_all(fd, (size_t)st.st_size);
        }
        err = errno;
        close(fd);
        errno = err;
        if (!text)
                return false;
        *ret = from_xxh(XXH3_128bits(text, (size_t)st.st_size));
        if (timed && asks_for_time(text, (size_t)st.st_size))
                *timed = true;
        free(text);
        return true;
}
