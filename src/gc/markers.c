/* The threads that mark.
 *
 * What    A cycle has a power of two of markers, each with its thread: the one that runs the cycle,
 *         and helpers, started when a cycle first wants so many and kept from then on. What is
 *         reachable from what is marked is followed by all of them at once, as often as the cycle
 *         asks: they meet at a turn, and it waits until each has finished.
 * Locks   None: markers, and the number of them, are the cycle's (`busy` in cycle.c). A helper reads
 *         the number after `turn`, which is raised after it was written, and lowers `working` after
 *         its last look at anything.
 * Trouble A thread that cannot be started is done without; so are the ways between markers when
 *         there is no memory for them: one marker needs none.
 * Not     Starting them for each cycle: 40 us each, and the limit of threads may be reached in the
 *         middle of one. */
#include "gc/gc.h"
#include "os/os.h"

struct marker weir__markers[MARKERS_MAX];
uint32_t      weir__nmarkers;

static uint32_t nthreads = 1;   /* busy: that can mark, the collecting one too */
static uint32_t turn;           /* atomic, futex: raised when the helpers are to mark */
static uint32_t working;        /* atomic, futex: helpers that have not finished */

static void help(void *arg)
{
        struct marker *m = arg;
        uint32_t       seen = 0;

        weir__os_thread_name("weir-mark");
        for (;;) {
                uint32_t now = load_acquire(&turn);

                if (now == seen) {
                        weir__os_futex_wait(&turn, now, -1);
                        continue;
                }
                seen = now;
                if (m >= weir__markers + load_acquire(&weir__nmarkers))
                        continue;
                weir__mark_drain(m);
                if (fetch_sub_seq(&working, 1) == 1)
                        weir__os_futex_wake(&working, 1);
        }
}

static void start_helpers(uint32_t most)
{
        uint32_t want = MIN(most, (uint32_t)MARKERS_MAX), n = 1;

        while (nthreads < want &&
               weir__os_thread_start_quiet(help, &weir__markers[nthreads], 256 << 10) >= 0) {
                nthreads++;
                weir__mem_threads_more(1);
        }
        while (2 * n <= MIN(nthreads, want))
                n *= 2;
        store_relaxed(&weir__nmarkers, n);
}

void weir__markers_gather(uint32_t most)
{
        start_helpers(most);
        memset(weir__markers, 0, sizeof weir__markers);
        if (!weir__mark_begin(weir__markers, weir__nmarkers)) {
                store_relaxed(&weir__nmarkers, 1u);
                (void)weir__mark_begin(weir__markers, 1);
        }
}

void weir__markers_drain(void)
{
        if (!weir__mark_begin(weir__markers, weir__nmarkers))
                weir__throw("no memory to begin a collection with");
        if (weir__nmarkers > 1) {
                store_seq(&working, weir__nmarkers - 1);
                fetch_add_seq(&turn, 1);
                weir__os_futex_wake(&turn, INT32_MAX);
        }
        weir__mark_drain(&weir__markers[0]);
        for (uint32_t left; weir__nmarkers > 1 && (left = load_acquire(&working)) != 0;)
                weir__os_futex_wait(&working, left, -1);
}

void weir__markers_forked(void)
{
        nthreads = 1;
}
