/* What beside.c asks, of collections that look at young objects alone, but for each eighth. */
/* run: WEIR_DEBUG=gcgen=2 */
#include "beside.c"
