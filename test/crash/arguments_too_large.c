/* Arguments that do not fit on the stack are a panic with both numbers. */
#include <weir.h>

struct big { char bytes[100000]; };

weir_task(take, my, { struct big big; })
{
        (void)my;
}

WEIR_MAIN(argc, argv)
{
        weir_go(take, .big = { { 0 } });
        return 0;
}
