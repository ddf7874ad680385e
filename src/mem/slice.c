/* Slices: marking beside the program in pieces, with pauses between them.
 *
 * What    A marker is a thread of its own and marks without a pause: where there is a core to spare
 *         a pause only makes the collection longer, and where there is none the system shares the
 *         cores out. WEIR_DEBUG=gcslice has it pause, by one of the policies that collectors on the
 *         program's own threads have, to compare with:
 *           1   after 5 ms of a core, for 1 ms
 *           2   after 10 000 objects marked, for 1 ms
 *           3   after 0.8 ms of a core, for 0.8 ms, and for the less the faster the program
 *               allocates: from 100 MB/s on not at all
 *          -N   after N objects; it offers its core to others, once
 * Shape   The question is asked after each span, and after each piece of a large object.
 * Order   What a marker has found and not followed is its own, in memory, and stays so in a pause;
 *         it holds no lock. In the stops nobody pauses.
 * Trace   gctrace=2 prints each slice: its time of a core, the objects marked, the pause after it.
 * Cost    A test per span where it is off; on, the clock is read.
 * Not     The time that has passed as the measure: a marker that the system has set aside does
 *         nothing meanwhile. */
#include "mem/heap.h"
#include "base/debug.h"
#include "os/os.h"
#include <unistd.h>

enum { BY_TIME = 1, BY_OBJECTS, ADAPTIVE };
enum {
        LONG = 5000 * 1000, SHORT = 800 * 1000, PAUSE = 1000 * 1000,    /* ns */
        OBJECTS = 10000,
        RATE = 100,                     /* MB/s */
};

uint64_t weir__mark_slices;

static void begin(struct mark_slice *s, uint64_t objects, int64_t cpu)
{
        s->cpu = cpu;
        s->look = 0;
        s->objects = objects;
        s->since = load_relaxed(&weir__mem_since);
        s->began = weir__os_now();
}

void weir__slice_begin(struct marker *m)
{
        struct mark_slice *s = &m->slice;

        s->on = weir__debug.gcslice && load_relaxed(&weir__gc_barrier) == BARRIER_MARK;
        if (!s->on)
                return;
        s->tid = weir__os_thread_id();
        begin(s, m->objects, weir__os_thread_cpu(s->tid));
}

/* How long to pause: for the less, the more was allocated since the slice began. */
static int64_t adapted(const struct mark_slice *s)
{
        int64_t  ns = MAX(weir__os_now() - s->began, INT64_C(1));
        uint64_t rate = (load_relaxed(&weir__mem_since) - s->since) * 1000 / (uint64_t)ns;

        return rate >= RATE ? 0 : SHORT - SHORT * (int64_t)rate / RATE;
}

static void over(struct marker *m, int64_t cpu, int64_t pause)
{
        struct mark_slice *s = &m->slice;

        fetch_add_relaxed(&weir__mark_slices, 1);
        if (unlikely(weir__debug.gctrace >= 2)) {
                struct out o = { .fd = STDERR_FILENO };

                weir__out_print(&o, "gc slice: %lld us, %llu objects, pause %lld us\n",
                                (long long)(cpu - s->cpu) / 1000,
                                (unsigned long long)(m->objects - s->objects),
                                (long long)pause / 1000);
                weir__out_flush(&o);
        }
        if (weir__debug.gcslice < 0)
                weir__os_yield();
        else if (pause)
                weir__os_sleep(pause);
        begin(s, m->objects, weir__os_thread_cpu(s->tid));
}

void weir__slice_ask(struct marker *m)
{
        struct mark_slice *s = &m->slice;
        int64_t            policy = weir__debug.gcslice, now, cpu;
        int64_t            length = policy == BY_TIME ? LONG : SHORT;
        uint64_t           most = policy < 0 ? (uint64_t)-policy : OBJECTS;

        if (policy < 0 || policy == BY_OBJECTS) {
                if (m->objects - s->objects >= most)
                        over(m, weir__os_thread_cpu(s->tid), PAUSE);
                return;
        }
        now = weir__os_now();
        if (now < s->look)
                return;
        cpu = weir__os_thread_cpu(s->tid);
        if (cpu - s->cpu < length)
                s->look = now + (length - (cpu - s->cpu));
        else
                over(m, cpu, policy == ADAPTIVE ? adapted(s) : PAUSE);
}
