/* WEIR_DEBUG=checkptr=2: a cast of what is not in the heap. */
/* run: WEIR_DEBUG=checkptr=2 */
#include <weir.h>

WEIR_MAIN(argc, argv)
{
        static uint64_t words[2];
        uint32_t       *halves = weir_cast(uint32_t, weir_new_bytes(16));

        *halves = 1;
        halves = weir_cast(uint32_t, words);
        return (int)*halves;
}
