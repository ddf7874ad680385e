/* An HTTP/1.1 server that says hello, measured from outside by wrk.
 *
 * What      One goroutine per connection reads, parses, answers, writes. Requests are parsed whole
 *           (target and every header are kept where a handler would look them up), bodies are read
 *           and dropped, pipelined requests are answered in one write, connections live on.
 * Shape     One buffer for what comes in. The parser takes all that is read at once; what it has
 *           seen stays in the buffer, unmoved, until its request is answered, so that target and
 *           headers are offsets into it:
 *
 *                in:  [ answered | head of the request under way | free ]
 *                                target.at                       have
 *
 *           When the buffer is full the head moves to the front; a head that fills it is refused
 *           (431). Bytes of a body are overwritten by those that follow.
 * Fair      Go's twin is net/http with a handler and no mux, the header value prepared, which is
 *           its fastest plain form. Both sides answer every target with the same bytes: status
 *           line, Content-Type, Date, Content-Length, 14 bytes of body. Go collects garbage while
 *           it serves, which is how Go programs run. Neither side sets a timeout while it waits for
 *           a request, which is Go's default. net/http does more than this file: it parses the
 *           target as a URL and keeps the headers in a map; a program that wanted those would pay
 *           for them here as well.
 *
 *      http_hello [-listen 127.0.0.1:0]        prints "listening on ADDRESS" */
#include <weir.h>

#include <http_parser.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { HEAD_MAX = 8192, OUT_MAX = 8192, HEADERS_MAX = 64, ANSWER_MAX = 512 };

struct span {
        uint32_t at, len;       /* into the connection's buffer */
};

struct request {
        struct span target;     /* no length: no request is under way */
        struct span names[HEADERS_MAX], values[HEADERS_MAX];
        size_t      nheaders;
        size_t      end;        /* of the head, once it is complete; else 0 */
        bool        in_value;   /* the parser was in a header's value */
};

struct client {
        weir_conn     *conn;
        http_parser    parser;
        struct request request;
        size_t         have;            /* bytes in the buffer */
        bool           last;            /* nothing more is read after this answer */
        int            err;             /* of the connection, when writing */
        time_t         date_of;         /* the second that date says */
        char           date[40];
        size_t         nout;
        char           out[OUT_MAX];
        char           in[HEAD_MAX];
};

static void flush(struct client *c)
{
        ssize_t r;

        if (!c->nout || c->err)
                return;
        r = weir_conn_write(c->conn, c->out, c->nout);
        if (r < 0)
                c->err = (int)r;
        c->nout = 0;
}

static void put(struct client *c, const char *text, size_t len)
{
        memcpy(c->out + c->nout, text, len);
        c->nout += len;
}

static void put_text(struct client *c, const char *text)
{
        put(c, text, strlen(text));
}

static void put_number(struct client *c, size_t v)
{
        char  digits[20];
        char *at = digits + sizeof digits;

        do {
                *--at = (char)('0' + v % 10);
        } while (v /= 10);
        put(c, at, (size_t)(digits + sizeof digits - at));
}

