/* A program that closes every descriptor it did not open, the poller's among them. */
/* skip: thread because closing what another thread uses is the race that it reports first */
#include <weir.h>
#include <unistd.h>

WEIR_MAIN(argc, argv)
{
        for (int fd = 3; fd < 100; fd++)
                close(fd);
        for (int i = 0; i < 1000; i++)
                weir_sleep(10 * WEIR_MILLISECOND);
        return 0;
}
