/* What a mutex costs.
 *
 * mutex_uncontended  one goroutine locks, counts one, unlocks.
 * mutex_8way         eight do so on one mutex. On one core they seldom meet; on two they do.
 *
 * One op is one lock, one count and one unlock.
 *
 * Fair: both mutexes are of the kind a goroutine parks on, zero when fresh, next to the counter
 * they guard in one heap object. Go's compiler inlines the uncontended compare-exchange of Lock and
 * the atomic add of Unlock; weir's header inlines both as well, and needs no locked instruction to
 * unlock. */
#include "bench.h"

#include <inttypes.h>
#include <stdlib.h>

struct counter {
        weir_mutex mutex;
        int64_t    count;       /* lock: mutex */
};

weir_task(add, my, { weir_wg *wg; struct counter *counter; int64_t n; })
{
        struct counter *c = my->counter;

        for (int64_t i = 0, n = my->n; i < n; i++) {
                weir_mutex_lock(&c->mutex);
                c->count++;
                weir_mutex_unlock(&c->mutex);
        }
        weir_wg_done(my->wg);
}

static void mutex(struct bench *b, int k)
{
        struct counter *c = bench_alloc(1, sizeof *c);
        weir_wg         wg = {0};

        weir_wg_add(&wg, k);
        for (int i = 0; i < k; i++)
                weir_go(add, .wg = &wg, .counter = c, .n = bench_share(b->n, i, k));
        weir_wg_wait(&wg);
        if (c->count != b->n)
                bench_fail(b, "counted %" PRId64 " of %" PRId64, c->count, b->n);
        free(c);
}

BENCH(mutex_uncontended)
{
        mutex(b, 1);
}

BENCH(mutex_8way)
{
        mutex(b, 8);
}
