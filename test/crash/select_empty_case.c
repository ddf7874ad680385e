/* A hole in the cases of a select is a panic that names its index. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        weir_chan *c = weir_chan_make(int, 1);
        int        v;

        weir_select([0] = weir_on_recv(c, &v, NULL), [2] = weir_on_timeout(WEIR_SECOND));
        return 0;
}
