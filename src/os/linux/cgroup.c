/* The memory limits of the cgroups that the process is in: v2, v1, both mounted, nested, in a
 * container that sees a part of the tree.
 *
 * What    /proc/self/cgroup names the groups, /proc/self/mountinfo where their trees are mounted.
 *         The limit of a group holds for all below it, so each is asked from the process's own up
 *         to the top of what is mounted, and the tightest counts.
 * Not     stdio: the allocator asks, and may be the one that stdio would have to wait for. */
#include "os/os.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { LINE = 4096, PATH = 4096 };

struct reader {
        int    fd;
        size_t at, have;
        char   buf[4096];
};

static bool reader_open(struct reader *r, const char *root, const char *path)
{
        char full[PATH];

        r->at = r->have = 0;
        r->fd = -1;
        if (weir__fmt(full, sizeof full, "%s%s", root, path) < sizeof full - 1)
                r->fd = open(full, O_RDONLY | O_CLOEXEC);
        return r->fd >= 0;
}

/* The next line without its end; one that is too long is cut. False: there is none. */
static bool reader_line(struct reader *r, char line[LINE])
{
        size_t n = 0;

        for (;;) {
                if (r->at == r->have) {
                        ssize_t got = read(r->fd, r->buf, sizeof r->buf);

                        if (got < 0 && errno == EINTR)
                                continue;
                        if (got <= 0)
                                break;
                        r->have = (size_t)got;
                        r->at = 0;
                }
                if (r->buf[r->at] == '\n') {
                        r->at++;
                        line[n] = 0;
                        return true;
                }
                if (n < LINE - 1)
                        line[n++] = r->buf[r->at];
                r->at++;
        }
        line[n] = 0;
        return n > 0;
}

/* The number that a file of a group begins with; SIZE_MAX for "max", for v1's value that means no
 * limit, and when there is no such file. */
static size_t number_in(const char *root, const char *dir, const char *name)
{
        struct reader r;
        char          path[PATH], line[LINE];
        size_t        value = 0, digits = 0;

        if (weir__fmt(path, sizeof path, "%s/%s", dir, name) >= sizeof path - 1 ||
            !reader_open(&r, root, path))
                return SIZE_MAX;
        if (reader_line(&r, line))
                for (; line[digits] >= '0' && line[digits] <= '9' && digits < 19; digits++)
                        value = value * 10 + (size_t)(line[digits] - '0');
        close(r.fd);
        return digits && value < (size_t)1 << 62 ? value : SIZE_MAX;
}

/* The n-th word of a line, from 0 on, as a string of its own; "" when there are fewer. */
static const char *word(const char *line, unsigned n, char *ret, size_t size)
{
        size_t len;

        for (; n && *line; n--) {
                line += strcspn(line, " ");
                line += *line == ' ';
        }
        len = MIN(strcspn(line, " "), size - 1);
        memcpy(ret, line, len);
        ret[len] = 0;
        return ret;
}

static bool lists(const char *list, const char *name)
{
        size_t len = strlen(name);

        for (const char *s = list; *s; s += strcspn(s, ","), s += *s == ',')
                if (!strncmp(s, name, len) && (s[len] == ',' || !s[len]))
                        return true;
        return false;
}

/* Where the tree of groups is mounted, and which group is at its top there. */
static bool find_mount(const char *root, bool v2, char where[PATH], char top[PATH])
{
        struct reader r;
        char          line[LINE], type[32], options[LINE];
        bool          found = false;

        if (!reader_open(&r, root, "/proc/self/mountinfo"))
                return false;
        while (!found && reader_line(&r, line)) {
                const char *dash = strstr(line, " - ");

                if (!dash)
                        continue;
                word(dash + 3, 0, type, sizeof type);
                word(dash + 3, 2, options, sizeof options);
                if (v2 ? strcmp(type, "cgroup2") != 0
                       : strcmp(type, "cgroup") != 0 || !lists(options, "memory"))
                        continue;
                word(line, 3, top, PATH);
                word(line, 4, where, PATH);
                found = true;
        }
        close(r.fd);
        return found;
}

/* How often the group met its limits: of v2 the sum of "high N" and "max N" in memory.events, of v1
 * memory.failcnt. SIZE_MAX: not told. */
static size_t events_of(const char *root, bool v2, const char *dir)
{
        struct reader r;
        char          path[PATH], line[LINE];
        size_t        sum = 0;

        if (!v2)
                return number_in(root, dir, "memory.failcnt");
        if (weir__fmt(path, sizeof path, "%s/memory.events", dir) >= sizeof path - 1 ||
            !reader_open(&r, root, path))
                return SIZE_MAX;
        while (reader_line(&r, line)) {
                size_t n = 0;

                if (strncmp(line, "high ", 5) && strncmp(line, "max ", 4))
                        continue;
                for (const char *s = strchr(line, ' ') + 1; *s >= '0' && *s <= '9'; s++)
                        n = n * 10 + (size_t)(*s - '0');
                sum += n;
        }
        close(r.fd);
        return sum;
}

/* The limits of the group and of all above it. */
static void look_up(const char *root, bool v2, const char *group, struct os_memory *ret)
{
        char   where[PATH], top[PATH], dir[PATH];
        size_t len;
        bool   first = true;

        if (!find_mount(root, v2, where, top))
                return;
        /* Seen from inside a container the mount begins at the container's own group. */
        len = strlen(top);
        if (strcmp(top, "/") && !strncmp(group, top, len) && (group[len] == '/' || !group[len]))
                group += len;
        if (weir__fmt(dir, sizeof dir, "%s%s", where, strcmp(group, "/") ? group : "") >=
            sizeof dir - 1)
                return;
        for (;;) {
                size_t max = number_in(root, dir, v2 ? "memory.max" : "memory.limit_in_bytes");
                size_t high = v2 ? number_in(root, dir, "memory.high") : SIZE_MAX;
                char  *slash;

                if (max < ret->max || (first && ret->current == SIZE_MAX)) {
                        size_t now = number_in(root, dir, v2 ? "memory.current"
                                                             : "memory.usage_in_bytes");

                        if (now != SIZE_MAX)
                                ret->current = now;
                }
                if (first) {
                        size_t events = events_of(root, v2, dir);

                        if (events != SIZE_MAX)         /* of a hybrid mount one has none */
                                ret->events = ret->events == SIZE_MAX ? events
                                                                      : ret->events + events;
                }
                ret->max = MIN(ret->max, max);
                ret->high = MIN(ret->high, high);
                first = false;
                slash = strrchr(dir, '/');
                if (!slash || (size_t)(slash - dir) < strlen(where))
                        return;
                *slash = 0;
        }
}

void weir__os_memory_limits(const char *root, struct os_memory *ret)
{
        int           keep = weir__os_errno_get();
        struct reader r;
        char          line[LINE];

        *ret = (struct os_memory){ SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX };
        if (reader_open(&r, root, "/proc/self/cgroup")) {
                while (reader_line(&r, line)) {
                        char *list = strchr(line, ':');
                        char *group = list ? strchr(list + 1, ':') : NULL;

                        if (!group)
                                continue;
                        *group++ = 0;
                        list++;
                        if (!*list || lists(list, "memory"))
                                look_up(root, !*list, group, ret);
                }
                close(r.fd);
        }
        weir__os_errno_set(keep);
}
