/* The cycle: when to collect, and the steps of a collection.
 *
 * What    Once as much was allocated as is due, a thread of the collector's own marks what is
 *         reachable while the program runs, and stops it twice for a moment: at the start, to turn
 *         the barrier on, and at the end, to look at what it could not know of: what threads hold,
 *         what was written last. What is not marked is then swept, by who needs memory of a size
 *         and by the collector.
 * Why nothing is lost
 *         At the end each object that can be reached is marked, since
 *           a typed object that is scanned, or born, points to what is marked or told: weir_set
 *           tells the marker what it stores (mem/shade.c);
 *           a plain object, a block of malloc's, that was written since it was scanned is scanned
 *           again (watch.c), the last time in the stop;
 *           so are stacks that may have changed, by whoever (sched/scan.c), and globals and
 *           registers always.
 *         A store by weir_set that found the barrier off and is carried out after the first stop is
 *         told by nobody: its value is in a register of a thread in that stop, whose stacks and
 *         registers are marked there.
 * Goal    What was marked in the last cycle and percent of it more, at least 4 MiB; objects born in
 *         the cycle do not count, or a goal would grow by what was garbage at once. The cycle
 *         begins before the goal by what was allocated during the last one, and a half. While it
 *         runs the program may allocate in proportion to what is marked; who would get ahead
 *         sleeps: the time is the marker's.
 * Minor   Unless WEIR_DEBUG=gcgen=0: what outlived a collection stays marked and scanned (mem/run.c), and
 *         the next one, a minor, comes by young objects alone. Its roots are all the roots, and the
 *         old objects and blocks that were written since: declared ones by cards (mem/card.c),
 *         plain ones by the kernel's record. Nothing else can point to a young object: what was
 *         written before the end of the last collection points to what outlived that one, and is
 *         old; but not what is born while a collection marks, which lives through it unlooked at
 *         and is young after it. What may point to such an object, stored as it was since the first
 *         stop, is looked at in the next one too: cards go to another table from then on, pages are
 *         carried. Of old objects that have died a full collection gets rid, which comes when half
 *         of the way from what the last one found to its goal is taken by old ones, or when minor
 *         ones together took eight times as long as it. A minor keeps its goal.
 * Periodic
 *         What was allocated and does not come to the goal is collected after two minutes, for it
 *         may have finalizers, and for memory that could go back.
 * States  gc.busy: 0 -> 1 by exchange, whoever runs a cycle. gc.beside: the world runs and marking
 *         is on. A cycle is asked for by gc.asked, and by tickets where somebody waits for its end.
 * Stopped WEIR_DEBUG=gcstop=1, an order from a seed, malloc that guards its blocks, a sanitizer
 *         that takes each look at what the program writes for a race: the goroutine that notices
 *         collects with the world stopped from beginning to end, with as many threads as there are
 *         processors. It is what the other is measured against.
 * Locks   None of its own: `busy` is one. Inside of a stop no lock can be held by anybody else, see
 *         sched/world.c.
 * Cost    See docs/design/collector.md.
 * Not     A goroutine that marks: it would wait for its turn among others, and stop them. Helping
 *         by who allocates (Go's assists): the marks have one owner each; who sleeps leaves its
 *         core to the marker, which is as good while there are as many threads as cores. */
#include "gc/gc.h"
#include "gc/leak.h"
#include "base/debug.h"
#include "os/os.h"
#include "sched/sched.h"
#include <stdlib.h>
#include <unistd.h>
#include <weir/go.h>
#include <weir/mem.h>
#include <weir/run.h>
#include <weir/time.h>

enum {
        HEAP_MIN = 4 << 20,
        PERCENT = 100,
        OFF = -1,
        ROUNDS = 8,                     /* of looking at what was written, beside the program */
        FEW = 128,                      /* pages or stacks that are left to the stop */
        NAP = 100 * WEIR_MICROSECOND,
        SLACK = 1 << 20,                /* bytes that may be allocated ahead of the marker */
        MINOR_MOST = 8,                 /* times a full cycle's length, after which is another */
};

