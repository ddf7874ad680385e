/* run: WEIR_PROCS=2 WEIR_DEBUG=schedtrace=20,shuffle=0 */
/* What WEIR_DEBUG=schedtrace prints while goroutines wait: a line every 20 ms. */
#include <weir.h>
#include <unistd.h>

weir_task(stay, my, { weir_chan *c; })
{
        weir_chan_recv(my->c, NULL, 0);
}

WEIR_MAIN(argc, argv)
{
        weir_chan *c = weir_chan_new(0, 0);

        for (int i = 0; i < 5; i++)
                weir_go(stay, .c = c);
        weir_sleep(500 * WEIR_MILLISECOND);
        _exit(3);
}
