/* WEIR_DEBUG=maptrace=1 tells where maps are made, by all macros; a NULL map cannot be put into. */
/* run: WEIR_DEBUG=maptrace=1 */
#include <weir.h>

WEIR_MAP_PLAIN(counts, int, int, weir_hash_word, weir_equal_word);

WEIR_MAIN(argc, argv)
{
        int one = 1;

        weir_map_make(const char *, int, 100);
        weir_map_new(&weir_hash_bytes, 3, 0, 0);
        counts_new(5);
        weir_map_put(NULL, &one, &one);
        return 0;
}
