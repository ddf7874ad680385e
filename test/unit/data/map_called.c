/* The tests of map.c again, with weir_map_get and its kin called where the header inlines them. */
/* timeout: 240 */
#define WEIR_MAP_CALLED_
#include "map.c"
