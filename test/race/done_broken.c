/* run: WEIR_PROCS=2 */
/* A goroutine that waits for a plain variable to change. That is a race: the order is not defined,
 * and as nothing in the loop is called, a compiler may read the variable once and wait for ever.
 * The thread sanitizer says so. done_right.c is how it is done. */
#include <weir.h>

static int  done;
static char message[16];

weir_task(setup, my, { int unused; })
{
        (void)my;
        snprintf(message, sizeof message, "hello");
        done = 1;
}

WEIR_MAIN(argc, argv)
{
        weir_go(setup);
        while (!done)
                ;
        puts(message);
        return 0;
}
