/* Goroutines that compute are stopped over and over, and look at every register meanwhile. */
#include "registers.h"
#include "soak/soak.h"

enum { HOGS = 4, PER_MINUTE = 20000 };

static uint64_t counter(const char *name)
{
        char    *text = NULL, *at, line[128];
        size_t   n = 0;
        FILE    *f = open_memstream(&text, &n);
        uint64_t v;

        weir_metric_write(f);
        fclose(f);
        snprintf(line, sizeof line, "\nweir_%s_total ", name);
        at = strstr(text, line);
        if (!at)
                soak_fail("no such counter");
        v = strtoull(at + strlen(line), NULL, 10);
        free(text);
        return v;
}

weir_task(watcher, my, { uint64_t pattern; bool *stop; uint64_t *bad; })
{
        bool wide = can_watch_vectors();

        while (!__atomic_load_n(my->stop, __ATOMIC_RELAXED)) {
                *my->bad += watch_registers(my->pattern);
                if (wide)
                        *my->bad += watch_vectors(my->pattern);
        }
}

WEIR_MAIN(argc, argv)
{
        uint64_t  wanted = (uint64_t)(soak_minutes(argc, argv) * PER_MINUTE), bad[HOGS] = { 0 };
        uint64_t  sum = 0;
        weir_time t = weir_now();
        bool      stop = false;
        weir_wg   wg = { 0 };

        for (uint64_t i = 0; i < HOGS; i++)
                weir_wg_go(&wg, watcher, .pattern = UINT64_C(0x123456789abcdef1) * (i + 1),
                           .stop = &stop, .bad = &bad[i]);
        while (counter("preemptions") < wanted)
                weir_sleep(100 * WEIR_MILLISECOND);
        __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
        weir_wg_wait(&wg);
        for (int i = 0; i < HOGS; i++)
                sum += bad[i];
        printf("preemptions: %.0f in a second, vector registers %s\n",
               (double)counter("preemptions") / ((double)(weir_now() - t) / 1e9),
               can_watch_vectors() ? "too" : "not: the processor lacks AVX-512");
        soak_at_least("preemptions with every register checked", (double)counter("preemptions"), "",
                      (double)wanted);
        soak_at_most("registers that changed", (double)sum, "", 0);
        return soak_missed;
}
