/* The network, for the layers above: the public calls are all there is. */
#ifndef WEIR_NET_NET_H
#define WEIR_NET_NET_H

#include <weir/net.h>

#endif
