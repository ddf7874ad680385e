/* Select: wait for the first of several cases.
 *
 * What    All channels of the cases are locked; if cases are ready, one of them is drawn and done;
 *         a context that has ended is such a case. Else a waiter goes into each channel's list and
 *         a watch to each context, and whoever wins the select's winner word completes that one
 *         case and readies the goroutine, which then takes its other waiters out.
 * States  See struct waiter. select->winner goes once from SELECT_OPEN to the index of a case, by
 *         the compare-exchange of the channel operation, timer or context that completes it.
 * Locks   chan, several at once, in the order of their addresses; each channel once however many
 *         cases name it.
 * Order   The goroutine is PARKED before any lock is dropped, so a waker that holds one of them
 *         finds a complete picture. Watches are set and the timer is armed after that; taking a
 *         watch out, and stopping the timer, is final (ctx/tree.c, timer.c), so the records on the
 *         stack outlive their last readers. A context that has ended by then wins as any waker
 *         would.
 * Cost    Two cases, waiting: two locks twice, the park, the wake. Ready: two locks once.
 * Not     Trying the cases in a shuffled order: with all locks held, counting the ready ones and
 *         drawing among them is as fair and needs no permutation. */
#include "chan/chan.h"
#include "ctx/ctx.h"
#include "time/time.h"
#include <stdlib.h>

enum { ON_STACK = 16 };

/* A wait for the end of a context. */
struct done {
        struct ctx_watch watch;
        struct select   *select;        /* const */
        struct g        *g;             /* const */
        uint32_t         index;         /* const: of the case */
};

/* The wait of one case: those for channels fill an array from its begin, those for contexts from
 * its end. */
union slot {
        struct waiter w;
        struct done   d;
};

struct wake_timer {
        struct timer  timer;
        struct select *select;
        struct g      *g;
        uint32_t       index;
};

/* What a pass over the cases found. */
struct plan {
        const weir_case *cases;
        size_t           n;
        uint32_t        *order; /* indices of the channel cases, by address of the channel; from
                                 * the end, of those with a context */
        size_t           channels, contexts;
        bool             traced;        /* a channel carries traces */
        int              def, timeout, ready;
        weir_duration    after;
};

static void on_timeout(struct timer *t)
{
        struct wake_timer *w = CONTAINER_OF(t, struct wake_timer, timer);
        uint32_t           open = SELECT_OPEN;

        if (cas_seq(&w->select->winner, &open, w->index))
                weir__sched_ready(w->g);
}

static struct g *on_end(struct ctx_watch *w)
{
        struct done *d = CONTAINER_OF(w, struct done, watch);
        uint32_t     open = SELECT_OPEN;

        return cas_seq(&d->select->winner, &open, d->index) ? d->g : NULL;
}

static void insert_by_address(struct plan *pl, uint32_t i)
{
        size_t at = pl->channels++;

        while (at && pl->cases[pl->order[at - 1]].chan > pl->cases[i].chan) {
                pl->order[at] = pl->order[at - 1];
                at--;
        }
        pl->order[at] = i;
}

static void check_elem(struct plan *pl, const weir_case *k, size_t i)
{
        if (likely(k->size == k->chan->elem_size && (k->elem || !k->size)))
                return;
        if (k->chan->traced && (weir__chan_is_traced(k->chan, k->size) || !k->size) &&
            (k->elem || !k->size)) {
                pl->traced = true;
                return;
        }
        if (k->op == WEIR_OP_RECV && !k->elem && !k->size)
                return;
        weir__panic(
                "weir_select: case %zu has an element of %zu bytes at %p, channel %p carries %u bytes",
                i, k->size, k->elem, (void *)k->chan,
                k->chan->elem_size - (k->chan->traced ? (unsigned)TRACE_BYTES : 0));
}

