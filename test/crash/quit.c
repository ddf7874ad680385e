/* run: WEIR_PROCS=2 */
/* SIGQUIT prints every goroutine, running and parked, and ends the program. */
#include <weir.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

weir_task(parked, my, { weir_chan *c; })
{
        int v;

        weir_recv(my->c, &v);
}

weir_task(asleep, my, { int s; })
{
        weir_sleep(my->s * WEIR_SECOND);
}

weir_task(spinning, my, { int *n; })
{
        for (;;)
                __atomic_fetch_add(my->n, 1, __ATOMIC_RELAXED);
}

static int n;

/* How often a goroutine has parked. */
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
        weir_chan *c = weir_chan_make(int, 0);

        weir_go_with(&(weir_go_options){ .name = "reader" }, parked, .c = c);
        weir_go(asleep, .s = 100);
        weir_go_with(&(weir_go_options){ .name = "busy" }, spinning, .n = &n);
        /* The dump says where each is, so each must be there: who is started last runs first, and
         * on a busy machine the signal came before the others had run. */
        while (!__atomic_load_n(&n, __ATOMIC_RELAXED) || parks() < 2)
                weir_yield();
        kill(getpid(), SIGQUIT);
        weir_sleep(100 * WEIR_SECOND);
        return 0;
}
