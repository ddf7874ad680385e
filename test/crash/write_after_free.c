/* A write into a freed block, found when it leaves the quarantine. */
/* run: WEIR_DEBUG=harden=1 */
#include "mem/mem.h"

int main(void)
{
        volatile char *p = weir__malloc(100);

        weir__free((void *)p);
        p[10] = 1;
        for (int i = 0; i < 5000; i++)
                weir__free(weir__malloc(100));
        return 0;
}