static void read_cases(struct plan *pl)
{
        for (size_t i = 0; i < pl->n; i++) {
                const weir_case *k = &pl->cases[i];

                switch (k->op) {
                case WEIR_OP_RECV:
                case WEIR_OP_SEND:
                        if (!k->chan)
                                break;                  /* never ready */
                        check_elem(pl, k, i);
                        insert_by_address(pl, (uint32_t)i);
                        break;
                case WEIR_OP_TIMEOUT:
                        if (pl->timeout < 0 || k->timeout < pl->after) {
                                pl->timeout = (int)i;
                                pl->after = k->timeout;
                        }
                        break;
                case WEIR_OP_DEFAULT:
                        if (pl->def >= 0)
                                weir__panic("weir_select: cases %d and %zu are both defaults",
                                            pl->def, i);
                        pl->def = (int)i;
                        break;
                case WEIR_OP_DONE:
                        if (weir__ctx_check(k->ctx, "weir_select"))
                                pl->order[pl->n - ++pl->contexts] = (uint32_t)i;
                        break;
                default:
                        weir__panic(
                                "weir_select: case %zu is empty (op %d); is an index of the enum unused?",
                                i, k->op);
                }
        }
}

static void lock_all(const struct plan *pl)
{
        for (size_t i = 0; i < pl->channels; i++) {
                weir_chan *c = pl->cases[pl->order[i]].chan;

                if (!i || c != pl->cases[pl->order[i - 1]].chan)
                        lock_take(&c->lock);
        }
}

static void unlock_all(const struct plan *pl)
{
        for (size_t i = pl->channels; i-- > 0;) {
                weir_chan *c = pl->cases[pl->order[i]].chan;

                if (!i || c != pl->cases[pl->order[i - 1]].chan)
                        lock_drop(&c->lock);
        }
}

/* Whether q has a waiter other than a select that something else has already won. A select that
 * this goroutine itself is in cannot stand there yet. */
static bool has_waiter(struct waitq *q)
{
        while (q->first) {
                struct waiter *w = q->first;

                if (!w->select || load_seq(&w->select->winner) == SELECT_OPEN)
                        return true;
                weir__waitq_remove(q, w);       /* its own select would remove it anyway */
        }
        return false;
}

static bool is_ready(const weir_case *k)
{
        weir_chan *c = k->chan;

        if (c->closed)
                return true;
        if (k->op == WEIR_OP_SEND)
                return c->count < c->cap || has_waiter(&c->receivers);
        return c->count || has_waiter(&c->senders);
}

/* Draws one of the ready cases, each with the same chance; -1: none is. */
static int draw_ready(const struct plan *pl)
{
        uint32_t seen = 0;
        int      chosen = -1;

        for (size_t i = 0; i < pl->channels; i++) {
                uint32_t at = pl->order[i];

                if (!is_ready(&pl->cases[at]))
                        continue;
                if (!seen++ || !weir__rand_below(&self()->p->rand, seen))
                        chosen = (int)at;
        }
        for (size_t i = 1; i <= pl->contexts; i++) {
                uint32_t at = pl->order[pl->n - i];

                if (!weir__ctx_look(pl->cases[at].ctx))
                        continue;
                if (!seen++ || !weir__rand_below(&self()->p->rand, seen))
                        chosen = (int)at;
        }
        return chosen;
}

/* Does a ready case. False: the waiter that made it ready was won by another select meanwhile. */
static noinline bool perform(const weir_case *k, struct g **ret_wake, bool *ret_panic)
{
        weir_chan *c = k->chan;
        bool       ok = true;

        *ret_panic = false;
        *ret_wake = NULL;
        if (k->op == WEIR_OP_DONE)
                return true;
        if (k->op == WEIR_OP_SEND) {
                if (c->closed) {
                        *ret_panic = true;
                        return true;
                }
                return chan_try_send(c, k->elem, ret_wake);
        }
        if (!chan_try_recv(c, k->elem, &ok, ret_wake))
                return false;
        if (k->ok)
                *k->ok = ok;
        return true;
}

