/* A million goroutines: made, parked, counted, woken, gone.
 *
 *         million [GOROUTINES]
 *
 * Prints what a goroutine costs and how long it took, and ends with status 1 when one of the limits
 * below is missed: so much resident memory for each, so long to make them, and so many mappings for
 * all their guards together.
 *
 * The kernel's pages are touched before, as many as it will take, held, and let go bit by bit
 * outside of the time that is taken: on a virtual machine, memory that was idle for some seconds
 * has gone back to the host, and fetching it is not what is measured. */
#include "soak/soak.h"
#include <sys/mman.h>

enum { GOROUTINES = 1000 * 1000, PIECES = 100, MAPPINGS = 64 };

static const double each_kib = 4.7, make_s = 2.0;

/* A number from a file like /proc/self/status: what stands behind key. */
static long status_of(const char *key)
{
        FILE *f = fopen("/proc/self/status", "re");
        char  line[256];
        long  v = -1;

        while (f && fgets(line, sizeof line, f))
                if (!strncmp(line, key, strlen(key)))
                        v = atol(line + strlen(key));
        if (f)
                fclose(f);
        return v;
}

static long mappings(void)
{
        FILE *f = fopen("/proc/self/maps", "re");
        char  line[1024];
        long  n = 0;

        while (f && fgets(line, sizeof line, f))
                n += strchr(line, '\n') != NULL;
        if (f)
                fclose(f);
        return n;
}

/* Touches memory and keeps it, to be let go piece by piece. */
static struct {
        char  *at, *end;
        size_t piece;
} held;

static void hold(size_t bytes, size_t pieces)
{
        bytes = (bytes + 4095) & ~(size_t)4095;
        held.at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (held.at == MAP_FAILED) {
                held.at = NULL;
                return;
        }
        held.end = held.at + bytes;
        held.piece = (bytes / pieces + 4095) & ~(size_t)4095;
        madvise(held.at, bytes, MADV_NOHUGEPAGE);
        for (char *p = held.at; p < held.end; p += 4096)
                *p = 1;
}

/* From the top, for there the kernel maps next: the stacks shall not lie in pieces between what is
 * held and what is not. */
static void let_go(void)
{
        size_t n = held.piece;

        if ((size_t)(held.end - held.at) < n)
                n = (size_t)(held.end - held.at);
        if (n)
                munmap(held.end - n, n);
        held.end -= n;
}

static long arrived, woken;

weir_task(sleeper, my, { weir_chan *gate; weir_wg *wg; })
{
        char c;

        __atomic_fetch_add(&arrived, 1, __ATOMIC_RELAXED);
        weir_recv(my->gate, &c);
        __atomic_fetch_add(&woken, 1, __ATOMIC_RELAXED);
        weir_wg_done(my->wg);
}

WEIR_MAIN(argc, argv)
{
        long       n = argc > 1 ? atol(argv[1]) : GOROUTINES;
        weir_wg    wg = { 0 };
        weir_chan *gate = weir_chan_make(char, 0);
        long       rss, tables, maps;
        weir_time  t0, t2, made = 0;
        double     parks;

        if (n <= 0) {
                fprintf(stderr, "usage: million [GOROUTINES]\n");
                return 2;
        }
        hold((size_t)n * 5000, PIECES);
        rss = status_of("VmRSS:") - (long)((held.end - held.at) / 1024);
        tables = status_of("VmPTE:") - (long)((held.end - held.at) / 4096 * 8 / 1024);
        maps = mappings();
        weir_wg_add(&wg, (int)n);
        parks = soak_metric("weir_parks_total");
        for (long i = 0; i < PIECES; i++) {
                let_go();
                t0 = weir_now();
                for (long k = n * i / PIECES; k < n * (i + 1) / PIECES; k++)
                        weir_go(sleeper, .gate = gate, .wg = &wg);
                made += weir_now() - t0;
        }
        while (__atomic_load_n(&arrived, __ATOMIC_RELAXED) < n)
                weir_yield();
        while (soak_metric("weir_parks_total") < parks + (double)n)
                weir_yield();           /* the last ones are on their way into the queue */
        soak_at_most("a million goroutines: to make them", (double)made / 1e9, "s",
                     make_s * (double)n / GOROUTINES);
        soak_at_most("a million goroutines: resident for each",
                     (double)(status_of("VmRSS:") - rss) / (double)n, "KiB", each_kib);
        printf("%-28s %10.2f KiB\n", "page tables for each",
               (double)(status_of("VmPTE:") - tables) / (double)n);
        soak_at_most("a million goroutines: more mappings", (double)(mappings() - maps), "", MAPPINGS);
        t2 = weir_now();
        weir_chan_close(gate);
        weir_wg_wait(&wg);
        printf("%-28s %10.2f s\n", "to wake and end them", (double)(weir_now() - t2) / 1e9);
        soak_at_most("a million goroutines: not woken", (double)(n - woken), "", 0);
        return soak_missed;
}
