/* Looking for leaks; leak.c says how. */
#ifndef WEIR_GC_LEAK_H
#define WEIR_GC_LEAK_H

#include "gc/gc.h"
#include <stdio.h>

/* With the world stopped, in place of weir__roots_mark: marks all roots, and notes which goroutines
 * are stuck. drain follows what is marked. */
void weir__leak_roots(struct marker *m, void (*drain)(void));

/* The same, besides: notes blocks of malloc that nothing points to. */
void weir__leak_blocks(void);

/* With the world running, by who noted: tells of goroutines not told of before, on stderr; prints
 * all that was noted (NULL: nothing) and answers how much it is. */
void   weir__leak_tell(void);
size_t weir__leak_print(FILE *out);

#endif
