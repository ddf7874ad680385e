/* An index beyond a slice: both numbers. */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        weir_slice(int) s = {0};

        weir_append(s, 1);
        return weir_at(s, 12);
}
