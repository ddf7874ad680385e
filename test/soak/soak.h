/* What the soak programs share: rows with limits, and histograms of delays.
 *
 * A soak program measures for a while and prints a row for each number that has a limit:
 *
 *         row TAB what TAB measured TAB limit TAB met|MISSED
 *
 * tools/soak runs them all and makes a table of the rows; other lines are shown as they are. A
 * program ends with status 1 when it missed a limit. The first argument is what the run is scaled
 * by, in minutes of the whole soak. */
#ifndef TEST_SOAK_H
#define TEST_SOAK_H

#include <weir.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool soak_missed;

static WEIR_UNUSED void soak_row(const char *what, double value, const char *unit, double limit,
                                 bool at_least)
{
        bool met = at_least ? value >= limit : value <= limit;

        printf("row\t%s\t%.6g %s\t%s %.6g %s\t%s\n", what, value, unit, at_least ? ">=" : "<=",
               limit, unit, met ? "met" : "MISSED");
        fflush(stdout);
        soak_missed |= !met;
}

static WEIR_UNUSED void soak_at_most(const char *what, double value, const char *unit, double limit)
{
        soak_row(what, value, unit, limit, false);
}

static WEIR_UNUSED void soak_at_least(const char *what, double value, const char *unit,
                                      double limit)
{
        soak_row(what, value, unit, limit, true);
}

static WEIR_UNUSED _Noreturn void soak_fail(const char *what)
{
        fprintf(stderr, "%s\n", what);
        _exit(2);
}

static WEIR_UNUSED double soak_minutes(int argc, char **argv)
{
        double v = argc > 1 ? strtod(argv[1], NULL) : 1;

        if (!(v > 0 && v < 10000))
                soak_fail("the first argument is how many minutes the soak takes");
        return v;
}

/* A number as weir_metric_write writes it; -1: there is none of that name. */
static WEIR_UNUSED double soak_metric(const char *name)
{
        char  *text = NULL, *line, *rest;
        size_t size = 0, n = strlen(name);
        FILE  *f = open_memstream(&text, &size);
        double v = -1;

        if (!f)
                soak_fail("open_memstream");
        weir_metric_write(f);
        fclose(f);
        for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
                if (!strncmp(line, name, n) && line[n] == ' ')
                        v = strtod(line + n, NULL);
        free(text);
        return v;
}

/* ---- delays ---- */

enum { SOAK_FINE = 4, SOAK_BUCKETS = 64 << SOAK_FINE };

/* 16 buckets for each doubling, so that a bucket is 6 % wide. */
struct soak_delays {
        uint64_t n[SOAK_BUCKETS];       /* atomic */
        uint64_t max;                   /* atomic */
};

static WEIR_UNUSED void soak_note(struct soak_delays *d, weir_time ns)
{
        uint64_t v = ns > 0 ? (uint64_t)ns : 0, old = __atomic_load_n(&d->max, __ATOMIC_RELAXED);
        unsigned shift = 0;

        while (v > old && !__atomic_compare_exchange_n(&d->max, &old, v, true, __ATOMIC_RELAXED,
                                                       __ATOMIC_RELAXED))
                ;
        if (v >> (SOAK_FINE + 1))
                shift = 63u - SOAK_FINE - (unsigned)__builtin_clzll(v);
        __atomic_fetch_add(&d->n[(shift << SOAK_FINE) + (v >> shift)], 1, __ATOMIC_RELAXED);
}

static WEIR_UNUSED uint64_t soak_count(const struct soak_delays *d)
{
        uint64_t n = 0;

        for (int i = 0; i < SOAK_BUCKETS; i++)
                n += __atomic_load_n(&d->n[i], __ATOMIC_RELAXED);
        return n;
}

/* The delay, in milliseconds, that the given share of them does not exceed. */
static WEIR_UNUSED double soak_share(const struct soak_delays *d, double share)
{
        uint64_t rank = (uint64_t)((double)soak_count(d) * share), seen = 0;

        for (unsigned i = 0; i < SOAK_BUCKETS; i++) {
                seen += __atomic_load_n(&d->n[i], __ATOMIC_RELAXED);
                if (seen > rank) {
                        unsigned shift = i >> SOAK_FINE ? (i >> SOAK_FINE) - 1 : 0;
                        uint64_t top = ((uint64_t)i - (shift << SOAK_FINE) + 1) << shift;

                        return (double)(top < d->max ? top : d->max) / 1e6;
                }
        }
        return (double)d->max / 1e6;
}