static struct {
        uint32_t busy;                  /* atomic: a cycle is under way */
        uint32_t starting;              /* atomic: somebody reads the environment */
        uint32_t ready;                 /* atomic: it was read */
        int      percent;               /* atomic; negative: off */
        uint64_t cycles;                /* atomic: finished */
        uint64_t live;                  /* atomic: bytes marked in the last one */
        bool     foreign;               /* const once ready: malloc is another's */
        bool     stopped;               /* const once ready: cycles are run with the world stopped */
        uint32_t beside;                /* atomic: a cycle beside the program is marking */
        uint32_t asked;                 /* atomic, futex: raised when one is wanted */
        uint32_t near;                  /* atomic: memory is at its limit */
        int64_t  rest_until;            /* atomic: no cycle on account of that before */
        int64_t  ended;                 /* atomic: when the last one did; 0: there was none */
        uint32_t overdue;               /* atomic: it is long ago */
        uint64_t tickets;               /* atomic: forced cycles asked for */
        uint64_t served;                /* atomic: of them, those that are done */
        uint64_t begun;                 /* atomic: bytes allocated when the cycle began */
        uint64_t room;                  /* atomic: bytes to be allocated from goal to goal */
        uint64_t during;                /* atomic: bytes allocated during the last cycle */
        bool     napped;                /* atomic: somebody had to wait in this cycle */
        bool     gen;                   /* const once ready: there are minor collections */
        bool     minor;                 /* atomic; busy: own to write: this cycle is one */
        bool     kept;                  /* busy: marks and cards are those of a whole cycle */
        uint64_t full;                  /* atomic; busy: bytes that the last full one marked */
        uint64_t old;                   /* busy: bytes of objects that are old */
        int64_t  full_ns;               /* busy: how long the last full one took */
        int64_t  minor_ns;              /* busy: the minor ones since, together */
        uint64_t expect;                /* atomic: bytes that a full cycle is thought to mark */
} gc;

uint32_t        weir__gc_wanted;
struct gc_hooks weir__gc_hooks;

/* ---- when ---- */

static void look_for_leaks(void);
static void look_at_clock(int64_t now);

static void pace(void)
{
        store_relaxed(&weir__gc_wanted, 1);
}

/* Before the first allocation of the first program part that uses the collector. */
__attribute__((constructor)) static void begin_early(void)
{
        weir__gc_fork_init();
        weir__mem_hooks.pace = pace;
        weir__sched_hooks.root_ends = look_for_leaks;
        weir__sched_hooks.tick = look_at_clock;
        store_relaxed(&weir__mem_trigger, (uint64_t)HEAP_MIN);
        store_relaxed(&weir__gc_wanted, weir__debug_early("gcstress", 0) > 0);
}

/* Where the next cycle begins: so early that it ends at the goal, but not sooner than after a third
 * of the way, or the program would be followed by one cycle after the other. */
static uint64_t early(uint64_t room)
{
        uint64_t during = load_relaxed(&gc.during), lead = during + during / 2;

        if (gc.stopped || room == UINT64_MAX)
                return room;
        return room - MIN(lead, room - room / 3);
}

static void set_trigger(void)
{
        int      percent = load_relaxed(&gc.percent);
        uint64_t live = load_relaxed(&gc.live), room = UINT64_MAX;

        if (percent >= 0) {
                uint64_t full = gc.gen ? load_relaxed(&gc.full) : live;
                uint64_t goal = full + (uint64_t)((double)full * percent / 100);

                goal = MAX(goal, (uint64_t)HEAP_MIN * (unsigned)percent / 100);
                /* Old objects have taken a part of the room since the last full collection. */
                room = goal - MIN(goal, live);
                room = MAX(room, (goal - full) / 4);
        }
        store_relaxed(&gc.room, room);
        store_relaxed(&weir__mem_trigger, early(room));
        store_relaxed(&weir__mem_gc.next, room == UINT64_MAX ? 0 : live + room);
}

/* How much may be allocated by now, while a cycle runs: in proportion to what is marked of what
 * there is to mark. */
static uint64_t allowance(void)
{
        uint64_t live = MAX(load_relaxed(&gc.expect), (uint64_t)1), done = 0;
        uint64_t begun = load_relaxed(&gc.begun), room = MAX(load_relaxed(&gc.room), begun);

        if (room == UINT64_MAX)
                return room;
        /* Of a minor one nobody knows how much there is to mark, but that it is little. */
        if (load_relaxed(&gc.minor))
                return room + SLACK + load_relaxed(&gc.full) / 16;
        for (uint32_t i = 0; i < load_relaxed(&weir__nmarkers); i++)
                done += load_relaxed(&weir__markers[i].bytes);
        done = MIN(done, live);
        return begun + SLACK + (uint64_t)((double)(room - begun) * (double)done / (double)live);
}

