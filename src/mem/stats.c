/* Reading the heap: the numbers of weir_mem_read, the table per class, the metrics.
 *
 * What    Sums what the caches count. The fast paths count one thing, objects handed out per bin;
 *         frees follow from it: in = taken from the list + freed by the program, out = handed out +
 *         given to the list, cached = in - out, so
 *           freed = cached + handed out + given - taken.
 *         Stranded bytes of a class are those of free objects in spans that also hold used ones, in
 *         transfer and in caches: memory that only an allocation of the same class can use.
 * Cost    A read touches 2 KiB of each cache: about 1 us per thread. */
#include "mem/heap.h"
#include "base/counter.h"
#include "os/os.h"
#include <weir/mem.h>

struct mem_gc weir__mem_gc;

void weir__mem_gc_paused(int64_t ns)
{
        fetch_add_relaxed(&weir__mem_gc.pause_total, (uint64_t)ns);
        store_relaxed(&weir__mem_gc.pause_last, (uint64_t)ns);
        if ((uint64_t)ns > load_relaxed(&weir__mem_gc.pause_max))
                store_relaxed(&weir__mem_gc.pause_max, (uint64_t)ns);
}

struct sums {
        uint64_t mallocs, frees, bytes, collected, cached_bytes;
        uint64_t cached[BINS];
};

static void sum_caches(struct sums *t)
{
        memset(t, 0, sizeof *t);
        for (struct cache *c = load_acquire(&weir__caches); c; c = c->next) {
                for (unsigned i = 1; i < BINS; i++) {
                        const struct bin *b = &c->bin[i];
                        uint64_t          given = load_relaxed(&c->given[i]);
                        uint64_t          taken = load_relaxed(&c->taken[i]);
                        uint64_t          n = load_relaxed(&b->mallocs);
                        uint64_t          cached = (uint64_t)(load_relaxed(&b->top) - b->base);
                        int64_t           frees = (int64_t)(cached + n + given - taken);

                        t->mallocs += n;
                        t->bytes += n * weir__class[i].size;
                        t->frees += frees > 0 ? (uint64_t)frees : 0;
                        t->cached[i] += cached;
                        t->cached_bytes += cached * weir__class[i].size;
                }
                t->mallocs += load_relaxed(&c->large) + load_relaxed(&c->collected);
                t->bytes += load_relaxed(&c->large_bytes) + load_relaxed(&c->collected_bytes);
                t->frees += load_relaxed(&c->large_frees);
                t->collected += load_relaxed(&c->collected);
        }
}

static void read_pages(weir_mem_stats *s)
{
        uint64_t used = load_relaxed(&weir__heap_pages.used);
        uint64_t released = load_relaxed(&weir__heap_pages.released);
        uint64_t idle = load_relaxed(&weir__heap_pages.idle) +
                        load_relaxed(&weir__heap_pages.leaving) + released;

        s->heap_in_use = used << PAGE_SHIFT;
        s->heap_idle = idle << PAGE_SHIFT;
        s->heap_released = released << PAGE_SHIFT;
        s->heap_sys = s->heap_in_use + s->heap_idle;
}

static void read_rest(weir_mem_stats *s)
{
        struct sums t;

        sum_caches(&t);
        s->mallocs = t.mallocs;
        s->total_alloc = t.bytes;
        s->frees = t.frees + load_relaxed(&weir__swept);
        s->heap_objects = t.collected - MIN(t.collected, load_relaxed(&weir__swept));
        for (struct cache *c = load_acquire(&weir__caches); c; c = c->next)
                s->heap_live += load_relaxed(&c->collected_bytes);
        s->heap_live -= MIN(s->heap_live, load_relaxed(&weir__swept_bytes));
        s->gc_cycles = load_relaxed(&weir__mem_gc.cycles);
        s->gc_forced = load_relaxed(&weir__mem_gc.forced);
        s->gc_pause_total_ns = load_relaxed(&weir__mem_gc.pause_total);
        s->gc_pause_last_ns = load_relaxed(&weir__mem_gc.pause_last);
        s->gc_pause_max_ns = load_relaxed(&weir__mem_gc.pause_max);
        s->gc_next = load_relaxed(&weir__mem_gc.next);
        s->gc_cpu_ns = load_relaxed(&weir__mem_gc.cpu);
        s->stacks_in_use = weir__gauge_read(GAUGE_stacks_in_use);
        s->stacks_sys = weir__gauge_read(GAUGE_stacks_sys);
        s->metadata_sys = weir__fixed_bytes();
}

