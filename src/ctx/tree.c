/* The tree of contexts: how an end comes to those who wait for it.
 *
 * What    A context knows its parent. Whether it has ended is found by looking upward; a parent
 *         knows only those children that somebody waits for. So one that is made, asked and
 *         cancelled takes no lock of anybody else, and one that is forgotten is garbage like any
 *         other object.
 * Shape   parent pointers always; for those with waiters (active) also the other way:
 *
 *            root --children--> a <--> b       a.parent = b.parent = root
 *             |                 |
 *             afters, watches   watches: records on the stacks of those who wait
 *
 * States  end: NULL, then for ever the first reason that anybody found: its own or, when an
 *         ancestor had ended or the deadline passed, that one. The exchange that stores it decides.
 *         active: false -> true by who is first to wait; it then arms the timer, links the context
 *         to its parent, and does the same for the parent if that was not active. If on the way an
 *         ancestor turns out to have ended, it does what the ancestor's canceller would have done.
 *         true -> false by the parent, when it looks for idle children because there are twice as
 *         many as the last time: waiting again and again links once, and what is idle does not pile
 *         up.
 * Ends    Who ends a context stores `end`, then takes each watch out and calls it, then the
 *         functions that wait, then takes out child after child and does the same there, going down
 *         and up by the parent pointers: no recursion, whatever the depth.
 * Locks   ctx, one at a time; a parent looks for idle children with its own held and tries theirs.
 *         Timers are started and stopped without it, and fire with their heap's lock held, inside
 *         of which it may be taken.
 * Order   watch: lock, look at end, push, unlock.   end: store end, lock, look at the list.
 *         One of both sees the other, and the same holds of a child and its parent's end. A timer
 *         is started, then declared armed under the lock, then end is looked at once more; who
 *         tells the end stops what was declared. One of both stops it.
 * Collector  Contexts are typed objects; the lists of children and functions go by the write
 *         barrier. Watches lie on stacks and in malloc's blocks and are none of the collector's
 *         business: the goroutine or record that owns one holds its context.
 * Cost    Making and cancelling one: an allocation, one exchange, one lock of its own. A wait: one
 *         lock to come, one to go. Ending 100 000 that are waited for: see bench sync.
 * Not     Children linked when they are made (Go): each costs two locks of a parent that many
 *         share, and one that is not cancelled stays until the parent ends. One lock for a tree: a
 *         server's requests all hang from one root. A goroutine per context that waits for the
 *         parent: a stack each. Weak pointers to children: nothing else in weir needs them. */
#include "ctx/ctx.h"
#include "mem/mem.h"
#include <weir/go.h>

#ifndef WEIR_CTX_PRUNE
#define WEIR_CTX_PRUNE 64       /* model tests take 1 */
#endif

enum { BATCH = 64, PRUNE_FIRST = WEIR_CTX_PRUNE, PRUNE_DEPTH = 8, LOOK_AT_CLOCK = 256,
       BREATH_NS = 5 * 1000 * 1000 };

const struct ctx_end weir__ctx_canceled = { .err = WEIR_ECANCELED, .cause = WEIR_ECANCELED };
const struct ctx_end weir__ctx_passed = { .err = WEIR_ETIMEOUT, .cause = WEIR_ETIMEOUT };

weir_ctx weir__ctx_background = { .magic = CTX_MAGIC, .deadline = CTX_NEVER };

static void on_deadline(struct timer *t);

weir_ctx *weir_ctx_background(void)
{
        return &weir__ctx_background;
}

void weir__ctx_foreign(const weir_ctx *ctx, const char *call)
{
        weir__panic("%s: %p is a context that weir did not make", call, (const void *)ctx);
}

/* In place of weir_set, whose slow half would link the collector to each program that selects. */
void weir__ctx_store(void **slot, void *v)
{
        if (unlikely(load_relaxed(&weir__gc_barrier))) {
                weir__mem_shade(load_relaxed(slot));
                weir__mem_stores(slot, v);
        }
        store_release(slot, v);
}

