/* run: WEIR_PROCS=1 WEIR_DEBUG=lockcheck=2 */
/* An unlock by another goroutine is allowed, and told of when that is asked for. */
#include <weir.h>

static weir_mutex m;

weir_task(unlock_it, my, { int unused; })
{
        (void)my;
        weir_mutex_unlock(&m);
        __asm__ volatile("");           /* or the call is a jump */
}

WEIR_MAIN(argc, argv)
{
        weir_wg wg = { 0 };

        for (int i = 0; i < 2; i++) {
                weir_mutex_lock(&m);
                weir_go(unlock_it);
                weir_mutex_lock(&m);
                weir_mutex_unlock(&m);
        }
        weir_wg_wait(&wg);
        return 3;
}
