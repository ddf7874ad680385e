/* A write behind the last page of a large block, which is a guard when hardening is on. */
/* run: WEIR_DEBUG=harden=1 */
/* skip: address,thread because they report the fault themselves */
#include "mem/mem.h"

int main(void)
{
        volatile char *p = weir__malloc(200000);

        for (int i = 0; i < 300000; i++)
                p[i] = 1;
        return 0;
}
