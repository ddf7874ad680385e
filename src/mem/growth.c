/* Sizes that only ever grow: a leak, seen from the lists of spans.
 *
 * What    WEIR_DEBUG=memwatch=N has the monitor look at all sizes every N milliseconds and print a
 *         line: what is in use, and each size whose objects became more since the line before. A
 *         size that had more objects in use than ever at LOOKS looks, a tenth more in all, or any
 *         more at MANY_LOOKS, is called a suspect, in that line and again only when what it grew by
 *         has doubled. A program that caches something looks the same until the cache is full:
 *         it is a suspicion, and the profile of allocations tells who took them.
 * Shape   Per kind and size what was in use last, how often it rose in a row, and what it was when
 *         that began. Objects in the caches of threads count as free, or every thread that warms up
 *         would be a leak.
 * States  of a size: calm -> rising (more than ever before) -> suspect (LOOKS times, a tenth more)
 *         -> calm, when it does not exceed its highest any more for LOOKS looks. It need not rise
 *         each time: who leaks at each request leaks nothing in a second without one. To fall by a
 *         tenth of what it rose ends it at once.
 * Locks   That of each central list for its counts, one after the other; what is here is the
 *         monitor's alone.
 * Cost    A look touches 2 KiB of each cache and takes some 270 locks, 20 us.
 * Not     Objects one by one: the profile does that. Pages: fragmentation takes more too. */
#include "mem/heap.h"
#include "base/counter.h"
#include <weir/mem.h>

enum { LOOKS = 8, LEAST = 16, MANY_LOOKS = 64 };

struct trend {
        uint64_t last, high;            /* objects in use: at the last look, at most */
        uint64_t since;                 /* when it began to rise */
        uint64_t told;                  /* when it was called a suspect last; 0: not */
        unsigned rose, rested;          /* looks: more than ever; in a row, not more */
        bool     seen;
};

static struct trend trends[KINDS][BINS];             /* only who looks: the monitor */

/* Answers whether it is to be called a suspect now. */
static bool follow(struct trend *t, uint64_t used)
{
        if (!t->seen || used + (t->high - MIN(t->since, t->high)) / 10 < t->high) {
                *t = (struct trend){ .last = used, .high = used, .since = used, .seen = true };
                return false;
        }
        t->last = used;
        if (used <= t->high) {
                if (++t->rested >= LOOKS) {
                        t->rose = 0;
                        t->told = 0;
                        t->since = t->high = used;
                }
                return false;
        }
        t->high = used;
        t->rested = 0;
        t->rose++;
        if (t->rose < LOOKS || used - t->since < LEAST ||
            (used - t->since < t->since / 10 && t->rose < MANY_LOOKS))
                return false;
        if (t->told && used - t->since < 2 * (t->told - t->since))
                return false;
        t->told = used;
        return true;
}

unsigned weir__growth_look(struct out *o)
{
        static struct heap_use use[KINDS][BINS];     /* only who looks; large for a stack */
        weir_mem_stats         s;
        unsigned               suspects = 0;

        weir_mem_read(&s);
        weir__heap_used(use);
        weir__out_print(o, "MEM in use %llu KiB, idle %llu KiB;",
                        (unsigned long long)s.heap_in_use / 1024,
                        (unsigned long long)(s.heap_idle - s.heap_released) / 1024);
        for (unsigned k = 0; k < KINDS; k++)
                for (unsigned i = 1; i < classes_of(k); i++) {
                        const struct heap_use *u = &use[k][i];
                        uint64_t               before = trends[k][i].last;
                        bool                   seen = trends[k][i].seen;
                        bool                   suspect = follow(&trends[k][i], u->objects);

                        if (!seen || u->objects <= before)
                                continue;
                        weir__out_print(o, " %s %u +%llu (%u spans, %u partial)",
                                        weir__kind_name(k, i), weir__class[i].size,
                                        (unsigned long long)(u->objects - before), u->spans,
                                        u->partial);
                        if (!suspect)
                                continue;
                        suspects++;
                        weir__out_print(o, " LEAK? from %llu to %llu objects in %u looks",
                                        (unsigned long long)trends[k][i].since,
                                        (unsigned long long)u->objects, trends[k][i].rose);
                }
        weir__out_print(o, "\n");
        weir__out_flush(o);
        return suspects;
}
