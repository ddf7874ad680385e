/* weir/net.h: TCP, Unix sockets and any descriptor that can be polled.
 *
 * Calls look as if they blocked; only the goroutine waits, its thread goes on with others. A server
 * is one goroutine per connection, straight from top to bottom.
 *
 * Networks and their addresses:
 *
 *   "tcp"    "host:port"; the host is a number or a name, "[::1]:80" for IPv6; port 0 chooses one.
 *            An empty host means every address of the machine (listen) or the machine itself (dial)
 *   "unix"   the path of a socket file; one that begins with '@' is abstract and has no file
 *
 * Closing wakes whoever waits on the connection or listener, with WEIR_ECLOSED. The pointer stays
 * harmless afterwards: each further call, a second close included, returns WEIR_ECLOSED. SIGPIPE is
 * never raised.
 *
 * One goroutine may read while another writes. Several that read, or several that write, take
 * turns.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *         #include <string.h>
 *
 *         weir_task(echo, my, { weir_listener *ln; })
 *         {
 *                 weir_conn *conn;
 *                 char       buf[256];
 *                 ssize_t    n;
 *
 *                 if (weir_listener_accept(my->ln, &conn) < 0)
 *                         return;
 *                 while ((n = weir_conn_read(conn, buf, sizeof buf)) > 0)
 *                         if (weir_conn_write(conn, buf, (size_t)n) < 0)
 *                                 break;
 *                 weir_conn_close(conn);
 *         }
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_listener *ln;
 *                 weir_conn     *conn;
 *                 char           address[64], buf[8] = "";
 *                 int            r;
 *
 *                 if ((r = weir_net_listen("tcp", "127.0.0.1:0", NULL, &ln)) < 0 ||
 *                     (r = weir_listener_address(ln, address, sizeof address)) < 0) {
 *                         fprintf(stderr, "listen: %s\n", weir_strerror(r));
 *                         return 1;
 *                 }
 *                 weir_go(echo, .ln = ln);
 *                 if ((r = weir_net_dial("tcp", address, NULL, &conn)) < 0) {
 *                         fprintf(stderr, "dial %s: %s\n", address, weir_strerror(r));
 *                         return 1;
 *                 }
 *                 weir_conn_write(conn, "hello", 5);
 *                 weir_conn_read(conn, buf, sizeof buf - 1);
 *                 weir_conn_close(conn);
 *                 weir_listener_close(ln);
 *                 return strcmp(buf, "hello") != 0;
 *         }
 */
#ifndef WEIR_NET_H
#define WEIR_NET_H

#include <weir/base.h>
#include <weir/time.h>

WEIR_DECLS_BEGIN

typedef struct weir_conn     weir_conn;
typedef struct weir_listener weir_listener;

typedef struct weir_net_options {
        weir_ctx     *ctx;              /* its end ends a dial, and all accepts; NULL: none */
        bool          reuse_port;       /* several listeners may share the port */
        int           backlog;          /* waiting for accept; 0: what the kernel allows */
        weir_duration keepalive;        /* between TCP probes; 0: 15 s, < 0: none */
        uint64_t      reserved[4];
} weir_net_options;

/* ---- listeners ---- */

/* Listens on an address and stores the listener, which the caller closes.
 *
 * A Unix listener takes the place of a socket file that nobody listens on any more. Once the
 * context of the options has ended, accept fails with the reason; the listener is to be closed all
 * the same.
 *
 * Parks: while a name is looked up.  From: goroutine.
 * Fails: -EINVAL (address empty or malformed), -EPROTONOSUPPORT (unknown network), -EADDRINUSE,
 * -EADDRNOTAVAIL, -EACCES, -EMFILE, -ENFILE, -ENAMETOOLONG (Unix path), -ENOENT (no such host or
 * directory), -EAGAIN (no name server answered), WEIR_ECANCELED or WEIR_ETIMEOUT (the context has
 * ended).  Panics: network, address or ret is NULL. */
WEIR_API int weir_net_listen(const char *network, const char *address, const weir_net_options *opt,
                             weir_listener **ret);

/* Takes the next connection and stores it; the caller closes it.
 *
 * When descriptors are used up (-EMFILE, -ENFILE) the connection stays in the backlog: a server
 * closes something or sleeps a little, and accepts again.
 *
 * Parks: until somebody connects.  From: goroutine.
 * Fails: WEIR_ECLOSED, -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM, WEIR_ECANCELED or WEIR_ETIMEOUT (the
 * listener's context has ended).  Panics: ln or ret is NULL. */
WEIR_API int weir_listener_accept(weir_listener *ln, weir_conn **ret);

