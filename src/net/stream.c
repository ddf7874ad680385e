/* Listeners and dialling, TCP and Unix. */
#include "chan/chan.h"
#include "gc/gc.h"
#include "net/address.h"
#include "net/desc.h"
#include "os/os.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weir/net.h>

enum { KEEP = 256, KEEPALIVE_S = 15 };

struct weir_listener {
        void          *pool_words[2];   /* the pool's, while it is there */
        struct desc    desc;
        struct leash   leash;           /* to the context that it was given */
        struct address local;           /* const while open */
        char           unlink_path[sizeof((struct sockaddr_un *)0)->sun_path + 1];
        dev_t          dev;             /* const while open: which file is ours to remove */
        ino_t          ino;
};

static struct pool listeners = POOL_INIT(sizeof(struct weir_listener), KEEP, "listener");

/* ---- options ---- */

static void set_int(int fd, int level, int name, int value)
{
        (void)setsockopt(fd, level, name, &value, sizeof value);
}

/* Accepted sockets inherit these from the listener, which spares each connection the calls. */
static void set_tcp(int fd, const weir_net_options *opt)
{
        int64_t alive = opt ? opt->keepalive : 0;
        int s = alive ? (int)MIN(MAX(alive / 1000000000, INT64_C(1)), INT64_C(32767)) : KEEPALIVE_S;

        set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        if (alive < 0)
                return;
        set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, s);
        set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, s);
}

static int new_socket(int family)
{
        int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        return fd < 0 ? -weir__os_errno_get() : fd;
}

static weir_ctx *context(const weir_net_options *opt, const char *call)
{
        return weir__ctx_check(opt ? opt->ctx : NULL, call);
}

/* What a call that waited for ctx, too, answers: r, or why that ended. */
static int result(int r, weir_ctx *ctx)
{
        const struct ctx_end *e = r == WEIR_ETIMEOUT && ctx ? weir__ctx_look(ctx) : NULL;

        return e ? e->err : r;
}

/* ---- listen ---- */

/* Whether a socket file is left over: it is a socket, and nobody accepts on it. */
static bool is_stale(const struct address *a)
{
        int  fd = new_socket(AF_UNIX);
        bool stale;

        if (fd < 0)
                return false;
        stale = connect(fd, (const struct sockaddr *)&a->sa, a->size) < 0 &&
                weir__os_errno_get() == ECONNREFUSED;
        close(fd);
        return stale;
}

static int bind_to(int fd, const struct address *a)
{
        const struct sockaddr_un *un = (const struct sockaddr_un *)&a->sa;
        struct stat               st;
        int                       r;

        if (bind(fd, (const struct sockaddr *)&a->sa, a->size) == 0)
                return 0;
        r = -weir__os_errno_get();
        if (r != -EADDRINUSE || a->sa.ss_family != AF_UNIX || !un->sun_path[0] ||
            lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode) || !is_stale(a))
                return r;
        (void)unlink(un->sun_path);
        return bind(fd, (const struct sockaddr *)&a->sa, a->size) < 0 ? -weir__os_errno_get() : 0;
}

static int open_listener(const struct address *a, const weir_net_options *opt,
                         struct address *ret_local)
{
        int fd = new_socket(a->sa.ss_family), r;

        if (fd < 0)
                return fd;
        if (a->sa.ss_family != AF_UNIX) {
                set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
                if (opt && opt->reuse_port)
                        set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
                set_tcp(fd, opt);
        }
        ret_local->size = sizeof ret_local->sa;
        if ((r = bind_to(fd, a)) < 0)
                goto fail;
        if (listen(fd, opt && opt->backlog > 0 ? opt->backlog : 65535) < 0 ||
            getsockname(fd, (struct sockaddr *)&ret_local->sa, &ret_local->size) < 0) {
                r = -weir__os_errno_get();
                goto fail;
        }
        return fd;
fail:
        close(fd);
        return r;
}

/* Removes the socket file on close, unless another one has taken its place. */
static void remember_file(weir_listener *ln)
{
        const struct sockaddr_un *un = (const struct sockaddr_un *)&ln->local.sa;
        struct stat               st;

        ln->unlink_path[0] = 0;
        if (ln->local.sa.ss_family != AF_UNIX || !un->sun_path[0] || lstat(un->sun_path, &st) < 0)
                return;
        ln->dev = st.st_dev;
        ln->ino = st.st_ino;
        memcpy(ln->unlink_path, un->sun_path, sizeof un->sun_path);
}