void weir_mem_read(weir_mem_stats *ret)
{
        weir_mem_stats s = { 0 };

        read_pages(&s);
        read_rest(&s);
        *ret = s;
}

void weir_mem_read_exact(weir_mem_stats *ret)
{
        weir_mem_stats s = { 0 };

        if (weir__mem_start()) {
                weir__mem_lock_all();
                read_pages(&s);
                read_rest(&s);
                weir__mem_unlock_all();
        }
        *ret = s;
}

/* ---- the table ---- */

struct row {
        uint64_t objects, used, stranded;       /* stranded: bytes */
        uint32_t spans, partial;
};

/* Of each list the spans by how much of them is used, what caches hold included. */
enum { QUARTERS = 4 };
static uint32_t occupied[KINDS][BINS][QUARTERS + 1];        /* all locks; the last: full */

static void count_span(struct span *s, void *arg)
{
        uint32_t nfree = 0;

        (void)arg;
        if (!s->class)
                return;
        for (unsigned i = 0; i < s->words; i++)
                nfree += popcount(load_relaxed(&span_free_bits(s)[i]));
        occupied[s->kind][s->class][(s->objects - nfree) * QUARTERS / s->objects]++;
}

static void count_spans(void)
{
        if (!weir__mem_start())
                return;
        weir__mem_lock_all();
        memset(occupied, 0, sizeof occupied);
        weir__span_each(count_span, NULL);
        weir__mem_unlock_all();
}

const char *weir__kind_name(unsigned kind, unsigned class)
{
        static const char *const name[KINDS] = { "malloc", "typed", "plain", "noscan" };

        return class < CLASSES ? name[kind] : "mplain";
}

static struct row row_of(unsigned kind, unsigned class, const struct sums *t)
{
        struct central *c = &weir__central[kind][class];
        struct row      r = { 0 };
        uint64_t        free;

        weir__mem_lock(&c->lock);
        r.spans = c->spans;
        r.partial = c->partial;
        r.objects = (uint64_t)c->spans * weir__class[class].objects;
        free = c->nfree + c->ntransfer;
        weir__mem_unlock(&c->lock);
        if (kind == MEM_MANUAL)
                free += t->cached[class];
        free = MIN(free, r.objects);
        r.used = r.objects - free;
        r.stranded = free * weir__class[class].size;
        return r;
}

void weir__heap_used(struct heap_use ret[KINDS][BINS])
{
        struct sums t;

        sum_caches(&t);
        for (unsigned k = 0; k < KINDS; k++)
                for (unsigned i = 0; i < classes_of(k); i++) {
                        struct row r = { 0 };

                        if (load_relaxed(&weir__central[k][i].spans))
                                r = row_of(k, i, &t);
                        ret[k][i] = (struct heap_use){ r.used, r.spans, r.partial };
                }
}

/* The rows with the most stranded bytes come by repeated search: there are few of them. */
void weir__report_classes(struct out *o, unsigned most)
{
        bool        printed[KINDS][BINS] = { 0 };
        struct sums t;
        uint64_t    stranded = 0, worst = 0;
        unsigned    worst_class = 0, worst_kind = 0;

        sum_caches(&t);
        count_spans();
        weir__out_print(o, "kind       size    objects       used   spans partial     stranded   "
                        "spans used to <25%% <50%% <75%% <100%% 100%%\n");
        for (unsigned n = 0; n < most; n++) {
                unsigned   kind = 0, class = 0;
                struct row best = { 0 };

                for (unsigned k = 0; k < KINDS; k++)
                        for (unsigned i = 1; i < classes_of(k); i++) {
                                struct row r;

                                if (printed[k][i] || !load_relaxed(&weir__central[k][i].spans))
                                        continue;
                                r = row_of(k, i, &t);
                                if (!class || r.stranded > best.stranded) {
                                        best = r;
                                        kind = k;
                                        class = i;
                                }
                        }
                if (!class)
                        break;
                printed[kind][class] = true;
                stranded += best.stranded;
                if (best.stranded > worst) {
                        worst = best.stranded;
                        worst_class = class;
                        worst_kind = kind;
                }
                weir__out_print(o, "%s%s %8u %10llu %10llu %7u %7u %12llu   %u %u %u %u %u\n",
                                weir__kind_name(kind, class),
                                strlen(weir__kind_name(kind, class)) == 5 ? " " : "",
                                weir__class[class].size,
                                (unsigned long long)best.objects, (unsigned long long)best.used,
                                best.spans, best.partial, (unsigned long long)best.stranded,
                                occupied[kind][class][0], occupied[kind][class][1],
                                occupied[kind][class][2], occupied[kind][class][3],
                                occupied[kind][class][4]);
        }
        if (worst)
                weir__out_print(o, "most stranded: %s of %u bytes, %llu KiB of %llu KiB in all\n",
                                weir__kind_name(worst_kind, worst_class),
                                weir__class[worst_class].size,
                                (unsigned long long)worst / 1024,
                                (unsigned long long)stranded / 1024);
}

