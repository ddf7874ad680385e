/* run: WEIR_DEBUG=stackuse=1 WEIR_PROCS=1 */
/* WEIR_DEBUG=stackuse=1: how deep each entry function went, exactly, although stacks are used
 * again. */
#include <weir.h>

static __attribute__((noinline)) int touch(void)
{
        volatile char room[100 * 1024];

        for (size_t i = 0; i < sizeof room; i += 512)
                room[i] = 1;
        return room[512];
}

weir_task(deep, my, { weir_wg *wg; })
{
        touch();
        weir_wg_done(my->wg);
}

weir_task(shallow, my, { weir_wg *wg; })
{
        weir_wg_done(my->wg);
}

WEIR_MAIN(argc, argv)
{
        weir_wg wg = { 0 };

        for (int i = 0; i < 10; i++) {
                weir_wg_add(&wg, 2);
                weir_go(deep, .wg = &wg);
                weir_go(shallow, .wg = &wg);
                weir_wg_wait(&wg);
        }
        weir_dump(stderr);
        return 3;
}
