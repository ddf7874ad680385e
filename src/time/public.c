/* weir_timer: functions that run after a time, or again and again.
 *
 * What    A timer's function runs on a goroutine of its own, started when it is due, so it may
 *         park.
 * States  idle 0, running 1 (a goroutine runs the function; a tick due now is dropped), stopped 2
 *         (no tick will start it). The heap's lock guards the first step of each tick, the word is
 *         atomic because the goroutine leaves `running` without that lock.
 * Memory  A timer is a collected object. While it is armed the heap of its processor points to it,
 *         a block of malloc's, which is a root; while its function runs, the goroutine that does.
 * Cost    Arming and stopping as in timer.c, firing one spawn.
 * Not     Running the function on the scheduler's stack: it is the user's and may do anything. */
#include "mem/mem.h"
#include "time/time.h"
#include <weir/time.h>

enum { IDLE, RUNNING, STOPPED };

struct weir_timer {
        struct timer timer;
        void       (*fn)(void *arg);
        void        *arg;
        uint64_t     trace[3];          /* const while armed: of who started it */
        uint32_t     state;             /* atomic */
};

static void run_tick(void *arg)
{
        weir_timer *t = *(weir_timer **)arg;
        uint32_t    running = RUNNING;
        bool        last = !t->timer.period;

        weir__sched_trace_put(t->trace);
        t->fn(t->arg);
        if (!last)
                (void)cas_seq(&t->state, &running, IDLE);       /* else it was stopped */
}

static void tick(struct timer *base)
{
        weir_timer *t = CONTAINER_OF(base, weir_timer, timer);
        uint32_t    idle = IDLE;

        if (!cas_seq(&t->state, &idle, RUNNING))
                return;
        weir__sched_spawn_inside(run_tick, &t, sizeof t);
}

weir_timer *weir_timer_start(weir_duration after, weir_duration period, void (*fn)(void *arg),
                             void *arg)
{
        weir_timer *t;

        weir__sched_need_g("weir_timer_start");
        if (!fn)
                weir__panic("weir_timer_start: the function is NULL");
        t = weir__mem_alloc(MEM_PLAIN, sizeof *t);
        t->fn = fn;
        t->arg = arg;
        weir__sched_trace_take(t->trace);
        weir__timer_start(&t->timer, weir__time_after(after), MAX(period, INT64_C(0)), tick);
        return t;
}

bool weir_timer_stop(weir_timer *t)
{
        weir__sched_need_g("weir_timer_stop");
        return t && weir__timer_stop(&t->timer) && exchange_seq(&t->state, STOPPED) == IDLE;
}
