/* What an object of the collected heap costs, from its allocation to the sweep that frees it.
 *
 * noscan_16, noscan_64   objects without pointers, dropped at once
 * plain_64               objects that may hold pointers, dropped at once
 *
 * Fair: both sides clear the memory, write one word and drop the object. Go collects whenever 4 MiB
 * were allocated, its smallest heap. weir has no collector yet: here all is swept after each 4 MiB,
 * which frees everything, and no mark phase is paid for; Go's finds next to nothing to mark. */
#include "bench.h"
#include "mem/mem.h"

enum { CYCLE = 4 << 20 };

static void objects(struct bench *b, enum mem_kind kind, size_t size)
{
        int64_t each = (int64_t)(CYCLE / size);

        for (int64_t left = b->n; left > 0;) {
                int64_t k = left < each ? left : each;

                for (int64_t i = 0; i < k; i++) {
                        uint64_t *p = weir__mem_alloc(kind, size);

                        *p = (uint64_t)i;
                        __asm__ volatile("" : : "r"(p) : "memory");
                }
                if ((left -= k) > 0)
                        weir__mem_sweep();
        }
        weir__mem_sweep();
}

BENCH(noscan_16)
{
        objects(b, MEM_NOSCAN, 16);
}

BENCH(noscan_64)
{
        objects(b, MEM_NOSCAN, 64);
}

BENCH(plain_64)
{
        objects(b, MEM_PLAIN, 64);
}
