/* Goroutines in line: first come, first served, with deadlines. What RWMutex, Cond and semaphore
 * wait by.
 *
 * What    A circular list of records on the stacks of those who wait, inside an object that is
 *         locked by a word (word_take).
 * Order   The goroutine is PARKED before the object's lock is dropped, so who takes its record out
 *         may ready it at once. The timer of a deadline takes the record out itself; its stop is
 *         final (time/timer.c), so the record outlives its last reader. */
#include "sync/sync.h"
#include "ctx/ctx.h"
#include "time/time.h"

struct alarm {
        struct timer    timer;
        struct line    *line;
        uint32_t       *lock;
        struct waiting *w;
};

static void take_out(struct line *l, struct waiting *w)
{
        w->in_line = false;
        if (w->next == w) {
                l->last = NULL;
                return;
        }
        w->prev->next = w->next;
        w->next->prev = w->prev;
        if (l->last == w)
                l->last = w->prev;
}

static void push(struct line *l, struct waiting *w)
{
        w->in_line = true;
        w->woken = false;
        if (l->last) {
                w->prev = l->last;
                w->next = l->last->next;
                w->next->prev = w;
                w->prev->next = w;
        } else {
                w->next = w->prev = w;
        }
        l->last = w;
}

struct waiting *weir__line_take(struct line *l)
{
        struct waiting *w = weir__line_first(l);

        if (w) {
                take_out(l, w);
                w->woken = true;
        }
        return w;
}

/* On the scheduler's stack. */
static void on_deadline(struct timer *t)
{
        struct alarm *a = CONTAINER_OF(t, struct alarm, timer);
        bool          there;

        word_take(a->lock);
        there = a->w->in_line;
        if (there)
                take_out(a->line, a->w);
        word_drop(a->lock);
        if (there)
                weir__sched_ready(a->w->g);
}

bool weir__line_wait(struct line *l, uint32_t *lock, struct waiting *w, enum why why,
                     const void *on, int64_t deadline)
{
        struct alarm a = { .line = l, .lock = lock, .w = w };

        push(l, w);
        weir__sched_park_begin(w->g, why, on);
        weir__sched_own(w->g, w, sizeof *w);
        word_drop(lock);
        weir__count(sync_parks, 1);
        if (deadline != NO_DEADLINE) {
                w->g->wait_timed = true;
                weir__timer_start(&a.timer, deadline, 0, on_deadline);
        }
        weir__sched_park(w->g);
        if (deadline != NO_DEADLINE) {
                weir__timer_stop(&a.timer);
                w->g->wait_timed = false;
        }
        return w->woken;
}

/* ---- or until a context ends ---- */

struct leash {
        struct ctx_watch watch;
        struct line     *line;
        uint32_t        *lock;
        struct waiting  *w;
};

/* With a lock of the context held. */
static struct g *on_end(struct ctx_watch *watch)
{
        struct leash *l = CONTAINER_OF(watch, struct leash, watch);
        bool          there;

        word_take(l->lock);
        there = l->w->in_line;
        if (there)
                take_out(l->line, l->w);
        word_drop(l->lock);
        return there ? l->w->g : NULL;
}

bool weir__line_wait_ctx(struct line *l, uint32_t *lock, struct waiting *w, enum why why,
                         const void *on, weir_ctx *ctx)
{
        struct leash e = { .watch.fn = on_end, .line = l, .lock = lock, .w = w };

        push(l, w);
        weir__sched_park_begin(w->g, why, on);
        weir__sched_own(w->g, w, sizeof *w);
        word_drop(lock);
        weir__count(sync_parks, 1);
        if (!weir__ctx_watch(ctx, &e.watch) && on_end(&e.watch))
                weir__sched_ready(w->g);
        w->g->wait_timed = true;                /* the context may wake it as well */
        weir__sched_park(w->g);
        w->g->wait_timed = false;
        weir__ctx_unwatch(&e.watch);
        return w->woken;
}
