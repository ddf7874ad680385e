/* Functions that run when a context ends, and timers that end with one.
 *
 * What    Both run on goroutines of their own. The first waits in the list of its context; the
 *         second also has a timer, and is in the list in order to be stopped.
 * States  WAITING  nobody runs it; in the list of its context until that ends
 *         CALLED   a goroutine was started for it and has not begun
 *         RUNNING  fn runs; a tick that comes due meanwhile is dropped
 *         OVER     it will not run any more
 *         WAITING -> CALLED      the tick, or who ends the context
 *         CALLED -> RUNNING      that goroutine, right before fn
 *         RUNNING -> WAITING     the same after fn, when there is a period
 *         any -> OVER            who stops it; the end of the context stops a timer
 *         Each by an exchange that one wins: of a timer whose context is cancelled, fn has begun
 *         before the cancel returns, or never will.
 * Cost    Firing is a spawn. A period that is due costs one more exchange than weir_timer.
 * Not     Asking the context at each tick alone: a timer of an hour would hold its context and its
 *         argument for that hour. */
#include "ctx/ctx.h"
#include "gc/gc.h"
#include <weir/ctx.h>

enum { WAITING, CALLED, RUNNING, OVER };

WEIR_TYPE(weir_after, next, prev, ctx, arg);

/* Whatever it was, it is OVER now; answers whether fn has not begun. */
static bool end(weir_after *a)
{
        uint32_t before = exchange_seq(&a->state, OVER);

        return before == WAITING || before == CALLED;
}

static bool enter(weir_after *a)
{
        uint32_t called = CALLED;

        return cas_seq(&a->state, &called, RUNNING);
}

static void run(void *arg)
{
        weir_after *a = *(weir_after **)arg;
        uint32_t    running = RUNNING;

        weir__sched_trace_put(a->trace);
        /* A timer may be due while its context ends: the end comes first. */
        if ((a->timed && a->ctx && weir__ctx_look(a->ctx)) || !enter(a))
                return;
        a->fn(a->arg);
        if (a->timed && a->timer.period && cas_seq(&a->state, &running, WAITING))
                return;
        weir__ctx_unlist(a);
}

static bool call(weir_after *a)
{
        uint32_t waiting = WAITING;

        return cas_seq(&a->state, &waiting, CALLED);
}

/* On the scheduler's stack, with the heap of timers locked. */
static void tick(struct timer *t)
{
        weir_after *a = CONTAINER_OF(t, weir_after, timer);

        if (call(a))
                weir__sched_spawn_inside(run, &a, sizeof a);
}

static void context_ended(weir_after *a)
{
        if (a->timed) {
                (void)end(a);
                weir__timer_stop(&a->timer);
        } else if (call(a)) {
                weir__sched_spawn(NULL, run, &a, sizeof a, 0, NULL, NULL, NULL);
        }
}

static weir_after *make(weir_ctx *ctx, void (*fn)(void *arg), void *arg)
{
        weir_after *a = weir_new(weir_after);

        weir_set(a->ctx, ctx);
        weir_set(a->arg, arg);
        a->fn = fn;
        a->ended = context_ended;
        weir__sched_trace_take(a->trace);
        return a;
}

weir_after *weir_ctx_after(weir_ctx *ctx, void (*fn)(void *arg), void *arg)
{
        weir_after *a;

        weir__sched_need_g("weir_ctx_after");
        if (!fn)
                weir__panic("weir_ctx_after: the function is NULL");
        ctx = weir__ctx_check(ctx, "weir_ctx_after");
        a = make(ctx, fn, arg);
        if (ctx && !weir__ctx_list(ctx, a))
                context_ended(a);
        return a;
}

weir_after *weir_ctx_timer_start(weir_ctx *ctx, weir_duration after, weir_duration period,
                                 void (*fn)(void *arg), void *arg)
{
        weir_after *a;

        weir__sched_need_g("weir_ctx_timer_start");
        if (!fn)
                weir__panic("weir_ctx_timer_start: the function is NULL");
        ctx = weir__ctx_check(ctx, "weir_ctx_timer_start");
        a = make(ctx, fn, arg);
        a->timed = true;
        if (ctx && !weir__ctx_list(ctx, a)) {
                store_relaxed(&a->state, OVER);
                return a;
        }
        weir__timer_start(&a->timer, weir__time_after(after), MAX(period, INT64_C(0)), tick);
        /* The end may have come before there was a timer to stop: pairs with the exchange of end(),
         * after which the timer is looked at. */
        if (fetch_or_seq(&a->state, 0u) == OVER)
                weir__timer_stop(&a->timer);
        return a;
}

bool weir_after_stop(weir_after *a)
{
        bool first;

        weir__sched_need_g("weir_after_stop");
        if (!a)
                return false;
        first = end(a);
        if (a->timed)
                weir__timer_stop(&a->timer);
        weir__ctx_unlist(a);
        return first;
}
