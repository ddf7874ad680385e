/* Addresses: "host:port" and paths. Numbers are read here; names are getaddrinfo's, in a blocking
 * call so that a slow name server delays this goroutine alone. */
#include "net/address.h"
#include "os/os.h"
#include "sched/sched.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>

/* ---- Unix ---- */

static int parse_unix(const char *path, struct address *ret)
{
        struct sockaddr_un *un = (struct sockaddr_un *)&ret->sa;
        size_t              n = strlen(path);

        if (!n)
                return -EINVAL;
        if (n >= sizeof un->sun_path)
                return -ENAMETOOLONG;
        memset(ret, 0, sizeof *ret);
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, path, n);
        ret->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
        if (path[0] == '@') {
                un->sun_path[0] = 0;            /* abstract: no file, and no zero at the end */
                ret->size--;
        }
        return 1;
}

/* ---- TCP ---- */

struct text {
        char host[256], port[32];
};

/* Splits "host:port" and "[v6]:port". */
static int split(const char *address, struct text *ret)
{
        const char *colon = strrchr(address, ':'), *host = address;
        size_t      n;

        if (!colon)
                return -EINVAL;
        n = (size_t)(colon - address);
        if (n && host[0] == '[') {
                if (host[n - 1] != ']')
                        return -EINVAL;
                host++;
                n -= 2;
        } else if (memchr(host, ':', n)) {
                return -EINVAL;                 /* an IPv6 address without brackets */
        }
        if (n >= sizeof ret->host || !colon[1] || strlen(colon + 1) >= sizeof ret->port)
                return -EINVAL;
        memcpy(ret->host, host, n);
        ret->host[n] = 0;
        memcpy(ret->port, colon + 1, strlen(colon + 1) + 1);
        return 0;
}

/* -1: not a number (a service's name, then); -EINVAL: a number beyond ports. */
static int port_number(const char *s)
{
        long v = 0;

        for (; *s >= '0' && *s <= '9'; s++)
                if ((v = v * 10 + (*s - '0')) > 65535)
                        return -EINVAL;
        return *s ? -1 : (int)v;
}

static bool parse_number(const struct text *t, int port, bool passive, struct address *ret)
{
        struct sockaddr_in  *v4 = (struct sockaddr_in *)&ret->sa;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret->sa;
        const char          *host = t->host[0] ? t->host : passive ? "0.0.0.0" : "127.0.0.1";

        memset(ret, 0, sizeof *ret);
        if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
                v4->sin_family = AF_INET;
                v4->sin_port = htons((uint16_t)port);
                ret->size = sizeof *v4;
                return true;
        }
        if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
                v6->sin6_family = AF_INET6;
                v6->sin6_port = htons((uint16_t)port);
                ret->size = sizeof *v6;
                return true;
        }
        return false;
}

static int lookup_error(int e, int err)
{
        switch (e) {
        case EAI_AGAIN:
                return -EAGAIN;
        case EAI_MEMORY:
                return -ENOMEM;
        case EAI_SYSTEM:
                return err ? -err : -EIO;
        default:
                return -ENOENT;
        }
}

static int look_up(const struct text *t, bool passive, struct address *ret)
{
        struct addrinfo  hints = { .ai_socktype = SOCK_STREAM,
                                   .ai_flags = passive ? AI_PASSIVE : 0 };
        struct addrinfo *list = NULL;
        int              e, err, n = 0;

        weir__sched_block_enter();
        e = getaddrinfo(t->host[0] ? t->host : NULL, t->port, &hints, &list);
        err = weir__os_errno_get();
        weir__sched_block_exit();
        if (e)
                return lookup_error(e, err);
        for (struct addrinfo *a = list; a && n < ADDRESSES_MAX; a = a->ai_next) {
                if (a->ai_addrlen > sizeof ret[n].sa)
                        continue;
                memset(&ret[n], 0, sizeof ret[n]);
                memcpy(&ret[n].sa, a->ai_addr, a->ai_addrlen);
                ret[n++].size = a->ai_addrlen;
        }
        freeaddrinfo(list);
        return n ? n : -ENOENT;
}

/* As far as that goes without asking for a name; -EINPROGRESS: it does not. */
static int parse(const char *network, const char *address, bool passive, struct text *ret_text,
                 struct address *ret)
{
        int port;

        if (!strcmp(network, "unix"))
                return parse_unix(address, ret);
        if (strcmp(network, "tcp"))
                return -EPROTONOSUPPORT;
        if (split(address, ret_text) < 0 || (port = port_number(ret_text->port)) == -EINVAL)
                return -EINVAL;
        if (port >= 0 && parse_number(ret_text, port, passive, ret))
                return 1;
        return -EINPROGRESS;
}

int weir__address_parse(const char *network, const char *address, bool passive, struct address *ret)
{
        struct text t;
        int         r = parse(network, address, passive, &t, ret);

        return r == -EINPROGRESS ? look_up(&t, passive, ret) : r;
}

int weir__address_parse_now(const char *network, const char *address, bool passive,
                            struct address *ret)
{
        struct text t;

        return parse(network, address, passive, &t, ret);
}

int weir__address_format(const struct address *a, char *ret, size_t size)
{
        const struct sockaddr_in  *v4 = (const struct sockaddr_in *)&a->sa;
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->sa;
        const struct sockaddr_un  *un = (const struct sockaddr_un *)&a->sa;
        char                       host[INET6_ADDRSTRLEN];
        int                        n = -1;

        switch (a->sa.ss_family) {
        case AF_INET:
                inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
                n = snprintf(ret, size, "%s:%u", host, ntohs(v4->sin_port));
                break;
        case AF_INET6:
                inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
                n = snprintf(ret, size, "[%s]:%u", host, ntohs(v6->sin6_port));
                break;
        case AF_UNIX: {
                size_t k = a->size - offsetof(struct sockaddr_un, sun_path);

                if (un->sun_path[0])
                        n = snprintf(ret, size, "%.*s", (int)k, un->sun_path);
                else
                        n = snprintf(ret, size, "@%.*s", (int)k - 1, un->sun_path + 1);
                break;
        }
        default:
                break;
        }
        return n < 0 ? -EINVAL : (size_t)n < size ? n : -ENOBUFS;
}