static void release(struct desc *d)
{
        weir_listener *ln = CONTAINER_OF(d, weir_listener, desc);
        struct stat    st;

        weir__desc_unleash(&ln->leash);
        if (ln->unlink_path[0] && !lstat(ln->unlink_path, &st) && st.st_dev == ln->dev &&
            st.st_ino == ln->ino)
                (void)unlink(ln->unlink_path);
        weir__pool_put(&listeners, ln);
}

int weir_net_listen(const char *network, const char *address, const weir_net_options *opt,
                    weir_listener **ret)
{
        struct address        list[ADDRESSES_MAX];
        const struct ctx_end *end;
        weir_listener        *ln;
        weir_ctx             *ctx;
        bool                  fresh;
        int                   keep = weir__os_errno_get(), n, fd = -EINVAL, r;

        weir__sched_need_g("weir_net_listen");
        if (!network || !address || !ret)
                weir__panic("weir_net_listen: %s is NULL",
                            !network ? "network" : !address ? "address" : "ret");
        ctx = context(opt, "weir_net_listen");
        if (ctx && (end = weir__ctx_look(ctx)))
                return end->err;
        n = weir__address_parse(network, address, true, list);
        if (n < 0) {
                weir__os_errno_set(keep);
                return n;
        }
        ln = weir__pool_get(&listeners, &fresh);
        for (int i = 0; i < n && fd < 0; i++)
                fd = open_listener(&list[i], opt, &ln->local);
        if (fd < 0) {
                weir__pool_put(&listeners, ln);
                weir__os_errno_set(keep);
                return fd;
        }
        remember_file(ln);
        r = weir__desc_open(&ln->desc, fd, release);
        if (r < 0) {
                close(fd);
                weir__pool_put(&listeners, ln);
        } else {
                ln->desc.listens = true;
                weir__desc_leash(&ln->leash, &ln->desc.read, ctx);
                *ret = ln;
        }
        weir__os_errno_set(keep);
        return r;
}

static void need_listener(const weir_listener *ln, const char *call)
{
        weir__sched_need_g(call);
        if (unlikely(!ln))
                weir__panic("%s: the listener is NULL", call);
}

/* Errors of one connection that was on its way and is gone; accept(2) advises to try again. */
static bool passing(int err)
{
        switch (err) {
        case EINTR:
        case ECONNABORTED:
        case EPROTO:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case EOPNOTSUPP:
        case ENETUNREACH:
                return true;
        default:
                return false;
        }
}

static int accept_one(struct desc *d)
{
        int r = weir__desc_usable(&d->read);

        while (r >= 0) {
                int fd = accept4(d->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (fd >= 0)
                        return fd;
                r = weir__os_errno_get();
                if (r == EAGAIN)
                        r = weir__desc_wait(&d->read, WHY_ACCEPT);
                else if (passing(r))
                        r = weir__desc_usable(&d->read);
                else
                        return -r;
        }
        return r;
}

int weir_listener_accept(weir_listener *ln, weir_conn **ret)
{
        int keep = weir__os_errno_get(), fd, r;

        need_listener(ln, "weir_listener_accept");
        if (!ret)
                weir__panic("weir_listener_accept: ret is NULL");
        if (!weir__desc_enter(&ln->desc))
                return WEIR_ECLOSED;
        weir_mutex_lock(&ln->desc.read.turn);
        fd = accept_one(&ln->desc);
        weir_mutex_unlock(&ln->desc.read.turn);
        if (fd < 0)
                fd = result(fd, ln->leash.ctx);
        weir__desc_leave(&ln->desc);
        r = fd < 0 ? fd : weir__conn_make(fd, ret);
        if (fd >= 0 && r < 0)
                close(fd);
        weir__os_errno_set(keep);
        return r < 0 ? r : 0;
}

int weir_listener_address(const weir_listener *ln, char *ret, size_t size)
{
        uint32_t refs;

        need_listener(ln, "weir_listener_address");
        refs = load_acquire(&ln->desc.refs);
        if (!refs || (refs & DESC_CLOSING))
                return WEIR_ECLOSED;
        return weir__address_format(&ln->local, ret, size);
}

int weir_listener_close(weir_listener *ln)
{
        weir__sched_need_g("weir_listener_close");
        return ln ? weir__desc_close(&ln->desc) : 0;
}

/* ---- dial ---- */

/* Waits for a connect under way and takes its outcome. */
static int finish_connect(struct desc *d, weir_ctx *ctx)
{
        struct leash leash;
        int          err = 0, r;
        socklen_t    size = sizeof err;

        weir_mutex_lock(&d->write.turn);
        weir__desc_leash(&leash, &d->write, ctx);
        do {
                struct sockaddr_storage peer;
                socklen_t               n = sizeof peer;

                r = weir__desc_wait(&d->write, WHY_CONNECT);
                if (r < 0)
                        break;
                if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0)
                        err = weir__os_errno_get();
                if (err)
                        r = -err;
                else if (getpeername(d->fd, (struct sockaddr *)&peer, &n) < 0)
                        r = weir__os_errno_get() == ENOTCONN ? 1 : -weir__os_errno_get();
        } while (r == 1);                       /* an event of the socket before it connected */
        weir__desc_unleash(&leash);
        weir_mutex_unlock(&d->write.turn);
        return result(r, ctx);
}

