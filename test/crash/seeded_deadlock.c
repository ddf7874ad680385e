/* run: WEIR_DEBUG=sched=0 */
/* A deadlock is told although the goroutines slept for hours before. */
#include <weir.h>

weir_task(wait_for, my, { weir_mutex *first, *second; })
{
        weir_mutex_lock(my->first);
        weir_sleep(WEIR_SECOND * 3600);
        weir_mutex_lock(my->second);
}

WEIR_MAIN(argc, argv)
{
        weir_mutex a = { 0 }, b = { 0 };

        weir_go(wait_for, .first = &a, .second = &b);
        weir_go(wait_for, .first = &b, .second = &a);
        weir_sleep(WEIR_SECOND * 7200);
        weir_mutex_lock(&a);
        return 0;
}
