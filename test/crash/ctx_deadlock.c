/* A wait for a context that nobody can end is a deadlock. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        return weir_ctx_wait(weir_ctx_with_cancel(NULL));
}
