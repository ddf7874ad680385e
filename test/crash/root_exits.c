/* The root leaves, the last goroutine parks for ever: that is a deadlock, and it says how it
 * came. */
#include <weir.h>

weir_task(waits, my, { weir_chan *c; })
{
        weir_chan_recv(my->c, NULL, 0);
}

WEIR_MAIN(argc, argv)
{
        weir_go(waits, .c = weir_chan_make(char, 0));
        weir_go_exit();
}
