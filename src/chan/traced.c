/* Channels that hand the sender's trace to the receiver, with each element.
 *
 * What    Such a channel is one of longer elements, which end with the trace. Its users name the
 *         shorter size: so the one comparison by which every operation checks the size sends them
 *         here, and other channels pay nothing. Here the element is put together with the trace,
 *         or taken apart, around the usual operation.
 * Cost    Two more copies of the element, of at most 4 KiB.
 * Not     A test in each operation. The traces in an array beside the buffer: a hand-off from
 *         goroutine to goroutine, and select, would each need it too. */
#include "chan/chan.h"
#include "ctx/ctx.h"
#include <stdlib.h>

static size_t user_size(const struct weir_chan *c)
{
        return c->elem_size - TRACE_BYTES;
}

static void pack(const struct weir_chan *c, char *to, const void *elem)
{
        uint64_t trace[3];

        weir__sched_trace_take(trace);
        if (elem)
                memcpy(to, elem, user_size(c));
        memcpy(to + user_size(c), trace, sizeof trace);
}

/* Of a closed and empty channel the trace is left alone. */
static void unpack(const struct weir_chan *c, const char *from, void *elem, bool ok)
{
        uint64_t trace[3];

        if (elem)
                memcpy(elem, from, user_size(c));
        memcpy(trace, from + user_size(c), sizeof trace);
        if (ok)
                weir__sched_trace_put(trace);
}

void weir__chan_send_traced(struct weir_chan *c, const void *elem)
{
        char *packed = __builtin_alloca(c->elem_size);

        pack(c, packed, elem);
        weir_chan_send(c, packed, c->elem_size);
        keep_frame();
}

bool weir__chan_try_send_traced(struct weir_chan *c, const void *elem)
{
        char *packed = __builtin_alloca(c->elem_size);

        pack(c, packed, elem);
        return weir_chan_try_send(c, packed, c->elem_size);
}

bool weir__chan_recv_traced(struct weir_chan *c, void *elem, size_t size)
{
        char *packed = __builtin_alloca(c->elem_size);
        bool  ok;

        if (!elem && size)
                weir__panic("weir_chan_recv: a NULL element; use size 0 to drop the element");
        ok = weir_chan_recv(c, packed, c->elem_size);
        unpack(c, packed, elem, ok);
        return ok;
}

static bool takes_part(const weir_case *k)
{
        return (k->op == WEIR_OP_SEND || k->op == WEIR_OP_RECV) && k->chan &&
               (weir__chan_is_traced(k->chan, k->size) || (k->chan->traced && !k->size));
}

/* The same cases, with longer elements. A panic inside leaves the memory behind, as in select.c. */
int weir__chan_select_traced(const weir_case *cases, size_t n)
{
        size_t     bytes = n * sizeof *cases;
        weir_case *own;
        char      *elem;
        bool       ok = false;
        int        i;

        for (size_t k = 0; k < n; k++)
                if (takes_part(&cases[k]))
                        bytes += cases[k].chan->elem_size;
        own = malloc(bytes);
        if (!own)
                weir__panic("weir_select: no memory for %zu cases", n);
        elem = (char *)(own + n);
        for (size_t k = 0; k < n; k++) {
                own[k] = cases[k];
                if (!takes_part(&cases[k]))
                        continue;
                own[k].elem = elem;
                own[k].size = cases[k].chan->elem_size;
                own[k].ok = &ok;
                if (cases[k].op == WEIR_OP_SEND)
                        pack(cases[k].chan, elem, cases[k].elem);
                elem += own[k].size;
        }
        i = weir_select_n(own, n);
        if (takes_part(&cases[i]) && cases[i].op == WEIR_OP_RECV) {
                unpack(cases[i].chan, own[i].elem, cases[i].elem, ok);
                if (cases[i].ok)
                        *cases[i].ok = ok;
        }
        free(own);
        return i;
}