static WEIR_UNUSED void soak_print(const char *what, const struct soak_delays *d)
{
        printf("%-28s %10" PRIu64 " times, ms: p50 %.3f  p99 %.3f  p99.9 %.3f  p99.99 %.3f  "
               "max %.3f\n", what, soak_count(d), soak_share(d, 0.5), soak_share(d, 0.99),
               soak_share(d, 0.999), soak_share(d, 0.9999), (double)d->max / 1e6);
        fflush(stdout);
}

/* ---- who wakes, and how late ---- */

static WEIR_UNUSED uint64_t soak_rand(uint64_t *state)
{
        uint64_t x = *state += UINT64_C(0x9E3779B97F4A7C15);

        x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
        return x ^ (x >> 31);
}

/* Between low and high, in nanoseconds. */
static WEIR_UNUSED weir_time soak_between(uint64_t *state, weir_time low, weir_time high)
{
        return low + (weir_time)(soak_rand(state) % (uint64_t)(high - low));
}

/* Sleeps again and again; how late it wakes goes to delays. */
weir_task(soak_sleeper, my, {
        struct soak_delays *delays; weir_time low, high, end; uint64_t seed; weir_wg *wg;
})
{
        weir_time t;

        while ((t = weir_now()) < my->end) {
                weir_time ns = soak_between(&my->seed, my->low, my->high);

                weir_sleep(ns);
                soak_note(my->delays, weir_now() - t - ns);
        }
        weir_wg_done(my->wg);
}

/* A pair: one sends what time it is, now and then; how much later the other has it goes to
 * delays. */
weir_task(soak_receiver, my, { struct soak_delays *delays; weir_chan *c; weir_wg *wg; })
{
        weir_time sent;

        while (weir_recv(my->c, &sent))
                soak_note(my->delays, weir_now() - sent);
        weir_wg_done(my->wg);
}

weir_task(soak_sender, my, { weir_time low, high, end; uint64_t seed; weir_chan *c; weir_wg *wg; })
{
        weir_time t;

        while ((t = weir_now()) < my->end) {
                weir_sleep(soak_between(&my->seed, my->low, my->high));
                t = weir_now();
                weir_send(my->c, &t);
        }
        weir_chan_close(my->c);
        weir_wg_done(my->wg);
}

static WEIR_UNUSED void soak_start_sleepers(weir_wg *wg, int n, struct soak_delays *d,
                                            weir_time low, weir_time high, weir_time end)
{
        weir_wg_add(wg, n);
        for (int i = 0; i < n; i++)
                weir_go(soak_sleeper, .delays = d, .low = low, .high = high, .end = end,
                        .seed = (uint64_t)i, .wg = wg);
}

static WEIR_UNUSED void soak_start_pairs(weir_wg *wg, int n, struct soak_delays *d, weir_time low,
                                         weir_time high, weir_time end)
{
        weir_wg_add(wg, 2 * n);
        for (int i = 0; i < n; i++) {
                weir_chan *c = weir_chan_make(weir_time, 0);

                weir_go(soak_receiver, .delays = d, .c = c, .wg = wg);
                weir_go(soak_sender, .low = low, .high = high, .end = end,
                        .seed = (uint64_t)i + 1000000, .c = c, .wg = wg);
        }
}

/* Computes without a call until it is told to stop. */
weir_task(soak_hog, my, { bool *stop; int *started; })
{
        __atomic_fetch_add(my->started, 1, __ATOMIC_RELAXED);
        while (!__atomic_load_n(my->stop, __ATOMIC_RELAXED))
                ;
}

/* Starts hogs, and waits until each has had its first slice: before that they are goroutines in a
 * queue like all others, and those behind them wait for each. */
static WEIR_UNUSED void soak_start_hogs(weir_wg *wg, int n, bool *stop)
{
        static int started;

        __atomic_store_n(&started, 0, __ATOMIC_RELAXED);
        for (int i = 0; i < n; i++)
                weir_wg_go(wg, soak_hog, .stop = stop, .started = &started);
        while (__atomic_load_n(&started, __ATOMIC_RELAXED) < n)
                weir_sleep(WEIR_MILLISECOND);
}

#endif
