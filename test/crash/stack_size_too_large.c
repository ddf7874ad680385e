/* A stack beyond the limit is a panic. */
#include <weir.h>

weir_task(take, my, { int x; })
{
        (void)my;
}

WEIR_MAIN(argc, argv)
{
        weir_go_with(&(weir_go_options){ .stack_size = (size_t)2 << 30 }, take, .x = 1);
        return 0;
}
