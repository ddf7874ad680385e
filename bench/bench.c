/* Rounds, clocks and output of the benchmarks.
 *
 * What      Finds how much of a benchmark fits a round, throws that round away, then measures
 *           rounds until -benchtime is filled and prints one line.
 * Order     Rounds of growing n until one lasts a ROUNDS'th of the target. That last one is a full
 *           round: the runtime has by then touched, and holds, the stacks, threads and buffers it
 *           will reuse, and it is thrown away. The rounds after it, all of the same n, are added
 *           up. A benchmark whose single operation is longer than the target thus runs twice and
 *           counts once. Before all that the program walks over TOUCH_BYTES of fresh memory and
 *           releases it, for what a runtime still grows by in the counted rounds: pages that the
 *           kernel gave back to the host cost ten times as much to touch again, and it keeps
 *           released ones for about a second.
 * Cost      Four clock readings a round (a tenth of a second): nothing. Touching 64 MiB takes 7 ms
 *           when the host still backs them and 115 when not; 512 MiB took 75 and 1 100.
 * Not       Go's own testing package on the other side: it grows n until a round fills the target
 *           and counts that very round, with no warm-up of the same size before it, and it knows
 *           no CPU time. bench/go/harness does exactly what this file does. */
#define _GNU_SOURCE     /* CPU_COUNT */
#include "bench.h"

#include <ctype.h>
#include <inttypes.h>
#include <regex.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* The constants of bench/go/harness; change both or neither. */
enum { ROUNDS = 4, MAX_N = 1000000000, TOUCH_BYTES = 64 << 20, PAGE = 4096 };

static struct bench_entry *entries;     /* in the order of their lines */
static const char         *program;

/* Constructors run in an order that the compiler chooses; the list is kept by line. */
void bench_register(struct bench_entry *entry)
{
        struct bench_entry **at = &entries;

        while (*at && (*at)->line < entry->line)
                at = &(*at)->next;
        entry->next = *at;
        *at = entry;
}

static int64_t clock_ns(clockid_t id)
{
        struct timespec ts;

        clock_gettime(id, &ts);
        return ts.tv_sec * WEIR_SECOND + ts.tv_nsec;
}

void bench_timer_start(struct bench *b)
{
        if (b->running)
                return;
        b->running = true;
        b->cpu_start = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        b->wall_start = clock_ns(CLOCK_MONOTONIC);
}

void bench_timer_stop(struct bench *b)
{
        if (!b->running)
                return;
        b->wall += clock_ns(CLOCK_MONOTONIC) - b->wall_start;
        b->cpu += clock_ns(CLOCK_PROCESS_CPUTIME_ID) - b->cpu_start;
        b->running = false;
}

void bench_timer_reset(struct bench *b)
{
        b->wall = b->cpu = 0;
        if (b->running) {
                b->running = false;
                bench_timer_start(b);
        }
}

void bench_metric(struct bench *b, double value, const char *unit)
{
        if (b->nmetrics == BENCH_METRICS)
                bench_fail(b, "more than %d metrics", BENCH_METRICS);
        b->metrics[b->nmetrics++] = (struct bench_metric){ unit, value };
}

void bench_fail(struct bench *b, const char *fmt, ...)
{
        va_list ap;

        printf("--- FAIL: %s: ", b->name);
        va_start(ap, fmt);
        vprintf(fmt, ap);
        va_end(ap);
        putchar('\n');
        exit(1);
}

static int compare(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return (x > y) - (x < y);
}

int64_t bench_percentile(int64_t *v, size_t n, double share)
{
        if (!n)
                return 0;
        qsort(v, n, sizeof *v, compare);
        return v[(size_t)(share * (double)(n - 1))];
}

int64_t bench_share(int64_t n, int64_t i, int64_t k)
{
        return n / k + (i < n % k);
}

void *bench_alloc(size_t n, size_t size)
{
        void *p = malloc(n && size ? n * size : 1);

        if (!p) {
                fprintf(stderr, "%s: no memory for %zu times %zu bytes\n", program, n, size);
                exit(2);
        }
        return memset(p, 0, n * size);
}

