/* run: WEIR_DEBUG=guardkind=2 WEIR_PROCS=1 */
/* Without a guard an overflow is noticed at the next switch. */
/* skip: address because it watches the stack itself */
#include <weir.h>

static int deeper(int n)
{
        volatile char room[256];

        room[n % 256] = (char)n;
        return n == 0 ? 0 : deeper(n - 1) + room[0];
}

weir_task(dive, my, { int frames; })
{
        deeper(my->frames);
        weir_yield();
        weir_sleep(WEIR_MILLISECOND);
}

WEIR_MAIN(argc, argv)
{
        weir_go_options o = { .stack_size = 16384, .name = "diver" };

        /* Far enough to leave the stack of 16 KiB, and not through the 32 KiB below it. */
        weir_go_with(&o, dive, .frames = 26 * 1024 / (256 + 48));
        weir_sleep(WEIR_SECOND * 10);
        return 0;
}
