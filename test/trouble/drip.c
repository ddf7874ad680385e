/* Clients send a byte now and then, or nothing, or never take what they asked for: each has its
 * time and is then sent away, while others are served. */
#include "trouble.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DRIPS = 50 };

static bool ended(int fd)
{
        char c;

        return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* The patience of the server is 0.5 s for a request, thrice that for an idle connection. */
static void drip(void)
{
        static const char request[] = "GET /small.txt HTTP/1.1\r\nHost: a-patient-one\r\n\r\n";
        char              answer[16] = "";
        int               fds[DRIPS];
        double            begin = now();

        for (int i = 0; i < DRIPS; i++)
                fds[i] = dial();
        for (size_t at = 0; now() - begin < 0.4; at++, nap(0.02))
                for (int i = 0; i < DRIPS; i++)
                        send_all(fds[i], &request[at], 1);
        for (int i = 0; i < DRIPS; i++)
                if (ended(fds[i]))
                        die("client %d was sent away before its time", i);
        for (int i = 0; i < DRIPS; i++) {
                if (recv(fds[i], answer, 12, MSG_WAITALL) != 12 ||
                    strcmp(answer, "HTTP/1.1 408") != 0)
                        die("client %d was told \"%s\"", i, answer);
                close(fds[i]);
        }
        printf("%d slow clients were sent away after %.2f s\n", DRIPS, now() - begin);
        if (now() - begin > 3)
                die("that is too late");
}

static void be_silent(void)
{
        double begin = now();
        int    fd = dial(), kept = dial();
        char   c;

        ask(kept, "/small.txt", SMALL_SIZE);
        if (recv(fd, &c, 1, 0) != 0 || recv(kept, &c, 1, 0) != 0)
                die("an idle connection ended in another way than by its end of stream");
        printf("idle clients were sent away after %.2f s\n", now() - begin);
        if (now() - begin < 1 || now() - begin > 5)
                die("that is not the time");
        close(fd);
        close(kept);
}

/* Asks for more than the buffers of both sockets hold and reads nothing: it cannot be sent. */
static void take_nothing(void)
{
        static const char request[] = "GET /big.bin HTTP/1.1\r\nHost: drip\r\n\r\n";
        static char       piece[1 << 16];
        size_t            sum = 0;
        ssize_t           n;
        int               fd  = dial();

        for (int i = 0; i < 4; i++)
                send_all(fd, request, sizeof request - 1);
        nap(2.5);
        while ((n = recv(fd, piece, sizeof piece, 0)) > 0)
                sum += (size_t)n;
        printf("a client that took nothing for too long was left with %zu bytes\n", sum);
        if (sum > 3 * (size_t)BIG_SIZE)
                die("it was served all the same");
        close(fd);
}

int main(int argc, char **argv)
{
        if (argc != 2)
                return 2;
        web_start(argv[1], "0.5", 0);
        friend_start(false, true);
        drip();
        be_silent();
        take_nothing();
        friend_stop();
        server_stop();
        return 0;
}