/* ---- whether it has ended ---- */

/* Ends c for e unless it has ended; answers for what it ended. */
static const struct ctx_end *settle(weir_ctx *c, const struct ctx_end *e)
{
        const struct ctx_end *found = NULL;

        if (unlikely(load_relaxed(&weir__gc_barrier)))
                weir__mem_stores(&c->end, e);
        return cas_seq(&c->end, &found, e) ? e : found;
}

const struct ctx_end *weir__ctx_found(weir_ctx *c, const struct ctx_end *e)
{
        return settle(c, e);
}

const struct ctx_end *weir__ctx_look_at_clock(weir_ctx *c)
{
        return weir__sched_now() >= c->deadline ? settle(c, &weir__ctx_passed) : NULL;
}

/* ---- children; the parent's lock is held ---- */

static void remove_child(weir_ctx *p, weir_ctx *c)
{
        if (c->prev)
                ctx_set(c->prev->next, c->next);
        else
                ctx_set(p->children, c->next);
        if (c->next)
                ctx_set(c->next->prev, c->prev);
        ctx_set(c->next, NULL);
        ctx_set(c->prev, NULL);
        c->linked = false;
        p->nchildren--;
        weir__count(ctx_unlinks, 1);
}

/* Lets go of children that nobody waits for any more. Some are locked just now: the next time.
 * Those with a timer stay until it is due: its heap holds them anyway, and who cancels p can stop
 * it. */
static slowpath void prune(weir_ctx *p, unsigned depth)
{
        weir_ctx *next;

        for (weir_ctx *c = p->children; c; c = next) {
                next = c->next;
                if (!lock_try(&c->lock))
                        continue;
                if (c->children && depth)
                        prune(c, depth - 1);
                if (!c->children && !c->watches && !c->afters && !load_relaxed(&c->armed) &&
                    !load_relaxed(&c->end)) {
                        c->active = false;
                        remove_child(p, c);
                }
                lock_drop(&c->lock);
        }
        p->prune_at = MAX(2 * p->nchildren, (uint32_t)PRUNE_FIRST);
}

static void add_child(weir_ctx *p, weir_ctx *c)
{
        if (unlikely(p->nchildren >= MAX(p->prune_at, (uint32_t)PRUNE_FIRST)))
                prune(p, PRUNE_DEPTH);
        ctx_set(c->next, p->children);
        if (p->children)
                ctx_set(p->children->prev, c);
        ctx_set(p->children, c);
        c->linked = true;
        p->nchildren++;
        weir__count(ctx_links, 1);
}

static weir_ctx *take_child(weir_ctx *p)
{
        weir_ctx *c;

        lock_take(&p->lock);
        c = p->children;
        if (c)
                remove_child(p, c);
        lock_drop(&p->lock);
        return c;
}

static void unlink_from_parent(weir_ctx *c)
{
        weir_ctx *p = c->parent;

        if (!p)
                return;
        lock_take(&p->lock);
        if (c->linked)
                remove_child(p, c);
        lock_drop(&p->lock);
}

/* ---- telling the end ---- */

static void take_watch_out(struct ctx_watch *w)
{
        *w->at = w->next;
        if (w->next)
                w->next->at = w->at;
        w->at = NULL;
}

static void take_after_out(weir_ctx *c, struct weir_after *a)
{
        if (a->prev)
                ctx_set(a->prev->next, a->next);
        else
                ctx_set(c->afters, a->next);
        if (a->next)
                ctx_set(a->next->prev, a->prev);
        ctx_set(a->next, NULL);
        ctx_set(a->prev, NULL);
        a->listed = false;
}

/* At most some watches, with the lock held: adds to *l whom they wake. */
static void call_watches(weir_ctx *c, struct glist *l)
{
        for (int i = 0; c->watches && i < BATCH; i++) {
                struct ctx_watch *w = c->watches;
                struct g         *g;

                take_watch_out(w);
                g = w->fn(w);
                if (g)
                        weir__glist_push(l, g);
        }
}