/* The heap is at the limit of memory: collect before the goal, but not more often than an eighth of
 * what is live was allocated, nor for more than half of the time: where more is live than the
 * limit, the program would do nothing else, and get nothing for it. */
static void near_limit(void)
{
        uint64_t least = MAX(load_relaxed(&gc.live) / 8, (uint64_t)1 << 20);

        if (load_relaxed(&gc.percent) == OFF || load_relaxed(&weir__mem_since) < least ||
            weir__os_now() < load_relaxed(&gc.rest_until))
                return;
        store_relaxed(&gc.near, 1);
        store_relaxed(&weir__mem_trigger, least);
        store_relaxed(&weir__gc_wanted, 1);
}

static void run_beside(void *arg);

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
        gc.stopped = WEIR_TSAN || WEIR_ASAN || weir__debug.gcstop || weir__debug.leaks ||
                     weir__debug.gcstress || weir__debug.harden ||
                     weir__debug.sched >= 0 ||
                     weir__os_thread_start_quiet(run_beside, NULL, 256 << 10) < 0;
        if (!gc.stopped)
                weir__mem_threads_more(1);
        gc.gen = weir__debug.gcgen && !gc.stopped && weir__debug.gcwatch && weir__cards_init();
        weir__mem_sticky = gc.gen;
        set_trigger();
        weir__mem_hooks.collect = near_limit;
}

/* ---- the steps ---- */

static void sweep_all(void)
{
        while (weir__mem_sweep_some(64))
                ;
}

/* What a cycle was like, for the trace. */
struct story {
        const char *why;
        uint64_t    before;             /* bytes at its end, garbage included */
        uint64_t    born;               /* of them, allocated while it ran */
        int64_t     begin, running, stopping, marked, end;
        int64_t     first_ns, last_ns;  /* until all stood */
        size_t      finals, shaded, stacks, last_stacks, shared, pages, last_pages, cards;
        uint32_t    rounds;
        int64_t     cpu;                /* of this thread when it began */
        uint64_t    at_start, goal;     /* bytes: in use at its begin, and what it was to end at */
};

static void started(struct story *t)
{
        uint64_t live = load_relaxed(&gc.live), room = load_relaxed(&gc.room);

        t->begin = weir__os_now();
        t->cpu = weir__os_thread_cpu(weir__os_thread_id());
        t->at_start = live + load_relaxed(&weir__mem_since);
        t->goal = room == UINT64_MAX ? 0 : live + room;
}

static void trace(const struct story *t)
{
        struct out    o = { .fd = STDERR_FILENO };
        struct marker all = { 0 };

        for (uint32_t i = 0; i < weir__nmarkers; i++) {
                all.objects += weir__markers[i].objects;
                all.words += weir__markers[i].words;
                all.peak = MAX(all.peak, weir__markers[i].peak);
        }
        weir__out_print(&o,
                        "gc %llu (%s%s): %llu -> %llu KiB, goal %llu KiB; %llu objects, %llu words; ",
                        (unsigned long long)load_relaxed(&gc.cycles) + 1, t->why,
                        load_relaxed(&gc.minor) ? ", minor" : "",
                        (unsigned long long)t->before / 1024,
                        (unsigned long long)load_relaxed(&gc.live) / 1024,
                        (unsigned long long)weir__mem_gc.next / 1024,
                        (unsigned long long)all.objects, (unsigned long long)all.words);
        if (t->running)
                weir__out_print(&o,
                                "stopped %lld us (%lld to stop), beside %lld us, stopped %lld us "
                                "(%lld to stop, %lld mark, %lld rest); "
                                "%llu KiB born%s, %zu shaded, %zu pages + %zu, %zu stacks + %zu + "
                                "%zu, %u rounds; ",
                                (long long)(t->running - t->begin) / 1000,
                                (long long)t->first_ns / 1000,
                                (long long)(t->stopping - t->running) / 1000,
                                (long long)(t->end - t->stopping) / 1000,
                                (long long)t->last_ns / 1000,
                                (long long)(t->marked - t->stopping - t->last_ns) / 1000,
                                (long long)(t->end - t->marked) / 1000,
                                (unsigned long long)t->born / 1024, gc.napped ? " (slowed)" : "",
                                t->shaded, t->pages, t->last_pages, t->stacks, t->last_stacks,
                                t->shared, t->rounds);
        else
                weir__out_print(&o, "stopped %lld us: %lld to stop, %lld mark, %lld rest; ",
                                (long long)(t->end - t->begin) / 1000,
                                (long long)t->last_ns / 1000,
                                (long long)(t->marked - t->begin - t->last_ns) / 1000,
                                (long long)(t->end - t->marked) / 1000);
        if (load_relaxed(&gc.minor))
                weir__out_print(&o, "%zu cards; ", t->cards);
        weir__out_print(&o, "%u markers, %u spans queued at most; %zu finalizers\n", weir__nmarkers,
                        all.peak, t->finals);
        weir__out_flush(&o);
}

