/* run: WEIR_PROCS=1 */
/* skip: address,thread because the runtime asks no thread for its processor there */
/* The program takes the signal that asks goroutines for their processor: it is told once, and runs
 * on. Where the runtime asks nobody it says so itself, as linked with -flto. */
#include <weir.h>
#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t mine;

static void take(int sig)
{
        (void)sig;
        mine = 1;
}

weir_task(waits, my, { int n; })
{
        (void)my;
}

WEIR_MAIN(argc, argv)
{
        weir_time end;

        signal(SIGURG, take);
        for (int i = 0; i < 2; i++) {
                weir_go(waits, .n = i);
                for (end = weir_now() + 3 * WEIR_SECOND; weir_now() < end;)
                        for (volatile int k = 0; k < 1000000; k++)
                                ;
                weir_yield();
        }
        if (!mine)
                return 77;
        return 3;
}
