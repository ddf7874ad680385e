/* Inside weir_blocking there is no processor; calls that need one say so. */
#include <weir.h>

static void body(void *arg)
{
        (void)arg;
        weir_yield();
}

WEIR_MAIN(argc, argv)
{
        weir_blocking(body, NULL);
        return 0;
}
