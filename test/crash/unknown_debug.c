/* run: WEIR_DEBUG=nosuch=1 */
/* A switch that does not exist is told, not ignored. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        return 0;
}
