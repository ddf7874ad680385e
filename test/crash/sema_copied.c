/* run: WEIR_DEBUG=lockcheck=1 */
/* A copy of a semaphore is found by the address that the first one noted. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        static weir_sema one = WEIR_SEMA(2), copy;

        weir_sema_acquire(&one, 1);
        copy = one;
        weir_sema_acquire(&copy, 1);
        return 0;
}
