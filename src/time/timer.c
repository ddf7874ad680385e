/* Timers: a heap per processor.
 *
 * What    A timer goes into the heap of the processor that arms it, and stays there until it is due
 *         or stopped. The processor looks at its heap between goroutines, idle ones look at all.
 * Shape   4-ary heap in an array; each entry holds the time beside the pointer, so that sifting
 *         reads four neighbours of one line and no timer. A timer knows its index, so stopping it
 *         removes it at once: what it refers to is not kept alive until it would have fired.
 *         Sleeps, which nobody stops, do without: moving them in the heap then touches none of
 *         their stacks, which with 100 000 of them were a cache miss at each step.
 * States  stopped  owned by its embedder
 *         armed    in the heap, owned by its lock
 * Locks   timers: one per heap. Callbacks run under it; that is what makes a stop final.
 * Order   p->timer_when is the first entry's time, stored under the lock after each change, read
 *         without it by whoever asks whether to look. An arm that lowers it tells the scheduler
 *         after the store (find.c has the other half of the pair).
 * Memory  The array is weir's malloc's whatever malloc the program has: so the collector sees what
 *         armed timers are.
 * Clock   The system's, or under WEIR_DEBUG=sched one that jumps (sched/order.c).
 * Cost    About 40 ns to arm and 30 ns to stop among some thousands.
 * Not     A timer wheel: its granularity is either too coarse for a microsecond or its cascades too
 *         dear for a minute. One heap for all: its lock is then every sleep's. Lazy deletion, as Go
 *         had: a server's stopped deadlines fill the heap. */
#include "time/time.h"
#include "base/lock.h"
#include "mem/mem.h"
#include "os/os.h"
#include <weir/time.h>

struct entry {
        int64_t   when;
        uintptr_t ref;          /* struct timer *, plus UNTRACKED */
};

enum { UNTRACKED = 1 };         /* never stopped: its index is not kept */

struct timers {
        struct lock   lock;
        struct p     *p;                /* const: whose heap this is */
        uint32_t      count, room;      /* lock: own */
        struct entry *heap;             /* lock: own */
        struct timers *next;            /* const */
};

static struct timers *all;              /* atomic: every heap; grows at start alone */

enum { ARITY = 4, BATCH = 64, ROOM_FIRST = 64 };

static inline struct timer *timer_of(struct entry e)
{
        return (struct timer *)(e.ref & ~(uintptr_t)UNTRACKED);
}

static inline void place(struct timers *h, uint32_t i, struct entry e)
{
        h->heap[i] = e;
        if (!(e.ref & UNTRACKED))
                timer_of(e)->index = i;
}

static void sift_up(struct timers *h, uint32_t i, struct entry e)
{
        while (i) {
                uint32_t up = (i - 1) / ARITY;

                if (h->heap[up].when <= e.when)
                        break;
                place(h, i, h->heap[up]);
                i = up;
        }
        place(h, i, e);
}

static void sift_down(struct timers *h, uint32_t i, struct entry e)
{
        for (;;) {
                uint32_t first = i * ARITY + 1, last = MIN(first + ARITY, h->count), least = first;

                if (first >= h->count)
                        break;
                for (uint32_t k = first + 1; k < last; k++)
                        if (h->heap[k].when < h->heap[least].when)
                                least = k;
                if (h->heap[least].when >= e.when)
                        break;
                place(h, i, h->heap[least]);
                i = least;
        }
        place(h, i, e);
}

static void check_heap(const struct timers *h)
{
#if WEIR_CHECK >= 3
        for (uint32_t i = 0; i < h->count; i++) {
                check((h->heap[i].ref & UNTRACKED) || timer_of(h->heap[i])->index == i);
                check(timer_of(h->heap[i])->armed);
                check(!i || h->heap[(i - 1) / ARITY].when <= h->heap[i].when);
        }
#else
        (void)h;
#endif
}

static void publish_first(struct timers *h)
{
        check_heap(h);
        store_seq(&h->p->timer_when, h->count ? h->heap[0].when : INT64_MAX);
}

static slowpath void grow(struct timers *h)
{
        uint32_t      room = h->room ? h->room * 2 : ROOM_FIRST;
        struct entry *heap = weir__malloc(room * sizeof *heap);

        if (!heap)
                weir__throw("out of memory for %u timers", room);
        if (h->heap) {
                memcpy(heap, h->heap, h->count * sizeof *heap);
                memset(h->heap, 0, h->room * sizeof *heap);     /* for who gets it next */
        }
        memset(heap + h->count, 0, (room - h->count) * sizeof *heap);
        weir__free(h->heap);
        h->heap = heap;
        h->room = room;
}

static void insert(struct timers *h, struct timer *t, uintptr_t track)
{
        if (unlikely(h->count == h->room))
                grow(h);
        t->armed = true;
        store_release(&t->heap, h);
        store_relaxed(&h->count, h->count + 1);
        sift_up(h, h->count - 1, (struct entry){ t->when, (uintptr_t)t | track });
}

