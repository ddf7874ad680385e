/* What allocations tell: the line of memtrace, and samples for the heap profile.
 *
 * What    While somebody samples, one allocation in about mean_bytes bytes is reported, chosen as a
 *         Poisson process over the bytes, so that the estimate is unbiased whatever the sizes. A
 *         sampled block gets a span of its own: its free is then found without a table and costs
 *         the others nothing.
 * Order   Switching on closes the caches of other threads at their next slow path, so that it may
 *         take them a while to take part. */
#include "mem/heap.h"
#include "base/debug.h"
#include "os/os.h"
#include <unistd.h>

static const struct mem_sampler *sampler;       /* atomic */
static size_t                    mean;          /* atomic */

void weir__mem_sample(const struct mem_sampler *s, size_t mean_bytes)
{
        weir__mem_start();
        store_relaxed(&mean, MAX(mean_bytes, 1u));
        if (s) {
                store_release(&sampler, s);     /* pairs with the acquires below */
                fetch_or_seq(&weir__mem_mode, MODE_SAMPLE);
        } else {
                fetch_and_seq(&weir__mem_mode, ~(uint32_t)MODE_SAMPLE);
        }
        (void)weir__cache_get();
}

/* -ln(u) for u in (0, 1], by its series: no libm, and a percent is more than enough. */
static double minus_ln(uint32_t u)
{
        unsigned shift = (unsigned)__builtin_clz(u | 1);
        double   m = (double)((uint64_t)(u | 1) << shift) / 4294967296.0;      /* [0.5, 1) */
        double   x = (m - 1) / (m + 1), xx = x * x;

        return shift * 0.6931471805599453 - 2 * x * (1 + xx / 3 + xx * xx / 5 + xx * xx * xx / 7);
}

bool weir__sample_due(struct cache *c, size_t size)
{
        if (c == &weir__cache_closed)
                return false;
        if (!c->sample)
                c->sample = (int64_t)(minus_ln(weir__rand(&c->rand)) *
                                      (double)load_relaxed(&mean)) + 1;
        c->sample -= (int64_t)MIN(size + 1, (size_t)INT32_MAX);
        if (c->sample > 0)
                return false;
        c->sample = 0;
        return true;
}

void *weir__sample_alloc(struct cache *c, size_t size, size_t align, bool *ret_zero)
{
        const struct mem_sampler *s = load_acquire(&sampler);
        struct span *span = size <= PTRDIFF_MAX
                                    ? weir__span_new_large(MEM_MANUAL, size, align, ret_zero)
                                    : NULL;

        if (!span)
                return NULL;
        span->sampled = 1;
        owner_add(&c->large, 1);
        owner_add(&c->large_bytes, span_bytes(span));
        if (s && s->allocated)
                s->allocated((void *)span->start, size);
        return (void *)span->start;
}

void weir__sample_freed(void *p)
{
        const struct mem_sampler *s = load_acquire(&sampler);

        if (s && s->freed)
                s->freed(p);
}

void weir__memtrace(const char *what, const void *p, size_t size)
{
        static int64_t least = -1;              /* atomic */
        int64_t        n = load_relaxed(&least);
        struct out     o = { .fd = STDERR_FILENO };

        if (n < 0) {
                n = weir__debug_early("memtrace", 1);
                store_relaxed(&least, n);
        }
        if (!strcmp(what, "free"))
                size = p && weir__span_of((uintptr_t)p) ? weir__span_of((uintptr_t)p)->size : 0;
        if (size < (size_t)n)
                return;
        weir__out_print(&o, "memtrace: %s %zu %p thread %d\n", what, size, p,
                        weir__os_thread_id());
        weir__out_flush(&o);
}
