/* run: WEIR_DEBUG=lockcheck=1 */
/* A wait group passed by value: the goroutine is done with another one than is waited for. */
#include <weir.h>

weir_task(work, my, { weir_wg wg; })
{
        weir_wg_done(&my->wg);
}

WEIR_MAIN(argc, argv)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(work, .wg = wg);
        weir_wg_wait(&wg);
        return 0;
}
