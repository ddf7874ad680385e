/* Closing twice is a panic. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        weir_chan *c = weir_chan_make(int, 1);

        weir_chan_close(c);
        weir_chan_close(c);
        return 0;
}