static const char forced[] = "forced";

/* The end of a cycle: all roots are marked. The world is stopped. */
static void finish(struct story *t)
{
        uint64_t live = 0;

        weir__final_mark(&weir__markers[0]);
        weir__markers_drain();
        /* What is added now points to what is marked already: one marker for the whole heap. */
        (void)weir__mark_begin(weir__markers, 1);
        t->finals = weir__final_queue(&weir__markers[0]);
        weir__mark_drain(&weir__markers[0]);
        t->marked = weir__os_now();
        if (unlikely(weir__debug.gccheck))
                weir__mark_check();
        for (uint32_t i = 0; i < weir__nmarkers; i++)
                live += weir__markers[i].bytes;
        t->before = load_relaxed(&gc.live) + load_relaxed(&weir__mem_since);
        if (load_relaxed(&gc.minor))
                live += gc.old;
        else
                store_relaxed(&gc.full, live);
        gc.old = live;
        store_relaxed(&gc.live, live);
        store_relaxed(&weir__gc_wanted, 0);
        weir__mem_sweep_begin();
        set_trigger();
        store_relaxed(&weir__mem_gc.live, live);
}

static void note(const struct story *t)
{
        weir_gc_cycle c = {
                .number = load_relaxed(&gc.cycles) + 1, .why = t->why, .began = t->begin,
                .ended = t->end, .stop_first = t->running ? t->running - t->begin : 0,
                .stop_last = t->end - (t->running ? t->stopping : t->begin), .before = t->before,
                .live = load_relaxed(&gc.live), .born = t->born, .at_start = t->at_start,
                .goal = t->goal, .next_goal = weir__mem_gc.next, .slowed = gc.napped,
                .markers = weir__nmarkers, .calls = t->finals, .minor = load_relaxed(&gc.minor),
        };

        for (uint32_t i = 0; i < weir__nmarkers; i++) {
                c.objects += weir__markers[i].objects;
                c.queue_peak = MAX(c.queue_peak, weir__markers[i].peak);
        }
        /* Of helpers it is not known how long they worked: at most all of the time. */
        c.cpu_ns = (uint64_t)(weir__os_thread_cpu(weir__os_thread_id()) - t->cpu +
                              (t->end - t->begin) * (weir__nmarkers - 1));
        weir__history_add(&c);
        fetch_add_relaxed(&weir__mem_gc.cpu, c.cpu_ns);
}

static void told(const struct story *t)
{
        if (load_relaxed(&gc.minor)) {
                gc.minor_ns += t->end - t->begin;
        } else {
                gc.full_ns = t->end - t->begin;
                gc.minor_ns = 0;
        }
        note(t);
        if (t->why == forced)
                fetch_add_relaxed(&weir__mem_gc.forced, 1);
        weir__count(gc_cycles, 1);
        if (load_relaxed(&gc.minor))
                weir__count(gc_minor, 1);
        fetch_add_relaxed(&weir__mem_gc.cycles, 1);
        if (unlikely(weir__debug.gctrace))
                trace(t);
        fetch_add_relaxed(&gc.cycles, 1);
        store_relaxed(&gc.ended, t->end);
        sweep_all();
        store_relaxed(&gc.rest_until, 2 * weir__os_now() - t->begin);
        weir__final_run(t->finals);
        if (weir__gc_hooks.ended)
                weir__gc_hooks.ended();
}

