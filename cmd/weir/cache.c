/* The cache of compiled programs.
 *
 * Shape     one folder per entry, named by the hash of everything that is known before compiling
 *           (sources, flags, compiler, libweir, folder; see program.c):
 *
 *                 ~/.cache/weir/6c62272e07bb014262b821756295c58d/
 *                         hello           the program
 *                         .deps           headers and libraries it was made of (deps.c)
 *                         .messages       the compiler's warnings, shown again on each use
 *                 ~/.cache/weir/6c62272e07bb014262b821756295c58d.Xq2n8a/
 *                                         an entry that is being built
 *
 * States    Only the process that made it touches a folder with a suffix. A folder without one is
 *           complete, never changed inside, and replaced or removed as a whole; so any number of
 *           weirs may work at the same time without a lock. Two that compile the same program both
 *           do it; the second one finds the place taken and throws its own work away.
 *
 * Not       A lock per entry would save that double work and would need an answer to who removes
 *           the lock of a killed weir. */
#include "cmd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
        KEEP_DAYS    = 30,
        KEEP_BYTES   = 256 << 20,
        KEEP_SECONDS = 60,      /* whoever uses an entry executes it within that time */
        HASH_DIGITS  = 32,
};

/* Makes path if need be; true if it is a folder of ours into which nobody else can write. */
static bool own_folder(const char *path, bool follow)
{
        struct stat st;

        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return false;
        if ((follow ? stat(path, &st) : lstat(path, &st)) < 0)
                return false;
        return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022) &&
               access(path, W_OK | X_OK) == 0;
}

static char *home_cache(void)
{
        const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
        char       *base, *dir;

        if (xdg && *xdg == '/')
                base = format("%s", xdg);
        else if (home && *home == '/')
                base = format("%s/.cache", home);
        else
                return NULL;
        mkdir(base, 0700);
        dir = format("%s/weir", base);
        return own_folder(dir, true) ? dir : NULL;
}

char *cache_directory(void)
{
        static char *dir;
        const char  *tmp;

        if (dir)
                return dir;
        dir = home_cache();
        if (dir)
                return dir;
        tmp = getenv("TMPDIR");
        dir = format("%s/weir-%u", tmp && *tmp == '/' ? tmp : "/tmp", (unsigned)geteuid());
        if (!own_folder(dir, false))
                fail("nowhere to keep the program: neither ~/.cache/weir nor %s is a folder that "
                     "only you can write to; set XDG_CACHE_HOME to one", dir);
        return dir;
}

char *cache_entry(struct hash key)
{
        return format("%s/%016llx%016llx", cache_directory(), (unsigned long long)key.high,
                      (unsigned long long)key.low);
}

char *entry_deps(const char *entry)
{
        return format("%s/.deps", entry);
}

char *entry_messages(const char *entry)
{
        return format("%s/.messages", entry);
}

void cache_touch(const char *entry)
{
        utimensat(AT_FDCWD, entry, NULL, 0);
}

char *cache_prepare(const char *entry)
{
        char *dir = format("%s.XXXXXX", entry);

        if (!mkdtemp(dir))
                fail("%s: %s", dir, strerror(errno));
        return dir;
}

bool cache_publish(const char *built, const char *entry)
{
        if (rename(built, entry) == 0)
                return true;
        if (errno != EEXIST && errno != ENOTEMPTY)
                return false;
        if (!deps_hold(entry_deps(entry)) &&
            renameat2(AT_FDCWD, built, AT_FDCWD, entry, RENAME_EXCHANGE) < 0)
                return false;
        remove_tree(built);     /* by now either our double work or the outdated entry */
        return true;
}

/* ---- tidying up ---- */

struct entry {
        char  *path;
        time_t used;
        off_t  bytes;
};

static off_t folder_bytes(const char *path)
{
        struct dirent *e;
        struct stat    st;
        off_t          bytes = 0;
        DIR           *d;

        d = opendir(path);
        if (!d)
                return 0;
        while ((e = readdir(d)))
                if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
                        bytes += st.st_blocks * 512;
        closedir(d);
        return bytes;
}

static int by_use(const void *a, const void *b)
{
        const struct entry *x = a, *y = b;

        return x->used < y->used ? -1 : x->used > y->used;
}

/* True for names that this file gave: nobody wants to lose what he put there himself. */
static bool is_entry(const char *name)
{
        return strspn(name, "0123456789abcdef") == HASH_DIGITS &&
               (name[HASH_DIGITS] == '\0' || name[HASH_DIGITS] == '.');
}

static struct entry *read_entries(size_t *ret_n)
{
        struct entry  *v = NULL;
        struct dirent *e;
        struct stat    st;
        size_t         n = 0;
        DIR           *d;

        d = opendir(cache_directory());
        while (d && (e = readdir(d))) {
                if (!is_entry(e->d_name) || fstatat(dirfd(d), e->d_name, &st, 0) < 0)
                        continue;
                v = realloc(v, (n + 1) * sizeof *v);
                if (!v)
                        fail("out of memory");
                v[n].path = format("%s/%s", cache_directory(), e->d_name);
                v[n].used = st.st_mtime;
                v[n].bytes = folder_bytes(v[n].path);
                n++;
        }
        if (d)
                closedir(d);
        *ret_n = n;
        return v;
}

void cache_trim(void)
{
        time_t        now = time(NULL);
        off_t         total = 0;
        struct entry *v;
        size_t        n;

        v = read_entries(&n);
        for (size_t i = 0; i < n; i++)
                total += v[i].bytes;
        if (n)
                qsort(v, n, sizeof *v, by_use);
        for (size_t i = 0; i < n; i++) {
                bool unfinished = strchr(base_name(v[i].path), '.');

                if (v[i].used > now - KEEP_SECONDS)
                        break;
                if (total > KEEP_BYTES || v[i].used < now - KEEP_DAYS * 86400L ||
                    (unfinished && v[i].used < now - 86400L)) {
                        remove_tree(v[i].path);
                        total -= v[i].bytes;
                }
        }
}