static void touch_memory(void)
{
        volatile char *m = mmap(NULL, TOUCH_BYTES, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (m == MAP_FAILED)
                return;
        madvise((void *)m, TOUCH_BYTES, MADV_HUGEPAGE);
        for (size_t i = 0; i < TOUCH_BYTES; i += PAGE)
                m[i] = 1;
        munmap((void *)m, TOUCH_BYTES);
}

static struct bench round_of(const struct bench_entry *e, int64_t n)
{
        struct bench b = { .n = n, .per = 1, .name = e->name };

        bench_timer_start(&b);
        e->fn(&b);
        bench_timer_stop(&b);
        return b;
}

/* The n of a round of the wanted length; its last round is the warm-up. */
static int64_t calibrate(const struct bench_entry *e, int64_t want)
{
        int64_t n = 1;

        for (;;) {
                int64_t took = round_of(e, n).wall;
                double  next;

                if (took >= want || n >= MAX_N)
                        return n;
                next = 1.2 * (double)n * (double)want / (double)(took > 0 ? took : 1);
                if (next > (double)n * 100)
                        next = (double)n * 100;
                if (next < (double)n + 1)
                        next = (double)n + 1;
                n = next < MAX_N ? (int64_t)next : MAX_N;
        }
}

/* How many cores the runtime was given, for the end of the benchmark's name. */
static int procs(void)
{
        const char *asked = getenv("WEIR_PROCS");
        cpu_set_t   allowed;

        if (asked && atoi(asked) > 0)
                return atoi(asked);
        return sched_getaffinity(0, sizeof allowed, &allowed) ? 1 : CPU_COUNT(&allowed);
}

static void print_line(const struct bench *sum, int64_t rounds)
{
        double ns = (double)sum->wall / (double)sum->n;

        for (size_t i = 0; i < sum->nmetrics; i++)
                if (!strcmp(sum->metrics[i].unit, "ns/op"))
                        ns = sum->metrics[i].value / (double)rounds;

        printf("Benchmark%c%s-%d\t%10" PRId64 "\t%12.2f ns/op\t%12.2f cpu-ns/op",
               toupper((unsigned char)sum->name[0]), sum->name + 1, procs(),
               sum->n, ns, (double)sum->cpu / (double)sum->n);
        for (size_t i = 0; i < sum->nmetrics; i++)
                if (strcmp(sum->metrics[i].unit, "ns/op"))
                        printf("\t%12.2f %s", sum->metrics[i].value / (double)rounds,
                               sum->metrics[i].unit);
        putchar('\n');
        fflush(stdout);
}

static void measure(const struct bench_entry *e, int64_t target)
{
        struct bench sum = { .name = e->name };
        int64_t      rounds = 0, n;

        touch_memory();
        n = calibrate(e, target / ROUNDS);
        while (sum.wall < target) {
                struct bench b = round_of(e, n);

                if (b.wall <= 0)
                        bench_fail(&b, "a round of %" PRId64 " took no time", b.n);
                sum.n += b.n * b.per;
                sum.wall += b.wall;
                sum.cpu += b.cpu;
                sum.nmetrics = b.nmetrics;
                for (size_t i = 0; i < b.nmetrics; i++) {
                        sum.metrics[i].unit = b.metrics[i].unit;
                        sum.metrics[i].value += b.metrics[i].value;
                }
                rounds++;
        }
        print_line(&sum, rounds);
}

static _Noreturn void usage(const char *what, const char *arg)
{
        fprintf(stderr, "%s: %s: %s\n", program, what, arg);
        exit(2);
}

/* "400ms", "1.5s", "250us"; false: not a length of time above nothing. */
static bool parse_duration(const char *text, int64_t *ret)
{
        static const struct { const char *name; int64_t ns; } units[] = {
                { "s", WEIR_SECOND }, { "ms", WEIR_MILLISECOND }, { "us", WEIR_MICROSECOND },
        };
        char  *end;
        double v = strtod(text, &end);

        for (size_t i = 0; i < sizeof units / sizeof *units; i++)
                if (!strcmp(end, units[i].name) && v > 0 && v * (double)units[i].ns < 3600e9) {
                        *ret = (int64_t)(v * (double)units[i].ns);
                        return *ret > 0;
                }
        return false;
}

/* The value of "-name=value", "-name value" or, as Go's flags allow, either with two dashes. */
static const char *option(const char *name, char **argv, int *i)
{
        const char *arg = argv[*i];
        size_t      len = strlen(name);

        if (*arg++ != '-')
                return NULL;
        arg += *arg == '-';
        if (strncmp(arg, name, len))
                return NULL;
        if (arg[len] == '=')
                return arg + len + 1;
        if (arg[len] || !argv[*i + 1])
                return NULL;
        return argv[++*i];
}

WEIR_MAIN(argc, argv)
{
        const char *pattern = ".", *slash = strrchr(argv[0], '/'), *v;
        int64_t     target = 400 * WEIR_MILLISECOND;
        bool        list = false, found = false;
        regex_t     regex;

        program = slash ? slash + 1 : argv[0];
        for (int i = 1; i < argc; i++) {
                if ((v = option("benchtime", argv, &i))) {
                        if (!parse_duration(v, &target))
                                usage("-benchtime is not a length of time", v);
                } else if ((v = option("bench", argv, &i))) {
                        pattern = v;
                } else if (!strcmp(argv[i], "-list") || !strcmp(argv[i], "--list")) {
                        list = true;
                } else {
                        usage("unknown option", argv[i]);
                }
        }
        if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB))
                usage("-bench is not a regular expression", pattern);

        for (struct bench_entry *e = entries; e; e = e->next) {
                if (regexec(&regex, e->name, 0, NULL, 0))
                        continue;
                if (!found && !list)
                        printf("pkg: weir/bench/%s\n", program);
                found = true;
                if (list)
                        puts(e->name);
                else
                        measure(e, target);
        }
        regfree(&regex);
        if (!found)
                usage("no benchmark matches", pattern);
        return 0;
}
