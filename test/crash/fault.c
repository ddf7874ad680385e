/* A fault in a goroutine says what, at which address, and where. */
/* skip: address,thread because their own handler reports faults that nobody catches */
#include <weir.h>

weir_task(stumble, my, { int *p; })
{
        *my->p = 1;
}

WEIR_MAIN(argc, argv)
{
        weir_go_with(&(weir_go_options){ .name = "clumsy" }, stumble, .p = (int *)0x18);
        weir_sleep(WEIR_SECOND * 10);
        return 0;
}
