/* run: WEIR_PROCS=2 */
/* What done_broken.c wanted: whoever sees `done` also sees what was written before. In a program
 * the loop would be a channel or a wait group. */
#include <weir.h>

static uint32_t done;           /* atomic */
static char     message[16];

weir_task(setup, my, { int unused; })
{
        (void)my;
        snprintf(message, sizeof message, "hello");
        __atomic_store_n(&done, 1, __ATOMIC_RELEASE);
}

WEIR_MAIN(argc, argv)
{
        weir_go(setup);
        while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
                ;
        fputs(message, stderr);
        return 0;
}
