/* run: WEIR_PROCS=many */
/* WEIR_PROCS that is no number is told, not ignored. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        return 0;
}
