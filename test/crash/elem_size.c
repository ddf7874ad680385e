/* An element of another size stops at once, with both sizes. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        weir_chan *c = weir_chan_make(int, 1);
        char       v = 1;

        weir_send(c, &v);
        return 0;
}