static void remove_at(struct timers *h, uint32_t i)
{
        struct entry last = h->heap[h->count - 1];

        store_relaxed(&h->count, h->count - 1);
        timer_of(h->heap[i])->armed = false;
        h->heap[h->count] = (struct entry){ 0 };        /* it would keep its timer */
        if (i == h->count)
                return;
        if (i && h->heap[(i - 1) / ARITY].when > last.when)
                sift_up(h, i, last);
        else
                sift_down(h, i, last);
}

static void start(struct timer *t, int64_t when, int64_t period, void (*fn)(struct timer *t),
                  uintptr_t track)
{
        struct timers *h = self()->p->timers;
        bool           first;

        t->when = when;
        t->period = period;
        t->fn = fn;
        lock_take(&h->lock);
        first = !h->count || when < h->heap[0].when;
        insert(h, t, track);
        if (first)
                publish_first(h);
        lock_drop(&h->lock);
        if (first)
                weir__sched_timer_earlier(when);
}

void weir__timer_start(struct timer *t, int64_t when, int64_t period, void (*fn)(struct timer *t))
{
        start(t, when, period, fn, 0);
}

void weir__timer_start_for_good(struct timer *t, int64_t when, void (*fn)(struct timer *t))
{
        start(t, when, 0, fn, UNTRACKED);
}

bool weir__timer_stop(struct timer *t)
{
        struct timers *h = load_acquire(&t->heap);
        bool           was;

        if (!h)
                return false;
        lock_take(&h->lock);
        was = t->armed;
        if (was) {
                remove_at(h, t->index);
                publish_first(h);
        }
        lock_drop(&h->lock);
        return was;
}

/* The first tick after now on the grid of the timer; those missed meanwhile are dropped. A tick
 * beyond the clock becomes its end. */
static int64_t next_tick(const struct timer *t, int64_t now)
{
        int64_t when;

        if (__builtin_mul_overflow((now - t->when) / t->period + 1, t->period, &when) ||
            __builtin_add_overflow(when, t->when, &when))
                return INT64_MAX - 1;
        return when;
}

static bool fire_first(struct timers *h, int64_t now)
{
        struct timer *t;

        if (!h->count || h->heap[0].when > now)
                return false;
        t = timer_of(h->heap[0]);
        if (t->period > 0) {
                t->when = next_tick(t, now);
                sift_down(h, 0, (struct entry){ t->when, h->heap[0].ref });
        } else {
                remove_at(h, 0);
        }
        t->fn(t);
        return true;
}

static unsigned run_due(struct p *p, int64_t now)
{
        struct timers *h = p->timers;
        unsigned       n = 0, k;

        do {
                lock_take(&h->lock);
                for (k = 0; k < BATCH && fire_first(h, now); k++)
                        ;
                publish_first(h);
                lock_drop(&h->lock);
                n += k;
        } while (k == BATCH);
        weir__count(timers_fired, n);
        return n;
}

static void init_heap(struct p *p)
{
        struct timers *h = weir__memalign(CACHE_LINE, ALIGN_UP(sizeof *h, (size_t)CACHE_LINE));

        if (!h)
                weir__throw("out of memory for a timer heap");
        memset(h, 0, sizeof *h);
        lock_init(&h->lock, timers);
        h->p = p;
        h->next = all;
        p->timers = h;
        store_release(&all, h);                 /* pairs with the acquire in gauge_timers */
}

static uint64_t gauge_timers(void)
{
        uint64_t n = 0;

        for (const struct timers *h = load_acquire(&all); h; h = h->next)
                n += load_relaxed(&h->count);
        return n;
}

/* Before main, and only in programs that use timers: the linker leaves this file out otherwise. */
static __attribute__((constructor)) void fill_hooks(void)
{
        weir__sched_hooks.timers_run = run_due;
        weir__sched_hooks.timers_init = init_heap;
        weir__gauge_set(GAUGE_timers, gauge_timers);
}

/* ---- the clock and sleep ---- */

weir_time weir_now(void)
{
        return weir__sched_now();
}

struct sleeper {
        struct timer timer;
        struct g    *g;
};

static void wake(struct timer *t)
{
        weir__sched_ready(CONTAINER_OF(t, struct sleeper, timer)->g);
}

/* A moment d from now, for ever when the sum is beyond what the clock can show. */
int64_t weir__time_after(int64_t d)
{
        int64_t now = weir__sched_now(), when;

        return __builtin_add_overflow(now, MAX(d, INT64_C(0)), &when) ? INT64_MAX - 1 : when;
}

void weir_sleep(weir_duration d)
{
        struct g      *g = weir__sched_need_g("weir_sleep");
        struct sleeper s = { .g = g };

        if (d <= 0)
                return;
        weir__sched_park_begin(g, WHY_SLEEP, NULL);
        weir__timer_start_for_good(&s.timer, weir__time_after(d), wake);
        weir__sched_park(g);
        keep_frame();
}
