/* The panic of a member goes on in who waits for the group. */
#include <weir.h>

weir_group_task(fail, my, { int code; })
{
        weir_panic("code %d", my->code);
}

WEIR_MAIN(argc, argv)
{
        weir_group g = { 0 };

        weir_group_go(&g, fail, .code = 42);
        return weir_group_wait(&g);
}
