/* The free of an address inside of a block. */
#include "mem/mem.h"

int main(void)
{
        char *p = weir__malloc(100);

        weir__free(p);                  /* has a cache, and so takes the short way */
        p = weir__malloc(100000);
        weir__free(p + 64);
        return 0;
}
