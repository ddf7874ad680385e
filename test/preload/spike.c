/* A program whose memory comes in spikes of one kind and then of another: 150 MiB of small blocks
 * are freed before 150 MiB of large ones are made, and so on. An allocator that keeps what is idle
 * needs 300 MiB. Says the most that was resident at the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { BYTES = 150 << 20, SIZES = 3 };

int main(void)
{
        static const size_t size[SIZES] = { 200, 100000, 5000 };
        static char        *p[BYTES / 200];
        struct rusage       used;

        for (int round = 0; round < 12; round++) {
                size_t s = size[round % SIZES], n = BYTES / s;

                for (size_t i = 0; i < n; i++) {
                        if (!(p[i] = malloc(s)))
                                return 3;
                        memset(p[i], 1, s);
                }
                for (size_t i = 0; i < n; i++)          /* one of a thousand stays for a round */
                        if (i % 1000)
                                free(p[i]);
                for (size_t i = 0; i < n; i += 1000)
                        free(p[i]);
        }
        getrusage(RUSAGE_SELF, &used);
        printf("survived with at most %ld KiB\n", used.ru_maxrss);
        return 0;
}
