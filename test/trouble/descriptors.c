/* The server's descriptors are used up: it says so, waits, and every client gets its answer. */
#include "trouble.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LIMIT = 64, CLIENTS = 200, LATE = 20 };

static const char request[] = "GET /small.txt HTTP/1.1\r\nHost: crowd\r\n\r\n";

/* More clients than places. Those without one wait in the backlog until others leave. */
static void fill_every_place(void)
{
        int fds[CLIENTS];

        for (int i = 0; i < CLIENTS; i++) {
                fds[i] = dial();
                send_all(fds[i], request, sizeof request - 1);
        }
        nap(0.2);
        if (server_said("every place is taken") == 0)
                die("%d clients had a place", CLIENTS);
        for (int i = 0; i < CLIENTS; i++) {
                read_answer(fds[i], SMALL_SIZE);
                close(fds[i]);
        }
}

static void set_limit(rlim_t n)
{
        const struct rlimit lim = { n, LIMIT };

        if (prlimit(server_pid(), RLIMIT_NOFILE, &lim, NULL) < 0)
                die("prlimit to %zu: %s", (size_t)n, strerror(errno));
}

/* Accept itself fails, as when another part of the program has taken the descriptors. The server
 * has places left and tries again and again; the clients notice a delay. */
static void fail_accept(void)
{
        int    fds[LATE], fd = dial();
        size_t lines;

        ask(fd, "/small.txt", SMALL_SIZE);
        server_settle(1);
        set_limit((rlim_t)server_lowest_free());
        for (int i = 0; i < LATE; i++) {
                fds[i] = dial();
                send_all(fds[i], request, sizeof request - 1);
        }
        nap(1.5);
        lines = server_said("not accepting") - server_said("every place is taken");
        if (lines < 1 || lines > 3)
                die("%zu lines in 1.5 s about accept failing", lines);
        set_limit(LIMIT);
        for (int i = 0; i < LATE; i++) {
                read_answer(fds[i], SMALL_SIZE);
                close(fds[i]);
        }
        ask(fd, "/small.txt", SMALL_SIZE);
        close(fd);
}

int main(int argc, char **argv)
{
        if (argc != 2)
                return 2;
        web_start(argv[1], "10", LIMIT);
        friend_start(false, false);
        fill_every_place();
        friend_stop();
        fail_accept();
        printf("the server complained in %zu lines\n", server_said("not accepting"));
        server_stop();
        return 0;
}
