/* Channels.
 *
 * What    A lock, a ring of elements in the same block as the header, and two lists of waiting
 *         goroutines. A sender that finds a waiting receiver copies the element straight into the
 *         place that the receiver named, and the other way round.
 * Shape   header (one line for all that an uncontended operation touches), then the buffer.
 *         elements: head, head + 1, ... head + count - 1, modulo cap.
 * States  See struct waiter in chan.h.
 * Locks   chan. Dropped before any goroutine is readied, for readying may wake a thread.
 * Order   The lock's release and acquire carry the elements: what was written before a send is seen
 *         after the receive of that element. Wake-ups carry it through the run queue.
 * Cost    Buffered, nobody waiting: one locked instruction and a plain store for the lock, one line
 *         of the header and one of the buffer. Unbuffered ping-pong: one switch each way.
 * Memory  A channel is a collected object: it goes when nobody can name it any more. Who is parked
 *         on it names it. Without a buffer, or with elements too small for a pointer, or by the
 *         word of who made it, it holds no pointers: then the collector neither reads it nor cares
 *         who writes it.
 * Not     A lock-free ring (one sequence number per slot): faster by one or two nanoseconds without
 *         contention, but closing, handing over and select then need a second protocol beside it. A
 *         buffer in a block of its own: one more miss. */
#include "chan/chan.h"
#include "gc/gc.h"

enum { ELEM_MAX = 64 * 1024, TRACED_MAX = 4096 };

static weir_chan *make(size_t elem_size, size_t cap, bool plain)
{
        struct weir_chan *c;
        size_t            bytes;

        if (elem_size >= ELEM_MAX)
                weir__panic(
                        "weir_chan_new: elements of %zu bytes are over the limit of %d; send a pointer",
                        elem_size, ELEM_MAX - 1);
        if (__builtin_mul_overflow(elem_size, cap, &bytes) || bytes > PTRDIFF_MAX - sizeof *c)
                weir__panic("weir_chan_new: %zu elements of %zu bytes do not fit in memory", cap,
                            elem_size);
        plain |= !cap || elem_size < sizeof(void *);
        c = weir__gc_new_line(plain ? MEM_NOSCAN : MEM_PLAIN, sizeof *c + bytes);
        lock_init(&c->lock, chan);
        c->elem_size = (uint32_t)elem_size;
        c->cap = cap;
        return c;
}

weir_chan *weir_chan_new(size_t elem_size, size_t cap)
{
        return make(elem_size, cap, false);
}

weir_chan *weir_chan_new_plain(size_t elem_size, size_t cap)
{
        return make(elem_size, cap, true);
}

weir_chan *weir_chan_new_with(size_t elem_size, size_t cap, const weir_chan_options *opt)
{
        weir_chan *c;

        if (!opt || !opt->traced)
                return make(elem_size, cap, false);
        if (elem_size >= TRACED_MAX)
                weir__panic("weir_chan_new_with: traced elements of %zu bytes are over the limit of "
                            "%d; send a pointer", elem_size, TRACED_MAX - 1);
        c = make(elem_size + TRACE_BYTES, cap, false);
        c->traced = 1;
        return c;
}

void weir__chan_size_mismatch(const struct weir_chan *c, size_t size, const char *call)
{
        weir__panic("%s: an element of %zu bytes on channel %p, which carries %u bytes", call, size,
                    (const void *)c, c->elem_size - (c->traced ? (unsigned)TRACE_BYTES : 0));
}

_Noreturn void weir__chan_panic_closed(struct weir_chan *c)
{
        weir__panic("send on closed channel %p", (void *)c);
}

void weir__chan_check(const struct weir_chan *c)
{
#if WEIR_CHECK >= 2
        check(c->count <= c->cap && (!c->cap || c->head < c->cap));
        check(!c->receivers.first == !c->receivers.last && !c->senders.first == !c->senders.last);
        for (const struct waiter *w = c->receivers.first; w; w = w->next)
                check(w->select || c->count == 0);
        for (const struct waiter *w = c->senders.first; w; w = w->next)
                check(w->select || c->count == c->cap);
#else
        (void)c;
#endif
}

/* Waits in q; the lock is held and dropped here. Answers whether an element changed hands. */
static noinline bool wait_in(struct weir_chan *c, struct waitq *q, struct g *g, void *elem,
                             enum why why)
{
        struct waiter w = { .g = g, .elem = elem };

        weir__waitq_push(q, &w);
        weir__chan_check(c);
        weir__sched_park_begin(g, why, c);
        weir__sched_own(g, &w, sizeof w);
        lock_drop(&c->lock);
        weir__count(chan_parks, 1);
        weir__sched_park(g);
        return w.ok;
}

