/* The guard of a small stack is found as well. */
#include <weir.h>

static int deeper(int n)
{
        volatile char room[256];

        room[0] = (char)n;
        return n < 0 ? 0 : deeper(n + 1) + room[0];
}

weir_task(dive, my, { int from; })
{
        deeper(my->from);
}

WEIR_MAIN(argc, argv)
{
        weir_go_with(&(weir_go_options){ .stack_size = 16384 }, dive, .from = 1);
        weir_sleep(WEIR_SECOND * 10);
        return 0;
}
