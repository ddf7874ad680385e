/* weir/trace.h: the trace that a goroutine works for.
 *
 * A request that goes through many goroutines, and through other programs, has one number by which
 * its lines in logs and dumps are found: the trace id, 128 bits, with the number of the present
 * step beside it, the span. Whoever takes the request in sets it; goroutines that are started from
 * there on inherit it: by weir_go and its like, by timers, by functions of a context. A channel
 * that was made with the option `traced` hands the sender's on to the receiver. weir_dump shows it.
 *
 * All zero means none.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *
 *         weir_task(work, my, { weir_trace_id expected; weir_chan *same; })
 *         {
 *                 weir_trace_id id = weir_trace_id_get();
 *                 bool          same = id.high == my->expected.high && id.low == my->expected.low;
 *
 *                 weir_send(my->same, &same);
 *         }
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 const char   *header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
 *                 weir_chan    *answers = weir_chan_make(bool, 0);
 *                 weir_trace_id id;
 *                 bool          same;
 *
 *                 if (weir_trace_id_parse(header, &id) == 0)
 *                         weir_trace_id_set(id);
 *                 weir_go(work, .expected = id, .same = answers);
 *                 weir_recv(answers, &same);
 *                 return !same;
 *         }
 */
#ifndef WEIR_TRACE_H
#define WEIR_TRACE_H

#include <weir/base.h>

WEIR_DECLS_BEGIN

typedef struct weir_trace_id {
        uint64_t high, low;     /* the trace */
        uint64_t span;          /* the step of it that this goroutine does */
} weir_trace_id;

/* Returns the calling goroutine's; none on a thread that runs no goroutine.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API weir_trace_id weir_trace_id_get(void);

/* Sets the calling goroutine's, for itself and for what it starts from now on.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API void weir_trace_id_set(weir_trace_id id);

/* Sets a new trace and a new span, both random, and returns them.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API weir_trace_id weir_trace_id_new(void);

/* Sets a new random span of the same trace (of a new one if there is none), and returns it.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API weir_trace_id weir_trace_id_span(void);

/* Writes id as the header `traceparent` of W3C's Trace Context, 55 characters and a zero, and
 * returns 55.
 *
 * Parks: no.  From: any thread.  Fails: -ENOBUFS (size below 56).  Panics: never. */
WEIR_API int weir_trace_id_format(weir_trace_id id, char *ret, size_t size);

/* Reads such a header.
 *
 * Parks: no.  From: any thread.  Fails: -EINVAL (it is none, or all zero).  Panics: never. */
WEIR_API int weir_trace_id_parse(const char *text, weir_trace_id *ret);

WEIR_DECLS_END

#endif
