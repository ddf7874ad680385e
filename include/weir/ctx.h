/* weir/ctx.h: contexts, which tell goroutines that their work is no longer wanted.
 *
 * A context is handed from caller to callee, first argument by custom, and ends once: when it is
 * cancelled, when its deadline passes, or when the context that it was derived from ends. What
 * waits names it: weir_on_done in a select, weir_ctx_sleep, weir_sema_acquire_ctx, the option ctx
 * of weir/net.h; what computes asks weir_ctx_err now and then.
 *
 * Each call weir_ctx_with_... derives a context that can be ended by itself, from a parent that it
 * leaves alone. Contexts are collected: there is nothing to free, and one that is forgotten leaves
 * nothing behind (a timer at most, until it is due). Cancelling what is no longer needed is still
 * good manners: it stops what runs for it. WEIR_DEBUG=ctxtrace=1 reports those never cancelled.
 *
 * NULL is the background, which never ends and carries nothing.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *
 *         weir_task(search, my, { weir_ctx *ctx; int place; weir_chan *found; })
 *         {
 *                 if (weir_ctx_sleep(my->ctx, my->place * 10 * WEIR_MILLISECOND) == 0)
 *                         weir_send(my->found, &my->place);
 *         }
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_ctx  *ctx = weir_ctx_with_timeout(NULL, 5 * WEIR_SECOND);
 *                 weir_chan *found = weir_chan_make(int, 10);
 *                 int        place, first = -1;
 *
 *                 for (int i = 0; i < 10; i++)
 *                         weir_go(search, .ctx = ctx, .place = i, .found = found);
 *                 enum { FOUND, DONE };
 *                 switch (weir_select([FOUND] = weir_on_recv(found, &place, NULL),
 *                                     [DONE]  = weir_on_done(ctx))) {
 *                 case FOUND:
 *                         first = place;
 *                         weir_ctx_cancel(ctx);
 *                         break;
 *                 case DONE:
 *                         break;
 *                 }
 *                 printf("found at %d; the search %s\n", first,
 *                        weir_ctx_err(ctx) == WEIR_ECANCELED ? "was called off" : "took too long");
 *                 return first != 0;
 *         }
 */
#ifndef WEIR_CTX_H
#define WEIR_CTX_H

#include <weir/base.h>
#include <weir/time.h>

WEIR_DECLS_BEGIN

typedef struct weir_after weir_after;

/* ---- deriving ---- */

/* Returns the context that never ends and carries nothing; NULL stands for it in every call.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API weir_ctx *weir_ctx_background(void);

/* Returns a context that ends when it is cancelled or its parent ends.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: a parent that weir did not make. */
WEIR_API weir_ctx *weir_ctx_with_cancel(weir_ctx *parent);

/* The same, ended also by the moment `when`, with WEIR_ETIMEOUT. A parent's earlier deadline
 * counts; a moment that has passed makes a context that has ended.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: a parent that weir did not make. */
WEIR_API weir_ctx *weir_ctx_with_deadline(weir_ctx *parent, weir_time when);

/* The same, d from now.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: a parent that weir did not make. */
WEIR_API weir_ctx *weir_ctx_with_timeout(weir_ctx *parent, weir_duration d);

/* The same, `margin` before the parent's deadline: what is asked of a lower layer has to be back in
 * time for this one to answer. A parent without a deadline gives a context without one.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: a parent that weir did not make. */
WEIR_API weir_ctx *weir_ctx_with_timeout_margin(weir_ctx *parent, weir_duration margin);

/* Returns a context that carries value under key, and for the rest is as weir_ctx_with_cancel.
 *
 * A key is the address of a variable, best a static one of the file that knows the value's type:
 * nobody else can name it by accident, and two functions around it give the value its type. A
 * context carries small data of a request (its id, who asks), not what a function needs in order to
 * work. The value is kept alive if it is collected memory.
 *
 * Parks: no.  From: goroutine.  Fails: never.
 * Panics: key is NULL; a parent that weir did not make. */
WEIR_API weir_ctx *weir_ctx_with_value(weir_ctx *parent, const void *key, void *value);

/* Returns a context with the parent's values, which does not end when the parent does: for what has
 * to be done after a request was given up. It has no deadline; it can be cancelled by itself.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: a parent that weir did not make. */
WEIR_API weir_ctx *weir_ctx_without_cancel(weir_ctx *parent);

