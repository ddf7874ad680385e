/* Threads, futexes, time and the CPU limit of the Linux kernel. */
#include "arch/arch.h"
#include "os/os.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
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

static int quiet[32];                   /* atomic: the threads of weir__os_thread_start_quiet */
static uintptr_t quiet_tcb[32];         /* atomic: their control blocks; 0: not known yet */

bool weir__os_thread_is_quiet(int tid)
{
        for (size_t i = 0; i < COUNT(quiet); i++)
                if (load_relaxed(&quiet[i]) == tid)
                        return true;
        return false;
}

void weir__os_quiet_each(void (*fn)(uintptr_t tcb, void *arg), void *arg)
{
        for (size_t i = 0; i < COUNT(quiet_tcb); i++) {
                uintptr_t tcb = load_seq(&quiet_tcb[i]);

                if (tcb)
                        fn(tcb, arg);
        }
}

struct quiet_start {
        void (*fn)(void *);
        void *arg;
};

static void quiet_main(void *p)
{
        struct quiet_start s = *(struct quiet_start *)p;
        int                tid = weir__os_thread_id(), none;
        size_t             i = 0;

        free(p);
        for (none = 0; i < COUNT(quiet) && !cas_seq(&quiet[i], &none, tid); i++)
                none = 0;
        if (i < COUNT(quiet))
                store_seq(&quiet_tcb[i], weir__arch_tcb());
        s.fn(s.arg);
        if (i < COUNT(quiet)) {
                store_seq(&quiet_tcb[i], 0);
                store_seq(&quiet[i], 0);
        }
}

int weir__os_thread_start_quiet(void (*fn)(void *), void *arg, size_t stack_size)
{
        struct quiet_start *s = malloc(sizeof *s);
        sigset_t all, before;
        int      keep = weir__os_errno_get(), r;

        sigfillset(&all);
        if (!s)
                return -ENOMEM;
        *s = (struct quiet_start){ fn, arg };
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = weir__os_thread_start(quiet_main, s, stack_size);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r < 0)
                free(s);
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

