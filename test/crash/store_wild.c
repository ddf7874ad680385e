/* WEIR_DEBUG=checkptr=1: a checked store through a wild pointer into the heap is caught. */
/* run: WEIR_DEBUG=checkptr=1 */
/* skip: address,thread,undefined because malloc is theirs */
#include <weir.h>
#include <stdlib.h>

WEIR_MAIN(argc, argv)
{
        long *volatile block = calloc(8, sizeof *block), *p = block, local = 0;

        weir_store(local, 1);
        weir_store(p[7], local);
        if (p[7] != 1)
                return 1;
        weir_store(p[1 << 19], 2L);                     /* 4 MiB further on: nobody's */
        return 0;
}
