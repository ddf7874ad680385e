/* run: WEIR_DEBUG=threads=16 WEIR_PROCS=2 */
/* A limit on threads of the program's own choice. */
#include <weir.h>
#include <unistd.h>

static void wait_for_ever(void *arg)
{
        (void)arg;
        for (;;)
                pause();
}

weir_task(call, my, { int n; })
{
        weir_blocking(wait_for_ever, NULL);
}

WEIR_MAIN(argc, argv)
{
        for (int i = 0; i < 20; i++)
                weir_go(call, .n = i);
        weir_sleep(100 * WEIR_SECOND);
        return 0;
}
