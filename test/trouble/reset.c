/* Clients reset their connections in the middle of a request, of an answer, and before anything. */
#include "trouble.h"

#include <string.h>
#include <sys/socket.h>

enum { ROUNDS = 300 };

int main(int argc, char **argv)
{
        static const char half[]  = "GET /small.txt HTTP/1.1\r\nHost: re";
        static const char whole[] = "GET /big.bin HTTP/1.1\r\nHost: reset\r\n\r\n";
        char              piece[100];
        bool              echo = argc == 3 && strcmp(argv[2], "echo") == 0;

        if (argc < 2)
                return 2;
        if (echo)
                echo_start(argv[1]);
        else
                web_start(argv[1], "10", 0);
        friend_start(echo, true);
        for (int i = 0; i < ROUNDS; i++) {
                int early = dial(), mid = dial(), late = dial();

                send_all(mid, half, sizeof half - 1);
                send_all(late, whole, sizeof whole - 1);
                if (recv(late, piece, sizeof piece, 0) <= 0)
                        die("no answer");
                reset(early);
                reset(mid);
                reset(late);
        }
        friend_stop();
        server_stop();
        return 0;
}