static void ready_all(const struct glist *l)
{
        struct g *next;

        for (struct g *g = l->first; g; g = next) {
                next = g->next;
                weir__sched_ready(g);
        }
}

/* Tells who waits for c itself, which has ended. Answers whether it was active. */
static bool tell(weir_ctx *c)
{
        struct weir_after *a;
        bool               more, armed, active, afters;

        do {
                struct glist l = { 0 };

                lock_take(&c->lock);
                call_watches(c, &l);
                more = c->watches;
                armed = load_relaxed(&c->armed);
                store_relaxed(&c->armed, false);
                active = c->active;
                afters = c->afters;
                lock_drop(&c->lock);
                if (armed)
                        weir__timer_stop(&c->timer);
                ready_all(&l);
        } while (more);
        for (; afters; a->ended(a)) {           /* none comes any more */
                lock_take(&c->lock);
                a = c->afters;
                if (a)
                        take_after_out(c, a);
                lock_drop(&c->lock);
                if (!a)
                        break;
        }
        return active;
}

/* Whether others have waited long enough; *due is 0 at first, and after each time they have. */
static bool breath_is_due(int64_t *due)
{
        int64_t now = weir__sched_now();

        if (!*due)
                *due = now + BREATH_NS;
        if (now < *due)
                return false;
        *due = 0;
        return true;
}

/* c has ended: tells it and everything below. Others get their turn now and then, by the clock: at
 * each turn those that were readied run, thousands of them. */
static void tell_all(weir_ctx *top, bool may_yield)
{
        weir_ctx *c = top;
        unsigned  n = 0;
        int64_t   due = 0;

        if (!tell(top))
                return;
        unlink_from_parent(top);
        for (;;) {
                weir_ctx *below = take_child(c);

                if (below) {
                        (void)settle(below, load_relaxed(&c->end));
                        (void)tell(below);
                        c = below;
                        if (may_yield && !(++n % LOOK_AT_CLOCK) && breath_is_due(&due))
                                weir_yield();
                } else if (c == top) {
                        return;
                } else {
                        c = c->parent;
                }
        }
}

void weir__ctx_finish(weir_ctx *c, const struct ctx_end *e)
{
        if (!weir__ctx_look(c))
                (void)settle(c, e);
        tell_all(c, true);
}

/* ---- deadlines ---- */

static void finish_passed(void *arg)
{
        tell_all(*(weir_ctx **)arg, true);
}

/* On the scheduler's stack, with the heap of timers locked: wakes who waits for this context; what
 * may take longer is done by a goroutine. */
static void on_deadline(struct timer *t)
{
        weir_ctx    *c = CONTAINER_OF(t, weir_ctx, timer);
        struct glist l = { 0 };
        bool         more;

        if (!weir__ctx_look(c))
                (void)settle(c, &weir__ctx_passed);
        lock_take(&c->lock);
        store_relaxed(&c->armed, false);
        call_watches(c, &l);
        more = c->watches || c->afters || c->children;
        lock_drop(&c->lock);
        ready_all(&l);
        if (more)
                weir__sched_spawn_inside(finish_passed, &c, sizeof c);
        else
                unlink_from_parent(c);
}

static void arm(weir_ctx *c)
{
        weir__timer_start(&c->timer, c->deadline, 0, on_deadline);
        lock_take(&c->lock);
        store_relaxed(&c->armed, true);
        lock_drop(&c->lock);
}

/* ---- waiting ---- */

/* c has just become active: from now on it is told when its parent ends. The caller may be PARKED
 * by its state, and does not yield. */
static void activate(weir_ctx *c)
{
        for (;;) {
                weir_ctx             *p = c->parent;
                const struct ctx_end *ended;
                bool                  first = false;

                if (c->timed && !load_relaxed(&c->armed))
                        arm(c);
                if (p)
                        lock_take(&p->lock);
                ended = p ? load_acquire(&p->end) : NULL;
                if (!ended)
                        ended = load_acquire(&c->end);
                if (p && !ended && !c->linked) {
                        add_child(p, c);
                        first = !p->active;
                        p->active = true;
                }
                if (p)
                        lock_drop(&p->lock);
                /* Who ended the parent did not know of c; who found c ended by looking tells
                 * nobody. Who cancelled c may be telling it as well, which does no harm. */
                if (ended) {
                        (void)settle(c, ended);
                        tell_all(c, false);
                        return;
                }
                if (!first)
                        return;
                c = p;
        }
}

