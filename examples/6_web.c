/* A web server for static files: HTTP/1.1, one goroutine per connection.
 *
 *      weir run examples/6_web.c -lhttp_parser -- docs 127.0.0.1:8080
 *
 * A connection is a plain loop: read a request, answer it, again. Who waits is parked, so thousands
 * of idle clients cost memory and no thread. A client owns one buffer each way and nothing is
 * allocated per request: no client can make the server grow.
 *
 *      accept_all --> serve --> read_request       bytes to a struct request, by http_parser
 *                         \---> answer_file        the request to a file beneath DIR
 *                         \---> answer_metrics     the same loop on a second listener
 *
 * Four kinds of client must not hurt the others. The slow: a request has a time in which to arrive
 * as a whole, each piece of an answer one in which to be taken. The many: accepting pauses before
 * the descriptors are used up. The large: a header block longer than its buffer is refused. The
 * curious: the kernel resolves names beneath DIR, whatever dots and symbolic links they hold. */
#define _GNU_SOURCE                     /* strptime, syscall */
#include <weir.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <http_parser.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
        IN_SIZE  = 16 * 1024,           /* the longest header block; beyond it is 431 */
        OUT_SIZE = 32 * 1024,           /* a header with the start of its file, then its pieces */
        SPARE    = 32,                  /* descriptors kept from clients, to open files with */
};

static int           root_fd;                           /* DIR; const after start */
static weir_duration patience = 10 * WEIR_SECOND;       /* with one request; const after start */

struct span { const char *at; size_t len; };            /* a piece of the input buffer */

struct request {
        struct span url, field, value;  /* field, value: of the header being read */
        struct span range, since;       /* values of the two headers that we look at */
        unsigned    hosts;
        bool        bad, body, if_range, complete;
};

struct client {
        weir_conn     *conn;
        http_parser    parser;
        struct request req;
        bool           keep;            /* the connection outlives this answer */
        size_t         have;            /* bytes in in[]; the current request begins at 0 */
        size_t         used;            /* bytes of in[] that the current request takes */
        size_t         len;             /* bytes in out[] */
        char           in[IN_SIZE];
        char           out[OUT_SIZE];
};

typedef bool answer_fn(struct client *c);               /* false: the client is gone */

/* ---- reading a request ----
 *
 * The header block stays in in[] from its first byte to its last, so a callback only has to note
 * where things are: nothing is copied and nothing parks while the parser is on the stack. */

static void extend(struct span *s, const char *at, size_t len)
{
        if (!s->at)
                s->at = at;
        s->len = (size_t)(at + len - s->at);
}

static bool is(struct span s, const char *name)
{
        return s.len == strlen(name) && strncasecmp(s.at, name, s.len) == 0;
}

/* A header is known to have ended when the next begins. */
static void take_header(struct request *req)
{
        struct span v = req->value;

        while (v.len > 0 && (v.at[v.len - 1] == ' ' || v.at[v.len - 1] == '\t'))
                v.len--;
        if (is(req->field, "host"))
                req->hosts++;
        else if (is(req->field, "range"))
                req->range = v;
        else if (is(req->field, "if-range"))
                req->if_range = true;
        else if (is(req->field, "if-modified-since"))
                req->since = v;
        else if (is(req->field, "transfer-encoding"))
                req->body = true;
        else if (memchr(req->field.at, ' ', req->field.len))
                req->bad = true;        /* "Host : a": some would take it for a Host, some not */
        req->field = req->value = (struct span){0};
}

static int on_url(http_parser *p, const char *at, size_t len)
{
        struct request *req = p->data;

        extend(&req->url, at, len);
        return 0;
}

static int on_field(http_parser *p, const char *at, size_t len)
{
        struct request *req = p->data;

        if (req->value.at)
                take_header(req);
        extend(&req->field, at, len);
        return 0;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
        struct request *req = p->data;

        extend(&req->value, at, len);
        return 0;
}

static int on_headers(http_parser *p)
{
        struct request *req = p->data;

        if (req->value.at)
                take_header(req);
        if (p->content_length > 0 && p->content_length != ULLONG_MAX)
                req->body = true;
        return 1;                       /* the message ends here: serve() says what of a body */
}

static int on_complete(http_parser *p)
{
        struct request *req = p->data;

        req->complete = true;
        http_parser_pause(p, 1);        /* what follows is the next request, for a later call */
        return 0;
}

static const http_parser_settings callbacks = {
        .on_url              = on_url,
        .on_header_field     = on_field,
        .on_header_value     = on_value,
        .on_headers_complete = on_headers,
        .on_message_complete = on_complete,
};

