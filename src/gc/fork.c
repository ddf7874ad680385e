/* The child of a fork has no collector, but calls for any thread work there: their locks may have
 * been held by threads that it does not have, and are made free. What was half done beside them is
 * read by such calls alone, which take it as it is. */
#include "gc/gc.h"
#include "os/os.h"

static void in_child(void)
{
        weir__cycle_forked();
        weir__roots_forked();
        weir__special_forked();
        weir__history_forked();
}

void weir__gc_fork_init(void)
{
        (void)weir__os_at_fork(NULL, in_child); /* without memory: who waits is told (base/lock.c) */
}
