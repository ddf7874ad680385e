/* weir/time.h: durations, the clock, sleep and timers.
 *
 * Time is counted in nanoseconds of the monotonic clock, which no administrator sets back. A
 * sleeping goroutine costs its stack and an entry in a heap; a million of them is normal load.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *
 *         static void ring(void *arg)
 *         {
 *                 weir_chan *rung = arg;
 *                 int        one = 1;
 *
 *                 weir_send(rung, &one);
 *         }
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_chan  *rung = weir_chan_make(int, 0);
 *                 weir_time   start = weir_now();
 *                 weir_timer *t = weir_timer_start(20 * WEIR_MILLISECOND, 0, ring, rung);
 *                 int         v;
 *
 *                 weir_recv(rung, &v);
 *                 printf("rang after %d ms\n", (int)((weir_now() - start) / WEIR_MILLISECOND));
 *                 return weir_timer_stop(t);
 *         }
 */
#ifndef WEIR_TIME_H
#define WEIR_TIME_H

#include <weir/base.h>

WEIR_DECLS_BEGIN

#define WEIR_NANOSECOND  INT64_C(1)
#define WEIR_MICROSECOND (1000 * WEIR_NANOSECOND)
#define WEIR_MILLISECOND (1000 * WEIR_MICROSECOND)
#define WEIR_SECOND      (1000 * WEIR_MILLISECOND)

typedef int64_t weir_duration;  /* nanoseconds */
typedef int64_t weir_time;      /* nanoseconds on the monotonic clock */

typedef struct weir_timer weir_timer;

/* Returns the present time.
 *
 * Parks: no.  From: any thread, signal handler.  Fails: never.  Panics: never. */
WEIR_API weir_time weir_now(void);

/* Lets at least d pass.
 *
 * A duration of 0 or less returns at once.
 *
 * Parks: until d has passed.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API void weir_sleep(weir_duration d);

/* Calls fn(arg) after a time, and then once per period if the period is greater than 0.
 *
 * Each call runs on a goroutine of its own and may park. A tick that comes due while the call
 * before it still runs is dropped. arg is the caller's and must last until the timer has run or was
 * stopped; collected memory does by itself. The timer is a collected object: nobody frees it, and
 * an armed one stays alive though nobody points to it.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: fn is NULL. */
WEIR_API weir_timer *weir_timer_start(weir_duration after, weir_duration period,
                                      void (*fn)(void *arg), void *arg);

/* Stops t; true means that fn will not run any more.
 *
 * False means that it has run (and had no period), is running at this moment or was stopped before.
 * A stopped timer with a period makes no further ticks, even when a call still runs. NULL is
 * accepted and returns false.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API bool weir_timer_stop(weir_timer *t);

WEIR_DECLS_END

#endif
