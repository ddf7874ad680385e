/* What the collector owns is not freed by hand. */
#include "mem/mem.h"

int main(void)
{
        weir__free(weir__mem_alloc(MEM_PLAIN, 48));
        return 0;
}
