/* A scheduler for scenarios about what goroutines do to one another: each thread of the explorer is
 * one goroutine with a processor of its own, park waits in the explorer. Every ready is checked:
 * the goroutine is parked, and nobody else has readied it. */
#ifndef WEIR_MODEL_FAKE_H
#define WEIR_MODEL_FAKE_H

#include "explore.h"
#include "os.h"
#include "sched/state.h"

extern struct g fake_g[MODEL_THREADS];
extern struct p fake_p[MODEL_THREADS];

void fake_init(void);                   /* first in a setup */

/* Readies what a poller's look found. */
void fake_ready_list(struct glist *l);

#endif
