/* From which share of writes on a mutex is faster than an rwmutex, and how long one waits for
 * either.
 *
 *         build/bench/figures/rwmutex [GOROUTINES [SECTION]]      8 goroutines, 20 loads in each
 *
 * Each goroutine locks again and again; of 1000 locks so many are to write. The best of five rounds
 * for each, one of the one and one of the other in turn.
 * Then: how long a writer waits beside readers without a pause (at most 5 ms is the aim), and one
 * who wants a mutex that all others want (at most 1 ms and the queue before him). Whoever has the
 * lock may lose his core to another program; how long somebody had it at most, by the clock, is
 * printed too, and explains what is beyond. */
#include <weir.h>

#include <stdlib.h>

enum { LOCKS = 200000, ROUNDS = 5, WAITS_MAX = 20000 };

static weir_mutex   m;
static weir_rwmutex rw;
static int64_t      data[64];           /* lock: either */
static int          section = 20;
static uint32_t     stop;               /* atomic */
static int64_t      longest;            /* atomic: somebody had the lock so long */

static int64_t look(void)
{
        int64_t sum = 0;

        for (int i = 0; i < section; i++)
                sum += ((volatile int64_t *)data)[i];
        return sum;
}

static void change(void)
{
        for (int i = 0; i < section; i++)
                ((volatile int64_t *)data)[i]++;
}

weir_task(use, my, { int locks; int writes; bool plain; })
{
        int64_t sum = 0;
        int     due = 0;

        for (int i = 0; i < my->locks; i++) {
                bool write = (due += my->writes) >= 1000;

                if (write)
                        due -= 1000;
                if (my->plain)
                        weir_mutex_lock(&m);
                else if (write)
                        weir_rwmutex_lock(&rw);
                else
                        weir_rwmutex_rlock(&rw);
                if (write)
                        change();
                else
                        sum += look();
                if (my->plain)
                        weir_mutex_unlock(&m);
                else if (write)
                        weir_rwmutex_unlock(&rw);
                else
                        weir_rwmutex_runlock(&rw);
        }
        if (sum == 1)
                puts("");
}

static double once(int goroutines, int writes, bool plain)
{
        weir_wg   wg = { 0 };
        weir_time start = weir_now();

        for (int i = 0; i < goroutines; i++)
                weir_wg_go(&wg, use, .locks = LOCKS / goroutines, .writes = writes, .plain = plain);
        weir_wg_wait(&wg);
        return (double)(weir_now() - start) / LOCKS;
}

static void had_it(int64_t ns)
{
        int64_t seen = __atomic_load_n(&longest, __ATOMIC_RELAXED);

        while (ns > seen && !__atomic_compare_exchange_n(&longest, &seen, ns, true,
                                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED))
                ;
}

weir_task(keep_locking, my, { bool plain; })
{
        int64_t sum = 0;

        while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
                weir_time start;

                if (my->plain)
                        weir_mutex_lock(&m);
                else
                        weir_rwmutex_rlock(&rw);
                start = weir_now();
                sum += look();
                had_it(weir_now() - start);
                if (my->plain)
                        weir_mutex_unlock(&m);
                else
                        weir_rwmutex_runlock(&rw);
        }
        if (sum == 1)
                puts("");
}

static int rising(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return (x > y) - (x < y);
}

static void waits(int goroutines, bool plain, const char *what)
{
        static int64_t took_ns[WAITS_MAX];
        weir_wg        wg = { 0 };
        int64_t        sum = 0;
        int            n = 0;

        __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&longest, 0, __ATOMIC_RELAXED);
        for (int i = 0; i < goroutines; i++)
                weir_wg_go(&wg, keep_locking, .plain = plain);
        for (weir_time end = weir_now() + 2 * WEIR_SECOND; weir_now() < end && n < WAITS_MAX; n++) {
                weir_time start = weir_now();
                int64_t   took;

                if (plain)
                        weir_mutex_lock(&m);
                else
                        weir_rwmutex_lock(&rw);
                took = weir_now() - start;
                change();
                if (plain)
                        weir_mutex_unlock(&m);
                else
                        weir_rwmutex_unlock(&rw);
                took_ns[n] = took;
                sum += took;
                weir_sleep(100 * WEIR_MICROSECOND);
        }
        __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
        weir_wg_wait(&wg);
        qsort(took_ns, (size_t)n, sizeof *took_ns, rising);
        printf("%s: %d times, %.1f us on average, %.1f 99 of 100, %.1f at most; somebody had it "
               "for %.1f\n", what, n, (double)sum / n / 1000, (double)took_ns[n * 99 / 100] / 1000,
               (double)took_ns[n - 1] / 1000, (double)longest / 1000);
}

WEIR_MAIN(argc, argv)
{
        static const int share[] = { 0, 1, 5, 10, 20, 50, 100, 200, 300, 500 };
        int goroutines = argc > 1 ? atoi(argv[1]) : 8, even = -1;

        if (argc > 2)
                section = atoi(argv[2]) > 64 ? 64 : atoi(argv[2]);
        printf("writes    mutex  rwmutex  ns a lock; %d goroutines, %d processors, %d loads\n",
               goroutines, weir_procs(0), section);
        for (size_t i = 0; i < sizeof share / sizeof *share; i++) {
                double a = 1e9, b = 1e9, x;

                for (int k = 0; k < ROUNDS; k++) {
                        x = once(goroutines, share[i], true);
                        a = x < a ? x : a;
                        x = once(goroutines, share[i], false);
                        b = x < b ? x : b;
                }
                printf("%5.1f %%  %7.1f  %7.1f\n", share[i] / 10.0, a, b);
                if (a <= b && even < 0)
                        even = share[i];
                else if (a > b)
                        even = -1;
        }
        if (even < 0)
                printf("the rwmutex is faster at each share\n");
        else
                printf("a mutex is faster from %.1f %% of writes on\n", even / 10.0);
        waits(goroutines, false, "a writer beside readers without a pause");
        waits(goroutines, true, "a lock of a mutex that all want");
        return 0;
}
