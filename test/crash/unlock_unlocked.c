/* Unlocking a free mutex is a panic. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        weir_mutex m = { 0 };

        weir_mutex_unlock(&m);
        return 0;
}
