/* The cycle: when to collect, and the steps of a collection.
 *
 * What    Once as much was allocated as the goal allows, the goroutine that notices stops the
 *         world, marks from the roots with as many threads as there are processors, and starts it
 *         again. What is not marked is then swept while the program runs: by who needs memory of a
 *         size, and by the goroutine that collected.
 * Goal    What was marked in the last cycle and percent of it more, at least 4 MiB.
 * States  weir__gc.busy: 0 -> 1 by exchange, whoever runs a cycle; everybody else goes on, or waits
 *         for the turn (weir_gc_run). phase, for reports: off, mark, sweep.
 * Locks   None of its own: `busy` is one. Inside of a stop no lock can be held by anybody else, see
 *         sched/world.c.
 * Cost    See docs/design/collector.md. */
#include "gc/gc.h"
#include "base/debug.h"
#include "os/os.h"
#include <stdlib.h>
#include <unistd.h>
#include <weir/go.h>
#include <weir/mem.h>
#include <weir/run.h>
#include <weir/time.h>

enum { HEAP_MIN = 4 << 20, PERCENT = 100, OFF = -1 };

static struct {
        uint32_t busy;                  /* atomic: a cycle is under way */
        uint32_t ready;                 /* atomic: the environment was read */
        int      percent;               /* atomic; negative: off */
        uint64_t cycles;                /* atomic: finished */
        uint64_t live;                  /* atomic: bytes marked in the last one */
        bool     foreign;               /* const once ready: malloc is another's */
} gc;

static struct marker markers[MARKERS_MAX];
static uint32_t      nthreads = 1;      /* busy: that can mark, the collecting one too */
static uint32_t      nmarkers;          /* busy: of them in this cycle, a power of two */
static uint32_t      mark_turn;         /* atomic, futex: raised when the helpers are to mark */
static uint32_t      marking;           /* atomic, futex: helpers that have not finished */
static int64_t       stopped_at;        /* busy */

uint32_t weir__gc_wanted;

/* ---- when ---- */

static void pace(void)
{
        store_relaxed(&weir__gc_wanted, 1);
}

/* Before the first allocation of the first program part that uses the collector. */
__attribute__((constructor)) static void begin_early(void)
{
        weir__mem_hooks.pace = pace;
        store_relaxed(&weir__mem_trigger, (uint64_t)HEAP_MIN);
}

static void set_trigger(void)
{
        int      percent = load_relaxed(&gc.percent);
        uint64_t live = load_relaxed(&gc.live), room = UINT64_MAX;

        if (percent >= 0) {
                room = (uint64_t)((double)live * percent / 100);
                if (live + room < (uint64_t)HEAP_MIN * (unsigned)percent / 100)
                        room = (uint64_t)HEAP_MIN * (unsigned)percent / 100 - live;
        }
        store_relaxed(&weir__mem_trigger, room);
        weir__mem_gc.next = room == UINT64_MAX ? 0 : live + room;
}

/* The heap is at the limit of memory: collect before the goal, but not more often than an eighth of
 * what is live was allocated, lest the program do nothing else. */
static void near_limit(void)
{
        uint64_t least = MAX(load_relaxed(&gc.live) / 8, (uint64_t)1 << 20);

        if (load_relaxed(&gc.percent) == OFF || load_relaxed(&weir__mem_since) < least)
                return;
        store_relaxed(&weir__mem_trigger, least);
        store_relaxed(&weir__gc_wanted, 1);
}

static slowpath void read_environment(void)
{
        const char *s = getenv("WEIR_GC");
        void       *probe = malloc(1);

        gc.foreign = !weir__mem_own(probe);
        free(probe);
        gc.percent = s && !strcmp(s, "off") ? OFF
                                            : (int)weir__debug_env("WEIR_GC", 0, 1000000,
                                                                   weir__mem_gc.percent
                                                                           ? weir__mem_gc.percent
                                                                           : PERCENT);
        if (gc.foreign && !weir__debug.gcforeign)
                gc.percent = OFF;
        set_trigger();
        weir__mem_hooks.collect = near_limit;
}

/* ---- threads that help ---- */

static void help(void *arg)
{
        struct marker *m = arg;
        uint32_t       seen = 0;

        weir__os_thread_name("weir-mark");
        for (;;) {
                uint32_t turn = load_acquire(&mark_turn);

                if (turn == seen) {
                        weir__os_futex_wait(&mark_turn, turn, -1);
                        continue;
                }
                seen = turn;
                if (m >= markers + load_acquire(&nmarkers))
                        continue;
                weir__mark_drain(m);
                if (fetch_sub_seq(&marking, 1) == 1)
                        weir__os_futex_wake(&marking, 1);
        }
}

static void start_helpers(void)
{
        uint32_t want = MIN((uint32_t)weir_procs(0), (uint32_t)MARKERS_MAX);

        while (nthreads < want &&
               weir__os_thread_start_quiet(help, &markers[nthreads], 256 << 10) >= 0) {
                nthreads++;
                weir__mem_threads_more(1);
        }
        for (nmarkers = 1; 2 * nmarkers <= MIN(nthreads, want);)
                nmarkers *= 2;
}

