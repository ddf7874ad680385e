/* The rate limiter: a bucket of tokens.
 *
 * What    How many tokens are missing from a full bucket, as of some moment; the rest follows from
 *         the rate. More may be missing than the bucket holds: they were taken in advance.
 * Shape   missing_, as of at_; last_, the moment of the latest reservation. Zero for missing_ is a
 *         full bucket, so that an initializer needs no clock.
 * Locks   a word, held for some tens of instructions.
 * Cost    One locked instruction and a look at the clock.
 * Not     golang.org/x/time/rate gives back on a cancel what later reservations have not taken,
 *         from the moment of the latest one; so does this. A goroutine that hands out tokens: a
 *         timer for each, also when nobody wants one. A leaky bucket with a queue: order follows
 *         from the moments already, as each reservation is for a later one than those before. */
#include "sync/sync.h"
#include "base/lock.h"
#include <weir/limiter.h>

static const double  second = 1e9;
static const int64_t never = INT64_MAX;

static bool unlimited(double rate)
{
        return rate >= 1e18;            /* a billion in a nanosecond */
}

/* With the lock: brings missing_ up to now. */
static void advance(weir_limiter *l, int64_t now)
{
        if (now <= l->at_)
                return;                 /* another one's clock was read later */
        if (l->rate_ > 0)
                l->missing_ -= (double)(now - l->at_) * l->rate_ / second;
        if (!(l->missing_ > 0))
                l->missing_ = 0;
        l->at_ = now;
}

/* Takes the lock, and the same. */
static void bring_up(weir_limiter *l, int64_t now)
{
        check_place(l, &l->place_, "limiter");
        word_take(&l->lock_);
        advance(l, now);
}

/* With the lock, brought up: when n more tokens are there. */
static int64_t moment_of(const weir_limiter *l, uint64_t n, int64_t now)
{
        double lack = l->missing_ + (double)n - (double)l->burst_, wait;

        if (unlimited(l->rate_))
                return now;
        if (n > l->burst_)
                return never;
        if (lack <= 0)
                return now;
        if (!(l->rate_ > 0))
                return never;
        wait = lack / l->rate_ * second;
        return wait < (double)(never - now) / 2 ? now + (int64_t)wait + 1 : never;
}

/* Takes n tokens if they are there by latest; answers when, or `never`; *ret_ever: without that
 * limit it would not have been never. */
static int64_t take(weir_limiter *l, uint64_t n, int64_t now, int64_t latest, double *ret_rate,
                    bool *ret_ever)
{
        int64_t at;

        bring_up(l, now);
        at = moment_of(l, n, now);
        *ret_rate = l->rate_;
        *ret_ever = at != never;
        if (at > latest)
                at = never;
        if (at != never && !unlimited(l->rate_)) {
                l->missing_ += (double)n;
                l->last_ = MAX(l->last_, at);
        }
        word_drop(&l->lock_);
        return at;
}

bool weir_limiter_allow(weir_limiter *l, uint64_t n)
{
        int64_t now = weir__sched_now();
        double  rate;
        bool    ever;

        return take(l, n, now, now, &rate, &ever) != never;
}

int weir_limiter_reserve(weir_limiter *l, uint64_t n, weir_reservation *ret)
{
        int64_t now = weir__sched_now(), at;
        double  rate;
        bool    ever;

        at = take(l, n, now, never - 1, &rate, &ever);
        if (at == never)
                return WEIR_ELIMIT;
        *ret = (weir_reservation){ .limiter = l, .n = n, .at = at, .made_ = now, .rate_ = rate };
        return 0;
}

void weir_limiter_cancel(const weir_reservation *r)
{
        weir_limiter *l = r->limiter;
        int64_t       now = weir__sched_now();
        double        back;

        if (!l || r->at <= now || unlimited(r->rate_))
                return;
        bring_up(l, now);
        /* Those who came later wait for tokens that come after this one's. */
        back = (double)r->n - (double)(l->last_ - r->at) * r->rate_ / second;
        if (back > 0)
                l->missing_ = MAX(l->missing_ - back, 0.0);
        if (r->at == l->last_)
                l->last_ = MAX(r->made_, r->at - (int64_t)((double)r->n / r->rate_ * second));
        word_drop(&l->lock_);
}

static int wait_for(weir_limiter *l, uint64_t n, int64_t deadline)
{
        int64_t now = weir__sched_now(), at;
        double  rate;
        bool    ever;

        at = take(l, n, now, deadline, &rate, &ever);
        if (at == never)
                return ever ? WEIR_ETIMEOUT : WEIR_ELIMIT;
        if (at > now)
                weir_sleep(at - now);
        return 0;
}

int weir_limiter_wait(weir_limiter *l, uint64_t n)
{
        int r;

        weir__sched_need_g("weir_limiter_wait");
        r = wait_for(l, n, never - 1);
        keep_frame();
        return r;
}

int weir_limiter_wait_until(weir_limiter *l, uint64_t n, weir_time deadline)
{
        int r;

        weir__sched_need_g("weir_limiter_wait_until");
        r = wait_for(l, n, MAX(deadline, weir__sched_now()));
        keep_frame();
        return r;
}

void weir_limiter_set_rate(weir_limiter *l, double rate)
{
        int64_t now = weir__sched_now();

        bring_up(l, now);
        l->rate_ = rate > 0 ? rate : 0;
        word_drop(&l->lock_);
}

/* What is there stays there, up to the new burst. */
void weir_limiter_set_burst(weir_limiter *l, uint64_t burst)
{
        int64_t now = weir__sched_now();

        bring_up(l, now);
        l->missing_ = MAX(l->missing_ + (double)burst - (double)l->burst_, 0.0);
        l->burst_ = burst;
        word_drop(&l->lock_);
}

double weir_limiter_tokens(weir_limiter *l)
{
        int64_t now = weir__sched_now();
        double  n;

        bring_up(l, now);
        n = (double)l->burst_ - l->missing_;
        word_drop(&l->lock_);
        return n;
}