static void paused(int64_t ns)
{
        weir__mem_gc_paused(ns);
        weir__count(gc_stopped, ns);
}

static void begun(void)
{
        if (weir__gc_hooks.begin)
                weir__gc_hooks.begin();
}

/* busy is the caller's. leaks: look for goroutines that are stuck, and blocks of malloc. */
static void collect_stopped(const char *why, bool leaks)
{
        struct story t = { .why = why };

        sweep_all();                            /* what the last cycle left */
        store_relaxed(&gc.minor, false);
        if (gc.gen)
                weir__marks_clear();
        started(&t);
        weir__roots_find(weir__world_stop);
        t.last_ns = weir__world_stats.stop_ns;
        begun();
        if (gc.gen) {
                weir__cards_swap();
                weir__cards_clear();
        }
        weir__markers_gather(weir__sched_procs());
        if (unlikely(leaks))
                weir__world_quiet();
        if (unlikely(leaks || weir__debug.leaks))
                weir__leak_roots(&weir__markers[0], weir__markers_drain);
        else
                weir__roots_mark(&weir__markers[0]);
        if (unlikely(leaks))
                weir__leak_blocks();
        finish(&t);
        weir__world_start();
        t.end = weir__os_now();
        paused(t.end - t.begin);
        told(&t);
        if (unlikely(weir__debug.leaks))
                weir__leak_tell();
}

/* ---- beside the program ---- */

/* Who allocates all the time is in the runtime all the time: it is told to look. */
static void stop(void)
{
        store_relaxed(&weir__gc_wanted, 1);
        weir__world_stop();
}

/* What was stored, written and run on while the rest was marked, until that is little. */
static void rounds(struct story *t)
{
        for (t->rounds = 0; t->rounds < ROUNDS; t->rounds++) {
                size_t shaded = weir__mark_shaded(&weir__markers[0]);
                size_t stacks = weir__roots_mark_touched(&weir__markers[0], false);
                size_t pages = weir__watch_round(&weir__markers[0]);

                weir__markers_drain();
                t->shaded += shaded;
                t->stacks += stacks;
                t->pages += pages;
                if (pages < FEW && stacks < FEW)
                        break;
        }
}

/* Whose stacks are shared is known when all is marked that can be reached. */
static void mark_shared(struct story *t)
{
        size_t n;

        do {
                weir__markers_drain();
                n = weir__roots_mark_shared(&weir__markers[0]);
                t->shared += n;
        } while (n);
}

static const char by_goal[] = "goal", periodic[] = "periodic";

/* Whether old objects have taken half of the way to the goal since the last full collection, or
 * minor ones have taken so much longer than that one that another does not count: what has died old
 * may have finalizers, for more than memory. */
static bool is_full_due(void)
{
        int      percent = MAX(load_relaxed(&gc.percent), 0);
        uint64_t full = MAX(load_relaxed(&gc.full), (uint64_t)HEAP_MIN / 2);

        return gc.old >= full + full * (unsigned)percent / 200 ||
               gc.minor_ns >= MINOR_MOST * gc.full_ns;
}

/* What kind of cycle this is; of a full one the marks of the last one go. All is swept. */
static void choose(const char *why)
{
        bool minor = gc.gen && gc.kept && weir__watch_is_whole();

        if (minor && weir__debug.gcgen == 2)
                minor = load_relaxed(&gc.cycles) % 8 != 0;
        else if (minor)
                minor = why == by_goal && !is_full_due();
        store_relaxed(&gc.minor, minor);
        if (gc.gen && !minor)
                weir__marks_clear();
        store_relaxed(&gc.expect, load_relaxed(&gc.live));
        gc.kept = gc.gen;
}

