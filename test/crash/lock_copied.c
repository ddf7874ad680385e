/* run: WEIR_DEBUG=lockcheck=1 */
/* A copy of a mutex that was locked before is none. */
#include <weir.h>

struct shared {
        weir_mutex m;
        int        n;
};

WEIR_MAIN(argc, argv)
{
        static struct shared one, copy;

        weir_mutex_lock(&one.m);
        copy = one;
        weir_mutex_unlock(&one.m);
        weir_mutex_lock(&copy.m);
        return 0;
}
