/* Dumps and metrics while everything runs: a goroutine and a thread from outside print all
 * goroutines again and again, while those start, run, wait, block and end. The looks disturb
 * nobody: the sums still come out right, and each dump names the root goroutine. */
#include "stress.h"
#include <pthread.h>

enum { PAIRS = 8, MESSAGES = 3000 };

static bool     stop;
static uint32_t dumps;

static bool stopped(void)
{
        return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void look(void)
{
        char  *text = NULL;
        size_t n = 0;
        FILE  *f = open_memstream(&text, &n);

        must(f != NULL);
        weir_dump(f);
        weir_metric_write(f);
        fclose(f);
        must_say(strstr(text, "goroutine 1 ["), "%s", text);
        must(strstr(text, "weir_goroutines_started_total"));
        free(text);
        __atomic_fetch_add(&dumps, 1, __ATOMIC_RELAXED);
}

static void *look_from_outside(void *arg)
{
        (void)arg;
        while (!stopped()) {
                look();
                nanosleep(&(struct timespec){ .tv_nsec = 3000000 }, NULL);      /* others dump too */
        }
        return NULL;
}

weir_task(looker, my, { int unused; })
{
        while (!stopped()) {
                look();
                weir_sleep(20 * WEIR_MILLISECOND);      /* a look takes long; the others are to run */
        }
}

static void hold(void *arg)
{
        (void)arg;
        nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
}

weir_task(blocker, my, { int unused; })
{
        while (!stopped())
                weir_blocking(hold, NULL);
}

weir_task(short_lived, my, { int *n; })
{
        __atomic_fetch_add(my->n, 1, __ATOMIC_RELEASE);
}

weir_task(starter, my, { uint64_t rand; })
{
        weir_go_options named = { .name = "a name that comes and goes", .stack_size = 32768 };

        while (!stopped()) {
                weir_wg wg = { 0 };
                int     n = 0, k = (int)stress_below(&my->rand, 40);

                for (int i = 0; i < k; i++)
                        weir_wg_go(&wg, short_lived, .n = &n);
                weir_wg_wait(&wg);
                must(n == k);
                weir_go_with(&named, short_lived, .n = &n);
                while (__atomic_load_n(&n, __ATOMIC_ACQUIRE) != k + 1)
                        weir_yield();
        }
}

weir_task(napper, my, { uint64_t rand; })
{
        while (!stopped())
                weir_sleep((int64_t)stress_below(&my->rand, 300) * WEIR_MICROSECOND);
}

weir_task(busy, my, { volatile uint64_t n; })
{
        while (!stopped()) {
                for (int i = 0; i < 20000; i++)
                        my->n++;
                weir_yield();
        }
}

weir_task(sender, my, { weir_chan *c; })
{
        for (int i = 1; i <= MESSAGES; i++)
                weir_send(my->c, &i);
        weir_chan_close(my->c);
}

weir_task(receiver, my, { weir_chan *c; long *sum; })
{
        int v;

        while (weir_recv(my->c, &v))
                *my->sum += v;
}

WEIR_MAIN(argc, argv)
{
        weir_wg   others = { 0 };
        pthread_t t;

        stress_begin(argc, argv);
        must(pthread_create(&t, NULL, look_from_outside, NULL) == 0);
        weir_wg_go(&others, looker);
        for (int i = 0; i < 4; i++) {
                weir_wg_go(&others, blocker);
                weir_wg_go(&others, starter, .rand = stress_rand(&stress_state));
                weir_wg_go(&others, napper, .rand = stress_rand(&stress_state));
        }
        weir_wg_go(&others, busy);
        while (stress_more()) {
                weir_wg pairs = { 0 };
                long    sum[PAIRS] = { 0 };

                for (int i = 0; i < PAIRS; i++) {
                        weir_chan *c = weir_chan_make(int, stress_below(&stress_state, 4));

                        weir_wg_go(&pairs, sender, .c = c);
                        weir_wg_go(&pairs, receiver, .c = c, .sum = &sum[i]);
                }
                weir_wg_wait(&pairs);
                for (int i = 0; i < PAIRS; i++)
                        must(sum[i] == (long)MESSAGES * (MESSAGES + 1) / 2);
        }
        __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
        weir_wg_wait(&others);
        pthread_join(t, NULL);
        must(dumps > 0);
        printf("%u dumps\n", dumps);
        return 0;
}
