/* A megabyte arrives in one go: nonsense, nonsense after a good request, requests by thousands. */
#include "trouble.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FLOOD = 1 << 20, ROUNDS = 20 };

static const char request[] = "GET /small.txt HTTP/1.1\r\nHost: flood\r\nX: 0123456789\r\n\r\n";
static char       flood[FLOOD];

static void *pour(void *arg)
{
        try_send_all(*(int *)arg, flood, sizeof flood);
        return NULL;
}

/* The answer to nonsense is 400 and an orderly end; the kernel may cut it short by a reset, because
 * the server does not have to read for ever. */
static void pour_nonsense(bool after_request)
{
        static char answer[1 << 16];
        pthread_t   t;
        ssize_t     n;
        int         fd = dial();

        if (after_request)
                ask(fd, "/small.txt", SMALL_SIZE);
        pthread_create(&t, NULL, pour, &fd);
        n = recv(fd, answer, sizeof answer, 0);
        if (n > 0 && strncmp(answer, "HTTP/1.1 4", 10) != 0)
                die("nonsense was answered with %.*s", (int)n, answer);
        while (n > 0)
                n = recv(fd, answer, sizeof answer, 0);
        shutdown(fd, SHUT_RDWR);
        pthread_join(t, NULL);
        close(fd);
}

static void pour_requests(void)
{
        size_t    n = sizeof flood / (sizeof request - 1);
        pthread_t t;
        int       fd = dial();

        memset(flood, '\n', sizeof flood);      /* the server passes over empty lines */
        for (size_t i = 0; i < n; i++)
                memcpy(flood + i * (sizeof request - 1), request, sizeof request - 1);
        pthread_create(&t, NULL, pour, &fd);
        for (size_t i = 0; i < n; i++)
                read_answer(fd, SMALL_SIZE);
        pthread_join(t, NULL);
        printf("%zu requests in one go were answered\n", n);
        close(fd);
}

int main(int argc, char **argv)
{
        if (argc != 2)
                return 2;
        web_start(argv[1], "10", 0);
        friend_start(false, true);
        for (int i = 0; i < ROUNDS; i++) {
                for (size_t k = 0; k < sizeof flood; k++)
                        flood[k] = i % 2 ? (char)rand() : (char)('a' + rand() % 26);
                pour_nonsense(i % 4 < 2);
        }
        pour_requests();
        friend_stop();
        server_stop();
        return 0;
}
