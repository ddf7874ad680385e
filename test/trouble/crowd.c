/* Ten thousand clients are connected at once; each is answered twice, and nobody is in the way. */
#include "trouble.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CLIENTS = 10000, BATCH = 500 };

static const char request[] = "GET /small.txt HTTP/1.1\r\nHost: crowd\r\n\r\n";

static void print_memory(void)
{
        char  path[32], line[128];
        FILE *f;

        snprintf(path, sizeof path, "/proc/%d/status", (int)server_pid());
        f = fopen(path, "r");
        while (f && fgets(line, sizeof line, f))
                if (strncmp(line, "VmHWM", 5) == 0 || strncmp(line, "Threads", 7) == 0)
                        fputs(line, stdout);
        if (f)
                fclose(f);
}

int main(int argc, char **argv)
{
        static int    fds[CLIENTS];
        struct rlimit lim;
        double        begin;

        if (argc != 2)
                return 2;
        getrlimit(RLIMIT_NOFILE, &lim);
        if (lim.rlim_max < CLIENTS + 100)
                skip("the hard limit is %zu descriptors", (size_t)lim.rlim_max);
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);

        web_start(argv[1], "10", 0);
        friend_start(false, true);
        begin = now();
        for (int i = 0; i < CLIENTS; i++)
                fds[i] = dial();
        printf("%d connected after %.2f s\n", CLIENTS, now() - begin);
        for (int round = 1; round <= 2; round++) {
                begin = now();
                for (int i = 0; i < CLIENTS; i += BATCH) {
                        for (int k = i; k < i + BATCH; k++)
                                send_all(fds[k], request, sizeof request - 1);
                        for (int k = i; k < i + BATCH; k++)
                                read_answer(fds[k], SMALL_SIZE);
                }
                printf("round %d: %.2f s\n", round, now() - begin);
        }
        print_memory();
        for (int i = 0; i < CLIENTS; i++)
                close(fds[i]);
        friend_stop();
        server_stop();
        return 0;
}