/* Writes the address that ln listens on, "127.0.0.1:7007", and returns its length without the
 * terminating zero.
 *
 * Parks: no.  From: goroutine.  Fails: -ENOBUFS (does not fit into size bytes), WEIR_ECLOSED.
 * Panics: ln is NULL. */
WEIR_API int weir_listener_address(const weir_listener *ln, char *ret, size_t size);

/* Closes ln; accepted connections go on. A Unix listener removes its socket file. NULL is accepted.
 *
 * Parks: no.  From: goroutine.  Fails: WEIR_ECLOSED (was closed before).  Panics: never. */
WEIR_API int weir_listener_close(weir_listener *ln);

/* ---- connections ---- */

/* Connects to an address and stores the connection, which the caller closes.
 *
 * A name with several addresses is tried in order; the code is that of the last one. The end of the
 * options' context ends the lookup of a name, as far as the caller is concerned, and the wait for a
 * connection; one that was made does not depend on it.
 *
 * Parks: until connected or refused, or the context ends.  From: goroutine.
 * Fails: -EINVAL (address empty or malformed), -EPROTONOSUPPORT (unknown network), -ECONNREFUSED,
 * -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH, -EMFILE, -ENFILE, -ENOENT (no such host or socket file),
 * -EAGAIN (no name server answered, or a Unix backlog is full), WEIR_ECANCELED or WEIR_ETIMEOUT
 * (the context has ended).
 * Panics: network, address or ret is NULL. */
WEIR_API int weir_net_dial(const char *network, const char *address, const weir_net_options *opt,
                           weir_conn **ret);

/* Reads what is there, at most len bytes, and returns how much; 0 is the end of the stream.
 *
 * Parks: until something is there.  From: goroutine.
 * Fails: WEIR_ECLOSED, WEIR_ETIMEOUT (deadline), -ECONNRESET, other -errno of read.
 * Panics: c is NULL. */
WEIR_API ssize_t weir_conn_read(weir_conn *c, void *buf, size_t len);

/* Writes all of len bytes and returns len, or fails, possibly after a part of them was sent.
 *
 * Parks: while the peer does not take more.  From: goroutine.
 * Fails: WEIR_ECLOSED, WEIR_ETIMEOUT (deadline), -EPIPE, -ECONNRESET, other -errno of write.
 * Panics: c is NULL. */
WEIR_API ssize_t weir_conn_write(weir_conn *c, const void *buf, size_t len);

/* Sets the time at which reads and writes, also those that wait now, fail with WEIR_ETIMEOUT; 0:
 * none.
 *
 * A later deadline, or none, makes the connection usable again.
 *
 * Parks: no.  From: goroutine.  Fails: WEIR_ECLOSED.  Panics: c is NULL. */
WEIR_API int weir_conn_set_deadline(weir_conn *c, weir_time when);

/* The same for reads alone.
 *
 * Parks: no.  From: goroutine.  Fails: WEIR_ECLOSED.  Panics: c is NULL. */
WEIR_API int weir_conn_set_read_deadline(weir_conn *c, weir_time when);

/* The same for writes alone.
 *
 * Parks: no.  From: goroutine.  Fails: WEIR_ECLOSED.  Panics: c is NULL. */
WEIR_API int weir_conn_set_write_deadline(weir_conn *c, weir_time when);

/* Shuts down one direction or both: SHUT_RD, SHUT_WR, SHUT_RDWR of <sys/socket.h>.
 *
 * Parks: no.  From: goroutine.  Fails: WEIR_ECLOSED, -ENOTCONN, -EINVAL, -ENOTSOCK.
 * Panics: c is NULL. */
WEIR_API int weir_conn_shutdown(weir_conn *c, int how);

/* Returns the descriptor, still owned by c: for socket options, not for reading or closing.
 *
 * Parks: no.  From: goroutine.  Fails: WEIR_ECLOSED.  Panics: c is NULL. */
WEIR_API int weir_conn_fd(const weir_conn *c);

/* Closes c. NULL is accepted.
 *
 * Parks: no.  From: goroutine.  Fails: WEIR_ECLOSED (was closed before).  Panics: never. */
WEIR_API int weir_conn_close(weir_conn *c);

/* Makes a connection of any descriptor that can be polled: a pipe, a terminal, an eventfd.
 *
 * On success the descriptor belongs to the connection, is non-blocking, and is closed with it; on
 * failure it stays the caller's, unchanged.
 *
 * Parks: no.  From: goroutine.  Fails: -EPERM (a regular file or directory), -EEXIST (another
 * connection has it), -EBADF, -ENOMEM.
 * Panics: ret is NULL. */
WEIR_API int weir_fd_open(int fd, weir_conn **ret);

WEIR_DECLS_END

#endif