static void enqueue_all(const struct plan *pl, union slot *slot, struct select *s, struct g *g)
{
        for (size_t i = 0; i < pl->channels; i++) {
                uint32_t         at = pl->order[i];
                const weir_case *k = &pl->cases[at];

                slot[i].w = (struct waiter){ .g = g, .elem = k->elem, .select = s, .index = at };
                weir__waitq_push(k->op == WEIR_OP_SEND ? &k->chan->senders : &k->chan->receivers,
                                 &slot[i].w);
        }
}

/* Without locks; the goroutine is PARKED by its state, and may be woken meanwhile. */
static noinline void watch_all(const struct plan *pl, union slot *slot, struct select *s,
                               struct g *g)
{
        for (size_t i = 1; i <= pl->contexts; i++) {
                uint32_t     at = pl->order[pl->n - i];
                struct done *d = &slot[pl->n - i].d;

                *d = (struct done){ .watch.fn = on_end, .select = s, .g = g, .index = at };
                if (!weir__ctx_watch(pl->cases[at].ctx, &d->watch) && on_end(&d->watch))
                        weir__sched_ready(g);
        }
}

/* That of the winner is out: it was told, or never set. */
static noinline void unwatch_all(const struct plan *pl, union slot *slot, uint32_t winner)
{
        for (size_t i = 1; i <= pl->contexts; i++)
                if (slot[pl->n - i].d.index != winner)
                        weir__ctx_unwatch(&slot[pl->n - i].d.watch);
}

/* Takes the losers out; answers whether the winner got an element (false: its channel was
 * closed). */
static bool dequeue_all(const struct plan *pl, union slot *slot, uint32_t winner)
{
        bool ok = false;

        lock_all(pl);
        for (size_t i = 0; i < pl->channels; i++) {
                const weir_case *k = &pl->cases[slot[i].w.index];

                if (slot[i].w.index == winner)
                        ok = slot[i].w.ok;
                else
                        weir__waitq_remove(k->op == WEIR_OP_SEND ? &k->chan->senders
                                                                 : &k->chan->receivers,
                                           &slot[i].w);
        }
        unlock_all(pl);
        return ok;
}

/* Waits; the locks are held and dropped here. */
static int wait(const struct plan *pl, union slot *slot, struct g *g)
{
        struct select     s = { .winner = SELECT_OPEN };
        struct wake_timer t = { .select = &s, .g = g, .index = (uint32_t)pl->timeout };
        uint32_t          winner;
        bool              ok;

        enqueue_all(pl, slot, &s, g);
        g->wait_cases = pl->cases;
        g->wait_ncases = pl->n;
        g->wait_timed = pl->timeout >= 0;
        weir__sched_park_begin(g,
                               pl->channels || pl->timeout >= 0 || pl->contexts ? WHY_SELECT
                                                                                : WHY_SELECT_EMPTY,
                               pl->channels ? pl->cases[pl->order[0]].chan : NULL);
        weir__sched_own(g, slot, pl->n * sizeof *slot);
        unlock_all(pl);
        weir__count(chan_parks, 1);
        if (pl->contexts)
                watch_all(pl, slot, &s, g);
        if (pl->timeout >= 0)
                weir__timer_start(&t.timer, weir__time_after(pl->after), 0, on_timeout);
        weir__sched_park(g);
        if (pl->timeout >= 0) {
                weir__timer_stop(&t.timer);
                g->wait_timed = false;
        }
        winner = load_seq(&s.winner);
        if (pl->contexts)
                unwatch_all(pl, slot, winner);
        ok = dequeue_all(pl, slot, winner);
        if ((int)winner == pl->timeout)
                return (int)winner;
        if (pl->cases[winner].op == WEIR_OP_SEND && !ok)
                weir__chan_panic_closed(pl->cases[winner].chan);
        if (pl->cases[winner].op == WEIR_OP_RECV && pl->cases[winner].ok)
                *pl->cases[winner].ok = ok;
        return (int)winner;
}

