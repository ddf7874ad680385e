/* A receive on a NULL channel waits for ever, and that is a deadlock here. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        int v;

        weir_recv((weir_chan *)NULL, &v);
        return 0;
}
