/* A context that weir did not make is told, not followed. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        static char junk[1024];

        weir_ctx_cancel((weir_ctx *)(void *)junk);
        return 0;
}
