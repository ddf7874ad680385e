/* Mutex, wait group, once: for the layers above, the public calls are all there is. */
#ifndef WEIR_SYNC_SYNC_H
#define WEIR_SYNC_SYNC_H

#include "sched/sched.h"
#include <weir/sync.h>

bool weir__wg_tell(const void *on, struct object_told *ret);    /* for the hook object_tell */

#endif
