/* A client says that it will send no more: what it asked for before still arrives in full. */
#include "trouble.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUNDS = 20, ECHOED = 1 << 20 };

static char sent[ECHOED], received[ECHOED];

static void ask_and_close(void)
{
        static const char requests[] = "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n"
                                       "GET /small.txt HTTP/1.1\r\nHost: a\r\n\r\n";
        int fd = dial();

        send_all(fd, requests, sizeof requests - 1);
        shutdown(fd, SHUT_WR);
        read_answer(fd, BIG_SIZE);
        read_answer(fd, SMALL_SIZE);
        expect_end(fd);
        close(fd);
}

static void *send_and_close(void *arg)
{
        int fd = *(int *)arg;

        send_all(fd, sent, sizeof sent);
        shutdown(fd, SHUT_WR);
        return NULL;
}

static void echo_and_close(void)
{
        pthread_t t;
        int       fd = dial();

        pthread_create(&t, NULL, send_and_close, &fd);
        if (recv(fd, received, sizeof received, MSG_WAITALL) != sizeof received ||
            memcmp(sent, received, sizeof sent) != 0)
                die("the echo of %zu bytes differs", sizeof sent);
        pthread_join(t, NULL);
        expect_end(fd);
        close(fd);
}

int main(int argc, char **argv)
{
        bool echo = argc == 3 && strcmp(argv[2], "echo") == 0;

        if (argc < 2)
                return 2;
        for (size_t i = 0; i < sizeof sent; i++)
                sent[i] = (char)rand();
        if (echo)
                echo_start(argv[1]);
        else
                web_start(argv[1], "10", 0);
        friend_start(echo, true);
        for (int i = 0; i < ROUNDS; i++)
                echo ? echo_and_close() : ask_and_close();
        friend_stop();
        server_stop();
        return 0;
}