/* The rules that the parser leaves to us. */
static int check_request(struct client *c)
{
        if (c->parser.http_major != 1)
                return 505;
        if (c->req.bad || c->req.hosts > 1 || (c->req.hosts == 0 && c->parser.http_minor > 0))
                return 400;
        c->keep = http_should_keep_alive(&c->parser) && !c->req.body;
        return 0;
}

/* Reads to the end of a header block. Returns 0, a status to refuse with, or -1: nobody is there.
 *
 * The deadline for the whole request is set once, when its first bytes are there and its last are
 * not. Renewed at each read it would let a client that sends a byte a second stay for hours. */
static int read_request(struct client *c)
{
        size_t  parsed  = 0;
        bool    hurried = false;
        ssize_t n;

        c->req  = (struct request){0};
        c->keep = false;
        http_parser_init(&c->parser, HTTP_REQUEST);
        c->parser.data = &c->req;
        for (;;) {
                if (parsed < c->have) {
                        parsed += http_parser_execute(&c->parser, &callbacks, c->in + parsed,
                                                      c->have - parsed);
                        c->used = parsed;
                        if (c->req.complete)
                                return check_request(c);
                        if (HTTP_PARSER_ERRNO(&c->parser) != HPE_OK)
                                return 400;
                }
                if (c->have == IN_SIZE)
                        return 431;
                if (c->have == 0)
                        weir_conn_set_read_deadline(c->conn, weir_now() + 3 * patience);
                else if (!hurried)
                        weir_conn_set_read_deadline(c->conn, weir_now() + patience);
                hurried = c->have > 0;

                n = weir_conn_read(c->conn, c->in + c->have, IN_SIZE - c->have);
                if (n <= 0)
                        return n == WEIR_ETIMEOUT && c->have > 0 ? 408 : -1;
                c->have += (size_t)n;
        }
}

/* ---- writing an answer ---- */

__attribute__((format(printf, 2, 3)))
static void put(struct client *c, const char *fmt, ...)
{
        size_t  room = OUT_SIZE - c->len;
        va_list ap;
        int     n;

        va_start(ap, fmt);
        n = vsnprintf(c->out + c->len, room, fmt, ap);
        va_end(ap);
        if (n > 0)
                c->len += (size_t)n < room ? (size_t)n : room - 1;
}

static void put_date(struct client *c, const char *name, time_t t)
{
        char      text[32];
        struct tm tm;

        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&t, &tm));
        put(c, "%s: %s\r\n", name, text);
}

static void put_status(struct client *c, int status)
{
        c->len = 0;
        put(c, "HTTP/1.1 %d %s\r\nConnection: %s\r\n", status,
            http_status_str((enum http_status)status), c->keep ? "keep-alive" : "close");
        put_date(c, "Date", time(NULL));
}

static bool is_head(const struct client *c)
{
        return c->req.complete && c->parser.method == HTTP_HEAD;
}

static bool flush(struct client *c)
{
        size_t len = c->len;

        c->len = 0;
        weir_conn_set_write_deadline(c->conn, weir_now() + 3 * patience);
        return weir_conn_write(c->conn, c->out, len) >= 0;
}

/* An answer that is its own text. The extra header lines end in \r\n. */
static bool answer_status(struct client *c, int status, const char *extra)
{
        char text[64];
        int  n;

        n = snprintf(text, sizeof text, "%d %s\n", status,
                     http_status_str((enum http_status)status));
        put_status(c, status);
        put(c, "%sContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", extra, n,
            is_head(c) ? "" : text);
        return flush(c);
}

/* ---- from a URL to a file ---- */

/* Writes "./" and the decoded path. Returns 0 or a status. A ".." could not leave DIR, but honest
 * clients resolve theirs before they ask, and a NUL would end the name early. */
static int decode_path(struct span s, char *ret, size_t size)
{
        const char *end = s.at + s.len;
        size_t      n   = 0;

        ret[n++] = '.';
        ret[n++] = '/';
        for (const char *p = s.at; p < end; p++) {
                char ch = *p;

                if (ch == '%') {
                        if (end - p < 3 || !isxdigit((unsigned char)p[1]) ||
                            !isxdigit((unsigned char)p[2]))
                                return 400;
                        ch = (char)strtol((char[]){ p[1], p[2], '\0' }, NULL, 16);
                        p += 2;
                }
                if (ch == '\0')
                        return 400;
                if (n == size - 1)
                        return 414;
                ret[n++] = ch;
        }
        ret[n] = '\0';
        for (const char *p = ret; (p = strstr(p, "/..")); p++)
                if (p[3] == '/' || p[3] == '\0')
                        return 400;
        return 0;
}

