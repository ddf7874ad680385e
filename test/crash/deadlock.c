/* All goroutines asleep: each is told with what it waits for, and the program ends. */
#include <weir.h>

weir_task(worker, my, { weir_chan *c; })
{
        int v;

        weir_recv(my->c, &v);
}

WEIR_MAIN(argc, argv)
{
        weir_chan *c = weir_chan_make(int, 0);
        weir_wg    wg = { 0 };

        weir_go_with(&(weir_go_options){ .name = "listener" }, worker, .c = c);
        weir_wg_add(&wg, 1);
        weir_wg_wait(&wg);
        return 0;
}
