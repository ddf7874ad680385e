/* run: WEIR_PROCS=4 */
/* A thousand goroutines panic at once and nobody catches it: one of them speaks, in whole lines. */
#include <weir.h>

weir_task(fail, my, { weir_chan *gate; int n; })
{
        weir_chan_recv(my->gate, NULL, 0);
        weir_panic("number %d", my->n);
}

WEIR_MAIN(argc, argv)
{
        weir_chan *gate = weir_chan_make(char, 0);

        for (int i = 1; i <= 1000; i++)
                weir_go(fail, .gate = gate, .n = i);
        weir_chan_close(gate);
        weir_sleep(10 * WEIR_SECOND);
        return 0;
}
