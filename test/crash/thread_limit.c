/* More goroutines in blocking calls at once than there may be threads. */
/* skip: address,thread because ten thousand threads are too many for them */
/* timeout: 60 */
#include <weir.h>
#include <unistd.h>

enum { CALLS = 10100, PATIENCE_S = 20 };

static int waiting;

static void wait_for_ever(void *arg)
{
        (void)arg;
        __atomic_fetch_add(&waiting, 1, __ATOMIC_RELAXED);
        for (;;)
                pause();
}

weir_task(call, my, { int n; })
{
        weir_blocking(wait_for_ever, NULL);
}

/* Where the system allows fewer threads, goroutines take turns, and the limit is not met. */
WEIR_MAIN(argc, argv)
{
        int before = -1;

        for (int i = 0; i < CALLS; i++)
                weir_go(call, .n = i);
        while (before < __atomic_load_n(&waiting, __ATOMIC_RELAXED)) {
                before = __atomic_load_n(&waiting, __ATOMIC_RELAXED);
                weir_sleep(PATIENCE_S * WEIR_SECOND);
        }
        _exit(77);
}
