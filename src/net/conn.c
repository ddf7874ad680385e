/* Connections: reading and writing as if it blocked.
 *
 * What    A call enters the descriptor, takes its direction's turn, tries, and parks when the kernel
 *         has nothing.
 * States  See poll.c. A closed connection's record stays a closed one until some thousands of later
 *         closes, so that a late second close or read finds it so (mem.c).
 * Cost    Four uncontended locked instructions around the system call.
 * Not     MSG_DONTWAIT on blocking descriptors: descriptors from outside (weir_fd_open) are no
 *         sockets, and must be set anyway. */
#include "net/desc.h"
#include "os/os.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <weir/net.h>

enum { KEEP = 16384 };

struct weir_conn {
        void       *pool_words[2];      /* the pool's, while it is there */
        struct desc desc;
};

static struct pool conns = POOL_INIT(sizeof(struct weir_conn), KEEP, "connection");

static void release(struct desc *d)
{
        weir__pool_put(&conns, CONTAINER_OF(d, struct weir_conn, desc));
}

int weir__conn_make(int fd, weir_conn **ret)
{
        bool       fresh;
        weir_conn *c = weir__pool_get(&conns, &fresh);
        int        r = weir__desc_open(&c->desc, fd, release);

        if (r < 0) {
                weir__pool_put(&conns, c);
                return r;
        }
        *ret = c;
        return 0;
}

struct desc *weir__conn_desc(weir_conn *c)
{
        return &c->desc;
}

static int adopt(int fd, weir_conn **ret)
{
        struct stat st;
        int         flags, r;

        if (fstat(fd, &st) < 0 || (flags = fcntl(fd, F_GETFL)) < 0)
                return -weir__os_errno_get();
        if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
                return -EPERM;
        if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -weir__os_errno_get();
        r = weir__conn_make(fd, ret);
        if (r < 0 && !(flags & O_NONBLOCK))
                (void)fcntl(fd, F_SETFL, flags);
        return r;
}

int weir_fd_open(int fd, weir_conn **ret)
{
        int keep = weir__os_errno_get(), r;

        weir__sched_need_g("weir_fd_open");
        if (!ret)
                weir__panic("weir_fd_open: ret is NULL");
        r = adopt(fd, ret);
        weir__os_errno_set(keep);
        return r;
}

static void need_conn(const weir_conn *c, const char *call)
{
        weir__sched_need_g(call);
        if (unlikely(!c))
                weir__panic("%s: the connection is NULL", call);
}

/* ---- read ---- */

static ssize_t read_once(struct desc *d, void *buf, size_t len)
{
        struct side *s = &d->read;
        ssize_t      n;
        int          left;

        if (d->inq) {
                n = weir__os_recv_left(d->fd, buf, len, &left);
                s->drained = n > 0 && !left;
                return n;
        }
        if (d->socket)
                n = weir__os_recv(d->fd, buf, len);
        else if ((n = read(d->fd, buf, len)) < 0)
                n = -weir__os_errno_get();
        if (n >= 0) {
                s->full = n > 0 && (size_t)n == len;
                s->drained = n > 0 && !s->full && d->tcp;
        }
        return n;
}

/* A read that filled its buffer, and then nothing: this connection's messages are as long as the
 * caller expects, and a full buffer will not tell that it was the last. Ask TCP from now on. */
static void learn(struct desc *d)
{
        if (d->read.full && d->tcp)
                d->inq = weir__os_recv_left_enable(d->fd);
        d->read.full = false;
}

static ssize_t read_some(struct desc *d, void *buf, size_t len)
{
        struct side *s = &d->read;
        bool         wait = s->drained && !load_relaxed(&d->hangup);

        for (;;) {
                ssize_t n;
                int     r = wait ? weir__desc_wait(s, WHY_READ) : weir__desc_usable(s);

                if (r < 0)
                        return r;
                s->drained = false;
                n = read_once(d, buf, len);
                if (n == -EINTR)
                        continue;
                if (n != -EAGAIN)
                        return n;
                if (!wait)
                        learn(d);
                wait = true;
        }
}

