/* A finalizer that panics and does not catch it ends the program, as in any goroutine. */
#include <stdlib.h>
#include <weir.h>

typedef struct thing {
        uint64_t number;
} thing;
WEIR_TYPE_PLAIN(thing);

static void fails(void *obj)
{
        weir_panic("thing %llu cannot be closed", (unsigned long long)((thing *)obj)->number);
}

weir_task(makes, my, { weir_wg *wg; })
{
        for (int i = 0; i < 10; i++) {
                thing *t = weir_new(thing);

                t->number = 42;
                weir_gc_finalize(t, fails);
        }
        weir_wg_done(my->wg);
}

__attribute__((constructor)) static void collect_anyway(void)
{
        setenv("WEIR_DEBUG", "gcforeign=1", 1);
}

WEIR_MAIN(argc, argv)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(makes, .wg = &wg);
        weir_wg_wait(&wg);
        for (int i = 0; i < 1000; i++) {
                weir_gc_run();
                weir_sleep(WEIR_MILLISECOND);
        }
        return 0;
}
