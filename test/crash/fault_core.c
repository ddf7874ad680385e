/* run: WEIR_TRACEBACK=crash */
/* skip: address,thread because their own handler reports faults that nobody catches */
/* With WEIR_TRACEBACK=crash every goroutine is printed and the program leaves a core file. */
#include <weir.h>
#include <sys/resource.h>

weir_task(sleeper, my, { int s; })
{
        weir_sleep(my->s * WEIR_SECOND);
}

WEIR_MAIN(argc, argv)
{
        volatile int *p;

        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        weir_go(sleeper, .s = 10);
        weir_sleep(WEIR_MILLISECOND);
        __asm__("" : "=r"(p) : "0"(0x20L));             /* where, the compiler need not know */
        *p = 1;
        return 0;
}
