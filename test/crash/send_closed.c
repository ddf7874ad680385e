/* A send on a closed channel is a panic with the trace of its goroutine. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        weir_chan *c = weir_chan_make(int, 1);
        int        v = 1;

        weir_chan_close(c);
        weir_send(c, &v);
        return 0;
}
