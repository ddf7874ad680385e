/* A benchmark in the manner of Go's testing.B; bench/go/harness is the same in Go.
 *
 *      BENCH(send_nowhere)
 *      {
 *              for (int64_t i = 0; i < b->n; i++)
 *                      ...
 *      }
 *
 * One program per subject: its file, bench.c and libweir. A benchmark runs on the root goroutine,
 * does its subject b->n times and returns; it must leave no goroutine behind. How n is chosen,
 * which rounds count and why is in bench.c. The programs understand
 *
 *      -bench=REGEX      run the benchmarks whose name matches (POSIX extended)
 *      -benchtime=400ms  measure for about this long
 *      -list             print the names, in the order of the file
 *
 * and print the text format of `go test -bench`, which benchstat reads. */
#ifndef WEIR_BENCH_H
#define WEIR_BENCH_H

#include <weir.h>

enum { BENCH_METRICS = 4 };

struct bench_metric {
        const char *unit;
        double      value;
};

struct bench {
        int64_t n;              /* how often to do it in this round */
        int64_t per;            /* operations in one of n; 1 unless the benchmark sets it */

        /* the rest is bench.c's */
        const char         *name;
        bool                running;
        int64_t             wall_start, cpu_start;
        int64_t             wall, cpu;          /* ns counted so far in this round */
        struct bench_metric metrics[BENCH_METRICS];
        size_t              nmetrics;
};

struct bench_entry {
        const char         *name;
        void              (*fn)(struct bench *b);
        int                 line;
        struct bench_entry *next;
};

#define BENCH(name) \
        static void name(struct bench *b); \
        __attribute__((constructor)) static void name##_register_(void) \
        { \
                static struct bench_entry entry = { #name, name, __LINE__, NULL }; \
                bench_register(&entry); \
        } \
        static void name(struct bench *b)

void bench_register(struct bench_entry *entry);

/* The clock runs when the benchmark is called. Reset: the set-up is over, count from here. Stop and
 * start: leave out what lies between. */
void bench_timer_reset(struct bench *b);
void bench_timer_stop(struct bench *b);
void bench_timer_start(struct bench *b);

/* Reports a further value for this round; the unit "ns/op" replaces the measured one. Rounds are
 * averaged. */
void bench_metric(struct bench *b, double value, const char *unit);

/* Ends the program: the benchmark computed something wrong. */
_Noreturn void bench_fail(struct bench *b, const char *fmt, ...)
        __attribute__((format(printf, 2, 3)));

/* Sorts v and returns the value below which the given share of it lies; 0 of nothing. */
int64_t bench_percentile(int64_t *v, size_t n, double share);

/* The part of n that worker i of k does; the parts add up to n. */
int64_t bench_share(int64_t n, int64_t i, int64_t k);

/* Zeroed and touched; ends the program when there is none. free() it. */
void *bench_alloc(size_t n, size_t size);

#endif