/* ---- ending ---- */

/* Ends ctx and all that is derived from it, unless they have ended. Whoever waits for one is ready
 * on return, and functions of weir_ctx_after are started. NULL is accepted.
 *
 * An end is for ever. Only who derived a context should cancel it.
 *
 * Parks: no, but lets others run now and then when there is much to end.  From: goroutine.
 * Fails: never.  Panics: ctx is the background, or weir did not make it. */
WEIR_API void weir_ctx_cancel(weir_ctx *ctx);

/* The same, and says why: a code of the caller's choice (0: WEIR_ECANCELED), and a sentence,
 * copied, or NULL. weir_ctx_err is WEIR_ECANCELED all the same. Of a context that has ended the
 * first reason stays.
 *
 * Parks, From, Fails, Panics: as weir_ctx_cancel. */
WEIR_API void weir_ctx_cancel_cause(weir_ctx *ctx, int cause, const char *message);

/* ---- asking ---- */

/* Returns 0, or why ctx ended: WEIR_ECANCELED, WEIR_ETIMEOUT.
 *
 * Parks: no.  From: any thread.  Fails: as said.  Panics: a context that weir did not make. */
WEIR_API int weir_ctx_err(const weir_ctx *ctx);

/* Returns 0, or what weir_ctx_cancel_cause was given, for ctx or for the one above whose end was
 * first; else the same as weir_ctx_err. *ret_message, unless ret_message is NULL, is then the
 * sentence given there, or that of the code; it lasts as long as something points to it.
 *
 * Parks: no.  From: any thread.  Fails: as said.  Panics: a context that weir did not make. */
WEIR_API int weir_ctx_cause(const weir_ctx *ctx, const char **ret_message);

/* Says whether ctx has a deadline, and stores it unless ret is NULL.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: a context that weir did not make. */
WEIR_API bool weir_ctx_deadline(const weir_ctx *ctx, weir_time *ret);

/* Returns what ctx, or the nearest above that has it, carries under key; NULL: nothing.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: a context that weir did not make. */
WEIR_API void *weir_ctx_value(const weir_ctx *ctx, const void *key);

/* Returns how many derivations ctx is away from the background. Each layer needs one; a metric,
 * ctx_depth, shows the deepest.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: a context that weir did not make. */
WEIR_API unsigned weir_ctx_depth(const weir_ctx *ctx);

/* ---- waiting ---- */

/* Waits until ctx ends, and returns why, as weir_ctx_err. In a select: weir_on_done(ctx).
 *
 * Parks: until the end; for ever if ctx is the background.  From: goroutine.
 * Fails: WEIR_ECANCELED, WEIR_ETIMEOUT.  Panics: a context that weir did not make. */
WEIR_API int weir_ctx_wait(weir_ctx *ctx);

/* Lets d pass, and returns 0; or returns early, with why ctx ended.
 *
 * Parks: until d has passed or ctx ends.  From: goroutine.  Fails: WEIR_ECANCELED, WEIR_ETIMEOUT.
 * Panics: a context that weir did not make. */
WEIR_API int weir_ctx_sleep(weir_ctx *ctx, weir_duration d);

/* ---- functions that run later ---- */

/* Calls fn(arg) on a goroutine of its own when ctx ends; at once if it has. The result is for
 * weir_after_stop and may be ignored. arg is kept alive, if it is collected memory, as long as ctx
 * is.
 *
 * Parks: no.  From: goroutine.  Fails: never.
 * Panics: fn is NULL; a context that weir did not make. */
WEIR_API weir_after *weir_ctx_after(weir_ctx *ctx, void (*fn)(void *arg), void *arg);

/* Calls fn(arg) after a time, and then once per period if that is greater than 0, as
 * weir_timer_start does, but not once ctx has ended: when weir_ctx_cancel has returned, fn does not
 * begin any more. (It may still run, if it had begun.)
 *
 * Parks: no.  From: goroutine.  Fails: never.
 * Panics: fn is NULL; a context that weir did not make. */
WEIR_API weir_after *weir_ctx_timer_start(weir_ctx *ctx, weir_duration after,
                                          weir_duration period, void (*fn)(void *arg), void *arg);

/* Stops a; true means that fn has not begun since the last time, and will not. NULL is accepted and
 * returns false.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API bool weir_after_stop(weir_after *a);

WEIR_DECLS_END

#endif
