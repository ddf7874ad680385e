/* Goroutines in malloc, qsort, stdio, under a lock of pthread and in plain loops, while a thread sends
 * the runtime's signal to all threads without end and slices are as short as they can be: what each
 * of them computes is right, and nobody waits for ever for a lock inside libc. */
/* run: WEIR_DEBUG=slice=1 */
/* skip: address,thread because there nobody is stopped */
#include "stress.h"
#include <dirent.h>
#include <pthread.h>
#include <sys/syscall.h>

enum { BLOCKS = 64, NUMBERS = 2000, KINDS = 5 };

static bool            over;            /* atomic */
static uint64_t        sent, rounds[KINDS]; /* atomic: signals; rounds of each kind */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t        guarded[2];      /* lock: mutex; always equal */

static bool stopped(void)
{
        return __atomic_load_n(&over, __ATOMIC_RELAXED);
}

static void done(int kind)
{
        __atomic_fetch_add(&rounds[kind], 1, __ATOMIC_RELAXED);
}

static bool all_came(void)
{
        for (int i = 0; i < KINDS; i++)
                if (!__atomic_load_n(&rounds[i], __ATOMIC_RELAXED))
                        return false;
        return true;
}

/* ---- the signals ---- */

static int signal_all(void)
{
        DIR           *d = opendir("/proc/self/task");
        struct dirent *e;
        int            n = 0, self = (int)syscall(SYS_gettid);

        must(d);
        while ((e = readdir(d))) {
                int tid = atoi(e->d_name);

                for (int i = 0; tid > 0 && tid != self && i < 20; i++)
                        n += syscall(SYS_tgkill, getpid(), tid, SIGURG) == 0;
        }
        closedir(d);
        return n;
}

static void *send_signals(void *arg)
{
        while (!stopped())
                __atomic_fetch_add(&sent, (uint64_t)signal_all(), __ATOMIC_RELAXED);
        return arg;
}

/* ---- who computes ---- */

weir_task(allocates, my, { uint64_t rand; })
{
        unsigned char *block[BLOCKS] = { NULL };
        size_t         size[BLOCKS] = { 0 };

        while (!stopped()) {
                unsigned i = stress_below(&my->rand, BLOCKS);

                for (size_t k = 0; k < size[i]; k++)
                        must(block[i][k] == (unsigned char)i);
                free(block[i]);
                size[i] = stress_below(&my->rand, 2000);
                block[i] = malloc(size[i]);
                memset(block[i], (int)i, size[i]);
                done(0);
        }
        for (int i = 0; i < BLOCKS; i++)
                free(block[i]);
}

static int rising(const void *a, const void *b)
{
        int x = *(const int *)a, y = *(const int *)b;

        return (x > y) - (x < y);
}

weir_task(sorts, my, { uint64_t rand; })
{
        int *v = malloc(NUMBERS * sizeof *v);

        while (!stopped()) {
                uint64_t sum = 0, after = 0;

                for (int i = 0; i < NUMBERS; i++)
                        sum += (unsigned)(v[i] = (int)stress_below(&my->rand, 1 << 30));
                qsort(v, NUMBERS, sizeof *v, rising);
                for (int i = 0; i < NUMBERS; i++) {
                        must(!i || v[i - 1] <= v[i]);
                        after += (unsigned)v[i];
                }
                must(sum == after);
                done(1);
        }
        free(v);
}

weir_task(prints, my, { uint64_t rand; })
{
        while (!stopped()) {
                double x = (double)stress_below(&my->rand, 1 << 30) / 1024, back;
                char  *text = NULL;
                size_t n = 0;
                FILE  *f = open_memstream(&text, &n);

                must(f);
                fprintf(f, "%d %.10f %s", 7, x, "end");
                fclose(f);
                must(sscanf(text, "7 %lf end", &back) == 1 && back == x);
                free(text);
                done(2);
        }
}

weir_task(locks, my, { uint64_t rand; })
{
        while (!stopped()) {
                pthread_mutex_lock(&mutex);
                guarded[0]++;
                for (volatile unsigned i = stress_below(&my->rand, 20000); i; i--)
                        ;
                guarded[1]++;
                must(guarded[0] == guarded[1]);
                pthread_mutex_unlock(&mutex);
                done(3);
        }
}

weir_task(counts, my, { uint64_t rand; })
{
        while (!stopped()) {
                uint64_t x = 1, n = 100000 + stress_below(&my->rand, 100000), sum = 0;

                for (uint64_t i = 1; i <= n; i++, x *= 3)
                        sum += i;
                must(sum == n * (n + 1) / 2 && x);
                done(4);
        }
}

WEIR_MAIN(argc, argv)
{
        pthread_t sender;
        weir_wg   wg = { 0 };

        stress_begin(argc, argv);
        must(!pthread_create(&sender, NULL, send_signals, NULL));
        for (int i = 0; i < 3; i++) {
                weir_wg_go(&wg, allocates, .rand = stress_rand(&stress_state));
                weir_wg_go(&wg, sorts, .rand = stress_rand(&stress_state));
                weir_wg_go(&wg, prints, .rand = stress_rand(&stress_state));
                weir_wg_go(&wg, locks, .rand = stress_rand(&stress_state));
                weir_wg_go(&wg, counts, .rand = stress_rand(&stress_state));
        }
        while (stress_more() || !all_came())
                weir_sleep(WEIR_MILLISECOND);
        __atomic_store_n(&over, true, __ATOMIC_RELAXED);
        weir_wg_wait(&wg);
        must(!pthread_join(sender, NULL));
        printf("%llu signals; rounds:", (unsigned long long)sent);
        for (int i = 0; i < KINDS; i++)
                printf(" %llu", (unsigned long long)rounds[i]);
        printf("\n");
        return 0;
}
