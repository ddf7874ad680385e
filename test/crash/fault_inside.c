/* A bad pointer given to the runtime: the channel is locked, so weir_protect cannot help. */
/* skip: address,thread because their own checks of memcpy come first */
#include <weir.h>

static void send_nothing(void *arg)
{
        weir_chan_send(arg, (void *)0x30, sizeof(int));
}

WEIR_MAIN(argc, argv)
{
        weir_protect(send_nothing, weir_chan_make(int, 1), NULL);
        return 0;
}
