/* The limit of memory.
 *
 * What    A soft limit on what the process holds through the allocator: pages in use and idle,
 *         tables, stacks. It comes from weir_memory_limit() or the options of weir_run, from
 *         WEIR_MEMORY, or from the cgroup: memory.high, or nine tenths of its maximum.
 * Order   Whoever makes the heap grow beyond it first gives idle pages back, then asks the
 *         collector. This is the only place where an allocation returns memory. When that does not
 *         help, the heap grows: a soft limit is no reason to fail.
 *         The cgroup's limits may change: they are read again each REFRESH of growth and by the
 *         background thread each second, and so is how often the group met them. When it did, the
 *         kernel takes pages away already, and kills if it finds none: all idle ones go back.
 *         The hard limit is where the kernel refuses memory. malloc then answers NULL, after the
 *         last-resort collection and release; what cannot fail ends the process with a report.
 * Cost    One comparison per span. */
#include "mem/heap.h"
#include "base/counter.h"
#include "base/debug.h"
#include "os/os.h"
#include <stdlib.h>
#include <unistd.h>

enum { REFRESH_PAGES = (32 << 20) / PAGE_SIZE };

size_t weir__mem_soft = SIZE_MAX;
struct mem_hooks weir__mem_hooks;
const char *weir__limit_root = "";

static size_t chosen;                   /* atomic; by call or variable; 0: not, SIZE_MAX: none */
static size_t met = SIZE_MAX;           /* atomic; how often the cgroup met its limit */
static size_t refresh_at;               /* atomic; used pages at which the cgroup is asked again */

/* "512MiB", "2G", "1.5g"; 0 when it is nothing of the kind, SIZE_MAX for "off". */
static size_t parse_size(const char *s)
{
        static const char units[] = "kmgt";
        double            value = 0, place = 1;
        bool              point = false, digits = false;

        if (!strcmp(s, "off"))
                return SIZE_MAX;
        for (; (*s >= '0' && *s <= '9') || (*s == '.' && !point); s++) {
                if (*s == '.') {
                        point = true;
                        continue;
                }
                digits = true;
                value = value * 10 + (*s - '0');
                place *= point ? 10 : 1;
        }
        value /= place;
        for (int i = 0; *s && i < 4; i++)
                if ((*s | 32) == units[i]) {
                        value *= (double)((size_t)1 << (10 * (i + 1)));
                        s++;
                        if (*s == 'i')
                                s++;
                        break;
                }
        if (*s == 'B' || *s == 'b')
                s++;
        return digits && !*s && value >= 1 && value < 1e18 ? (size_t)value : 0;
}

bool weir__limit_refresh(void)
{
        struct os_memory m;
        size_t           soft = load_relaxed(&chosen), before;

        weir__os_memory_limits(weir__limit_root, &m);
        if (!soft)
                soft = MIN(m.high, m.max == SIZE_MAX ? SIZE_MAX : m.max / 10 * 9);
        store_relaxed(&weir__mem_soft, soft);
        store_relaxed(&refresh_at, load_relaxed(&weir__heap_pages.used) + REFRESH_PAGES);
        before = exchange_seq(&met, m.events);
        if (before == SIZE_MAX || m.events == SIZE_MAX || m.events <= before)
                return false;
        weir__counter_shared(COUNTER_mem_limit_met, m.events - before);
        return true;
}

void weir__limit_init(void)
{
        const char *s = weir__debug_early_env("WEIR_MEMORY");
        size_t      size = s && *s ? parse_size(s) : 0;

        if (s && *s && !size)
                weir__mem_abort("WEIR_MEMORY=%s: not a size like 512MiB or 2G, nor off", s);
        if (size && !load_relaxed(&chosen))
                store_relaxed(&chosen, size);
        if (size)
                store_relaxed(&weir__mem_soft, size);
        store_relaxed(&refresh_at, REFRESH_PAGES / 4);
}

uint64_t weir__mem_held(void)
{
        uint64_t pages = load_relaxed(&weir__heap_pages.used) +
                         load_relaxed(&weir__heap_pages.idle) +
                         load_relaxed(&weir__heap_pages.leaving);

        return (pages << PAGE_SHIFT) + weir__fixed_bytes();
}

static slowpath void near_limit(size_t bytes)
{
        size_t   cursor = 0, soft;
        uint64_t held;

        if (load_relaxed(&weir__heap_pages.used) >= load_relaxed(&refresh_at)) {
                if (weir__limit_refresh())
                        weir__mem_release(true);
                if (load_relaxed(&weir__mem_soft) != SIZE_MAX)
                        weir__scavenge_start();         /* the limit may change */
        }
        soft = load_relaxed(&weir__mem_soft);
        held = weir__mem_held() + bytes;
        if (held <= soft)
                return;
        weir__counter_shared(COUNTER_mem_limit_hits, 1);
        if (weir__mem_hooks.collect)
                weir__mem_hooks.collect();
        weir__page_release(&cursor, (size_t)((held - soft) >> PAGE_SHIFT) + 1, false);
}

void weir__limit_grow(size_t bytes)
{
        size_t used = load_relaxed(&weir__heap_pages.used);

        if (likely(used < load_relaxed(&refresh_at) &&
                   weir__mem_held() + bytes <= load_relaxed(&weir__mem_soft)))
                return;
        near_limit(bytes);
}

size_t weir_memory_limit(size_t bytes)
{
        size_t before;

        if (!weir__mem_start())
                return 0;
        before = load_relaxed(&weir__mem_soft);
        if (bytes) {
                store_relaxed(&chosen, bytes);
                weir__limit_refresh();
                weir__limit_grow(0);
        }
        return before;
}

_Noreturn void weir__mem_exhausted(size_t size)
{
        static int   reporting;                 /* atomic */
        struct out   o = { .fd = STDERR_FILENO };
        struct os_memory m;

        if (exchange_seq(&reporting, 1))
                for (;;)
                        pause();
        weir__os_memory_limits(weir__limit_root, &m);
        weir__out_print(&o, "fatal: out of memory: %zu bytes more are not to be had\n", size);
        weir__out_print(&o, "in use %zu KiB, idle %zu KiB, released %zu KiB, of %zu KiB reserved\n",
                        load_relaxed(&weir__heap_pages.used) * (PAGE_SIZE / 1024),
                        load_relaxed(&weir__heap_pages.idle) * (PAGE_SIZE / 1024),
                        load_relaxed(&weir__heap_pages.released) * (PAGE_SIZE / 1024),
                        weir__heap.pages * (PAGE_SIZE / 1024));
        if (load_relaxed(&weir__mem_soft) != SIZE_MAX)
                weir__out_print(&o, "soft limit %zu KiB\n", load_relaxed(&weir__mem_soft) / 1024);
        if (m.max != SIZE_MAX)
                weir__out_print(&o, "cgroup: %zu KiB in use of at most %zu KiB\n",
                                m.current == SIZE_MAX ? 0 : m.current / 1024, m.max / 1024);
        weir__report_classes(&o, 8);
        weir__out_flush(&o);
        _exit(2);
}
