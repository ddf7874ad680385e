/* weir/chan.h: channels and select.
 *
 * A channel carries values of one size from goroutine to goroutine, in order. With a capacity of 0
 * sender and receiver meet: the send returns when somebody has taken the value. With a larger one
 * that many values wait in between. Closing says "no more": what was sent is still delivered.
 * Values are copied; a pointer in a value hands over what it points to.
 *
 * A channel is a collected object (weir/gc.h): nobody frees it, and it stays valid as long as
 * anybody can name it. What waits in its buffer is kept as long. It need not be closed to go.
 *
 * NULL is a channel on which nothing ever happens: send and receive park for ever, select never
 * chooses it, its length and capacity are 0.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *
 *         weir_task(count, my, { weir_chan *out; int upto; })
 *         {
 *                 for (int i = 1; i <= my->upto; i++)
 *                         weir_send(my->out, &i);
 *                 weir_chan_close(my->out);
 *         }
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_chan *numbers = weir_chan_make(int, 4);
 *                 int        sum = 0;
 *
 *                 weir_go(count, .out = numbers, .upto = 10);
 *                 for (;;) {
 *                         enum { NUMBER, STALLED };
 *                         int  v;
 *                         bool open;
 *
 *                         switch (weir_select([NUMBER]  = weir_on_recv(numbers, &v, &open),
 *                                             [STALLED] = weir_on_timeout(2 * WEIR_SECOND))) {
 *                         case NUMBER:
 *                                 if (!open) {
 *                                         printf("%d\n", sum);
 *                                         return sum != 55;
 *                                 }
 *                                 sum += v;
 *                                 break;
 *                         case STALLED:
 *                                 return 1;
 *                         }
 *                 }
 *         }
 */
#ifndef WEIR_CHAN_H
#define WEIR_CHAN_H

#include <weir/base.h>
#include <weir/time.h>

WEIR_DECLS_BEGIN

typedef struct weir_chan weir_chan;

/* ---- channels ---- */

/* Makes a channel for elements of elem_size bytes, of which cap fit in before a sender parks.
 *
 * The size may be 0 and is below 64 KiB: what is larger goes by pointer. The capacity is limited by
 * memory alone.
 *
 * Parks: no.  From: goroutine.  Fails: never (no memory ends the program).
 * Panics: elem_size of 64 KiB or more; elem_size * cap overflows. */
WEIR_API weir_chan *weir_chan_new(size_t elem_size, size_t cap);

/* Zero is the default. */
typedef struct weir_chan_options {
        bool     traced;        /* who receives an element works for the sender's trace from then
                                 * on (weir/trace.h); elements below 4 KiB */
        uint64_t reserved[4];
} weir_chan_options;

/* The same with options.
 *
 * Parks: no.  From: goroutine.  Fails: never.
 * Panics: as weir_chan_new; traced elements of 4 KiB or more. */
WEIR_API weir_chan *weir_chan_new_with(size_t elem_size, size_t cap, const weir_chan_options *opt);

/* The same for elements of type T. */
#define weir_chan_make(T, cap) weir_chan_new(sizeof(T), (cap))

/* The same for elements that hold no pointers to collected memory: the collector does not look into
 * the buffer. */
WEIR_API weir_chan *weir_chan_new_plain(size_t elem_size, size_t cap);
#define weir_chan_make_plain(T, cap) weir_chan_new_plain(sizeof(T), (cap))

/* Sends the element of size bytes at elem.
 *
 * Waiting senders are served first come, first served.
 *
 * Parks: until a receiver or the buffer has taken it; for ever if c is NULL.  From: goroutine.
 * Fails: never.  Panics: c is closed, before or during the wait; size differs from the channel's.
 * */
WEIR_API void weir_chan_send(weir_chan *c, const void *elem, size_t size);

/* Sends *ptr; see weir_chan_send. */
#define weir_send(c, ptr) weir_chan_send((c), (ptr), sizeof *(ptr))

/* Receives the next element of c into the size bytes at elem; false: closed, and nothing left.
 *
 * Elements sent before the close are still delivered; after the last one every receive returns
 * false at once and zeroes the element. weir_chan_recv(c, NULL, 0) takes one element and drops it.
 * Waiting receivers are served first come, first served.
 *
 * Parks: until an element or the close; for ever if c is NULL.  From: goroutine.  Fails: never.
 * Panics: size differs from the channel's. */
WEIR_API bool weir_chan_recv(weir_chan *c, void *elem, size_t size);

/* Receives into *ptr; see weir_chan_recv. */
#define weir_recv(c, ptr) weir_chan_recv((c), (ptr), sizeof *(ptr))

/* Sends if that is possible without waiting; false: it would park, or c is NULL.
 *
 * This is how a thread that runs no goroutine feeds one.
 *
 * Parks: no.  From: any thread.  Fails: never.
 * Panics: c is closed; size differs from the channel's. */
