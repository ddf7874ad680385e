/* A panic that nobody catches ends the program, whichever goroutine it is on. */
#include <weir.h>

weir_task(fail, my, { int code; })
{
        weir_panic("code %d", my->code);
}

WEIR_MAIN(argc, argv)
{
        weir_go_with(&(weir_go_options){ .name = "unlucky" }, fail, .code = 42);
        weir_sleep(WEIR_SECOND * 10);
        return 0;
}