/* Takes the lock of a context that has not ended, for somebody who is to be told of its end. False:
 * it has, and the lock is not taken. */
static bool lock_open(weir_ctx *c)
{
        if (weir__ctx_look(c))
                return false;
        lock_take(&c->lock);
        if (!load_acquire(&c->end))             /* pairs with settle's exchange */
                return true;
        lock_drop(&c->lock);
        return false;
}

/* Drops it again, when somebody was listed: from now on the context has to hear of its end. */
static void unlock_listed(weir_ctx *c)
{
        bool first = !c->active;

        c->active = true;
        lock_drop(&c->lock);
        if (first)
                activate(c);
}

bool weir__ctx_watch(weir_ctx *c, struct ctx_watch *w)
{
        w->at = NULL;
        w->ctx = NULL;
        if (!lock_open(c))
                return false;
        w->ctx = c;
        w->next = c->watches;
        w->at = &c->watches;
        if (w->next)
                w->next->at = &w->next;
        c->watches = w;
        unlock_listed(c);
        return true;
}

void weir__ctx_unwatch(struct ctx_watch *w)
{
        weir_ctx *c = w->ctx;

        if (!c)
                return;
        lock_take(&c->lock);
        if (w->at)
                take_watch_out(w);
        lock_drop(&c->lock);
        w->ctx = NULL;
}

bool weir__ctx_list(weir_ctx *c, struct weir_after *a)
{
        if (!lock_open(c))
                return false;
        ctx_set(a->next, c->afters);
        if (c->afters)
                ctx_set(c->afters->prev, a);
        ctx_set(c->afters, a);
        a->listed = true;
        unlock_listed(c);
        return true;
}

bool weir__ctx_unlist(struct weir_after *a)
{
        weir_ctx *c = a->ctx;
        bool      was;

        if (!c)
                return false;
        lock_take(&c->lock);
        was = a->listed;
        if (was)
                take_after_out(c, a);
        lock_drop(&c->lock);
        return was;
}

/* ---- parking ---- */

struct nap {
        struct ctx_watch watch;
        struct timer     timer;
        struct g        *g;
        uint32_t         woken;         /* atomic: by whom: BY_END, BY_TIME */
};

enum { NOBODY, BY_END, BY_TIME };

static struct g *win(struct nap *n, uint32_t by)
{
        uint32_t nobody = NOBODY;

        return cas_seq(&n->woken, &nobody, by) ? n->g : NULL;
}

static struct g *on_end(struct ctx_watch *w)
{
        return win(CONTAINER_OF(w, struct nap, watch), BY_END);
}

static void on_time(struct timer *t)
{
        struct g *g = win(CONTAINER_OF(t, struct nap, timer), BY_TIME);

        if (g)
                weir__sched_ready(g);
}

int weir__ctx_park(weir_ctx *ctx, int64_t when, enum why why)
{
        struct nap n = { .watch = { .fn = on_end }, .g = weir__sched_g() };
        bool       timed = when != CTX_NEVER;

        weir__sched_park_begin(n.g, why, ctx);
        weir__sched_own(n.g, &n, sizeof n);
        if (ctx && !weir__ctx_watch(ctx, &n.watch) && win(&n, BY_END))
                weir__sched_ready(n.g);
        if (timed)
                weir__timer_start(&n.timer, when, 0, on_time);
        weir__sched_park(n.g);
        if (timed)
                weir__timer_stop(&n.timer);
        if (load_acquire(&n.woken) == BY_END)  /* then the watch is out */
                return weir__ctx_look(ctx)->err;
        if (ctx)
                weir__ctx_unwatch(&n.watch);
        return 0;
}
