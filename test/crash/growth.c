/* run: WEIR_PROCS=2 WEIR_DEBUG=growth=50 */
/* A leak of 100 goroutines a second is told within 5 seconds, with the call that starts them; what
 * comes and goes is not. */
#include <weir.h>
#include <unistd.h>

weir_task(stay, my, { weir_chan *c; })
{
        weir_chan_recv(my->c, NULL, 0);
}

weir_task(come_and_go, my, { int unused; })
{
        weir_sleep(20 * WEIR_MILLISECOND);
}

static __attribute__((noinline)) void leak_here(weir_chan *c)
{
        weir_go(stay, .c = c);
        __asm__ volatile("");
}

static __attribute__((noinline)) void honest(void)
{
        weir_go(come_and_go);
        __asm__ volatile("");
}

WEIR_MAIN(argc, argv)
{
        weir_chan *c = weir_chan_new(0, 0);

        for (int i = 0; i < 500; i++) {
                leak_here(c);
                for (int k = 0; k < 5; k++)
                        honest();
                weir_sleep(10 * WEIR_MILLISECOND);
        }
        _exit(3);
}