/* Without openat2 (Linux before 5.6, or a filter): name by name, and no symbolic link at all. */
static int open_by_steps(const char *path)
{
        char name[PATH_MAX], *next, *rest = name;
        int  at = root_fd, fd;

        snprintf(name, sizeof name, "%s", path);
        do {
                next = strsep(&rest, "/");
                if (rest && (*next == '\0' || strcmp(next, ".") == 0))
                        continue;
                fd = openat(at, next, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW |
                                              (rest ? O_DIRECTORY : 0));
                if (at != root_fd)
                        close(at);
                if (fd < 0)
                        return -errno;
                at = fd;
        } while (rest);
        return at;
}

/* O_NONBLOCK: a FIFO beneath DIR would hold the thread until somebody writes to it. */
static int open_beneath(const char *path)
{
        const struct open_how how = {
                .flags   = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
        };
        long fd;

        do
                fd = syscall(SYS_openat2, root_fd, path, &how, sizeof how);
        while (fd < 0 && errno == EAGAIN);      /* a rename somewhere while ".." was followed */
        if (fd < 0 && (errno == ENOSYS || errno == EPERM))
                return open_by_steps(path);
        return fd < 0 ? -errno : (int)fd;
}

static int status_of(int err)
{
        switch (-err) {
        case EACCES: case EPERM:
                return 403;
        case ENAMETOOLONG:
                return 414;
        case EMFILE: case ENFILE: case ENOMEM:
                return 503;
        default:
                return 404;             /* also for a link that leads out of DIR */
        }
}

static const char *mime_type(const char *path)
{
        static const char *const types[][2] = {
                { "html", "text/html; charset=utf-8" },
                { "css", "text/css; charset=utf-8" },
                { "js", "text/javascript; charset=utf-8" },
                { "txt", "text/plain; charset=utf-8" },
                { "md", "text/plain; charset=utf-8" },
                { "c", "text/plain; charset=utf-8" },
                { "h", "text/plain; charset=utf-8" },
                { "json", "application/json" },
                { "pdf", "application/pdf" },
                { "wasm", "application/wasm" },
                { "svg", "image/svg+xml" },
                { "png", "image/png" },
                { "jpg", "image/jpeg" },
                { "webp", "image/webp" },
                { "ico", "image/x-icon" },
                { "woff2", "font/woff2" },
                { "mp4", "video/mp4" },
        };
        const char *dot = strrchr(path, '.');   /* at least that of "./" */

        for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
                if (strcasecmp(dot + 1, types[i][0]) == 0)
                        return types[i][1];
        return "application/octet-stream";
}

/* ---- what part of it ---- */

static bool take_number(const char **s, off_t *ret)
{
        if (!isdigit((unsigned char)**s))
                return false;           /* strtol would accept a sign or a blank */
        *ret = strtol(*s, (char **)s, 10);
        return true;
}

/* Understands "bytes=FIRST-LAST", "bytes=FIRST-" and "bytes=-COUNT": returns 206 and the piece, or
 * 416. Anything else, several ranges included, is 200: a server may always send the whole file. */
static int pick_range(const struct request *req, off_t size, off_t *ret_first, off_t *ret_end)
{
        char        text[64];
        const char *s = text;
        off_t       first, last = LONG_MAX;

        if (!req->range.at || req->if_range || size == 0 || req->range.len >= sizeof text)
                return 200;
        snprintf(text, sizeof text, "%.*s", (int)req->range.len, req->range.at);
        if (strncasecmp(s, "bytes=", 6) != 0)
                return 200;
        s += 6;
        if (*s == '-') {
                s++;
                if (!take_number(&s, &last) || *s)
                        return 200;
                if (last == 0)
                        return 416;
                first = last < size ? size - last : 0;
                last  = size - 1;
        } else {
                if (!take_number(&s, &first) || *s++ != '-')
                        return 200;
                if (*s && !take_number(&s, &last))
                        return 200;
                if (*s || last < first)
                        return 200;
                if (first >= size)
                        return 416;
        }
        *ret_first = first;
        *ret_end   = last < size ? last + 1 : size;
        return 206;
}

static bool not_modified(const struct request *req, time_t mtime)
{
        char        text[64];
        struct tm   tm = {0};
        const char *end;

        if (!req->since.at || req->since.len >= sizeof text)
                return false;
        snprintf(text, sizeof text, "%.*s", (int)req->since.len, req->since.at);
        end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        return end && *end == '\0' && mtime <= timegm(&tm);
}

