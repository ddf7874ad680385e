/* How long a dump of many goroutines takes, and how much it prints.
 *
 *      build/bench/figures/dump [GOROUTINES]           100 000
 *
 * They wait in eight places, at depths of 1 to 8 calls, each on a channel of its own. */
#include <weir.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTHS = 8 };

static __attribute__((noinline)) int wait_deeper(weir_chan *c, int depth)
{
        int v = 0;

        if (depth)
                v = wait_deeper(c, depth - 1);
        else
                weir_recv(c, &v);
        __asm__ volatile("" : "+r"(v));
        return v + 1;
}

weir_task(waiter, my, { weir_chan *c; int depth; })
{
        wait_deeper(my->c, my->depth);
}

static void measure(const char *what)
{
        char     *text = NULL;
        size_t    bytes = 0;
        FILE     *out = open_memstream(&text, &bytes);
        weir_time start = weir_now();

        if (!out)
                exit(1);
        weir_dump(out);
        printf("%s: %.3f s, %zu bytes\n", what, (double)(weir_now() - start) / 1e9, bytes);
        fclose(out);
        free(text);
}

/* How often a goroutine has waited. */
static unsigned long parks(void)
{
        char         *text = NULL, *at;
        size_t        size = 0;
        FILE         *f = open_memstream(&text, &size);
        unsigned long v;

        weir_metric_write(f);
        fclose(f);
        at = strstr(text, "\nweir_parks_total ");
        v = at ? strtoul(strchr(at, ' '), NULL, 10) : 0;
        free(text);
        return v;
}

WEIR_MAIN(argc, argv)
{
        int n = argc > 1 ? atoi(argv[1]) : 100000;

        if (n <= 0) {
                fprintf(stderr, "usage: dump [GOROUTINES]\n");
                return 2;
        }
        for (int i = 0; i < n; i++)
                weir_go(waiter, .c = weir_chan_make(int, 0), .depth = i % DEPTHS);
        while (parks() < (unsigned long)n)
                weir_yield();
        printf("%d goroutines\n", n);
        for (int i = 0; i < 3; i++)
                measure("weir_dump");
        return 0;
}
