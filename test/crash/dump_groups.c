/* run: WEIR_PROCS=2 */
/* Goroutines that wait in the same way are printed once, with their numbers; those with another
 * name apart; and a deadlock says what is waited for, and by whom. */
#include <weir.h>

weir_task(worker, my, { weir_chan *c; weir_wg *up; })
{
        int v;

        weir_wg_done(my->up);
        weir_recv(my->c, &v);
}

WEIR_MAIN(argc, argv)
{
        weir_chan *c = weir_chan_make(int, 0), *other = weir_chan_make(int, 0);
        weir_wg    up = { 0 }, never = { 0 };

        weir_wg_add(&up, 41);
        for (int i = 0; i < 40; i++)
                weir_go(worker, .c = i < 20 ? c : other, .up = &up);
        weir_go_with(&(weir_go_options){ .name = "odd" }, worker, .c = c, .up = &up);
        weir_wg_wait(&up);
        weir_wg_add(&never, 1);
        weir_wg_wait(&never);
        return 0;
}