ssize_t weir_conn_read(weir_conn *c, void *buf, size_t len)
{
        ssize_t n;
        int     keep = weir__os_errno_get();

        need_conn(c, "weir_conn_read");
        if (!weir__desc_enter(&c->desc))
                return WEIR_ECLOSED;
        weir_mutex_lock(&c->desc.read.turn);
        n = len ? read_some(&c->desc, buf, MIN(len, (size_t)SSIZE_MAX)) : 0;
        weir_mutex_unlock(&c->desc.read.turn);
        weir__desc_leave(&c->desc);
        if (n > 0)
                weir__count(net_read, n);
        weir__os_errno_set(keep);
        return n;
}

/* ---- write ---- */

/* A write to a pipe whose reader is gone raises SIGPIPE; it is held back for this thread and, when
 * it was this write that raised it, taken away. */
static ssize_t write_quietly(int fd, const void *buf, size_t len)
{
        sigset_t pipe_set, old, pending;
        bool     was_pending;
        ssize_t  n;
        int      err;

        sigemptyset(&pipe_set);
        sigaddset(&pipe_set, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
        sigpending(&pending);
        was_pending = sigismember(&pending, SIGPIPE);
        n = write(fd, buf, len);
        err = weir__os_errno_get();
        if (n < 0 && err == EPIPE && !was_pending)
                sigtimedwait(&pipe_set, NULL, &(struct timespec){ 0 });
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return n < 0 ? -err : n;
}

static ssize_t write_all(struct desc *d, const char *buf, size_t len)
{
        struct side *s = &d->write;
        size_t       done = 0;
        int          r = weir__desc_usable(s);

        while (r >= 0 && done < len) {
                ssize_t n = d->socket ? weir__os_send(d->fd, buf + done, len - done)
                                      : write_quietly(d->fd, buf + done, len - done);

                if (n >= 0) {
                        done += (size_t)n;
                        r = weir__desc_usable(s);
                        continue;
                }
                r = (int)n;
                if (r == -EAGAIN)
                        r = weir__desc_wait(s, WHY_WRITE);
                else if (r == -EINTR)
                        r = 0;
        }
        return done == len ? (ssize_t)len : r;
}

ssize_t weir_conn_write(weir_conn *c, const void *buf, size_t len)
{
        ssize_t n;
        int     keep = weir__os_errno_get();

        need_conn(c, "weir_conn_write");
        if (!weir__desc_enter(&c->desc))
                return WEIR_ECLOSED;
        weir_mutex_lock(&c->desc.write.turn);
        n = write_all(&c->desc, buf, MIN(len, (size_t)SSIZE_MAX));
        weir_mutex_unlock(&c->desc.write.turn);
        weir__desc_leave(&c->desc);
        if (n > 0)
                weir__count(net_written, n);
        weir__os_errno_set(keep);
        return n;
}

/* ---- the rest ---- */

static int set_deadlines(weir_conn *c, weir_time when, bool reads, bool writes, const char *call)
{
        need_conn(c, call);
        if (!weir__desc_enter(&c->desc))
                return WEIR_ECLOSED;
        if (reads)
                weir__desc_deadline(&c->desc.read, when);
        if (writes)
                weir__desc_deadline(&c->desc.write, when);
        weir__desc_leave(&c->desc);
        return 0;
}

int weir_conn_set_deadline(weir_conn *c, weir_time when)
{
        return set_deadlines(c, when, true, true, "weir_conn_set_deadline");
}

int weir_conn_set_read_deadline(weir_conn *c, weir_time when)
{
        return set_deadlines(c, when, true, false, "weir_conn_set_read_deadline");
}

int weir_conn_set_write_deadline(weir_conn *c, weir_time when)
{
        return set_deadlines(c, when, false, true, "weir_conn_set_write_deadline");
}

int weir_conn_shutdown(weir_conn *c, int how)
{
        int keep = weir__os_errno_get(), r;

        need_conn(c, "weir_conn_shutdown");
        if (!weir__desc_enter(&c->desc))
                return WEIR_ECLOSED;
        r = shutdown(c->desc.fd, how) < 0 ? -weir__os_errno_get() : 0;
        weir__desc_leave(&c->desc);
        weir__os_errno_set(keep);
        return r;
}

int weir_conn_fd(const weir_conn *c)
{
        uint32_t refs;

        need_conn(c, "weir_conn_fd");
        refs = load_acquire(&c->desc.refs);
        return refs && !(refs & DESC_CLOSING) ? c->desc.fd : WEIR_ECLOSED;
}

int weir_conn_close(weir_conn *c)
{
        weir__sched_need_g("weir_conn_close");
        return c ? weir__desc_close(&c->desc) : 0;
}
