/* From a descriptor's events to the goroutine that waits for them, and its closing.
 *
 * What    Each direction has one word, in which one goroutine waits or one event is kept. Calls
 *         that use a direction take turns by a mutex, so one waiter is enough.
 * States  side.waiter:
 *           0      nothing happened since the last look, nobody waits
 *           READY  an event came; the next wait consumes it and returns at once
 *           g      that goroutine is parked here; owned by whoever exchanges it out
 *         0 -> READY event   0 -> g the waiter, by compare-exchange   g -> 0 event, deadline or
 *         close, which then readies g   READY -> 0 the waiter
 *         desc.refs: users; CLOSING refuses new ones; the last to leave a closing one releases it.
 * Locks   desc: guards the two deadline timers. A fired deadline runs under its timer heap's lock,
 *         so it takes none: it sets `expired` and takes the waiter out by exchange.
 * Order   waiter: publish itself, then look at CLOSING and `expired`. Closer, deadline: set the
 *         flag, then take the waiter. All sequentially consistent, so one of the two sees the
 *         other. Edge-triggered events are kept in READY, so one that comes between a call that
 *         found nothing and the wait is not lost.
 * Cost    An echo of a message is one read, one write and its share of one epoll_wait: a short read
 *         from a TCP socket has emptied it, so the next read waits first instead of asking the
 *         kernel only to hear EAGAIN. Go asks. Where messages fill the caller's buffer exactly, TCP
 *         is asked to say what is left (conn.c). A hang-up ends the guessing, for after one the
 *         kernel makes no further edges.
 * Not     One waiter list per direction: turns are needed anyway, so that a long write is not cut
 *         by another. Removing from epoll at close: closing does it, but for duplicates, see
 *         there. */
#include "net/desc.h"
#include "os/os.h"
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NONE = 0, READY = 1 };

static uint32_t nopen;          /* atomic: watched descriptors */

/* ---- events ---- */

/* Takes the waiter out; without one, leaves word of an event if asked. */
static struct g *take(struct side *s, bool keep_event)
{
        uintptr_t old = load_seq(&s->waiter);

        for (;;) {
                uintptr_t new = old > READY ? NONE : keep_event ? READY : old;

                if (old == new || cas_seq(&s->waiter, &old, new))
                        return old > READY ? (struct g *)old : NULL;
        }
}

static void on_event(void *data, unsigned what, struct glist *ready)
{
        struct desc *d = data;
        struct g    *g;

        if (what & OS_POLL_HANGUP)
                store_relaxed(&d->hangup, 1);
        if ((what & OS_POLL_READ) && (g = take(&d->read, true)))
                weir__glist_push(ready, g);
        if ((what & OS_POLL_WRITE) && (g = take(&d->write, true)))
                weir__glist_push(ready, g);
}

static bool any_open(void)
{
        return load_relaxed(&nopen) != 0;
}

static bool any_parked(void)
{
        return weir__counter_sum(COUNTER_net_parks) != weir__counter_sum(COUNTER_net_wakes);
}

/* Before main, and only in programs that use the network. */
static __attribute__((constructor)) void fill_hooks(void)
{
        weir__sched_hooks.poll_event = on_event;
        weir__sched_hooks.poll_open = any_open;
        weir__sched_hooks.poll_parked = any_parked;
}

/* ---- waiting ---- */

int weir__desc_usable(const struct side *s)
{
        if (load_seq(&s->desc->refs) & DESC_CLOSING)
                return WEIR_ECLOSED;
        return load_seq(&s->expired) ? WEIR_ETIMEOUT : 0;
}

int weir__desc_wait(struct side *s, enum why why)
{
        struct g *g = weir__sched_g();

        for (;;) {
                uintptr_t old = load_seq(&s->waiter);
                int       r = weir__desc_usable(s);

                if (r < 0)
                        return r;
                if (old == READY) {
                        if (cas_seq(&s->waiter, &old, NONE))
                                return 0;
                        continue;
                }
                check(old == NONE);
                weir__sched_park_begin(g, why, s->desc);
                if (!cas_seq(&s->waiter, &old, (uintptr_t)g)) {
                        weir__sched_park_cancel(g);
                        continue;
                }
                old = (uintptr_t)g;
                if (weir__desc_usable(s) < 0 && cas_seq(&s->waiter, &old, NONE)) {
                        weir__sched_park_cancel(g);
                        continue;
                }
                weir__count(net_parks, 1);
                weir__sched_park(g);
                weir__count(net_wakes, 1);
                return weir__desc_usable(s);
        }
}

