/* A block freed twice, found when hardening is on. */
/* run: WEIR_DEBUG=harden=1 */
#include "mem/mem.h"

int main(void)
{
        char *p = weir__malloc(100);

        weir__free(p);
        weir__free(p);
        return 0;
}
