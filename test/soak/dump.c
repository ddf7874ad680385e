/* A hundred thousand goroutines: how long it takes to print them all, by weir_dump and by SIGQUIT.
 *
 * They wait in different ways and at different depths of their stacks. A child runs them, prints
 * how long weir_dump took, and is then asked to quit; the parent takes the time until it is
 * gone. */
#include "soak/soak.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

enum { GOROUTINES = 100 * 1000, DEEP = 20, KINDS = 4 };

static long here;

static __attribute__((noinline)) int deeper(int n, weir_chan *c)
{
        volatile char room[64];
        char          v;

        room[0] = (char)n;
        if (n)
                return deeper(n - 1, c) + room[0];
        weir_recv(c, &v);
        return v;
}

weir_task(waiter, my, { int kind; weir_chan *c, *other; weir_wg *wg; })
{
        char v;

        __atomic_fetch_add(&here, 1, __ATOMIC_RELAXED);
        switch (my->kind) {
        case 0:
                weir_recv(my->c, &v);
                break;
        case 1:
                weir_select(weir_on_recv(my->c, &v, NULL), weir_on_recv(my->other, &v, NULL));
                break;
        case 2:
                weir_sleep(3600 * WEIR_SECOND);
                break;
        default:
                deeper(DEEP, my->c);
        }
}

static int child(int argc, char **argv)
{
        weir_chan *c = weir_chan_make(char, 0), *other = weir_chan_make(char, 0);
        FILE      *null = fopen("/dev/null", "we");
        weir_time  t;

        (void)argc, (void)argv;
        for (int i = 0; i < GOROUTINES; i++)
                weir_go(waiter, .kind = i % KINDS, .c = c, .other = other);
        while (__atomic_load_n(&here, __ATOMIC_RELAXED) < GOROUTINES)
                weir_yield();
        while (soak_metric("weir_parks_total") < GOROUTINES)
                weir_yield();           /* the last ones are on their way */
        if (!null)
                soak_fail("/dev/null");
        t = weir_now();
        weir_dump(null);
        printf("%.6f\n", (double)(weir_now() - t) / 1e9);
        fflush(stdout);
        weir_sleep(3600 * WEIR_SECOND);
        return 0;
}

static double now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
        char   path[] = "/tmp/weir-soak-XXXXXX", line[256] = "", *end;
        double dump, quit;
        int    out[2], err = mkstemp(path), status;
        pid_t  pid;
        FILE  *f;

        (void)soak_minutes(argc, argv);
        unlink(path);
        if (err < 0 || pipe(out))
                soak_fail("files");
        pid = fork();
        if (pid < 0)
                soak_fail("fork");
        if (!pid) {
                dup2(out[1], STDOUT_FILENO);
                dup2(err, STDERR_FILENO);
                close(out[0]);
                close(out[1]);
                _exit(weir_run(child, 0, NULL, NULL));
        }
        close(out[1]);
        f = fdopen(out[0], "r");
        if (!f || !fgets(line, sizeof line, f))
                soak_fail("the child said nothing");
        dump = strtod(line, &end);
        if (end == line)
                soak_fail("the child did not say how long it took");
        quit = now();
        kill(pid, SIGQUIT);
        waitpid(pid, &status, 0);
        quit = now() - quit;
        f = fdopen(err, "r");
        if (!f || fseek(f, 0, SEEK_SET) || !fgets(line, sizeof line, f))
                soak_fail("SIGQUIT printed nothing");
        if (strncmp(line, "SIGQUIT: 100001 goroutines", 26) != 0 || !WIFEXITED(status) ||
            WEXITSTATUS(status) != 2)
                soak_fail(line);
        soak_at_most("100000 goroutines: weir_dump", dump, "s", 1);
        soak_at_most("100000 goroutines: SIGQUIT, until it is gone", quit, "s", 1);
        return soak_missed;
}
