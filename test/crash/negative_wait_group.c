/* A wait group below zero is a panic. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        weir_wg wg = { 0 };

        weir_wg_done(&wg);
        return 0;
}
