/* Runs a program that must die, and compares how with what is expected.
 *
 *         crash-runner NAME.out PROGRAM [ARGUMENT...]
 *
 * The first line of NAME.out is the exit status, or "signal N". Each further line is an extended
 * regular expression; line by line they must match lines of standard error, in this order, with
 * anything in between. Lines that begin with "# " are comments. Status 77 of the program, if not
 * expected, is passed on: skipped. */
#include <errno.h>
#include <regex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        SKIPPED  = 77,
        PATIENCE = 20 * WEIR_PATIENCE,  /* seconds until SIGQUIT asks for all goroutines */
};

static pid_t child;

static _Noreturn void die(const char *what, const char *name)
{
        fprintf(stderr, "crash-runner: %s: %s\n", name, what);
        exit(1);
}

/* Reads a stream to its end, as one string; echo: and shows it as it comes, so that the log of a
 * program that hangs is not lost. */
static char *read_all(FILE *f, bool echo)
{
        char   *text = NULL;
        size_t  size = 0, n = 0;

        for (;;) {
                if (n + 1 >= size) {
                        size = size ? size * 2 : 65536;
                        text = realloc(text, size);
                        if (!text)
                                abort();
                }
                ssize_t got = read(fileno(f), text + n, size - n - 1);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        break;
                if (echo)
                        fwrite(text + n, 1, (size_t)got, stderr);
                n += (size_t)got;
        }
        /* A stray zero would hide the rest. */
        for (size_t i = 0; i < n; i++)
                if (!text[i])
                        text[i] = '?';
        text[n] = '\0';
        return text;
}

static void hurry(int sig)
{
        (void)sig;
        kill(child, SIGQUIT);
}

/* Runs argv and returns its wait status and all that it wrote to standard error. */
static int run(char **argv, char **ret_text)
{
        int   fd[2], status;
        FILE *f;

        if (pipe(fd) < 0)
                die(strerror(errno), "pipe");
        child = fork();
        if (child < 0)
                die(strerror(errno), "fork");
        if (child == 0) {
                dup2(fd[1], STDERR_FILENO);
                close(fd[0]);
                close(fd[1]);
                execv(argv[0], argv);
                die(strerror(errno), argv[0]);
        }
        close(fd[1]);
        signal(SIGALRM, hurry);
        alarm(PATIENCE);
        f = fdopen(fd[0], "r");
        *ret_text = read_all(f, true);
        fclose(f);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
                ;
        return status;
}

static const char *describe(int status)
{
        static char text[32];

        if (WIFSIGNALED(status))
                snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
        else
                snprintf(text, sizeof text, "%d", WEXITSTATUS(status));
        return text;
}

/* Returns what follows the first line from text on that matches, or NULL. */
static char *find_line(const char *pattern, char *text, const char *name)
{
        char   *line, message[256];
        regex_t re;
        int     r;

        r = regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);
        if (r) {
                regerror(r, &re, message, sizeof message);
                fprintf(stderr, "%s\n", pattern);
                die(message, name);
        }
        while ((line = text)) {
                text = strchr(line, '\n');
                if (text)
                        *text = '\0';
                r = *line || text ? regexec(&re, line, 0, NULL, 0) : REG_NOMATCH;
                if (text)
                        *text++ = '\n';
                if (r == 0)
                        break;
        }
        regfree(&re);
        return line ? (text ? text : "") : NULL;
}

int main(int argc, char **argv)
{
        char  *expected, *line, *text, *at;
        FILE  *f;
        int    status;

        if (argc < 3)
                die("usage: crash-runner NAME.out PROGRAM [ARGUMENT...]", "usage");
        f = fopen(argv[1], "r");
        if (!f)
                die(strerror(errno), argv[1]);
        expected = read_all(f, false);
        fclose(f);

        status = run(argv + 2, &text);
        line = strsep(&expected, "\n");
        if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED && strcmp(line, "77") != 0)
                return SKIPPED;
        if (strcmp(line, describe(status)) != 0) {
                fprintf(stderr, "\n--- ended with %s, not with %s\n", describe(status), line);
                return 1;
        }
        at = text;
        while ((line = strsep(&expected, "\n"))) {
                if (!*line || strncmp(line, "# ", 2) == 0)
                        continue;
                at = find_line(line, at, argv[1]);
                if (!at) {
                        fprintf(stderr, "\n--- no line behind those that matched before: %s\n",
                                line);
                        return 1;
                }
        }
        return 0;
}