static void put_date(struct client *c)
{
        time_t    now = time(NULL);
        struct tm tm;

        if (now != c->date_of) {
                strftime(c->date, sizeof c->date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
                c->date_of = now;
        }
        put_text(c, c->date);
}

/* An answer whole, to be written with those of the requests that came along with this one. */
static void answer(struct client *c, const char *status, const char *body, size_t len)
{
        if (c->nout + ANSWER_MAX > OUT_MAX)
                flush(c);
        put_text(c, "HTTP/1.1 ");
        put_text(c, status);
        put_text(c, "\r\nContent-Type: text/plain; charset=utf-8\r\nDate: ");
        put_date(c);
        put_text(c, "\r\nContent-Length: ");
        put_number(c, len);
        if (c->last)
                put_text(c, "\r\nConnection: close");
        else if (!c->parser.http_minor)
                put_text(c, "\r\nConnection: keep-alive");
        put_text(c, "\r\n\r\n");
        if (c->parser.method != HTTP_HEAD)
                put(c, body, len);
}

static void refuse(struct client *c, const char *status)
{
        c->last = true;
        c->parser.method = HTTP_GET;    /* whatever it was: the refusal has a body */
        answer(c, status, status, strlen(status));
}

static void hello(struct client *c)
{
        static const char body[] = "Hello, World!\n";

        answer(c, "200 OK", body, sizeof body - 1);
}

/* A piece of what s spans, the first or a further one; a folded header is spanned with its fold. */
static void grow(struct client *c, struct span *s, const char *at, size_t len)
{
        uint32_t from = (uint32_t)(at - c->in);

        if (!s->len)
                s->at = from;
        s->len = from + (uint32_t)len - s->at;
}

static int on_begin(http_parser *p)
{
        struct client *c = p->data;

        c->request.nheaders = 0;
        c->request.in_value = true;     /* the first name begins a header */
        return c->last;
}

static int on_target(http_parser *p, const char *at, size_t len)
{
        struct client *c = p->data;

        grow(c, &c->request.target, at, len);
        return 0;
}

static int on_name(http_parser *p, const char *at, size_t len)
{
        struct client  *c = p->data;
        struct request *r = &c->request;

        if (r->end)
                return 0;       /* a trailer goes the way of the body */
        if (r->in_value) {
                if (r->nheaders == HEADERS_MAX) {
                        refuse(c, "431 Request Header Fields Too Large");
                        return 1;
                }
                r->names[r->nheaders] = r->values[r->nheaders] = (struct span){0};
                r->nheaders++;
                r->in_value = false;
        }
        grow(c, &r->names[r->nheaders - 1], at, len);
        return 0;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
        struct client  *c = p->data;
        struct request *r = &c->request;

        if (r->end)
                return 0;
        r->in_value = true;
        grow(c, &r->values[r->nheaders - 1], at, len);
        return 0;
}

static int on_head(http_parser *p)
{
        struct client  *c = p->data;
        struct request *r = &c->request;
        struct span     s = r->target;

        if (r->nheaders)
                s = r->values[r->nheaders - 1].len ? r->values[r->nheaders - 1]
                                                   : r->names[r->nheaders - 1];
        r->end = s.at + s.len;
        p->upgrade = 0;         /* we know no other protocol: answer in this one */
        return 0;
}

static int on_complete(http_parser *p)
{
        struct client *c = p->data;

        c->last = !http_should_keep_alive(p);
        hello(c);
        c->request.target.len = 0;
        c->request.end = 0;
        return 0;
}

/* Makes room to read into; false: the head fills the buffer. */
static bool make_room(struct client *c)
{
        struct request *r = &c->request;
        uint32_t        gap = r->target.at;

        if (!r->target.len)
                c->have = 0;
        else if (r->end)
                c->have = r->end;
        if (c->have < HEAD_MAX)
                return true;
        if (!gap)
                return false;

        memmove(c->in, c->in + gap, c->have - gap);
        c->have -= gap;
        r->target.at = 0;
        r->end -= r->end ? gap : 0;
        for (size_t i = 0; i < r->nheaders; i++) {
                r->names[i].at -= gap;
                r->values[i].at -= gap;
        }
        return true;
}

/* Parses what was read into the buffer's free part and answers every request that it completes. */
static void parse(struct client *c, size_t len)
{
        static const http_parser_settings settings = {
                .on_message_begin = on_begin,   .on_url = on_target,
                .on_header_field = on_name,     .on_header_value = on_value,
                .on_headers_complete = on_head, .on_message_complete = on_complete,
        };

        http_parser_execute(&c->parser, &settings, c->in + c->have, len);
        c->have += len;
        if (HTTP_PARSER_ERRNO(&c->parser) != HPE_OK && !c->last)
                refuse(c, "400 Bad Request");
}

/* A close with bytes unread would reset the connection and could lose the answer: end our half,
 * then drop what still comes, for a moment. */
static void linger(struct client *c)
{
        weir_conn_shutdown(c->conn, SHUT_WR);
        weir_conn_set_read_deadline(c->conn, weir_now() + WEIR_SECOND / 2);
        while (weir_conn_read(c->conn, c->in, HEAD_MAX) > 0)
                ;
}

weir_task(serve, my, { weir_conn *conn; })
{
        struct client c;
        ssize_t       n;

        c.conn = my->conn;
        c.request.target = (struct span){0};
        c.request.nheaders = c.request.end = 0;
        c.have = c.nout = 0;
        c.last = false;
        c.err = 0;
        c.date_of = 0;
        http_parser_init(&c.parser, HTTP_REQUEST);
        c.parser.data = &c;

        while (!c.last && !c.err) {
                if (make_room(&c)) {
                        n = weir_conn_read(c.conn, c.in + c.have, HEAD_MAX - c.have);
                        if (n <= 0)
                                break;
                        parse(&c, (size_t)n);
                } else {
                        refuse(&c, "431 Request Header Fields Too Large");
                }
                flush(&c);
        }
        if (c.last && !c.err)
                linger(&c);
        weir_conn_close(c.conn);
}

WEIR_MAIN(argc, argv)
{
        const char    *address = "127.0.0.1:0";
        char           bound[128];
        weir_listener *ln;
        weir_conn     *conn;
        int            r;

        if (argc == 3 && !strcmp(argv[1], "-listen")) {
                address = argv[2];
        } else if (argc != 1) {
                fputs("usage: http_hello [-listen ADDRESS]\n", stderr);
                return 2;
        }

        r = weir_net_listen("tcp", address, NULL, &ln);
        if (r >= 0)
                r = weir_listener_address(ln, bound, sizeof bound);
        if (r < 0) {
                fprintf(stderr, "http_hello: %s: %s\n", address, weir_strerror(r));
                return 1;
        }
        printf("listening on %s\n", bound);
        fflush(stdout);

        for (;;) {
                r = weir_listener_accept(ln, &conn);
                if (r >= 0)
                        weir_go(serve, .conn = conn);
                else if (r == -EMFILE || r == -ENFILE || r == -ECONNABORTED)
                        weir_sleep(10 * WEIR_MILLISECOND);      /* somebody will go */
                else
                        break;
        }
        fprintf(stderr, "http_hello: accept: %s\n", weir_strerror(r));
        return 1;
}
