/* Collected memory cannot be refused: at the hard limit the program ends, and says what used it.
 * The limit holds from the start of a process, since the heap reserves its range there. */
/* skip: address,thread because their shadows do not fit the limit */
#include "mem/mem.h"
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

int main(void)
{
        struct rlimit r = { 3ul << 30, 3ul << 30 };

        if (!getenv("LIMITED")) {
                if (setrlimit(RLIMIT_AS, &r) || setenv("LIMITED", "1", 1))
                        return 77;
                execl("/proc/self/exe", "out_of_memory", (char *)NULL);
                return 1;
        }
        for (;;)
                weir__mem_alloc(MEM_NOSCAN, 64ul << 20);
}
