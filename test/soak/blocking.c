/* A goroutine in calls of a second, on one processor: how late the others wake meanwhile. Nobody
 * announces these calls: a read of a pipe, a lock of a file, a name to resolve, a sleep, a
 * mutex. */
#include "soak/soak.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <resolv.h>
#include <sys/file.h>
#include <sys/socket.h>

static int             pipes[2], files[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint16_t        name_port;

/* A thread of the program gives what the goroutine waits for, a second later. */
enum kind { READ, FLOCK, RESOLVE, SLEEP, MUTEX, KINDS };

static const char *const name[KINDS] = { "read", "flock", "getaddrinfo", "usleep",
                                         "pthread_mutex_lock" };

static pthread_barrier_t held;

static void *other(void *arg)
{
        enum kind kind = *(enum kind *)arg;

        if (kind == MUTEX)
                pthread_mutex_lock(&mutex);
        if (kind == FLOCK && flock(files[1], LOCK_EX))
                soak_fail("flock");
        pthread_barrier_wait(&held);
        usleep(1000000);
        if (kind == READ && write(pipes[1], "x", 1) != 1)
                soak_fail("write");
        if (kind == FLOCK && flock(files[1], LOCK_UN))
                soak_fail("flock");
        if (kind == MUTEX)
                pthread_mutex_unlock(&mutex);
        return NULL;
}

/* A name server that never answers; the resolver of this thread asks it alone, for a second. */
static void resolve(void)
{
        struct addrinfo *a = NULL;

        if (res_init())
                soak_fail("res_init");
        _res.nscount = 1;
        _res.nsaddr_list[0].sin_family = AF_INET;
        _res.nsaddr_list[0].sin_port = name_port;
        _res.nsaddr_list[0].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        _res.retrans = 1;
        _res.retry = 1;
        if (getaddrinfo("nobody.knows.it", NULL, &(struct addrinfo){ .ai_family = AF_INET }, &a) ==
            0)
                freeaddrinfo(a);
}

static void call(enum kind kind)
{
        char c;

        if (kind == READ && read(pipes[0], &c, 1) != 1)
                soak_fail("read");
        if (kind == FLOCK && (flock(files[0], LOCK_EX) || flock(files[0], LOCK_UN)))
                soak_fail("flock");
        if (kind == RESOLVE)
                resolve();
        if (kind == SLEEP)
                usleep(1000000);
        if (kind == MUTEX) {
                pthread_mutex_lock(&mutex);
                pthread_mutex_unlock(&mutex);
        }
}

static void prepare(void)
{
        struct sockaddr_in in = { .sin_family = AF_INET };
        socklen_t          size = sizeof in;
        char               path[] = "/tmp/weir-soak-XXXXXX";
        int                s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (s < 0 || bind(s, (struct sockaddr *)&in, sizeof in) ||
            getsockname(s, (struct sockaddr *)&in, &size))
                soak_fail("a socket");
        name_port = in.sin_port;
        files[0] = mkstemp(path);
        files[1] = open(path, O_RDWR | O_CLOEXEC);
        unlink(path);
        if (files[0] < 0 || files[1] < 0 || pipe(pipes))
                soak_fail("files");
        pthread_barrier_init(&held, NULL, 2);
}

static struct soak_delays delays[KINDS];

weir_task(caller, my, { enum kind kind; int times; weir_wg *wg; })
{
        for (int i = 0; i < my->times; i++) {
                pthread_t t;
                weir_time t0;

                if (pthread_create(&t, NULL, other, &my->kind))
                        soak_fail("pthread_create");
                pthread_barrier_wait(&held);
                t0 = weir_now();
                call(my->kind);
                if (weir_now() - t0 < 700 * WEIR_MILLISECOND)
                        soak_fail("the call did not block");
                pthread_join(t, NULL);
        }
        weir_wg_done(my->wg);
}

WEIR_MAIN(argc, argv)
{
        int  times = 1 + (int)(0.6 * soak_minutes(argc, argv));
        char what[64];

        weir_procs(1);
        prepare();
        for (enum kind k = 0; k < KINDS; k++) {
                weir_wg   wg = { 0 };
                weir_time end = weir_now() + times * WEIR_SECOND;

                soak_start_sleepers(&wg, 10, &delays[k], WEIR_MILLISECOND, 20 * WEIR_MILLISECOND,
                                    end);
                soak_start_pairs(&wg, 10, &delays[k], WEIR_MILLISECOND, 20 * WEIR_MILLISECOND, end);
                weir_wg_add(&wg, 1);
                weir_go(caller, .kind = k, .times = times, .wg = &wg);
                weir_wg_wait(&wg);
                soak_print(name[k], &delays[k]);
        }
        for (enum kind k = 0; k < KINDS; k++) {
                snprintf(what, sizeof what, "wake-ups beside %s, p99", name[k]);
                soak_at_most(what, soak_share(&delays[k], 0.99), "ms", 2);
        }
        return soak_missed;
}
