/* WEIR_DEBUG=checkptr=1: a slice must not be longer than the block that it begins in. */
/* run: WEIR_DEBUG=checkptr=1 */
/* skip: address,thread,undefined because malloc is theirs */
#include <weir.h>
#include <stdlib.h>

WEIR_MAIN(argc, argv)
{
        char *p = calloc(1, 100);

        __extension__ __auto_type fits = weir_slice_of(p + 4, 96);
        __extension__ __auto_type text = weir_slice_of(&p, 1);
        __extension__ __auto_type s = weir_slice_of(p + 64, 64);

        return (int)(fits.len + text.len + s.len);
}
