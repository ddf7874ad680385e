/* Channels: what chan.c and select.c share. */
#ifndef WEIR_CHAN_CHAN_H
#define WEIR_CHAN_CHAN_H

#include "base/lock.h"
#include "sched/sched.h"
#include <weir/chan.h>

/* One goroutine's wait on one channel, a record on its stack. A select has one per case.
 *
 *   QUEUED  in the list of chan, owned by chan->lock
 *   TAKEN   out of the list; owned by the waker that took it there, until it readies the goroutine
 *   DONE    owned by its goroutine again
 *
 *   QUEUED -> TAKEN   a waker with the lock; for a select only the one that wins select->winner
 *   TAKEN -> DONE     weir__sched_ready by that waker
 *   QUEUED -> DONE    its own select, with the lock, when another case won */
struct waiter {
        struct waiter *next, *prev;     /* lock: chan */
        struct g      *g;               /* const */
        void          *elem;            /* const; what it points to is the waker's while TAKEN */
        struct select *select;          /* const: NULL for a plain send or receive */
        uint32_t       index;           /* const: of the case */
        bool           ok;              /* waker: an element was handed over, not a close */
};

/* A select that waits. */
struct select {
        uint32_t winner;                /* atomic: index of the case that won, SELECT_OPEN before */
};

#define SELECT_OPEN UINT32_MAX

struct waitq {
        struct waiter *first;           /* atomic: select peeks at it without the lock */
        struct waiter *last;
};

struct weir_chan {
        /* The line that every operation touches. */
        struct lock   lock;
        uint32_t      elem_size;        /* const */
        uint16_t      closed;           /* atomic; lock: own to write */
        uint16_t      traced;           /* const: elements are longer by a trace; see traced.c */
        size_t        count;            /* atomic; lock: own to write: elements in the buffer */
        size_t        cap;              /* const */
        size_t        head;             /* lock: own: index of the oldest */
        struct waitq  receivers;        /* lock: own; empty unless the buffer is */
        struct waitq  senders;          /* lock: own; empty unless the buffer is full */

        char buf[] __attribute__((aligned(CACHE_LINE)));        /* cap * elem_size bytes */
};

/* The debug build checks after each operation: count <= cap; receivers wait only when count is 0,
 * senders only when it is cap. (Select waiters that lost may stand in either list for a moment.) */
void weir__chan_check(const struct weir_chan *c);

/* Panics unless an element of size bytes fits c. */
void weir__chan_size_mismatch(const struct weir_chan *c, size_t size, const char *call) slowpath;
_Noreturn void weir__chan_panic_closed(struct weir_chan *c) slowpath;

/* ---- traced.c: channels whose elements bring the sender's trace along ---- */

enum { TRACE_BYTES = 3 * sizeof(uint64_t) };

/* Whether c is such a channel, of elements of size bytes to its users. */
static inline bool weir__chan_is_traced(const struct weir_chan *c, size_t size)
{
        return c->traced && size + TRACE_BYTES == c->elem_size;
}

void weir__chan_send_traced(struct weir_chan *c, const void *elem) slowpath;
bool weir__chan_recv_traced(struct weir_chan *c, void *elem, size_t size) slowpath;
bool weir__chan_try_send_traced(struct weir_chan *c, const void *elem) slowpath;
int  weir__chan_select_traced(const weir_case *cases, size_t n) slowpath;

void           weir__waitq_push(struct waitq *q, struct waiter *w);
void           weir__waitq_remove(struct waitq *q, struct waiter *w);
struct waiter *weir__waitq_take(struct waitq *q);       /* the first that can be won, or NULL */

static inline void chan_copy(void *to, const void *from, uint32_t size)
{
        if (likely(size == 8))
                memcpy(to, from, 8);
        else if (size == 4)
                memcpy(to, from, 4);
        else if (size == 16)
                memcpy(to, from, 16);
        else if (size)
                memcpy(to, from, size);
}

static inline char *chan_slot(struct weir_chan *c, size_t at)
{
        return c->buf + at * c->elem_size;
}

static inline size_t chan_wrap(const struct weir_chan *c, size_t at)
{
        return at >= c->cap ? at - c->cap : at;
}

static inline void chan_put(struct weir_chan *c, const void *elem)
{
        chan_copy(chan_slot(c, chan_wrap(c, c->head + c->count)), elem, c->elem_size);
        store_relaxed(&c->count, c->count + 1);
}

static inline void chan_get(struct weir_chan *c, void *elem)
{
        char *slot = chan_slot(c, c->head);

        if (elem)
                chan_copy(elem, slot, c->elem_size);
        /* What was in a slot must not keep anything alive that it points to. */
        if (likely(c->elem_size == 8))
                memset(slot, 0, 8);
        else if (c->elem_size > 8)
                memset(slot, 0, c->elem_size);
        c->head = chan_wrap(c, c->head + 1);
        store_relaxed(&c->count, c->count - 1);
}

/* One try of an operation, with the lock held. They answer whether it is done; *ret_wake is then a
 * goroutine to ready after the lock is dropped, or NULL. */
static inline bool chan_try_send(struct weir_chan *c, const void *elem, struct g **ret_wake)
{
        struct waiter *w;

        if (c->receivers.first && (w = weir__waitq_take(&c->receivers))) {
                if (w->elem)
                        chan_copy(w->elem, elem, c->elem_size);
                w->ok = true;
                *ret_wake = w->g;
                return true;
        }
        *ret_wake = NULL;
        if (c->count == c->cap)
                return false;
        chan_put(c, elem);
        return true;
}

static inline bool chan_try_recv(struct weir_chan *c, void *elem, bool *ret_ok,
                                 struct g **ret_wake)
{
        struct waiter *w;

        *ret_wake = NULL;
        if (c->count) {
                chan_get(c, elem);
                if (c->senders.first && (w = weir__waitq_take(&c->senders))) {
                        chan_put(c, w->elem);
                        w->ok = true;
                        *ret_wake = w->g;
                }
                *ret_ok = true;
                return true;
        }
        if (c->senders.first && (w = weir__waitq_take(&c->senders))) {
                if (elem)
                        chan_copy(elem, w->elem, c->elem_size);
                w->ok = true;
                *ret_wake = w->g;
                *ret_ok = true;
                return true;
        }
        if (!c->closed)
                return false;
        if (elem)
                memset(elem, 0, c->elem_size);
        *ret_ok = false;
        return true;
}

#endif