/* ---- the steps ---- */

static void sweep_all(void)
{
        while (weir__mem_sweep_some(64))
                ;
}

static void stop(void)
{
        weir__world_stop();
        stopped_at = weir__os_now();
}

static void mark(void)
{
        memset(markers, 0, sizeof markers);
        if (!weir__mark_begin(markers, nmarkers))
                weir__throw("no memory to begin a collection with");
        store_seq(&marking, nmarkers - 1);
        fetch_add_seq(&mark_turn, 1);
        weir__os_futex_wake(&mark_turn, INT32_MAX);
        weir__roots_mark(&markers[0]);
        weir__final_mark(&markers[0]);
        weir__mark_drain(&markers[0]);
        for (uint32_t left; (left = load_acquire(&marking)) != 0;)
                weir__os_futex_wait(&marking, left, -1);
}

static void trace(const char *why, uint64_t before, int64_t begin, int64_t marked, int64_t end,
                  size_t finals)
{
        struct out      o = { .fd = STDERR_FILENO };
        struct marker   all = { 0 };

        for (uint32_t i = 0; i < nmarkers; i++) {
                all.objects += markers[i].objects;
                all.words += markers[i].words;
                all.peak = MAX(all.peak, markers[i].peak);
        }
        weir__out_print(&o,
                        "gc %llu (%s): %llu -> %llu KiB, goal %llu KiB; %llu objects, %llu words; "
                        "stopped %lld us: %lld to stop, %lld mark, %lld rest; %u markers, %u spans "
                        "queued at most; %zu finalizers\n",
                        (unsigned long long)load_relaxed(&gc.cycles) + 1, why,
                        (unsigned long long)before / 1024,
                        (unsigned long long)load_relaxed(&gc.live) / 1024,
                        (unsigned long long)weir__mem_gc.next / 1024,
                        (unsigned long long)all.objects, (unsigned long long)all.words,
                        (long long)((end - begin) / 1000),
                        (long long)(weir__world_stats.stop_ns / 1000),
                        (long long)((marked - stopped_at) / 1000),
                        (long long)((end - marked) / 1000), nmarkers, all.peak, finals);
        weir__out_flush(&o);
}

static const char forced[] = "forced";

/* busy is the caller's. */
static void collect(const char *why)
{
        uint64_t before, live = 0;
        int64_t  begin, marked, end;
        size_t   finals;

        start_helpers();
        sweep_all();                            /* what the last cycle left */
        begin = weir__os_now();
        weir__roots_find(stop);
        before = load_relaxed(&gc.live) + load_relaxed(&weir__mem_since);
        mark();
        /* What is added now points to what is marked already: one marker for the whole heap. */
        (void)weir__mark_begin(markers, 1);
        finals = weir__final_queue(&markers[0]);
        weir__mark_drain(&markers[0]);
        marked = weir__os_now();
        for (uint32_t i = 0; i < nmarkers; i++)
                live += markers[i].bytes;
        store_relaxed(&gc.live, live);
        store_relaxed(&weir__gc_wanted, 0);
        set_trigger();
        weir__mem_sweep_begin();
        weir__mem_gc.live = live;
        weir__world_start();
        end = weir__os_now();
        weir__mem_gc_paused(end - begin);
        if (why == forced)
                fetch_add_relaxed(&weir__mem_gc.forced, 1);
        weir__count(gc_cycles, 1);
        weir__count(gc_stopped, end - begin);
        if (unlikely(weir__debug.gctrace))
                trace(why, before, begin, marked, end, finals);
        fetch_add_relaxed(&gc.cycles, 1);
        sweep_all();
        if (finals)
                weir__final_run();
}

static bool begin(void)
{
        if (unlikely(!load_acquire(&gc.ready))) {
                if (exchange_seq(&gc.busy, 1))
                        return false;
                if (!load_acquire(&gc.ready))
                        read_environment();
                store_release(&gc.ready, 1);
                store_release(&gc.busy, 0);
        }
        return !exchange_seq(&gc.busy, 1);
}

void weir__gc_poll(void)
{
        if (!begin())
                return;
        if (load_relaxed(&weir__mem_since) >= load_relaxed(&weir__mem_trigger))
                collect("goal");
        else
                store_relaxed(&weir__gc_wanted, 0);
        store_release(&gc.busy, 0);
}

void weir_gc_run(void)
{
        (void)weir__sched_need_g("weir_gc_run");
        while (!begin())
                weir_sleep(20 * WEIR_MICROSECOND);
        if (!gc.foreign || weir__debug.gcforeign)
                collect(forced);
        store_release(&gc.busy, 0);
}

int weir_gc_percent(int percent)
{
        int before;

        while (!begin())
                weir__os_yield();
        before = load_relaxed(&gc.percent);
        if (!gc.foreign || weir__debug.gcforeign)
                store_relaxed(&gc.percent, percent < 0 ? OFF : percent);
        set_trigger();
        store_release(&gc.busy, 0);
        return before;
}