/* Sends what is in out[] and then bytes [at, end) of the file. The file may shrink meanwhile: its
 * length has been promised, so all that is left is to hang up. A slow disk holds this processor
 * while pread waits for it: where files are not in the page cache, use weir_blocking(). */
static bool send_bytes(struct client *c, int fd, off_t at, off_t end)
{
        do {
                size_t  room = OUT_SIZE - c->len;
                size_t  want = (size_t)(end - at) < room ? (size_t)(end - at) : room;
                ssize_t n    = want > 0 ? pread(fd, c->out + c->len, want, at) : 0;

                if (n < 0 || (n == 0 && want > 0))
                        return false;
                c->len += (size_t)n;
                at += n;
                if (!flush(c))
                        return false;
        } while (at < end);
        return true;
}

static bool send_file(struct client *c, int fd, const struct stat *st, const char *type)
{
        off_t first = 0, end = st->st_size;
        int   status = 200;

        if (not_modified(&c->req, st->st_mtime))
                status = 304;
        else if (!is_head(c))
                status = pick_range(&c->req, st->st_size, &first, &end);

        put_status(c, status);
        put_date(c, "Last-Modified", st->st_mtime);
        put(c, "Accept-Ranges: bytes\r\n");
        if (status == 206)
                put(c, "Content-Range: bytes %jd-%jd/%jd\r\n", (intmax_t)first, (intmax_t)end - 1,
                    (intmax_t)st->st_size);
        if (status == 416) {
                put(c, "Content-Range: bytes */%jd\r\n", (intmax_t)st->st_size);
                end = 0;
        }
        if (status != 304)
                put(c, "Content-Type: %s\r\nContent-Length: %jd\r\n", type,
                    (intmax_t)(end - first));
        put(c, "\r\n");
        if (status == 304 || is_head(c))
                end = first;
        return send_bytes(c, fd, first, end);
}

/* A directory is its index.html, and its URL ends in a slash, so that the links in it resolve. */
static bool redirect(struct client *c, struct span url)
{
        put_status(c, 301);             /* one slash in front: two would begin a host name */
        put(c, "Location: /%.*s/\r\nContent-Length: 0\r\n\r\n", (int)url.len, url.at);
        return flush(c);
}

static bool answer_file(struct client *c)
{
        char                   path[PATH_MAX];
        struct http_parser_url u;
        struct span            url = { "", 0 };
        struct stat            st;
        int                    status, fd;
        bool                   ok;

        if (c->parser.method != HTTP_GET && c->parser.method != HTTP_HEAD)
                return answer_status(c, 405, "Allow: GET, HEAD\r\n");
        if (c->req.body)
                return answer_status(c, 413, "");

        http_parser_url_init(&u);
        if (http_parser_parse_url(c->req.url.at, c->req.url.len, 0, &u) != 0)
                return answer_status(c, 400, "");
        if (u.field_set & 1 << UF_PATH)
                url = (struct span){ c->req.url.at + u.field_data[UF_PATH].off,
                                     u.field_data[UF_PATH].len };
        while (url.len > 0 && *url.at == '/')
                url.at++, url.len--;
        status = decode_path(url, path, sizeof path - strlen("index.html"));
        if (status != 0)
                return answer_status(c, status, "");
        if (path[strlen(path) - 1] == '/')
                strcat(path, "index.html");

        fd = open_beneath(path);
        if (fd < 0)
                return answer_status(c, status_of(fd), "");
        if (fstat(fd, &st) < 0)
                ok = answer_status(c, 500, "");
        else if (S_ISDIR(st.st_mode))
                ok = redirect(c, url);
        else if (!S_ISREG(st.st_mode))
                ok = answer_status(c, 404, "");
        else
                ok = send_file(c, fd, &st, mime_type(path));
        close(fd);
        return ok;
}

static bool answer_metrics(struct client *c)
{
        char  *text = NULL;
        size_t size = 0;
        FILE  *f    = open_memstream(&text, &size);
        bool   ok;

        if (!f)
                return answer_status(c, 503, "");
        weir_metric_write(f);
        fclose(f);
        put_status(c, 200);
        put(c, "Content-Type: text/plain; version=0.0.4\r\nContent-Length: %zu\r\n\r\n", size);
        ok = flush(c) && (is_head(c) || weir_conn_write(c->conn, text, size) >= 0);
        free(text);
        return ok;
}

/* ---- connections ---- */

/* Closing with unread input makes the kernel reset the connection, and the client may lose the
 * answer that tells it why. So: say that no more comes, then listen to the rest for a moment. */
