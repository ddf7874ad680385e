/* The condition variable.
 *
 * What    A line of goroutines that gave a mutex back to wait for a signal.
 * Order   A waiter is in line before it unlocks the mutex, so a signal of whoever locks that mutex
 *         next finds it. It is marked parked only after the unlock, which may do things of its own:
 *         a signal that comes in between sets `signalled`, and the waiter does not park.
 * Cost    A signal without waiters: a load. */
#include "sync/sync.h"
#include "time/time.h"

struct cond {
        uint32_t      lock;             /* of the rest */
        uint32_t      place;            /* for check_place */
        struct entry *first, *last;     /* atomic; lock: own */
};

/* In line until somebody takes it out under the lock and says by whom. */
struct entry {
        struct entry *next, *prev;
        struct g     *g;
        struct timer  timer;
        struct cond  *cond;
        bool          in_line, parked, signalled;
};

_Static_assert(sizeof(struct cond) <= sizeof(weir_cond), "weir_cond is too small");

static inline struct cond *open_cond(weir_cond *c)
{
        return (struct cond *)(void *)c;
}

static void take_out(struct cond *c, struct entry *e)
{
        e->in_line = false;
        if (e->prev)
                e->prev->next = e->next;
        else
                store_relaxed(&c->first, e->next);
        if (e->next)
                e->next->prev = e->prev;
        else
                c->last = e->prev;
}

/* On the scheduler's stack. */
static void on_deadline(struct timer *t)
{
        struct entry *e = CONTAINER_OF(t, struct entry, timer);
        struct cond  *c = e->cond;
        bool          there;

        word_take(&c->lock);
        there = e->in_line;
        if (there)
                take_out(c, e);
        word_drop(&c->lock);
        if (there)
                weir__sched_ready(e->g);
}

static void park(struct cond *c, struct entry *e, int64_t deadline)
{
        word_take(&c->lock);
        if (e->signalled) {
                word_drop(&c->lock);
                return;
        }
        e->parked = true;
        weir__sched_park_begin(e->g, WHY_COND, c);
        weir__sched_own(e->g, e, sizeof *e);
        word_drop(&c->lock);
        weir__count(sync_parks, 1);
        if (deadline != NO_DEADLINE)
                weir__timer_start(&e->timer, deadline, 0, on_deadline);
        weir__sched_park(e->g);
        if (deadline != NO_DEADLINE)
                weir__timer_stop(&e->timer);
}

static void wait(struct cond *c, weir_mutex *held, struct entry *e, int64_t deadline)
{
        check_place(c, &c->place, "cond");
        word_take(&c->lock);
        e->cond = c;
        e->in_line = true;
        e->prev = c->last;
        if (e->prev)
                e->prev->next = e;
        else
                store_relaxed(&c->first, e);
        c->last = e;
        word_drop(&c->lock);
        weir_mutex_unlock(held);
        park(c, e, deadline);
        weir_mutex_lock(held);
}

static void need_locked(weir_mutex *held, const char *call)
{
        if (!(load_relaxed((uint32_t *)(void *)held) & 1))
                weir__panic("%s: mutex %p is not locked", call, (void *)held);
}

void weir_cond_wait(weir_cond *c, weir_mutex *held)
{
        struct entry e = { .g = weir__sched_need_g("weir_cond_wait") };

        need_locked(held, "weir_cond_wait");
        wait(open_cond(c), held, &e, NO_DEADLINE);
        keep_frame();
}

int weir_cond_wait_until(weir_cond *c, weir_mutex *held, weir_time deadline)
{
        struct entry e = { .g = weir__sched_need_g("weir_cond_wait_until") };

        need_locked(held, "weir_cond_wait_until");
        wait(open_cond(c), held, &e, deadline);
        keep_frame();
        return e.signalled ? 0 : WEIR_ETIMEOUT;
}

/* The first in line, out of it; to be readied if it has parked. With the lock. */
static struct entry *take_first(struct cond *c)
{
        struct entry *e = c->first;

        if (e) {
                take_out(c, e);
                e->signalled = true;
        }
        return e;
}

void weir_cond_signal(weir_cond *pub)
{
        struct cond  *c = open_cond(pub);
        struct entry *e;
        struct g     *g = NULL;

        weir__sched_need_g("weir_cond_signal");
        check_place(c, &c->place, "cond");
        if (!load_relaxed(&c->first))
                return;
        word_take(&c->lock);
        e = take_first(c);
        if (e && e->parked)
                g = e->g;
        word_drop(&c->lock);
        if (g)
                weir__sched_ready(g);
}

void weir_cond_broadcast(weir_cond *pub)
{
        struct cond  *c = open_cond(pub);
        struct entry *e, *all = NULL, **end = &all;

        weir__sched_need_g("weir_cond_broadcast");
        check_place(c, &c->place, "cond");
        if (!load_relaxed(&c->first))
                return;
        word_take(&c->lock);
        while ((e = take_first(c)))
                if (e->parked) {        /* the others may be gone once the lock is dropped */
                        *end = e;
                        end = &e->next;
                        e->next = NULL;
                }
        word_drop(&c->lock);
        while ((e = all)) {
                all = e->next;
                weir__sched_ready(e->g);
        }
}
