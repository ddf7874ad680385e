/* WEIR_DEBUG=checkptr=1: a checked store that begins inside of a block and ends behind it. */
/* run: WEIR_DEBUG=checkptr=1 */
/* skip: address,thread,undefined because malloc is theirs */
#include <weir.h>
#include <stdlib.h>
#include <string.h>

typedef struct big {
        char c[100];
} big;

WEIR_MAIN(argc, argv)
{
        char *volatile block = calloc(1, 160), *p = block;

        if (!p)
                return 1;
        weir_store(*(big *)(p + 60), (big){ { 1 } });
        weir_store(*(big *)(p + 100), (big){ { 1 } });
        return 0;
}
