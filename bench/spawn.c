/* What a goroutine costs from its start to its end.
 *
 * spawn_exit         start, run, end. One op is one goroutine; they come in batches of BATCH, so
 *                    that the starter parks once per batch and the park does not drown the rest.
 * spawn_wait         the same one at a time: every op also parks and wakes the starter.
 * spawn_parked_100k  100 000 goroutines start, park on one channel, are woken by its close and
 *                    end. One op is one goroutine.
 *
 * Fair: both sides count by a wait group, one add and one done per goroutine, and start a named
 * function with the group's address as its argument; Go wraps that argument in a closure, weir
 * copies it to the new stack. The batch fits the local run queue of both runtimes (256). A batch
 * reuses the stacks of the batch before on both sides. In spawn_parked_100k a second group tells
 * that all have started; those that have not yet reached the receive when the channel is closed (at
 * most one per core) do not park, on either side. */
#include "bench.h"

enum { BATCH = 100, PARKED = 100000 };

weir_task(leave, my, { weir_wg *wg; })
{
        weir_wg_done(my->wg);
}

BENCH(spawn_exit)
{
        weir_wg wg = {0};

        for (int64_t left = b->n; left > 0;) {
                int64_t k = left < BATCH ? left : BATCH;

                for (int64_t i = 0; i < k; i++) {
                        weir_wg_add(&wg, 1);
                        weir_go(leave, .wg = &wg);
                }
                weir_wg_wait(&wg);
                left -= k;
        }
}

BENCH(spawn_wait)
{
        weir_wg wg = {0};

        for (int64_t i = 0; i < b->n; i++) {
                weir_wg_add(&wg, 1);
                weir_go(leave, .wg = &wg);
                weir_wg_wait(&wg);
        }
}

weir_task(stay, my, { weir_wg *started, *ended; weir_chan *gate; })
{
        weir_wg_done(my->started);
        weir_chan_recv(my->gate, NULL, 0);
        weir_wg_done(my->ended);
}

BENCH(spawn_parked_100k)
{
        b->per = PARKED;
        for (int64_t i = 0; i < b->n; i++) {
                weir_wg    started = {0}, ended = {0};
                weir_chan *gate = weir_chan_new(0, 0);

                weir_wg_add(&started, PARKED);
                weir_wg_add(&ended, PARKED);
                for (int k = 0; k < PARKED; k++)
                        weir_go(stay, .started = &started, .ended = &ended, .gate = gate);
                weir_wg_wait(&started);
                weir_chan_close(gate);
                weir_wg_wait(&ended);
        }
}
