/* The free of an address that malloc never gave. */
#include "mem/mem.h"

int main(void)
{
        int on_stack;

        weir__free(weir__malloc(1));
        weir__free(&on_stack);
        return 0;
}