/* busy is the caller's, which is the collector's thread. */
static void collect_beside(const char *why)
{
        struct story t = { .why = why };

        sweep_all();
        choose(why);
        started(&t);
        weir__markers_gather(MAX(weir__sched_procs() / 4, 1u));
        if (gc.gen)
                weir__watch_before();
        weir__roots_find(stop);
        t.first_ns = weir__world_stats.stop_ns;
        begun();
        weir__mem_mark_begin();
        if (gc.gen)
                weir__cards_swap();
        weir__scan_begin(!load_relaxed(&gc.minor));
        store_relaxed(&weir__gc_barrier, (uint32_t)BARRIER_MARK);
        weir__roots_mark_threads(&weir__markers[0]);
        store_relaxed(&gc.napped, false);
        store_relaxed(&gc.begun, load_relaxed(&weir__mem_since));
        store_relaxed(&weir__gc_wanted, 0);
        store_relaxed(&weir__mem_trigger, allowance());
        store_relaxed(&gc.beside, 1);
        weir__world_start();
        t.running = weir__os_now();
        paused(t.running - t.begin);

        if (load_relaxed(&gc.minor))
                t.cards = weir__mark_cards(&weir__markers[0]);
        else if (gc.gen)
                weir__cards_clear();
        weir__roots_mark_beside(&weir__markers[0]);
        weir__watch_begin(&weir__markers[0], load_relaxed(&gc.minor));
        weir__markers_drain();
        rounds(&t);
        weir__special_look();

        t.stopping = weir__os_now();
        weir__roots_find(stop);
        t.last_ns = weir__world_stats.stop_ns;
        store_relaxed(&gc.beside, 0);
        store_relaxed(&weir__gc_barrier, (uint32_t)(gc.gen ? BARRIER_CARDS : BARRIER_OFF));
        weir__roots_mark_threads(&weir__markers[0]);
        t.last_stacks = weir__roots_mark_touched(&weir__markers[0], true);
        weir__roots_mark_last(&weir__markers[0]);
        t.shaded += weir__mark_shaded_rest(&weir__markers[0]);
        t.last_pages = weir__watch_end(&weir__markers[0]);
        mark_shared(&t);
        t.born = load_relaxed(&weir__mem_since) - load_relaxed(&gc.begun);
        store_relaxed(&gc.during, t.born);
        finish(&t);
        weir__scan_over();
        weir__world_start();
        t.end = weir__os_now();
        paused(t.end - t.stopping);
        told(&t);
}

static void run_beside(void *arg)
{
        uint32_t seen = 0;

        (void)arg;
        weir__os_thread_name("weir-gc");
        for (;;) {
                uint32_t asked = load_acquire(&gc.asked);
                uint64_t tickets = load_seq(&gc.tickets);

                if (asked == seen && tickets == load_relaxed(&gc.served)) {
                        weir__os_futex_wait(&gc.asked, asked, -1);
                        continue;
                }
                seen = asked;
                while (exchange_seq(&gc.busy, 1))
                        weir__os_yield();
                if (tickets != load_relaxed(&gc.served))
                        collect_beside(forced);
                else if (exchange_seq(&gc.near, 0) &&
                         weir__os_now() >= load_relaxed(&gc.rest_until))
                        collect_beside("limit");
                else if (exchange_seq(&gc.overdue, 0))
                        collect_beside(periodic);
                else if (load_relaxed(&weir__mem_since) >= early(load_relaxed(&gc.room)))
                        collect_beside(by_goal);
                store_release(&gc.served, tickets);
                store_release(&gc.busy, 0);
        }
}

static void ask(void)
{
        fetch_add_seq(&gc.asked, 1);
        weir__os_futex_wake(&gc.asked, 1);
}

/* The first period begins with the first allocation that is seen. */
static void look_at_clock(int64_t now)
{
        int64_t last = load_relaxed(&gc.ended);

        if (!weir__debug.gcperiod || !load_relaxed(&weir__mem_since))
                return;
        if (!last) {
                store_relaxed(&gc.ended, now);
                store_relaxed(&weir__gc_wanted, 1);     /* who allocates next gets it ready */
                return;
        }
        if (!load_acquire(&gc.ready) || load_relaxed(&gc.percent) == OFF)
                return;
        if (now - last < weir__debug.gcperiod * WEIR_MILLISECOND)
                return;
        store_relaxed(&gc.ended, now);
        store_relaxed(&gc.overdue, 1u);
        if (gc.stopped) {
                store_relaxed(&weir__mem_trigger, (uint64_t)0);
                store_relaxed(&weir__gc_wanted, 1);
        } else {
                ask();
        }
}

/* ---- from goroutines ---- */

