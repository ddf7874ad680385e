#include <weir.h>

weir_task(greet, my, { int id; })
{
        printf("hello from %d\n", my->id);
}

WEIR_MAIN(argc, argv)
{
        weir_wg wg = { 0 };

        weir_wg_go(&wg, greet, .id = 1);
        weir_wg_wait(&wg);
        return 0;
}
