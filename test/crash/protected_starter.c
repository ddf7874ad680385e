/* A goroutine has to protect itself: its panic ends the program although its starter is
 * protected. */
#include <weir.h>

weir_task(fail, my, { int n; })
{
        weir_panic("goroutine says %d", my->n);
}

static void start(void *arg)
{
        weir_chan *c = weir_chan_make(int, 0);

        (void)arg;
        weir_go_with(&(weir_go_options){ .name = "alone" }, fail, .n = 5);
        weir_chan_recv(c, NULL, 0);
}

WEIR_MAIN(argc, argv)
{
        weir_protect(start, NULL, NULL);
        return 0;
}