void weir_mem_report(FILE *out)
{
        struct out     o = { .file = out };
        weir_mem_stats s;

        weir_mem_read(&s);
        weir__out_print(&o, "heap: %llu KiB in use, %llu KiB idle (%llu KiB released), tables %llu "
                        "KiB, of huge pages set aside %llu KiB\nallocated %llu, freed %llu\n",
                        (unsigned long long)s.heap_in_use / 1024,
                        (unsigned long long)s.heap_idle / 1024,
                        (unsigned long long)s.heap_released / 1024,
                        (unsigned long long)s.metadata_sys / 1024,
                        (unsigned long long)load_relaxed(&weir__heap_pages.tlb) << (PAGE_SHIFT - 10),
                        (unsigned long long)s.mallocs, (unsigned long long)s.frees);
        weir__report_classes(&o, UINT32_MAX);
        weir__out_flush(&o);
}

size_t weir_mem_release(void)
{
        return weir__mem_release(true);
}

/* ---- metrics ---- */

#define GAUGE_OF(field)                                 \
        static uint64_t gauge_##field(void)             \
        {                                               \
                weir_mem_stats s;                       \
                                                        \
                weir_mem_read(&s);                      \
                return s.field;                         \
        }
GAUGE_OF(heap_in_use)
GAUGE_OF(heap_idle)
GAUGE_OF(heap_released)
GAUGE_OF(metadata_sys)
GAUGE_OF(mallocs)
GAUGE_OF(frees)
GAUGE_OF(total_alloc)
#undef GAUGE_OF

/* What came of all allocations to each level below the caches. */
static uint64_t gauge_refills(void)
{
        uint64_t n = 0;

        for (unsigned kind = 0; kind < KINDS; kind++)
                for (unsigned class = 1; class < classes_of(kind); class++)
                        n += load_relaxed(&weir__central[kind][class].refills);
        return n;
}

static uint64_t gauge_grown(void)
{
        uint64_t n = 0;

        for (unsigned kind = 0; kind < KINDS; kind++)
                for (unsigned class = 1; class < classes_of(kind); class++)
                        n += load_relaxed(&weir__central[kind][class].grown);
        return n;
}

static uint64_t gauge_limit(void)
{
        size_t soft = load_relaxed(&weir__mem_soft);

        return soft == SIZE_MAX ? 0 : soft;
}

void weir__stats_init(void)
{
        weir__gauge_set(GAUGE_heap_in_use, gauge_heap_in_use);
        weir__gauge_set(GAUGE_heap_idle, gauge_heap_idle);
        weir__gauge_set(GAUGE_heap_released, gauge_heap_released);
        weir__gauge_set(GAUGE_metadata_sys, gauge_metadata_sys);
        weir__gauge_set(GAUGE_mallocs, gauge_mallocs);
        weir__gauge_set(GAUGE_frees, gauge_frees);
        weir__gauge_set(GAUGE_total_alloc, gauge_total_alloc);
        weir__gauge_set(GAUGE_mem_refills, gauge_refills);
        weir__gauge_set(GAUGE_mem_spans_grown, gauge_grown);
        weir__gauge_set(GAUGE_memory_limit, gauge_limit);
}