WEIR_API bool weir_chan_try_send(weir_chan *c, const void *elem, size_t size);

/* Closes c: every receiver wakes once the elements are gone, every waiting sender panics.
 *
 * Closing is for senders, and needed only where a receiver wants to know that no more comes.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: c is NULL or was closed before. */
WEIR_API void weir_chan_close(weir_chan *c);

/* Returns how many elements wait in the buffer; 0 for NULL.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API size_t weir_chan_len(const weir_chan *c);

/* Returns how many elements fit into the buffer; 0 for NULL.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API size_t weir_chan_cap(const weir_chan *c);

/* Says whether c was closed; elements may still wait in it. False for NULL.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API bool weir_chan_closed(const weir_chan *c);

/* ---- select ---- */

enum { WEIR_OP_NONE, WEIR_OP_RECV, WEIR_OP_SEND, WEIR_OP_TIMEOUT, WEIR_OP_DEFAULT, WEIR_OP_DONE };

/* One thing that a select can wait for; written with weir_on_recv and its like. */
typedef struct weir_case {
        int           op;       /* WEIR_OP_*; an all-zero case is a mistake and panics */
        weir_chan    *chan;
        void         *elem;     /* NULL with size 0 for a receive: the element is dropped */
        size_t        size;
        bool         *ok;       /* NULL, or gets what weir_chan_recv would have returned */
        weir_duration timeout;
        weir_ctx     *ctx;
} weir_case;

/* Waits until one of n cases can go on, does that one, and returns its index.
 *
 * Among the cases that are ready the choice is random, each as likely as the other. A default, and
 * a timeout of 0 or less, is taken only when none is ready. Of several timeouts the shortest
 * counts, of equal ones the first. NULL channels and contexts are never ready; no case at all parks
 * for ever. The cases are read only before the return; elem and ok are the caller's, and only those
 * of the chosen case are written.
 *
 * Parks: until a case is ready, unless there is a default.  From: goroutine.  Fails: never.
 * Panics: an empty case (WEIR_OP_NONE) or an unknown one, two defaults, an element size that
 * differs from the channel's, a context that weir did not make, a chosen send on a closed
 * channel. */
WEIR_API int weir_select_n(const weir_case *cases, size_t n);

/* One operation beside a default: does it if it need not wait. op is WEIR_OP_RECV or WEIR_OP_SEND;
 * the rest is as in a weir_case. weir_select comes here where the compiler knows that it is such a
 * pair. 0: done; 1: it would have to wait.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: as weir_select_n. */
WEIR_API int weir_select_one(int op, weir_chan *c, void *elem, size_t size, bool *ok);

/* On by: a C compiler. C++ fills an array and calls weir_select_n. */
#ifndef __cplusplus

/* The same with the cases written out, named by an enum so that the order does not matter:
 *
 *         enum { JOB, QUIT };
 *
 *         switch (weir_select([JOB]  = weir_on_recv(jobs, &job, &open),
 *                             [QUIT] = weir_on_recv(quit, &sig, NULL))) {
 *         case JOB:
 *                 ...
 */
#define weir_select(...)                                                                \
        weir_select_((const weir_case[]){ __VA_ARGS__ },                                \
                     sizeof((const weir_case[]){ __VA_ARGS__ }) / sizeof(weir_case))

static inline WEIR_ALWAYS_INLINE int weir_select_(const weir_case *cases, size_t n)
{
        if (__builtin_constant_p(n == 2 && cases[1].op == WEIR_OP_DEFAULT &&
                                 (cases[0].op == WEIR_OP_RECV || cases[0].op == WEIR_OP_SEND)) &&
            n == 2 && cases[1].op == WEIR_OP_DEFAULT &&
            (cases[0].op == WEIR_OP_RECV || cases[0].op == WEIR_OP_SEND))
                return weir_select_one(cases[0].op, cases[0].chan, cases[0].elem, cases[0].size,
                                       cases[0].ok);
        return weir_select_n(cases, n);
}

#endif

/* Receive from c into *ptr; *okp, unless okp is NULL, tells whether it is an element. */
#define weir_on_recv(c, ptr, okp) \
        { .op = WEIR_OP_RECV, .chan = (c), .elem = (ptr), .size = sizeof *(ptr), .ok = (okp) }

/* Send *ptr on c. */
#define weir_on_send(c, ptr) \
        { .op = WEIR_OP_SEND, .chan = (c), .elem = (void *)(ptr), .size = sizeof *(ptr) }

/* Nothing else was ready for the duration d. */
#define weir_on_timeout(d) { .op = WEIR_OP_TIMEOUT, .timeout = (d) }

/* Nothing else is ready now. */
#define weir_on_default() { .op = WEIR_OP_DEFAULT }

/* The context x has ended. */
#define weir_on_done(x) { .op = WEIR_OP_DONE, .ctx = (x) }

WEIR_DECLS_END

#endif
