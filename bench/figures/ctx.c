/* How long the cancel of a root takes, for each of whose descendants a goroutine waits.
 *
 *         build/bench/figures/ctx [DESCENDANTS [ROUNDS]]  100000 in chains of ten, 10 rounds
 *
 * The call alone, and until the last of those that waited has gone; the least, the middle and the
 * most of the rounds, in milliseconds. Where others use the machine too, the least is what counts. */
#include <weir.h>

#include <stdlib.h>

enum { CHAIN = 10, ROUNDS_MAX = 100 };

weir_task(wait_for, my, { weir_ctx *ctx; weir_wg *started, *ended; })
{
        weir_wg_done(my->started);
        weir_ctx_wait(my->ctx);
        weir_wg_done(my->ended);
}

static void once(int n, double *ret_call, double *ret_all)
{
        weir_ctx **all = weir_new_bytes((size_t)n * sizeof(weir_ctx *));
        weir_ctx  *top = weir_ctx_with_cancel(NULL);
        weir_wg    started = { 0 }, ended = { 0 };
        weir_time  start;

        for (int k = 0; k < n; k++)
                all[k] = weir_ctx_with_cancel(k % CHAIN ? all[k - 1] : top);
        weir_wg_add(&started, n);
        weir_wg_add(&ended, n);
        for (int k = 0; k < n; k++)
                weir_go(wait_for, .ctx = all[k], .started = &started, .ended = &ended);
        weir_wg_wait(&started);
        for (int k = 0; k < 100; k++)
                weir_yield();           /* the last of them come to wait */
        start = weir_now();
        weir_ctx_cancel(top);
        *ret_call = (double)(weir_now() - start) / 1e6;
        weir_wg_wait(&ended);
        *ret_all = (double)(weir_now() - start) / 1e6;
}

static int rising(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static void print(const char *what, double *ms, int n)
{
        qsort(ms, (size_t)n, sizeof *ms, rising);
        printf("%s: %.1f ms at least, %.1f in the middle, %.1f at most\n", what, ms[0], ms[n / 2],
               ms[n - 1]);
}

WEIR_MAIN(argc, argv)
{
        int    n = argc > 1 ? atoi(argv[1]) : 100000, rounds = argc > 2 ? atoi(argv[2]) : 10;
        double call[ROUNDS_MAX], all[ROUNDS_MAX];

        if (n < 1 || rounds < 1 || rounds > ROUNDS_MAX)
                return 2;
        for (int i = 0; i < rounds; i++)
                once(n, &call[i], &all[i]);
        print("the call", call, rounds);
        print("until the last has gone", all, rounds);
        return 0;
}
