/* run: WEIR_PROCS=2 */
/* A goroutine that waits for a plain variable to change. That is a race: the order is not defined,
 * and as nothing in the loop is called, a compiler may read the variable once and wait for ever.
 * The thread sanitizer says so. done_right.c is how it is done. */
#include <weir.h>

static int               done;
static volatile unsigned spins;
static char              message[16];

weir_task(setup, my, { int unused; })
{
        (void)my;
        snprintf(message, sizeof message, "hello");
        done = 1;
}

WEIR_MAIN(argc, argv)
{
        weir_wg wg = { 0 };

        weir_wg_go(&wg, setup);
        while (!done)
                spins = spins + 1;      /* or a compiler takes the whole loop away */
        puts(message);
        weir_wg_wait(&wg);
        return 0;
}
