/* run: WEIR_DEBUG=sched=20261121 */
/* Who reads why a program died under an order of a seed is told the seed. */
#include <weir.h>

weir_task(finish, my, { weir_chan *c; })
{
        weir_chan_close(my->c);
}

WEIR_MAIN(argc, argv)
{
        weir_chan *c = weir_chan_make(int, 0);

        weir_go(finish, .c = c);
        weir_go(finish, .c = c);
        weir_sleep(WEIR_SECOND * 3600);
        return 0;
}