static int run(struct plan *pl, union slot *slot, struct g *g)
{
        struct g *wake;
        bool      panic;
        int       i;

        read_cases(pl);
        if (unlikely(pl->traced))
                return weir__chan_select_traced(pl->cases, pl->n);
        lock_all(pl);
        while ((i = draw_ready(pl)) >= 0) {
                if (!perform(&pl->cases[i], &wake, &panic))
                        continue;
                unlock_all(pl);
                if (panic)
                        weir__chan_panic_closed(pl->cases[i].chan);
                if (wake)
                        weir__sched_ready(wake);
                return i;
        }
        if (pl->def >= 0 || (pl->timeout >= 0 && pl->after <= 0)) {
                unlock_all(pl);
                return pl->def >= 0 ? pl->def : pl->timeout;
        }
        return wait(pl, slot, g);
}

/* More cases than fit on a small stack. A panic inside leaves the scratch memory behind: a cleanup
 * handler here would make every program link the compiler's unwinder. */
static noinline int select_many(struct plan *pl, struct g *g)
{
        union slot *slot = malloc(pl->n * (sizeof *slot + sizeof *pl->order));
        int         i;

        if (!slot)
                weir__panic("weir_select: no memory for %zu cases", pl->n);
        pl->order = (uint32_t *)(void *)(slot + pl->n);
        i = run(pl, slot, g);
        free(slot);
        return i;
}

/* One channel operation and a default, the commonest select of all: when a look without the lock
 * shows that the operation would wait, it is the default's turn. Whoever could make it ready does
 * so after this look, and then the select came first. */
static inline bool would_wait(int op, const weir_chan *c, size_t size)
{
        if (!c)
                return true;
        if (size != c->elem_size || load_acquire(&c->closed))
                return false;                   /* the whole way will tell */
        if (op == WEIR_OP_RECV)
                return !load_relaxed(&c->count) && !load_relaxed(&c->senders.first);
        return load_relaxed(&c->count) == c->cap && !load_relaxed(&c->receivers.first);
}

/* With its waiters on the stack: apart, for a select that is over at once does without them. */
static noinline int select_any(const weir_case *cases, size_t n, struct g *g)
{
        struct plan pl = { .cases = cases, .n = n, .def = -1, .timeout = -1 };
        union slot  slot[ON_STACK];
        uint32_t    order[ON_STACK];

        if (unlikely(n > INT32_MAX))
                weir__panic("weir_select: %zu cases", n);
        if (unlikely(n > ON_STACK))
                return select_many(&pl, g);
        pl.order = order;
        return run(&pl, slot, g);
}

int weir_select_n(const weir_case *cases, size_t n)
{
        struct g *g = weir__sched_need_g("weir_select");
        int       i;

        if (n == 2 && cases[1].op == WEIR_OP_DEFAULT &&
            (cases[0].op == WEIR_OP_RECV || cases[0].op == WEIR_OP_SEND) &&
            would_wait(cases[0].op, cases[0].chan, cases[0].size))
                return 1;
        i = select_any(cases, n, g);
        keep_frame();
        return i;
}

static noinline int select_pair(int op, weir_chan *c, void *elem, size_t size, bool *ok,
                                struct g *g)
{
        const weir_case pair[] = {
                { .op = op, .chan = c, .elem = elem, .size = size, .ok = ok },
                weir_on_default(),
        };

        return select_any(pair, COUNT(pair), g);
}

int weir_select_one(int op, weir_chan *c, void *elem, size_t size, bool *ok)
{
        struct g *g = weir__sched_need_g("weir_select");
        int       i;

        if (likely(would_wait(op, c, size)))
                return 1;
        i = select_pair(op, c, elem, size, ok, g);
        keep_frame();
        return i;
}
