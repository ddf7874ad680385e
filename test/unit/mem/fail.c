/* No memory, at every place where memory is asked for: the n-th request for pages fails, n sweeping
 * upward. Each n is a process of its own, since the switch is read at the first allocation. */
#include "check.h"
#include "mem/heap.h"
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the processes do: every kind of request, each of which may be refused. Answers how many
 * were; anything else that goes wrong ends the process otherwise. */
static int work(void)
{
        enum { N = 400 };
        static char *p[N];
        int          refused = 0;

        for (int i = 0; i < N; i++) {
                size_t size = (size_t)(i * i) % 90000 + 1;

                p[i] = i % 3 == 0 ? weir__malloc(size)
                     : i % 3 == 1 ? weir__calloc(1, size) : weir__memalign(4096, size);
                refused += !p[i];
                if (p[i])
                        p[i][size - 1] = 1;
        }
        for (int i = 0; i < N; i++) {
                char *q = weir__realloc(p[i], (size_t)(i + 1) * 1000);

                refused += !q;
                if (q)
                        p[i] = q;
        }
        weir__mem_check();
        for (int i = 0; i < N; i++)
                weir__free(p[i]);
        weir__mem_check();
        return refused;
}

/* The start of the process again, by the first argument. */
__attribute__((constructor)) static void be_the_process(void)
{
        if (getenv("FAIL_TEST_WORKS"))
                _exit(work());
}

PLAIN_TEST_WITH(each_request_that_fails_is_null_and_leaves_the_heap_whole, .timeout = 60)
{
        int refused = 0;

        for (int n = 1; n <= 80; n++) {
                pid_t pid = fork();
                int   status;

                ck_assert_int_ge(pid, 0);
                if (!pid) {
                        char value[32];

                        weir__fmt(value, sizeof value, "fail=%d", n);
                        setenv("WEIR_DEBUG", value, 1);
                        setenv("FAIL_TEST_WORKS", "1", 1);
                        execl("/proc/self/exe", "fail", (char *)NULL);
                        _exit(101);
                }
                ck_assert_int_eq(waitpid(pid, &status, 0), pid);
                ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) <= 2, "n %d: status %x", n,
                              status);
                refused += WEXITSTATUS(status);
        }
        /* Some fail before the constructor, some at what a free list already has. */
        ck_assert_int_ge(refused, 40);
}
