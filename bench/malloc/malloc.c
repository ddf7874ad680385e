/* Allocators side by side: one program that calls malloc and free, run once per allocator by
 * LD_PRELOAD. tools/bench-malloc runs it; alone it measures the C library's.
 *
 *         malloc [NAME...]        prints "name value unit" per line
 *
 * hot_SIZE_THREADS     malloc and free of one block at a time: ns per pair, per thread
 * batch_SIZE           1000 blocks, then their frees in reverse: ns per pair
 * replace              10^6 live blocks of mixed size (16 to 1024, most of them small); a random
 * one
 *                      is freed and replaced by one of another size, its first and last word
 *                      written: ns per replacement; and what is resident then per live byte
 * pass                 one thread allocates and writes, another reads and frees, through a ring of
 *                      batches: ns per block
 * flat_N               N live blocks of mixed size, every second one of twice as many; beside them
 *                      256 blocks are allocated and freed in another order: ns per pair. The live
 *                      ones are not touched, lest the caches of the processor be what is measured
 *
 * isolate_16, _64      two threads count in neighbouring blocks of 8 bytes, aligned to 16 and to a
 *                      line: ns per count. The second is what a line of its own is worth
 * start                a process that does nothing, from fork to its end: us
 *
 * Times are processor time of the process divided by operations, the median of ROUNDS rounds after
 * one that is thrown away. Memory is touched and held before the clock starts. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 7 };

static double now(clockid_t id)
{
        struct timespec ts;

        clock_gettime(id, &ts);
        return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double cpu(void)
{
        return now(CLOCK_PROCESS_CPUTIME_ID);
}

static uint64_t next(uint64_t *s)
{
        *s ^= *s << 13;
        *s ^= *s >> 7;
        return *s ^= *s << 17;
}

static int compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static double median(double *v, int n)
{
        qsort(v, (size_t)n, sizeof *v, compare);
        return v[n / 2];
}

static double resident(void)
{
        char  buf[128] = "";
        FILE *f = fopen("/proc/self/statm", "r");
        long  pages = 0;

        if (f) {
                if (fgets(buf, sizeof buf, f))
                        sscanf(buf, "%*d %ld", &pages);
                fclose(f);
        }
        return (double)pages * 4096;
}

/* The compiler must not see that nothing is done with the block. */
static void use(void *p)
{
        __asm__ volatile("" : : "r"(p) : "memory");
}

/* ---- hot, batch ---- */

struct hot {
        size_t size;
        long   n;
        double took;
};

static void *hot_thread(void *arg)
{
        struct hot *h = arg;
        double      start = now(CLOCK_THREAD_CPUTIME_ID);

        for (long i = 0; i < h->n; i++) {
                void *p = malloc(h->size);

                use(p);
                free(p);
        }
        h->took = (now(CLOCK_THREAD_CPUTIME_ID) - start) / (double)h->n;
        return NULL;
}

static void hot(size_t size, int threads)
{
        double v[ROUNDS];

        for (int round = -1; round < ROUNDS; round++) {
                struct hot h[2] = { { size, 4000000, 0 }, { size, 4000000, 0 } };
                pthread_t  t[2];

                for (int i = 0; i < threads; i++)
                        pthread_create(&t[i], NULL, hot_thread, &h[i]);
                for (int i = 0; i < threads; i++)
                        pthread_join(t[i], NULL);
                if (round >= 0)
                        v[round] = threads == 1 ? h[0].took : (h[0].took + h[1].took) / 2;
        }
        printf("hot_%zu_%d %.3f ns\n", size, threads, median(v, ROUNDS));
}

static void batch(size_t size)
{
        enum { BATCH = 1000, TIMES = 1000 };
        void  *p[BATCH];
        double v[ROUNDS];

        for (int round = -1; round < ROUNDS; round++) {
                double start = cpu();

                for (int i = 0; i < TIMES; i++) {
                        for (int k = 0; k < BATCH; k++)
                                use(p[k] = malloc(size));
                        for (int k = BATCH; k-- > 0;)
                                free(p[k]);
                }
                if (round >= 0)
                        v[round] = (cpu() - start) / (BATCH * TIMES);
        }
        printf("batch_%zu %.3f ns\n", size, median(v, ROUNDS));
}

/* ---- replace ---- */

/* Most requests are small: half up to 64, a quarter up to 256, the rest up to most. */
static size_t mixed(uint64_t *s, size_t most)
{
        uint64_t r = next(s);
        size_t   limit = r & 1 ? 64 : r & 2 ? 256 : most;

        if (limit > most)
                limit = most;
        return 16 + (r >> 8) % (limit - 15);
}

static void *fill(size_t size)
{
        char *p = malloc(size);

        memset(p, 1, size);
        return p;
}