static void part(struct client *c)
{
        weir_conn_shutdown(c->conn, SHUT_WR);
        weir_conn_set_read_deadline(c->conn, weir_now() + WEIR_SECOND);
        while (weir_conn_read(c->conn, c->in, IN_SIZE) > 0)
                ;
}

/* A request with a body ends its connection: nothing here wants one, and to skip it would mean to
 * trust the length that it claims. */
weir_task(serve, my, { weir_conn *conn; answer_fn *answer; weir_chan *places; })
{
        struct client c;                /* not cleared: a page that nobody touches costs nothing */
        int           status;

        c.conn = my->conn;
        c.have = c.len = 0;
        while ((status = read_request(&c)) >= 0) {
                bool ok = status > 0 ? answer_status(&c, status, "") : my->answer(&c);

                if (ok && !c.keep)
                        part(&c);
                if (!ok || !c.keep)
                        break;
                c.have -= c.used;
                memmove(c.in, c.in + c.used, c.have);
        }
        weir_conn_close(c.conn);
        weir_recv(my->places, &(char){0});
}

/* Once a second at most: a full disk helps nobody. */
static void complain(weir_time *quiet_until, const char *why)
{
        weir_time now = weir_now();

        if (now < *quiet_until)
                return;
        fprintf(stderr, "not accepting: %s\n", why);
        *quiet_until = now + WEIR_SECOND;
}

/* The channel places holds one element per connection: when it is full, this goroutine parks until
 * one ends. Should the kernel run out all the same, it waits and tries again. */
static int accept_all(weir_listener *ln, answer_fn *answer, weir_chan *places)
{
        weir_time  quiet_until = 0;
        const char place       = 0;
        weir_conn *conn;
        int        r;

        for (;;) {
                if (!weir_chan_try_send(places, &place, sizeof place)) {
                        complain(&quiet_until, "every place is taken");
                        weir_send(places, &place);
                }
                while ((r = weir_listener_accept(ln, &conn)) < 0) {
                        if (r == WEIR_ECLOSED)
                                return r;
                        if (r == -ECONNABORTED)
                                continue;
                        complain(&quiet_until, weir_strerror(r));
                        weir_sleep(20 * WEIR_MILLISECOND);
                }
                weir_go(serve, .conn = conn, .answer = answer, .places = places);
        }
}

weir_task(watch, my, { weir_listener *ln; })
{
        accept_all(my->ln, answer_metrics, weir_chan_make(char, 4));
}

static size_t count_places(void)
{
        struct rlimit lim = {0};

        getrlimit(RLIMIT_NOFILE, &lim);
        if (lim.rlim_cur > 1 << 20)
                lim.rlim_cur = 1 << 20;
        return lim.rlim_cur > 2 * SPARE ? lim.rlim_cur - SPARE : lim.rlim_cur / 2;
}

static weir_listener *listen_on(const char *address, const char *what)
{
        weir_listener *ln;
        char           bound[64];
        int            r = weir_net_listen("tcp", address, NULL, &ln);

        if (r >= 0)
                r = weir_listener_address(ln, bound, sizeof bound);
        if (r < 0) {
                fprintf(stderr, "6_web: %s: %s\n", address, weir_strerror(r));
                return NULL;
        }
        printf("%s on http://%s\n", what, bound);
        fflush(stdout);
        return ln;
}

WEIR_MAIN(argc, argv)
{
        const char    *metrics = NULL, *address;
        weir_listener *ln;
        char           what[PATH_MAX + 16];
        int            opt;

        while ((opt = getopt(argc, argv, "m:t:")) != -1) {
                if (opt == 'm')
                        metrics = optarg;
                else if (opt == 't' && atof(optarg) > 0)
                        patience = (weir_duration)(atof(optarg) * (double)WEIR_SECOND);
                else
                        argc = 0;
        }
        if (argc - optind < 1 || argc - optind > 2) {
                fputs("usage: 6_web [-m METRICS_ADDRESS] [-t SECONDS] DIR [ADDRESS]\n", stderr);
                return 2;
        }
        root_fd = open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root_fd < 0) {
                fprintf(stderr, "6_web: %s: %s\n", argv[optind], weir_strerror(-errno));
                return 1;
        }
        address = argc - optind > 1 ? argv[optind + 1] : "127.0.0.1:8080";
        snprintf(what, sizeof what, "serving %s", argv[optind]);

        ln = listen_on(address, what);
        if (!ln)
                return 1;
        if (metrics) {
                weir_listener *mln = listen_on(metrics, "metrics");

                if (!mln)
                        return 1;
                weir_go(watch, .ln = mln);
        }
        accept_all(ln, answer_file, weir_chan_make(char, count_places()));
        return 1;
}
