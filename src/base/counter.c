/* The table of counters, summed and written as Prometheus text. */
#include "base/counter.h"
#include <weir/metric.h>

static struct counters  shared;
static struct counters *blocks = &shared;       /* atomic: a list that only grows */
static uint64_t       (*gauges[GAUGE_COUNT])(void);

void weir__counter_register(struct counters *block)
{
        struct counters *head = load_relaxed(&blocks);

        do
                block->next = head;
        while (!cas_release(&blocks, &head, block));    /* pairs with the acquire in sum */
}

void weir__counter_shared(enum counter c, uint64_t n)
{
        fetch_add_relaxed(&shared.value[c], n);
}

uint64_t weir__counter_sum(enum counter c)
{
        uint64_t sum = 0;

        for (struct counters *b = load_acquire(&blocks); b; b = b->next)
                sum += load_relaxed(&b->value[c]);
        return sum;
}

void weir__histogram_add(struct counters *block, enum histogram h, int64_t ns)
{
        uint64_t u = (uint64_t)MAX(ns, INT64_C(0));
        int      bits = u ? 64 - __builtin_clzll(u) : 0;        /* below 2^bits */
        int      i = MAX(bits - HISTOGRAM_FIRST, 0);

        owner_add(&block->bucket[h][MIN(i, HISTOGRAM_BUCKETS - 1)], 1);
        owner_add(&block->sum[h], u);
}

static void write_histogram(FILE *out, const char *name, enum histogram h, const char *help)
{
        uint64_t count = 0, sum = 0;

        fprintf(out, "# HELP weir_%s_seconds %s\n# TYPE weir_%s_seconds histogram\n", name, help, name);
        for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
                for (struct counters *b = load_acquire(&blocks); b; b = b->next)
                        count += load_relaxed(&b->bucket[h][i]);
                if (i < HISTOGRAM_BUCKETS - 1)
                        fprintf(out, "weir_%s_seconds_bucket{le=\"%.9g\"} %llu\n", name,
                                (double)(UINT64_C(1) << (i + HISTOGRAM_FIRST)) * 1e-9,
                                (unsigned long long)count);
        }
        for (struct counters *b = load_acquire(&blocks); b; b = b->next)
                sum += load_relaxed(&b->sum[h]);
        fprintf(out, "weir_%s_seconds_bucket{le=\"+Inf\"} %llu\nweir_%s_seconds_sum %.9f\n"
                     "weir_%s_seconds_count %llu\n",
                name, (unsigned long long)count, name, (double)sum * 1e-9, name,
                (unsigned long long)count);
}

void weir__gauge_set(enum gauge g, uint64_t (*fn)(void))
{
        store_release(&gauges[g], fn);
}

uint64_t weir__gauge_read(enum gauge g)
{
        uint64_t (*fn)(void) = load_acquire(&gauges[g]);

        return fn ? fn() : 0;
}

static void write_metric(FILE *out, const char *name, const char *unit, const char *suffix,
                         const char *type, const char *help, uint64_t value)
{
        bool        plain = !strcmp(unit, "1");
        char        full[96];

        snprintf(full, sizeof full, "weir_%s%s%s%s", name, plain ? "" : "_", plain ? "" : unit,
                 suffix);
        fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", full, help, full, type, full,
                (unsigned long long)value);
}

void weir_metric_write(FILE *out)
{
#define COUNTER(name, unit, help) \
        write_metric(out, #name, #unit, "_total", "counter", help, \
                     weir__counter_sum(COUNTER_##name));
#define GAUGE(name, unit, help) \
        write_metric(out, #name, #unit, "", "gauge", help, weir__gauge_read(GAUGE_##name));
#include "base/counter.def"
#undef COUNTER
#undef GAUGE
#define HISTOGRAM(name, help) write_histogram(out, #name, HISTOGRAM_##name, help);
#include "base/histogram.def"
#undef HISTOGRAM
}
