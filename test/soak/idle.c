/* What a process that waits costs: its wake-ups and its time of a core.
 *
 * A child runs the runtime with one timer an hour away; the parent, which is no part of it, reads
 * in /proc what the child's threads did. Then the same with a goroutine that wakes 20 times a
 * second, which keeps the monitor at its longest period. */
#include "soak/soak.h"
#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

enum { SETTLE_S = 5 };

static int wait_for_ever(int argc, char **argv)
{
        (void)argv;
        for (;;)
                weir_sleep(argc ? 50 * WEIR_MILLISECOND : 3600 * WEIR_SECOND);
        return 0;
}

struct use {
        double wakes;
        double cpu_ns;
        double monitor_ns;
};

static double number_in(const char *path, const char *key)
{
        FILE  *f = fopen(path, "re");
        char   line[256];
        double v = -1;

        while (f && fgets(line, sizeof line, f))
                if (!strncmp(line, key, strlen(key)))
                        v = atof(line + strlen(key));
        if (f)
                fclose(f);
        return v;
}

static struct use use_of(pid_t pid)
{
        char       path[512];
        struct use u = { 0 };
        DIR       *d;

        snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
        d = opendir(path);
        if (!d)
                soak_fail("no /proc");
        for (struct dirent *e; (e = readdir(d));) {
                double ns;

                if (e->d_name[0] == '.')
                        continue;
                snprintf(path, sizeof path, "/proc/%d/task/%.20s/status", (int)pid, e->d_name);
                u.wakes += number_in(path, "voluntary_ctxt_switches:");
                snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", (int)pid, e->d_name);
                ns = number_in(path, "");
                u.cpu_ns += ns;
                snprintf(path, sizeof path, "/proc/%d/task/%.20s/comm", (int)pid, e->d_name);
                if (number_in(path, "weir-monitor") >= 0)
                        u.monitor_ns += ns;
        }
        closedir(d);
        return u;
}

static struct use measure(int ticking, unsigned seconds)
{
        struct use a, b;
        pid_t      pid = fork();

        if (pid < 0)
                soak_fail("fork");
        if (!pid)
                _exit(weir_run(wait_for_ever, ticking, NULL, NULL));
        sleep(SETTLE_S);
        a = use_of(pid);
        sleep(seconds);
        b = use_of(pid);
        if (waitpid(pid, NULL, WNOHANG))
                soak_fail("the idle process ended");
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return (struct use){ b.wakes - a.wakes, b.cpu_ns - a.cpu_ns, b.monitor_ns - a.monitor_ns };
}

int main(int argc, char **argv)
{
        unsigned   s = 5 + (unsigned)(2 * soak_minutes(argc, argv));
        struct use far = measure(0, s), near = measure(1, s);

        soak_at_most("idle, a timer an hour away: wake-ups", far.wakes, "", 0);
        soak_at_most("idle, a timer an hour away: of a core", 100 * far.cpu_ns / (s * 1e9), "%", 0.1);
        printf("with 20 timers a second: %.1f wake-ups a second, %.3f %% of a core, the monitor %.3f %%\n",
               near.wakes / s, 100 * near.cpu_ns / (s * 1e9), 100 * near.monitor_ns / (s * 1e9));
        return soak_missed;
}
