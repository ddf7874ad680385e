/* A handler that has no stack of its own (no SA_ONSTACK) uses more than the goroutine's has
 * left. */
/* skip: address,thread because the one reports it, the other has SIGSEGV blocked in handlers */
#include <weir.h>
#include <signal.h>

static void use_much(int sig)
{
        volatile char room[256 * 1024];

        (void)sig;
        for (size_t i = sizeof room; i-- > 0;)
                room[i] = 1;
}

weir_task(small, my, { int sig; })
{
        raise(my->sig);
}

WEIR_MAIN(argc, argv)
{
        signal(SIGUSR1, use_much);
        weir_go_with(&(weir_go_options){ .stack_size = 16 * 1024 }, small, .sig = SIGUSR1);
        weir_sleep(100 * WEIR_SECOND);
        return 0;
}
