/* Closing a NULL channel is a panic. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        weir_chan_close(NULL);
        return 0;
}
