/* A function of a context that panics ends the program like any goroutine; the dump says what it
 * was started as. */
#include <weir.h>

static void fail(void *arg)
{
        weir_panic("in a callback: %d", *(int *)arg);
}

WEIR_MAIN(argc, argv)
{
        static int code = 42;
        weir_ctx  *c = weir_ctx_with_cancel(NULL);

        weir_ctx_after(c, fail, &code);
        weir_ctx_cancel(c);
        weir_sleep(WEIR_SECOND * 10);
        return 0;
}