int weir__os_at_fork(void (*parent)(void), void (*child)(void))
{
        return -pthread_atfork(NULL, parent, child);
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

/* ---- the list of threads ---- */

/* The directory of the process's threads, kept open, and a second descriptor of it that stands for
 * those of the files in it. A list that cannot be made because the program has used up its
 * descriptors would leave threads out. The program may close both, and open something of its own
 * under their numbers: they are used as long as they are what was opened. */
static struct {
        int   dir, spare;
        dev_t dev;
        ino_t ino;
} tasks = { -1, -1, 0, 0 };             /* whoever stops the world */

static bool no_descriptor(int error)
{
        return error == EMFILE || error == ENFILE;
}

static bool is_ours(int fd)
{
        struct stat s;

        return fd >= 0 && fstat(fd, &s) == 0 && s.st_dev == tasks.dev && s.st_ino == tasks.ino;
}

int weir__os_threads_open(void)
{
        int         keep = weir__os_errno_get(), r = 0;
        struct stat s;

        if (!is_ours(tasks.dir)) {
                tasks.dir = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (tasks.dir < 0 || fstat(tasks.dir, &s) < 0) {
                        r = -weir__os_errno_get();
                } else {
                        tasks.dev = s.st_dev;
                        tasks.ino = s.st_ino;
                }
        }
        if (!r && !is_ours(tasks.spare))
                tasks.spare = fcntl(tasks.dir, F_DUPFD_CLOEXEC, 0);
        weir__os_errno_set(keep);
        return r;
}

int weir__os_threads(void (*fn)(int tid, void *arg), void *arg)
{
        char buf[4096] __attribute__((aligned(16)));
        int  r = weir__os_threads_open();
        long n;

        if (r < 0)
                return r;
        (void)lseek(tasks.dir, 0, SEEK_SET);
        while ((n = syscall(SYS_getdents64, tasks.dir, buf, sizeof buf)) > 0)
                for (long at = 0; at < n;) {
                        const struct {
                                uint64_t ino;
                                int64_t  off;
                                uint16_t size;
                                uint8_t  type;
                                char     name[];
                        } *e = (const void *)(buf + at);
                        int tid = 0;

                        for (const char *s = e->name; *s >= '0' && *s <= '9'; s++)
                                tid = tid * 10 + (*s - '0');
                        at += e->size;
                        if (tid)
                                fn(tid, arg);
                }
        return 0;
}

/* What /proc tells of a thread, as a string: the number of bytes, or -errno. */
static ssize_t task_file(int tid, const char *name, char *buf, size_t size)
{
        char    path[64];
        int     keep = weir__os_errno_get(), fd;
        ssize_t n = -1;

        weir__fmt(path, sizeof path, "/proc/self/task/%d/%s", tid, name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && no_descriptor(weir__os_errno_get()) && is_ours(tasks.spare)) {
                (void)close(tasks.spare);
                tasks.spare = -1;
                fd = open(path, O_RDONLY | O_CLOEXEC);
        }
        if (fd >= 0)
                n = read(fd, buf, size - 1);
        buf[MAX(n, (ssize_t)0)] = 0;
        n = n < 0 ? -weir__os_errno_get() : n;
        if (fd >= 0)
                (void)close(fd);
        (void)weir__os_threads_open();          /* another spare one */
        weir__os_errno_set(keep);
        return n;
}

static uint64_t hex(const char *s)
{
        uint64_t v = 0;

        for (;; s++) {
                if (*s >= '0' && *s <= '9')
                        v = v * 16 + (uint64_t)(*s - '0');
                else if (*s >= 'a' && *s <= 'f')
                        v = v * 16 + (uint64_t)(*s - 'a' + 10);
                else
                        return v;
        }
}

void weir__os_thread_state(int tid, int sig, struct os_thread_state *ret)
{
        char    buf[4096];
        char   *at;
        ssize_t n;

        *ret = (struct os_thread_state){ 0 };
        n = task_file(tid, "status", buf, sizeof buf);
        if (n <= 0) {
                ret->gone = !no_descriptor((int)-n);
                return;
        }
        at = strstr(buf, "SigBlk:\t");
        ret->blocks_signal = at && hex(at + 8) >> (sig - 1) & 1;
        at = strstr(buf, "SigPnd:\t");
        ret->pending = at && hex(at + 8) >> (sig - 1) & 1;
        if (task_file(tid, "syscall", buf, sizeof buf) <= 0 || !strncmp(buf, "running", 7))
                return;
        /* The number, six arguments or none, the stack pointer, the instruction. */
        for (at = buf; at && (at = strstr(at, " 0x")); at += 3) {
                char *next = strstr(at + 3, " 0x");

                if (next && !strstr(next + 3, " 0x")) {
                        ret->sp = hex(at + 3);
                        return;
                }
        }
}

#pragma weak __libc_stack_end
extern void *__libc_stack_end;

uintptr_t weir__os_stack_end(uintptr_t sp, int tid, uintptr_t tcb)
{
        enum { THREAD_SIZE = 0x900, FAR = 8 << 20 };    /* glibc's struct pthread */
        uintptr_t end;
        char      c;

        if (tid == getpid() && &__libc_stack_end)
                return (uintptr_t)__libc_stack_end;
        if (tcb > sp)
                return tcb + THREAD_SIZE;
        for (end = ALIGN_UP(sp + 1, (uintptr_t)OS_PAGE); end - sp < FAR; end += OS_PAGE)
                if (!weir__os_peek(&c, (const void *)end, 1))
                        break;
        return end;
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

static FILE *open_below(const char *root, const char *path)
{
        char full[4200];

        return (size_t)snprintf(full, sizeof full, "%s%s", root, path) < sizeof full
                       ? fopen(full, "re") : NULL;
}

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

/* Whether a list of controllers ("cpu,cpuacct") names cpu. */
static bool lists_cpu(const char *list)
{
        for (const char *s = list; *s; s += strcspn(s, ","), s += *s == ',')
                if (!strncmp(s, "cpu", 3) && (s[3] == ',' || !s[3]))
                        return true;
        return false;
}

/* Where the cpu controller of the given version is mounted: fields of /proc/self/mountinfo. */
static bool cgroup_mount(const char *root, bool v2, char *ret, size_t size)
{
        char  line[4096];
        FILE *f = open_below(root, "/proc/self/mountinfo");
        bool  found = false;

        while (f && !found && fgets(line, sizeof line, f)) {
                char  where[2048], type[64], options[1024];
                char *dash = strstr(line, " - ");

                if (!dash || sscanf(line, "%*s %*s %*s %*s %2047s", where) != 1 ||
                    sscanf(dash, " - %63s %*s %1023s", type, options) != 2)
                        continue;
                if (v2 ? strcmp(type, "cgroup2") : strcmp(type, "cgroup") || !lists_cpu(options))
                        continue;
                found = (size_t)snprintf(ret, size, "%s%s", root, where) < size;
        }
        if (f)
                fclose(f);
        return found;
}

unsigned weir__os_cpu_quota(const char *root, unsigned limit)
{
        char  line[4096], mount[4096];
        FILE *f = open_below(root, "/proc/self/cgroup");

        while (f && fgets(line, sizeof line, f)) {
                char *list = strchr(line, ':'), *path;
                bool  v2;

                if (!list || !(path = strchr(++list, ':')))
                        continue;
                *path++ = 0;
                path[strcspn(path, "\n")] = 0;
                v2 = !*list;
                if ((v2 || lists_cpu(list)) && cgroup_mount(root, v2, mount, sizeof mount))
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
        return weir__os_cpu_quota("", limit);
}
