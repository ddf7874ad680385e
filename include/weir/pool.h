/* weir/pool.h: objects that are used again instead of being made anew.
 *
 * A pool keeps objects that are not in use for whoever needs one next. It is for what many
 * goroutines need for a short time each and what is dear to make: buffers, parsers. Each processor
 * has its own, so that neither call waits for another.
 *
 * What nobody took for two collections is dropped: a pool is no place to keep things. An object may
 * go to any goroutine, and says nothing of who had it before: it is reset when it is put back. A
 * pool may hold collected objects, and those of malloc; the latter need a `destroy`, or those that
 * are dropped are lost.
 *
 * A weir_pool is a plain struct: the members without an underscore are set once, before it is used;
 * zero is a pool that makes nothing. Until weir_pool_close its memory may not move.
 *
 * WEIR_DEBUG=poolpoison=1 looks for mistakes: an object in the pool is overwritten, and one that
 * was written to meanwhile ends the program when it is taken or dropped; so does one that is put
 * back twice. With `size`, also one whose first `size` bytes are not, after reset, what those of a
 * newly made one are: a reset that is missing, or forgets a member. What a reset leaves as it is,
 * such as a buffer that keeps its memory, goes behind them.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *         #include <stdlib.h>
 *
 *         struct text {
 *                 size_t len;
 *                 char   bytes[1000];
 *         };
 *
 *         static void *make(void *arg)
 *         {
 *                 (void)arg;
 *                 return weir_new_bytes(sizeof(struct text));
 *         }
 *
 *         static void reset(void *obj, void *arg)
 *         {
 *                 (void)arg;
 *                 ((struct text *)obj)->len = 0;
 *         }
 *
 *         static weir_pool texts = { .make = make, .reset = reset, .size = sizeof(size_t) };
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 struct text *t = weir_pool_get(&texts);
 *                 bool         fresh = t->len == 0;
 *
 *                 t->bytes[t->len++] = 'x';
 *                 weir_pool_put(&texts, t);
 *                 t = weir_pool_get(&texts);
 *                 return fresh && t->len == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
 *         }
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <weir/base.h>

WEIR_DECLS_BEGIN

/* The functions are called with `arg`, by the goroutine that gets or puts, and may park; destroy by
 * one of the runtime's, some time after a collection, for many objects in a row. */
typedef struct weir_pool {
        void   *(*make)(void *arg);             /* NULL: an empty pool gives NULL */
        void    (*reset)(void *obj, void *arg); /* by weir_pool_put */
        void    (*destroy)(void *obj, void *arg);
        void     *arg;
        size_t    size;                         /* bytes that are as new after reset; 0: not said */
        uint64_t  state_[3];
} weir_pool;

/* Takes an object that was put back, or makes one. It is the caller's alone, until it puts it back;
 * what was done before the put is seen.
 *
 * Parks: no, but if make does.  From: goroutine.  Fails: never.
 * Panics: with poolpoison, the object was written to while it was in the pool. */
WEIR_API void *weir_pool_get(weir_pool *p);

/* Resets obj and gives it to p, also when it is from elsewhere. NULL is fine.
 *
 * Parks: no, but if reset does.  From: goroutine.  Fails: never.
 * Panics: with poolpoison, obj is in the pool already, or not as new after its reset. */
WEIR_API void weir_pool_put(weir_pool *p, void *obj);

/* Gives p up: it is as it was before its first use, and what it held is dropped at the next
 * collection. Nobody may be using it. A pool that lives as long as the program needs no close.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API void weir_pool_close(weir_pool *p);

WEIR_DECLS_END

#endif
