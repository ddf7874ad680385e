/* A write of one byte behind a block, found at its free when hardening is on. */
/* run: WEIR_DEBUG=harden=1 */
#include "mem/mem.h"

int main(void)
{
        volatile char *p = weir__malloc(100);

        p[100] = 1;
        weir__free((void *)p);
        return 0;
}
