/* Who waits on a channel: first come, first served. */
#include "chan/chan.h"

void weir__waitq_push(struct waitq *q, struct waiter *w)
{
        w->next = NULL;
        w->prev = q->last;
        if (q->last)
                q->last->next = w;
        else
                store_relaxed(&q->first, w);
        q->last = w;
}

void weir__waitq_remove(struct waitq *q, struct waiter *w)
{
        if (w->prev)
                w->prev->next = w->next;
        else if (q->first == w)
                store_relaxed(&q->first, w->next);
        else
                return;                         /* taken already */
        if (w->next)
                w->next->prev = w->prev;
        else
                q->last = w->prev;
        w->next = w->prev = NULL;
}

struct waiter *weir__waitq_take(struct waitq *q)
{
        struct waiter *w;

        while ((w = q->first)) {
                uint32_t open = SELECT_OPEN;

                store_relaxed(&q->first, w->next);
                if (w->next)
                        w->next->prev = NULL;
                else
                        q->last = NULL;
                w->next = w->prev = NULL;
                /* Another channel may have won this select; then it no longer waits here. */
                if (!w->select || cas_seq(&w->select->winner, &open, w->index))
                        return w;
        }
        return NULL;
}
