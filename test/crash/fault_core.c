/* run: WEIR_TRACEBACK=crash */
/* skip: address,thread because their own handler reports faults that nobody catches */
/* With WEIR_TRACEBACK=crash every goroutine is printed and the program leaves a core file. */
#include <weir.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

weir_task(sleeper, my, { int s; })
{
        weir_sleep(my->s * WEIR_SECOND);
}

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
        volatile int *p;

        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        weir_go(sleeper, .s = 10);
        while (!parks())
                weir_yield();
        __asm__("" : "=r"(p) : "0"(0x20L));             /* where, the compiler need not know */
        *p = 1;
        return 0;
}
