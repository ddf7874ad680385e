/* A select without cases waits for ever. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        weir_select_n(NULL, 0);
        return 0;
}
