/* weir/limiter.h: how often something may happen.
 *
 * A limiter is a bucket of tokens that fills at a steady rate up to its size, the burst. What
 * happens takes a token, or several. Where there are none, one may go without (weir_limiter_allow),
 * wait for them (weir_limiter_wait), or take them in advance and learn when they will be there
 * (weir_limiter_reserve). Who waits is served in the order of coming.
 *
 * A weir_limiter is a plain struct; a zero one has no tokens and never gets any.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *         #include <stdlib.h>
 *
 *         static weir_limiter limit = WEIR_LIMITER(1000.0, 5);
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_time start = weir_now();
 *                 int       at_once = 0;
 *
 *                 while (weir_limiter_allow(&limit, 1))
 *                         at_once++;
 *                 for (int i = 0; i < 10; i++)
 *                         weir_limiter_wait(&limit, 1);
 *                 return at_once >= 5 && weir_now() - start >= 9 * WEIR_MILLISECOND ? EXIT_SUCCESS
 *                                                                                   : EXIT_FAILURE;
 *         }
 */
#ifndef WEIR_LIMITER_H
#define WEIR_LIMITER_H

#include <weir/base.h>
#include <weir/time.h>

WEIR_DECLS_BEGIN

typedef struct weir_limiter {
        double   rate_;
        uint64_t burst_;
        double   missing_;
        int64_t  at_, last_;
        uint32_t lock_, place_;
} weir_limiter;

/* Tokens a second, and how many there are at most; it begins with so many. WEIR_RATE_MAX: as many
 * as one likes. */
#define WEIR_LIMITER(rate, burst) { (rate), (burst), 0.0, 0, 0, 0, 0 }
#define WEIR_RATE_MAX             1e300

/* Tokens taken in advance. */
typedef struct weir_reservation {
        weir_limiter *limiter;
        uint64_t      n;
        weir_time     at;               /* when they are there, not sooner */
        weir_time     made_;
        double        rate_;
} weir_reservation;

/* Whether there are n tokens, which it takes then.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API bool weir_limiter_allow(weir_limiter *l, uint64_t n);

/* Takes n tokens, those to come if need be, and stores in *ret when they are there: now or later.
 *
 * Parks: no.  From: any thread.  Fails: WEIR_ELIMIT (n is more than the burst, or the rate is 0 and
 * there are too few).  Panics: never. */
WEIR_API int weir_limiter_reserve(weir_limiter *l, uint64_t n, weir_reservation *ret);

/* Gives back what was reserved, as far as nobody reserved later ones on top; nothing once they
 * were there. Once at most.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API void weir_limiter_cancel(const weir_reservation *r);

/* Takes n tokens and waits until they are there.
 *
 * Parks: until then.  From: goroutine.  Fails: WEIR_ELIMIT as weir_limiter_reserve.
 * Panics: never. */
WEIR_API int weir_limiter_wait(weir_limiter *l, uint64_t n);

/* The same; takes none and fails at once if they will not be there by the moment `deadline`.
 *
 * Parks: until they are there.  From: goroutine.  Fails: WEIR_ETIMEOUT, WEIR_ELIMIT.
 * Panics: never. */
WEIR_API int weir_limiter_wait_until(weir_limiter *l, uint64_t n, weir_time deadline);

/* Sets the rate or the burst from now on; what is reserved stays as it is. A rate that is negative
 * or no number counts as 0.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API void weir_limiter_set_rate(weir_limiter *l, double rate);
WEIR_API void weir_limiter_set_burst(weir_limiter *l, uint64_t burst);

/* How many tokens there are now; negative: so many are taken in advance.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API double weir_limiter_tokens(weir_limiter *l);

WEIR_DECLS_END

#endif