/* ---- deadlines ---- */

static void wake_side(struct side *s)
{
        struct g *g = take(s, false);

        if (g)
                weir__sched_ready(g);
}

static void on_deadline(struct timer *t)
{
        struct side *s = CONTAINER_OF(t, struct side, deadline);

        store_seq(&s->expired, 1);
        wake_side(s);
}

/* ---- contexts ---- */

/* Under a lock of the context. */
static struct g *on_end(struct ctx_watch *w)
{
        struct side *s = CONTAINER_OF(w, struct leash, watch)->side;

        store_seq(&s->expired, 1);
        return take(s, false);
}

void weir__desc_leash(struct leash *l, struct side *s, weir_ctx *ctx)
{
        *l = (struct leash){ .watch.fn = on_end, .side = s, .ctx = ctx };
        if (ctx && !weir__ctx_watch(ctx, &l->watch)) {
                store_seq(&s->expired, 1);
                wake_side(s);
        }
}

void weir__desc_unleash(struct leash *l)
{
        weir__ctx_unwatch(&l->watch);
        l->ctx = NULL;
}

void weir__desc_deadline(struct side *s, int64_t when)
{
        bool past;

        lock_take(&s->desc->lock);
        /* The close has stopped the timer, or will. */
        if (load_seq(&s->desc->refs) & DESC_CLOSING) {
                lock_drop(&s->desc->lock);
                return;
        }
        weir__timer_stop(&s->deadline);
        past = when && when <= weir__sched_now();
        store_seq(&s->expired, past);
        if (when && !past)
                weir__timer_start(&s->deadline, when, 0, on_deadline);
        lock_drop(&s->desc->lock);
        if (past)
                wake_side(s);
}

/* ---- users ---- */

bool weir__desc_enter(struct desc *d)
{
        uint32_t old = load_relaxed(&d->refs);

        do {
                if (!old || (old & DESC_CLOSING))
                        return false;
        } while (!cas_acquire(&d->refs, &old, old + 1));
        return true;
}

void weir__desc_leave(struct desc *d)
{
        int keep;

        if (likely(fetch_sub_seq(&d->refs, 1) != (DESC_CLOSING | 1)))
                return;
        keep = weir__os_errno_get();
        fetch_add_relaxed(&nopen, (uint32_t)-1);
        /* A duplicate may keep the file open elsewhere; and a thread that is collecting events
         * keeps each file open for a moment (Linux 6.10 and later), a listener's name with it. */
        if (!d->socket || d->listens)
                weir__os_poll_remove(d->fd);
        close(d->fd);
        weir__count(descriptors_closed, 1);
        d->release(d);
        weir__os_errno_set(keep);
}

int weir__desc_close(struct desc *d)
{
        uint32_t old = load_relaxed(&d->refs);

        do {
                if (!old || (old & DESC_CLOSING))
                        return WEIR_ECLOSED;
        } while (!cas_seq(&d->refs, &old, old | DESC_CLOSING));
        lock_take(&d->lock);
        weir__timer_stop(&d->read.deadline);
        weir__timer_stop(&d->write.deadline);
        lock_drop(&d->lock);
        wake_side(&d->read);
        wake_side(&d->write);
        weir__desc_leave(d);
        return 0;
}

static void open_side(struct desc *d, struct side *s)
{
        store_seq(&s->waiter, NONE);
        store_relaxed(&s->expired, 0);
        s->drained = false;
        s->full = false;
        s->desc = d;
}

int weir__desc_open(struct desc *d, int fd, void (*release)(struct desc *d))
{
        int       protocol = 0, r;
        socklen_t size = sizeof protocol;

        lock_init(&d->lock, desc);
        d->fd = fd;
        d->socket = getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0;
        d->tcp = d->socket && protocol == IPPROTO_TCP;
        d->inq = false;
        d->listens = false;
        d->release = release;
        store_relaxed(&d->hangup, 0);
        open_side(d, &d->read);
        open_side(d, &d->write);
        store_seq(&d->refs, 1);
        r = weir__os_poll_add(fd, d);
        if (r < 0) {
                store_seq(&d->refs, 0);
                return r;
        }
        fetch_add_relaxed(&nopen, 1);
        weir__count(descriptors_opened, 1);
        return 0;
}