static void replace(void)
{
        enum { LIVE = 1000000, MOST = 1024 };
        long     live = LIVE;
        void   **p = calloc((size_t)live, sizeof *p);
        uint32_t *size = calloc((size_t)live, sizeof *size);
        double   v[ROUNDS], before, bytes = 0;
        uint64_t s = 88172645463325252u;
        long     n = 1000000;

        memset(p, 1, (size_t)live * sizeof *p);
        memset(size, 1, (size_t)live * sizeof *size);
        before = resident();
        for (long i = 0; i < live; i++)
                p[i] = fill(size[i] = (uint32_t)mixed(&s, MOST));
        for (int round = -2; round < ROUNDS; round++) {
                double start = cpu();

                for (long k = 0; k < n; k++) {
                        long     i = (long)(next(&s) % (uint64_t)live);
                        uint32_t new = (uint32_t)mixed(&s, MOST);
                        char    *q;

                        free(p[i]);
                        q = malloc(new);
                        *(volatile uint64_t *)(void *)q = 1;
                        q[new - 1] = 1;
                        p[i] = q;
                        size[i] = new;
                }
                if (round >= 0)
                        v[round] = (cpu() - start) / (double)n;
        }
        printf("replace %.2f ns\n", median(v, ROUNDS));
        for (long i = 0; i < live; i++)
                bytes += size[i];
        printf("resident %.3f x\n", (resident() - before) / bytes);
        for (long i = 0; i < live; i++)
                free(p[i]);
        free(p);
        free(size);
}

/* ---- flat ---- */

static void flat(long live)
{
        enum { BLOCKS = 256, TIMES = 4000 };
        void   **p = calloc((size_t)live * 2, sizeof *p), *q[BLOCKS];
        double   v[ROUNDS];
        uint64_t s = 88172645463325252u;

        for (long i = 0; i < live * 2; i++)
                p[i] = fill(mixed(&s, 256));
        for (long i = 0; i < live * 2; i += 2)
                free(p[i]);
        for (int round = -1; round < ROUNDS; round++) {
                double start = cpu();

                for (int i = 0; i < TIMES; i++) {
                        for (int k = 0; k < BLOCKS; k++)
                                use(q[k] = malloc(mixed(&s, 256)));
                        for (int k = 0; k < BLOCKS; k++)
                                free(q[k * 97 % BLOCKS]);
                }
                if (round >= 0)
                        v[round] = (cpu() - start) / (BLOCKS * TIMES);
        }
        printf("flat_%ld %.2f ns\n", live, median(v, ROUNDS));
        for (long i = 1; i < live * 2; i += 2)
                free(p[i]);
        free(p);
}

/* ---- pass ---- */

enum { RING = 64, PASS = 64 };

static struct {
        void *block[PASS];
} ring[RING];
static _Atomic long written, taken;

static void *consumer(void *arg)
{
        long n = *(long *)arg;

        for (long i = 0; i < n; i++) {
                while (atomic_load_explicit(&written, memory_order_acquire) == i)
                        sched_yield();
                for (int k = 0; k < PASS; k++) {
                        if (*(char *)ring[i % RING].block[k] != 7)
                                abort();
                        free(ring[i % RING].block[k]);
                }
                atomic_store_explicit(&taken, i + 1, memory_order_release);
        }
        return NULL;
}

static void pass(void)
{
        double v[ROUNDS];
        long   n = 40000;

        for (int round = -1; round < ROUNDS; round++) {
                pthread_t t;
                double    start;
                uint64_t  s = 88172645463325252u;

                written = taken = 0;
                start = cpu();
                pthread_create(&t, NULL, consumer, &n);
                for (long i = 0; i < n; i++) {
                        while (i - atomic_load_explicit(&taken, memory_order_acquire) >= RING)
                                sched_yield();
                        for (int k = 0; k < PASS; k++) {
                                char *p = malloc(16 + next(&s) % 240);

                                *p = 7;
                                ring[i % RING].block[k] = p;
                        }
                        atomic_store_explicit(&written, i + 1, memory_order_release);
                }
                pthread_join(t, NULL);
                if (round >= 0)
                        v[round] = (cpu() - start) / (double)(n * PASS);
        }
        printf("pass %.2f ns\n", median(v, ROUNDS));
}

/* ---- spike: 1 GiB comes and goes beside 64 MiB that stay ---- */

