/* Threads, futexes, time and the CPU limit of the Linux kernel. */
#include "os/os.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* glibc declares this function const, which lets a compiler keep the address it returned across a
 * call that comes back on another thread. The same symbol without that promise. */
extern int *errno_address(void) __asm__("__errno_location");

int *weir__os_errno_address(void)
{
        return errno_address();
}

int weir__os_errno_get(void)
{
        return *errno_address();
}

void weir__os_errno_set(int value)
{
        *errno_address() = value;
}

int *weir_errno_location(void)
{
        return errno_address();
}

int64_t weir__os_now(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

struct start {
        void (*fn)(void *);
        void *arg;
};

/* Who started the runtime; const after that. */
static pid_t    caller;                 /* 0: the calling thread */
static sigset_t kept;

static void *thread_main(void *p)
{
        struct start s = *(struct start *)p;

        free(p);
        s.fn(s.arg);
        return NULL;
}

int weir__os_thread_start(void (*fn)(void *), void *arg, size_t stack_size)
{
        struct start  *s = malloc(sizeof *s);
        pthread_attr_t attr;
        pthread_t      t;
        int            r;

        if (!s)
                return -ENOMEM;
        *s = (struct start){ fn, arg };
        r = pthread_attr_init(&attr);
        if (!r) {
                pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
                pthread_attr_setstacksize(&attr, stack_size);
                r = pthread_create(&t, &attr, thread_main, s);
                pthread_attr_destroy(&attr);
        }
        if (r)
                free(s);
        return -r;
}

int weir__os_thread_start_quiet(void (*fn)(void *), void *arg, size_t stack_size)
{
        sigset_t all, before;
        int      keep = weir__os_errno_get(), r;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = weir__os_thread_start(fn, arg, stack_size);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        weir__os_errno_set(keep);
        return r;
}


void weir__os_caller_keep(void)
{
        pthread_sigmask(SIG_SETMASK, NULL, &kept);
        caller = gettid();
}

void weir__os_signals_as_kept(void)
{
        pthread_sigmask(SIG_SETMASK, &kept, NULL);
}

static pthread_key_t  exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static void         (*exit_fn)(void);   /* const after the first call */
static int            exit_error;

static void at_thread_exit(void *arg)
{
        (void)arg;
        exit_fn();
}

static void make_exit_key(void)
{
        exit_error = pthread_key_create(&exit_key, at_thread_exit);
}

int weir__os_at_thread_exit(void (*fn)(void))
{
        store_relaxed(&exit_fn, fn);
        (void)pthread_once(&exit_once, make_exit_key);
        if (exit_error)
                return -exit_error;
        return -pthread_setspecific(exit_key, &exit_key);
}

int weir__os_at_fork(void (*child)(void))
{
        return -pthread_atfork(NULL, NULL, child);
}

int weir__os_thread_id(void)
{
        return (int)syscall(SYS_gettid);
}

void weir__os_thread_name(const char *name)
{
        (void)prctl(PR_SET_NAME, name);
}

void weir__os_thread_precise_timers(void)
{
        (void)prctl(PR_SET_TIMERSLACK, 1UL);
}

void weir__os_thread_stack(char **ret_low, char **ret_high)
{
        pthread_attr_t attr;
        void          *low = NULL;
        size_t         size = 0;

        if (!pthread_getattr_np(pthread_self(), &attr)) {
                pthread_attr_getstack(&attr, &low, &size);
                pthread_attr_destroy(&attr);
        }
        *ret_low = low;
        *ret_high = (char *)low + size;
}

int weir__os_thread_count(void)
{
        DIR *d = opendir("/proc/self/task");
        int  n = 0;

        if (!d)
                return INT_MAX;                 /* not known: as if there were others */
        for (struct dirent *e; (e = readdir(d));)
                n += e->d_name[0] != '.';
        closedir(d);
        return n;
}

int64_t weir__os_thread_cpu(int tid)
{
        struct timespec ts;

        /* What pthread_getcpuclockid makes of a thread id: a clock of one thread, as scheduled. */
        if (clock_gettime((clockid_t)((~(unsigned)tid << 3) | 6), &ts))
                return -1;
        return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int weir__os_thread_signal(int tid, int sig)
{
        return syscall(SYS_tgkill, getpid(), tid, sig) < 0 ? -weir__os_errno_get() : 0;
}

void weir__os_yield(void)
{
        sched_yield();
}

void weir__os_sleep(int64_t ns)
{
        struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

        (void)syscall(SYS_nanosleep, &ts, NULL);        /* not by the name that libc.c provides */
}

bool weir__os_futex_wait(const uint32_t *word, uint32_t value, int64_t ns)
{
        struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
        long            r;

        r = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, ns < 0 ? NULL : &ts, NULL, 0);
        return !(r < 0 && weir__os_errno_get() == ETIMEDOUT);
}

void weir__os_futex_wake(const uint32_t *word, int count)
{
        (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

/* ---- the CPU limit ---- */

/* The number of processors that one cgroup directory allows, rounded up; 0: it sets no limit. */
static unsigned quota_of(const char *dir, bool v2)
{
        char   path[4200];
        double quota, period = 0;
        FILE  *f;
        int    n;

        snprintf(path, sizeof path, "%s/%s", dir, v2 ? "cpu.max" : "cpu.cfs_quota_us");
        if (!(f = fopen(path, "re")))
                return 0;
        n = fscanf(f, "%lf %lf", &quota, &period);
        fclose(f);
        if (n < 1 || quota <= 0)
                return 0;
        if (!v2) {
                snprintf(path, sizeof path, "%s/cpu.cfs_period_us", dir);
                if (!(f = fopen(path, "re")))
                        return 0;
                n = fscanf(f, "%lf", &period) + 1;
                fclose(f);
        }
        if (n < 2 || period <= 0)
                return 0;
        return (unsigned)MAX(1.0, quota / period + 0.999);
}

/* The tightest limit from path below mount up to mount itself. */
static unsigned tightest(const char *mount, const char *path, bool v2, unsigned limit)
{
        char   dir[4096];
        size_t root = strlen(mount);

        if ((size_t)snprintf(dir, sizeof dir, "%s%s", mount, path) >= sizeof dir)
                return limit;
        for (;;) {
                unsigned q = quota_of(dir, v2);
                char    *slash;

                if (q && q < limit)
                        limit = q;
                slash = strrchr(dir, '/');
                if (!slash || (size_t)(slash - dir) < root)
                        return limit;
                *slash = 0;
        }
}

/* Where the cpu controller of the given version is mounted: fields of /proc/self/mountinfo. */
static bool cgroup_mount(bool v2, char *ret, size_t size)
{
        char  line[4096];
        FILE *f = fopen("/proc/self/mountinfo", "re");
        bool  found = false;

        while (f && !found && fgets(line, sizeof line, f)) {
                char  where[2048], type[64], options[1024];
                char *dash = strstr(line, " - ");

                if (!dash || sscanf(line, "%*s %*s %*s %*s %2047s", where) != 1 ||
                    sscanf(dash, " - %63s %*s %1023s", type, options) != 2)
                        continue;
                if (v2 ? strcmp(type, "cgroup2")
                       : strcmp(type, "cgroup") || !strstr(options, "cpu"))
                        continue;
                if (!v2 && strstr(options, "cpuset") && !strstr(options, "cpu,"))
                        continue;
                found = (size_t)snprintf(ret, size, "%s", where) < size;
        }
        if (f)
                fclose(f);
        return found;
}

/* Whether a list of controllers ("cpu,cpuacct") names cpu. */
static bool lists_cpu(const char *list)
{
        for (const char *s = list; *s; s += strcspn(s, ","), s += *s == ',')
                if (!strncmp(s, "cpu", 3) && (s[3] == ',' || !s[3]))
                        return true;
        return false;
}

static unsigned cgroup_limit(unsigned limit)
{
        char  line[4096], mount[2048];
        FILE *f = fopen("/proc/self/cgroup", "re");

        while (f && fgets(line, sizeof line, f)) {
                char *list = strchr(line, ':'), *path;
                bool  v2;

                if (!list || !(path = strchr(++list, ':')))
                        continue;
                *path++ = 0;
                path[strcspn(path, "\n")] = 0;
                v2 = !*list;
                if ((v2 || lists_cpu(list)) && cgroup_mount(v2, mount, sizeof mount))
                        limit = tightest(mount, strcmp(path, "/") ? path : "", v2, limit);
        }
        if (f)
                fclose(f);
        return limit;
}

unsigned weir__os_cpu_limit(void)
{
        unsigned limit = 0;

        for (size_t cpus = 1024; !limit && cpus <= 1u << 20; cpus *= 2) {
                cpu_set_t *set = CPU_ALLOC(cpus);
                size_t     size = CPU_ALLOC_SIZE(cpus);

                if (!set)
                        break;
                if (!sched_getaffinity(caller, size, set))
                        limit = (unsigned)CPU_COUNT_S(size, set);
                CPU_FREE(set);
        }
        if (!limit)
                limit = (unsigned)MAX(1L, sysconf(_SC_NPROCESSORS_ONLN));
        return cgroup_limit(limit);
}
