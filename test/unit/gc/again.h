/* A test program that runs one of its own tests again, in a process of its own with an environment
 * of its own, and reads what that printed. */
#ifndef TEST_UNIT_GC_AGAIN_H
#define TEST_UNIT_GC_AGAIN_H

#include "check.h"
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct again {
        int    status;          /* as of waitpid */
        char   text[1 << 18];   /* standard output and error, the first of it */
};

static WEIR_UNUSED void run_again(struct again *ret, const char *test, const char *debug)
{
        char    rest[4096];
        int     fd[2];
        size_t  n = 0, room;
        ssize_t r;
        pid_t   pid;

        ck_assert_int_eq(pipe(fd), 0);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (!pid) {
                dup2(fd[1], STDERR_FILENO);
                dup2(fd[1], STDOUT_FILENO);
                close(fd[0]);
                close(fd[1]);
                setenv("WEIR_DEBUG", debug, 1);
                setenv("CK_FORK", "no", 1);
                setenv("CK_RUN_CASE", test, 1);
                execl("/proc/self/exe", "again", (char *)NULL);
                _exit(101);
        }
        close(fd[1]);
        while ((room = sizeof ret->text - 1 - n) > 0 && (r = read(fd[0], ret->text + n, room)) > 0)
                n += (size_t)r;
        while (read(fd[0], rest, sizeof rest) > 0)
                ;
        ret->text[n] = 0;
        close(fd[0]);
        ck_assert_int_eq(waitpid(pid, &ret->status, 0), pid);
}

#endif
