/* What an object of the collected heap costs, from its allocation to the sweep that frees it.
 *
 * noscan_16, noscan_64   objects without pointers, dropped at once
 * plain_64               objects that may hold pointers, dropped at once
 *
 * As many goroutines allocate as there are processors.
 *
 * Fair: both sides clear the memory, write one word and drop the object. Go collects whenever 4 MiB
 * were allocated, its smallest heap. weir has no collector yet: here a cycle begins after each 4
 * MiB, with nothing marked, and allocations sweep what they take. No mark phase is paid for; Go's
 * finds next to nothing to mark. */
#include "bench.h"
#include "mem/mem.h"

enum { CYCLE = 4 << 20 };

static void objects(enum mem_kind kind, size_t size, int64_t n)
{
        for (int64_t i = 0; i < n; i++) {
                uint64_t *p = weir__mem_alloc(kind, size);

                *p = (uint64_t)i;
                __asm__ volatile("" : : "r"(p) : "memory");
        }
}

weir_task(worker, my, { enum mem_kind kind; size_t size; int64_t n; weir_wg *wg; })
{
        objects(my->kind, my->size, my->n);
        weir_wg_done(my->wg);
}

static void cycles(struct bench *b, enum mem_kind kind, size_t size)
{
        int64_t each = (int64_t)(CYCLE / size), procs = weir_procs(0);

        for (int64_t left = b->n; left > 0; left -= each) {
                int64_t n = left < each ? left : each;
                weir_wg wg = { 0 };

                for (int64_t i = 1; i < procs; i++) {
                        weir_wg_add(&wg, 1);
                        weir_go(worker, .kind = kind, .size = size,
                                .n = bench_share(n, i, procs), .wg = &wg);
                }
                objects(kind, size, bench_share(n, 0, procs));
                weir_wg_wait(&wg);
                weir__mem_sweep_begin();                /* nobody else runs */
        }
        weir__mem_sweep();
}

BENCH(noscan_16)
{
        cycles(b, MEM_NOSCAN, 16);
}

BENCH(noscan_64)
{
        cycles(b, MEM_NOSCAN, 64);
}

BENCH(plain_64)
{
        cycles(b, MEM_PLAIN, 64);
}
