/* How long the program stands in a collection, by how much lives and how many goroutines there are.
 *
 *      build/bench/figures/stops [MIB...]              64 256 1024
 *
 * A tree of declared objects of 64 bytes; then goroutines parked on a channel beside 64 MiB of it.
 * Of 20 forced cycles each, while a goroutine allocates beside them, the median and the longest
 * stop, in microseconds. Then the same by a process of its own that collects in one stop
 * (gcstop=1). */
#include <weir.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CYCLES = 20 };

typedef struct item {
        struct item *left, *right;
        uint64_t     value[6];
} item;
WEIR_TYPE(item, left, right);

static item *live;

static item *tree(int depth)
{
        item *n = weir_new(item);

        if (depth > 0) {
                weir_set(n->left, tree(depth - 1));
                weir_set(n->right, tree(depth - 1));
        }
        return n;
}

weir_task(allocates, my, { uint32_t *stop; weir_wg *wg; })
{
        while (!__atomic_load_n(my->stop, __ATOMIC_SEQ_CST)) {
                item *list = NULL;

                for (int i = 0; i < 10000; i++) {
                        item *n = weir_new(item);

                        weir_set(n->left, list);
                        list = n;
                }
                weir_yield();
        }
        weir_wg_done(my->wg);
}

weir_task(parks, my, { weir_chan *c; weir_wg *wg; })
{
        int v;

        weir_recv(my->c, &v);
        weir_wg_done(my->wg);
}

static int by_value(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return (x > y) - (x < y);
}

static void measure(const char *what, uint64_t n)
{
        static weir_gc_cycle c[CYCLES];
        int64_t              ns[2 * CYCLES];
        size_t               stops = 0;
        uint32_t             stop = 0;
        weir_wg              wg = { 0 };

        weir_gc_run();
        weir_wg_add(&wg, 1);
        weir_go(allocates, .stop = &stop, .wg = &wg);
        for (int i = 0; i < CYCLES; i++)
                weir_gc_run();
        for (size_t i = 0, k = weir_gc_history(c, CYCLES); i < k; i++) {
                if (c[i].stop_first)
                        ns[stops++] = c[i].stop_first;
                ns[stops++] = c[i].stop_last;
        }
        __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
        weir_wg_wait(&wg);
        qsort(ns, stops, sizeof *ns, by_value);
        printf("%10llu %-12s %10lld %10lld\n", (unsigned long long)n, what,
               (long long)ns[stops / 2] / 1000, (long long)ns[stops - 1] / 1000);
        fflush(stdout);
}

WEIR_MAIN(argc, argv)
{
        static const int goroutines[] = { 10, 1000, 100000 };
        bool             own = getenv("WEIR_STOPS_OWN") != NULL;

        printf("%s\n%23s %10s %10s\n", own ? "in one stop (gcstop=1)" : "beside the program", "",
               "median us", "longest us");
        for (int i = 0; i < (argc > 1 ? argc - 1 : 3); i++) {
                uint64_t mib = argc > 1 ? strtoull(argv[i + 1], NULL, 10) : UINT64_C(64) << 2 * i;
                int      depth = 0;

                while (UINT64_C(128) << depth < mib << 20)
                        depth++;
                live = NULL;
                live = tree(depth);
                measure("MiB live", mib);
        }
        live = NULL;
        live = tree(19);
        for (size_t i = 0; i < sizeof goroutines / sizeof *goroutines; i++) {
                weir_chan *c = weir_chan_make(int, 0);
                weir_wg    wg = { 0 };

                weir_wg_add(&wg, goroutines[i]);
                for (int k = 0; k < goroutines[i]; k++)
                        weir_go(parks, .c = c, .wg = &wg);
                weir_yield();
                measure("goroutines", (uint64_t)goroutines[i]);
                weir_chan_close(c);
                weir_wg_wait(&wg);
        }
        if (!own) {
                pid_t child = fork();

                if (!child) {
                        setenv("WEIR_STOPS_OWN", "1", 1);
                        setenv("WEIR_DEBUG", "gcstop=1", 1);
                        execv("/proc/self/exe", argv);
                        _exit(1);
                }
                while (waitpid(child, NULL, 0) < 0)
                        ;
        }
        return 0;
}
