/* Counters, from the one table counter.def.
 *
 * A counter is a word in the block of the processor that counts, written by its owner alone without
 * a locked instruction; a reader sums the blocks. Threads without a processor count in the shared
 * block, with a locked instruction. */
#ifndef WEIR_BASE_COUNTER_H
#define WEIR_BASE_COUNTER_H

#include "base/base.h"

enum counter {
#define COUNTER(name, unit, help) COUNTER_##name,
#define GAUGE(name, unit, help)
#include "base/counter.def"
#undef COUNTER
#undef GAUGE
        COUNTER_COUNT
};

enum gauge {
#define COUNTER(name, unit, help)
#define GAUGE(name, unit, help) GAUGE_##name,
#include "base/counter.def"
#undef COUNTER
#undef GAUGE
        GAUGE_COUNT
};

/* A histogram of nanoseconds: bucket i counts what is below 2^(i + HISTOGRAM_FIRST) and not in the
 * ones before; the last takes the rest. */
enum { HISTOGRAM_FIRST = 7, HISTOGRAM_BUCKETS = 30 };

enum histogram {
#define HISTOGRAM(name, help) HISTOGRAM_##name,
#include "base/histogram.def"
#undef HISTOGRAM
        HISTOGRAM_COUNT
};

struct counters {
        uint64_t         value[COUNTER_COUNT];          /* atomic, only its owner writes */
        uint64_t         bucket[HISTOGRAM_COUNT][HISTOGRAM_BUCKETS];    /* the same */
        uint64_t         sum[HISTOGRAM_COUNT];          /* the same: nanoseconds */
        struct counters *next;                          /* const after registration */
};

/* Adds a block to what is summed; it stays for the life of the process. */
void weir__counter_register(struct counters *block);

/* Counts on behalf of no processor. From: any thread. */
void weir__counter_shared(enum counter c, uint64_t n);

uint64_t weir__counter_sum(enum counter c);

/* What a gauge is now; 0 when nobody said how to read it. */
uint64_t weir__gauge_read(enum gauge g);

/* Says how a gauge is read; fn is called from any thread, must not park. */
void weir__gauge_set(enum gauge g, uint64_t (*fn)(void));

/* Counts a time in the block of its owner. */
void weir__histogram_add(struct counters *block, enum histogram h, int64_t ns);

#define count_in(block, name, n) owner_add(&(block)->value[COUNTER_##name], (uint64_t)(n))

#endif
