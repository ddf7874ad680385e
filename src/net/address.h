/* From the text of an address to what the kernel takes. */
#ifndef WEIR_NET_ADDRESS_H
#define WEIR_NET_ADDRESS_H

#include "base/base.h"
#include <sys/socket.h>
#include <sys/un.h>

enum { ADDRESSES_MAX = 16 };

struct address {
        struct sockaddr_storage sa;
        socklen_t               size;
};

/* Translates address for network ("tcp", "unix"); passive: to listen on. Names are looked up in a
 * blocking call, so this may park. Writes up to ADDRESSES_MAX and answers how many, or -EINVAL,
 * -EPROTONOSUPPORT, -ENAMETOOLONG, -ENOENT, -EAGAIN, -ENOMEM. */
int weir__address_parse(const char *network, const char *address, bool passive,
                        struct address *ret);

/* The same, but answers -EINPROGRESS where a name would have to be looked up. */
int weir__address_parse_now(const char *network, const char *address, bool passive,
                            struct address *ret);

/* The text of an address, "127.0.0.1:7007", "[::1]:80", a path, "@abstract"; its length, or
 * -ENOBUFS. */
int weir__address_format(const struct address *a, char *ret, size_t size);

#endif