static void get_ready(void)
{
        while (unlikely(!load_acquire(&gc.ready))) {
                if (exchange_seq(&gc.starting, 1)) {
                        weir__os_yield();       /* nobody stops the world before it is ready */
                        continue;
                }
                read_environment();
                store_release(&gc.ready, 1);
        }
}

/* Who read the environment may not be there. A runtime that starts only in the child does it anew,
 * with a thread of its own; where there was one, nothing is to be started. */
void weir__cycle_forked(void)
{
        bool was_started = weir__sched_procs() != 0;

        store_relaxed(&gc.starting, was_started);
        store_release(&gc.ready, was_started);
        store_relaxed(&gc.beside, 0);
        weir__markers_forked();
}

/* Under gcstress each request comes here; every so many are due. */
static bool is_stressed(void)
{
        static uint32_t requests;               /* atomic */

        return unlikely(weir__debug.gcstress) && load_relaxed(&gc.percent) != OFF &&
               fetch_add_relaxed(&requests, 1) % (uint32_t)weir__debug.gcstress == 0;
}

static bool is_due(void)
{
        return load_relaxed(&weir__mem_since) >= load_relaxed(&weir__mem_trigger);
}

void weir__gc_poll(void)
{
        weir__world_poll();                     /* it may be that which is wanted */
        get_ready();
        if (load_relaxed(&gc.beside))
                return;                         /* who may wait does */
        if (!gc.stopped) {
                store_relaxed(&weir__gc_wanted, 0);
                if (is_due()) {
                        store_relaxed(&weir__mem_trigger, load_relaxed(&gc.room));
                        ask();
                }
                return;
        }
        if (exchange_seq(&gc.busy, 1))
                return;
        if (is_due() || is_stressed())
                collect_stopped(exchange_seq(&gc.near, 0)      ? "limit"
                                : exchange_seq(&gc.overdue, 0) ? periodic
                                                               : by_goal, false);
        store_relaxed(&weir__gc_wanted, weir__debug.gcstress > 0);
        store_release(&gc.busy, 0);
}

/* The marker is behind: the caller's time is better spent by it. */
static void wait_for_marker(void)
{
        while (load_relaxed(&gc.beside)) {
                uint64_t limit = allowance();

                if (load_relaxed(&weir__mem_since) < limit) {
                        store_relaxed(&weir__mem_trigger, limit);
                        store_relaxed(&weir__gc_wanted, 0);
                        return;
                }
                store_relaxed(&gc.napped, true);
                weir_sleep(NAP);
        }
}

void weir__gc_poll_and_wait(void)
{
        weir__gc_poll();
        if (load_relaxed(&gc.beside) && !weir__sched_g()->no_preempt)
                wait_for_marker();
}

void weir_gc_run(void)
{
        uint64_t mine;

        (void)weir__sched_need_g("weir_gc_run");
        get_ready();
        if (gc.foreign && !weir__debug.gcforeign)
                return;
        if (gc.stopped) {
                while (exchange_seq(&gc.busy, 1))
                        weir_sleep(20 * WEIR_MICROSECOND);
                collect_stopped(forced, false);
                store_release(&gc.busy, 0);
                return;
        }
        mine = fetch_add_seq(&gc.tickets, 1) + 1;
        ask();
        while (load_acquire(&gc.served) < mine)
                weir_sleep(20 * WEIR_MICROSECOND);
}

size_t weir_gc_leaks(FILE *out)
{
        size_t n;

        (void)weir__sched_need_g("weir_gc_leaks");
        get_ready();
        if (gc.foreign && !weir__debug.gcforeign)
                return 0;
        while (exchange_seq(&gc.busy, 1))
                weir_sleep(20 * WEIR_MICROSECOND);
        collect_stopped("leaks", true);
        n = weir__leak_print(out);
        store_release(&gc.busy, 0);
        return n;
}

static void look_for_leaks(void)
{
        (void)weir_gc_leaks(stderr);
}

int weir_gc_percent(int percent)
{
        int before;

        get_ready();
        before = load_relaxed(&gc.percent);
        if (!gc.foreign || weir__debug.gcforeign)
                store_relaxed(&gc.percent, percent < 0 ? OFF : percent);
        if (!load_relaxed(&gc.beside))
                set_trigger();                  /* else the cycle does at its end */
        return before;
}