static void spike(void)
{
        enum { BLOCK = 4096, LIVE = (64 << 20) / BLOCK, MORE = (1 << 30) / BLOCK };
        static void *live[LIVE], *more[MORE];
        double       start, used, before, after = 0, seconds = -1;

        memset(live, 1, sizeof live);           /* our own memory does not count */
        memset(more, 1, sizeof more);
        before = resident();
        for (int i = 0; i < LIVE; i++)
                live[i] = fill(BLOCK);
        for (int i = 0; i < MORE; i++)
                more[i] = fill(BLOCK);
        for (int i = 0; i < MORE; i++)
                free(more[i]);
        used = cpu();
        start = now(CLOCK_MONOTONIC);
        for (int tenths = 0; tenths < 120; tenths++) {
                usleep(100000);
                after = resident() - before;
                if (seconds < 0 && after < 1.1 * (64 << 20))
                        seconds = (now(CLOCK_MONOTONIC) - start) / 1e9;
                if (tenths >= 100)
                        break;
        }
        printf("spike_resident %.1f %%\n", after / (64 << 20) * 100);
        printf("spike_seconds %.1f s\n", seconds);
        printf("spike_cpu %.3f %%\n",
               (cpu() - used) / (now(CLOCK_MONOTONIC) - start) * 100);
        for (int i = 0; i < LIVE; i++)
                free(live[i]);
}

/* ---- isolate: false sharing of neighbours ---- */

static void *count_up(void *arg)
{
        volatile uint64_t *p = arg;

        for (long i = 0; i < 20000000; i++)
                *p += 1;
        return NULL;
}

static void isolate(size_t align)
{
        double v[ROUNDS];

        for (int round = -1; round < ROUNDS; round++) {
                void     *p[2] = { NULL, NULL };
                pthread_t t;
                double    start;

                for (int i = 0; i < 2; i++)
                        if (posix_memalign(&p[i], align, 8))
                                abort();
                memset(p[0], 0, 8);
                memset(p[1], 0, 8);
                start = now(CLOCK_MONOTONIC);
                pthread_create(&t, NULL, count_up, p[0]);
                count_up(p[1]);
                pthread_join(t, NULL);
                if (round >= 0)
                        v[round] = (now(CLOCK_MONOTONIC) - start) / 20000000;
                free(p[0]);
                free(p[1]);
        }
        printf("isolate_%zu %.3f ns\n", align, median(v, ROUNDS));
}

/* ---- start ---- */

static void start_up(char *self)
{
        enum { TIMES = 101 };
        double v[TIMES];
        char  *argv[] = { self, (char[]){ "nothing" }, NULL };

        for (int i = 0; i < TIMES; i++) {
                double start = now(CLOCK_MONOTONIC);
                pid_t  pid;

                if (posix_spawn(&pid, self, NULL, NULL, argv, environ) ||
                    waitpid(pid, NULL, 0) != pid)
                        abort();
                v[i] = (now(CLOCK_MONOTONIC) - start) / 1000;
        }
        printf("start %.0f us\n", median(v, TIMES));
}

/* ---- waste ---- */

/* What requests above 1 KiB are rounded up by, the average and the most. */
static void waste(void)
{
        double sum = 0, most = 0;
        long   n = 0;

        for (size_t size = 1025; size <= 1 << 20; size += size < 65536 ? 7 : 977) {
                void  *p = malloc(size);
                double w = 1 - (double)size / (double)malloc_usable_size(p);

                sum += w;
                most = w > most ? w : most;
                n++;
                free(p);
        }
        printf("waste_average %.2f %%\nwaste_most %.2f %%\n", sum / (double)n * 100, most * 100);
}

static bool wanted(int argc, char **argv, const char *name)
{
        for (int i = 1; i < argc; i++)
                if (!strncmp(name, argv[i], strlen(argv[i])))
                        return true;
        return argc == 1;
}

int main(int argc, char **argv)
{
        static const size_t sizes[] = { 16, 64, 256, 1024 };

        if (argc == 2 && !strcmp(argv[1], "nothing")) {
                use(malloc(1));
                return 0;
        }
        printf("start_resident %.0f KiB\n", resident() / 1024);
        if (wanted(argc, argv, "start"))
                start_up(argv[0]);
        if (wanted(argc, argv, "isolate")) {
                isolate(16);
                isolate(64);
        }
        for (int threads = 1; threads <= 2; threads++)
                for (int i = 0; i < 4; i++)
                        if (wanted(argc, argv, "hot"))
                                hot(sizes[i], threads);
        for (int i = 0; i < 4; i++)
                if (wanted(argc, argv, "batch"))
                        batch(sizes[i]);
        if (wanted(argc, argv, "replace"))
                replace();
        if (wanted(argc, argv, "pass"))
                pass();
        if (wanted(argc, argv, "flat"))
                for (long live = 1000; live <= 10000000; live *= 10)
                        flat(live);
        if (wanted(argc, argv, "waste"))
                waste();
        if (argc > 1 && wanted(argc, argv, "spike"))
                spike();
        return 0;
}