static _Noreturn void wait_for_ever(struct g *g, enum why why)
{
        weir__sched_park_begin(g, why, NULL);
        weir__sched_park(g);
        weir__throw("goroutine %llu woke on a nil channel", (unsigned long long)g->id);
}

/* Not inlined, also not at link time: a dump names the call that a goroutine waits in. */
noinline void weir_chan_send(weir_chan *c, const void *elem, size_t size)
{
        struct g *g = weir__sched_need_g("weir_chan_send"), *wake;

        if (unlikely(!c))
                wait_for_ever(g, WHY_SEND_NIL);
        if (unlikely(size != c->elem_size)) {
                if (!weir__chan_is_traced(c, size))
                        weir__chan_size_mismatch(c, size, "weir_chan_send");
                weir__chan_send_traced(c, elem);
                return;
        }
        lock_take(&c->lock);
        if (unlikely(c->closed)) {
                lock_drop(&c->lock);
                weir__chan_panic_closed(c);
        }
        if (likely(chan_try_send(c, elem, &wake))) {
                weir__chan_check(c);
                lock_drop(&c->lock);
                if (wake)
                        weir__sched_ready(wake);
                return;
        }
        if (!wait_in(c, &c->senders, g, (void *)(uintptr_t)elem, WHY_SEND))
                weir__chan_panic_closed(c);
}

noinline bool weir_chan_recv(weir_chan *c, void *elem, size_t size)
{
        struct g *g = weir__sched_need_g("weir_chan_recv"), *wake;
        bool      ok;

        if (unlikely(!c))
                wait_for_ever(g, WHY_RECV_NIL);
        if (unlikely(size != c->elem_size)) {
                if (c->traced && (weir__chan_is_traced(c, size) || (!elem && !size)))
                        return weir__chan_recv_traced(c, elem, size);
                if (elem || size)
                        weir__chan_size_mismatch(c, size, "weir_chan_recv");
        } else if (unlikely(!elem && size)) {
                weir__panic("weir_chan_recv: a NULL element; use size 0 to drop the element");
        }
        lock_take(&c->lock);
        if (likely(chan_try_recv(c, elem, &ok, &wake))) {
                weir__chan_check(c);
                lock_drop(&c->lock);
                if (wake)
                        weir__sched_ready(wake);
                return ok;
        }
        ok = wait_in(c, &c->receivers, g, elem, WHY_RECV);
        keep_frame();
        return ok;
}

noinline bool weir_chan_try_send(weir_chan *c, const void *elem, size_t size)
{
        struct g *wake;
        bool      sent;

        if (!c)
                return false;
        if (unlikely(size != c->elem_size)) {
                if (!weir__chan_is_traced(c, size))
                        weir__chan_size_mismatch(c, size, "weir_chan_try_send");
                return weir__chan_try_send_traced(c, elem);
        }
        if (unlikely(!weir__sched_g()))
                weir__sched_need_runtime("weir_chan_try_send");
        lock_take(&c->lock);
        if (unlikely(c->closed)) {
                lock_drop(&c->lock);
                weir__chan_panic_closed(c);
        }
        sent = chan_try_send(c, elem, &wake);
        lock_drop(&c->lock);
        if (sent && wake)
                weir__sched_ready(wake);
        return sent;
}

/* Takes every waiter out of q, telling it of the close. */
static void wake_all(struct weir_chan *c, struct waitq *q, bool zero, struct glist *l)
{
        struct waiter *w;

        while ((w = weir__waitq_take(q))) {
                if (zero && w->elem)
                        memset(w->elem, 0, c->elem_size);
                w->ok = false;
                weir__glist_push(l, w->g);
        }
}

void weir_chan_close(weir_chan *c)
{
        struct glist l = { 0 };
        struct g    *next;

        weir__sched_need_g("weir_chan_close");
        if (!c)
                weir__panic("close of a NULL channel");
        lock_take(&c->lock);
        if (c->closed) {
                lock_drop(&c->lock);
                weir__panic("close of closed channel %p", (void *)c);
        }
        store_release(&c->closed, (uint16_t)1);
        wake_all(c, &c->receivers, true, &l);
        wake_all(c, &c->senders, false, &l);
        lock_drop(&c->lock);
        for (struct g *g = l.first; g; g = next) {
                next = g->next;
                weir__sched_ready(g);
        }
}

size_t weir_chan_len(const weir_chan *c)
{
        return c ? load_relaxed(&c->count) : 0;
}

size_t weir_chan_cap(const weir_chan *c)
{
        return c ? c->cap : 0;
}

bool weir_chan_closed(const weir_chan *c)
{
        return c && load_acquire(&c->closed);
}
