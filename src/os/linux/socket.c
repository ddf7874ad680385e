/* Transfers on sockets, by system calls that are no points of cancellation. */
#include "os/os.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* On by: C libraries older than the kernel's feature. */
#ifndef TCP_INQ
#define TCP_INQ    36
#define TCP_CM_INQ TCP_INQ
#endif

static inline ssize_t result(long r)
{
        return r < 0 ? -weir__os_errno_get() : r;
}

ssize_t weir__os_recv(int fd, void *buf, size_t len)
{
        return result(syscall(SYS_recvfrom, fd, buf, len, 0L, NULL, NULL));
}

ssize_t weir__os_send(int fd, const void *buf, size_t len)
{
        return result(syscall(SYS_sendto, fd, buf, len, (long)MSG_NOSIGNAL, NULL, 0L));
}

ssize_t weir__os_recv_left(int fd, void *buf, size_t len, int *ret_left)
{
        union {
                char           bytes[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control;
        struct iovec    to = { buf, len };
        struct msghdr   m = { .msg_iov = &to, .msg_iovlen = 1, .msg_control = control.bytes,
                              .msg_controllen = sizeof control.bytes };
        struct cmsghdr *c;
        long            n = syscall(SYS_recvmsg, fd, &m, 0L);

        *ret_left = 1;                          /* not known: try again before waiting */
        if (n < 0)
                return result(n);
        c = CMSG_FIRSTHDR(&m);
        if (c && c->cmsg_level == IPPROTO_TCP && c->cmsg_type == TCP_CM_INQ)
                memcpy(ret_left, CMSG_DATA(c), sizeof *ret_left);
        return n;
}

bool weir__os_recv_left_enable(int fd)
{
        int on = 1;

        return setsockopt(fd, IPPROTO_TCP, TCP_INQ, &on, sizeof on) == 0;
}