static int dial_one(const struct address *a, const weir_net_options *opt, weir_ctx *ctx,
                    weir_conn **ret)
{
        int        fd = new_socket(a->sa.ss_family), r, made;
        weir_conn *c;

        if (fd < 0)
                return fd;
        if (a->sa.ss_family != AF_UNIX)
                set_tcp(fd, opt);
        r = connect(fd, (const struct sockaddr *)&a->sa, a->size) < 0 ? -weir__os_errno_get() : 0;
        if (r < 0 && r != -EINPROGRESS) {
                close(fd);
                return r;
        }
        made = weir__conn_make(fd, &c);
        if (made < 0) {
                close(fd);
                return made;
        }
        if (r == -EINPROGRESS)
                r = finish_connect(weir__conn_desc(c), ctx);
        if (r < 0)
                weir_conn_close(c);
        else
                *ret = c;
        return r;
}

/* ---- a name that is looked up while a context may end ---- */

struct lookup {
        weir_ctx      *done;            /* ended when the rest is filled in */
        const char    *network;         /* in text */
        int            n;
        struct address list[ADDRESSES_MAX];
        char           text[];          /* the address, then the network */
};

static void look_up(void *arg)
{
        struct lookup *l = *(struct lookup **)arg;

        l->n = weir__address_parse(l->network, l->text, false, l->list);
        weir_ctx_cancel(l->done);
}

/* getaddrinfo cannot be ended: it goes on by itself, and nobody waits for it any more. */
static int look_up_within(weir_ctx *ctx, const char *network, const char *address,
                          struct address *ret)
{
        size_t         n = strlen(address) + 1, k = strlen(network) + 1;
        struct lookup *l = weir_gc_alloc(NULL, sizeof *l + n + k);
        weir_case      either[2] = { weir_on_done(ctx), { 0 } };

        memcpy(l->text, address, n);
        memcpy(l->text + n, network, k);
        l->network = l->text + n;
        l->done = weir_ctx_with_cancel(NULL);
        either[1] = (weir_case)weir_on_done(l->done);
        weir__sched_spawn(NULL, look_up, &l, sizeof l, 0, "name lookup", NULL, NULL);
        if (weir_select_n(either, COUNT(either)) == 0 && !weir_ctx_err(l->done))
                return weir__ctx_look(ctx)->err;
        memcpy(ret, l->list, sizeof l->list);
        return l->n;
}

static int find_addresses(const char *network, const char *address, weir_ctx *ctx,
                          struct address *ret)
{
        const struct ctx_end *e = ctx ? weir__ctx_look(ctx) : NULL;
        int                   r;

        if (e)
                return e->err;
        if (!ctx)
                return weir__address_parse(network, address, false, ret);
        r = weir__address_parse_now(network, address, false, ret);
        return r == -EINPROGRESS ? look_up_within(ctx, network, address, ret) : r;
}

int weir_net_dial(const char *network, const char *address, const weir_net_options *opt,
                  weir_conn **ret)
{
        struct address list[ADDRESSES_MAX];
        weir_ctx      *ctx;
        int            keep = weir__os_errno_get(), n, r;

        weir__sched_need_g("weir_net_dial");
        if (!network || !address || !ret)
                weir__panic("weir_net_dial: %s is NULL",
                            !network ? "network" : !address ? "address" : "ret");
        ctx = context(opt, "weir_net_dial");
        r = n = find_addresses(network, address, ctx, list);
        for (int i = 0; i < n; i++)
                if ((r = dial_one(&list[i], opt, ctx, ret)) >= 0 || (ctx && weir__ctx_look(ctx)))
                        break;
        weir__os_errno_set(keep);
        return r < 0 ? r : 0;
}
