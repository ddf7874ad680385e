/* run: WEIR_DEBUG=guard=strict,guardkind=1,guardmax=10 */
/* With guard=strict a spawn whose stack cannot be guarded is a panic, which can be caught. */
#include <weir.h>

static int made;

weir_task(park, my, { weir_chan *c; })
{
        weir_chan_recv(my->c, NULL, 0);
}

static void make_many(void *arg)
{
        for (int i = 0; i < 100; i++, made++)
                weir_go(park, .c = arg);
}

WEIR_MAIN(argc, argv)
{
        weir_chan      *c = weir_chan_make(char, 0);
        weir_panic_info info;

        if (weir_protect(make_many, c, &info) != WEIR_EPANIC || made != 9)      /* the root has one */
                return 1;
        make_many(c);
        return 0;
}
