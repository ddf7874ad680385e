/* See trouble.h. */
#include "trouble.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST = 50 };                          /* seconds; CTest's own limit lies above */

/* Received and not yet looked at, by descriptor: one thread uses a descriptor at a time. */
static struct buffer { size_t at, end; char bytes[2048]; } buffers[20000];

static pid_t server;
static int   port;
static FILE *said;                              /* the server's stderr */
static int   descriptors;                       /* open in the server when it was idle */
static char  directory[] = "/tmp/weir-trouble-XXXXXX";
static bool  have_directory;

unsigned char file_byte(size_t i)
{
        return (unsigned char)("0123456789abcdef"[i % 16] ^ (char)(i >> 12));
}

static void remove_files(void)
{
        char name[64];

        if (!have_directory)
                return;
        have_directory = false;
        snprintf(name, sizeof name, "%s/small.txt", directory);
        unlink(name);
        snprintf(name, sizeof name, "%s/big.bin", directory);
        unlink(name);
        rmdir(directory);
}

static void print_said(void)
{
        char   buf[4096];
        size_t n;

        if (!said)
                return;
        rewind(said);
        while ((n = fread(buf, 1, sizeof buf, said)) > 0)
                fwrite(buf, 1, n, stderr);
}

/* SIGQUIT first: the server prints where each goroutine stands. */
static void end_server(int sig)
{
        if (server <= 0)
                return;
        kill(server, sig);
        for (int i = 0; i < 200; i++) {
                if (waitpid(server, NULL, WNOHANG) == server) {
                        server = 0;
                        return;
                }
                nap(0.01);
        }
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
        server = 0;
}

void die(const char *fmt, ...)
{
        static atomic_flag dying = ATOMIC_FLAG_INIT;
        va_list            ap;

        if (atomic_flag_test_and_set(&dying))
                for (;;)
                        pause();
        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fputs("\n---- the server's last words ----\n", stderr);
        end_server(SIGQUIT);
        print_said();
        remove_files();
        _exit(1);
}

void skip(const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        fputs("skipped: ", stdout);
        vprintf(fmt, ap);
        va_end(ap);
        putchar('\n');
        exit(SKIPPED);
}

static void *watch_clock(void *arg)
{
        (void)arg;
        nap(LONGEST);
        die("not done after %d s", LONGEST);
}

double now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void nap(double seconds)
{
        struct timespec t = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };

        while (nanosleep(&t, &t) < 0 && errno == EINTR)
                ;
}

/* ---- the server ---- */

static void make_file(const char *name, size_t size)
{
        char  path[64];
        FILE *f;

        snprintf(path, sizeof path, "%s/%s", directory, name);
        f = fopen(path, "w");
        if (!f)
                die("%s: %s", path, strerror(errno));
        for (size_t i = 0; i < size; i++)
                putc(file_byte(i), f);
        if (fclose(f) != 0)
                die("%s: %s", path, strerror(errno));
}

static _Noreturn void exec_server(char *const argv[], int out, rlim_t nofile)
{
        struct rlimit lim = { nofile, nofile };

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out, STDOUT_FILENO);
        dup2(fileno(said), STDERR_FILENO);
        close_range(3, ~0U, 0);                 /* what this test was started with is not the server's */
        if (nofile == 0) {
                getrlimit(RLIMIT_NOFILE, &lim);
                lim.rlim_cur = lim.rlim_max;
        }
        setrlimit(RLIMIT_NOFILE, &lim);
        execv(argv[0], argv);
        fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
}

void server_start(char *const argv[], rlim_t nofile)
{
        char      line[256] = "";
        char     *colon;
        int       out[2];
        FILE     *in;
        pthread_t t;

        setvbuf(stdout, NULL, _IOLBF, 0);
        signal(SIGPIPE, SIG_IGN);
        said = tmpfile();
        if (!said || fcntl(fileno(said), F_SETFD, FD_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
                die("no file, no pipe: %s", strerror(errno));
        pthread_create(&t, NULL, watch_clock, NULL);
        server = fork();
        if (server == 0)
                exec_server(argv, out[1], nofile);
        close(out[1]);
        in = fdopen(out[0], "r");
        if (!in || !fgets(line, sizeof line, in) || !(colon = strrchr(line, ':')))
                die("the server did not say where it listens: \"%s\"", line);
        port = atoi(colon + 1);
        fclose(in);
        nap(0.05);                              /* its threads may still be opening descriptors */
        descriptors = server_descriptors();
}

void web_start(const char *binary, const char *patience, rlim_t nofile)
{
        char *const argv[] = { (char *)binary, "-t", (char *)patience, directory, "127.0.0.1:0",
                               NULL };

        if (!mkdtemp(directory))
                die("%s: %s", directory, strerror(errno));
        have_directory = true;
        make_file("small.txt", SMALL_SIZE);
        make_file("big.bin", BIG_SIZE);
        server_start(argv, nofile);
}

void echo_start(const char *binary)
{
        char *const argv[] = { (char *)binary, "127.0.0.1:0", NULL };

        server_start(argv, 0);
}

pid_t server_pid(void)
{
        return server;
}

static bool has_descriptor(int fd)
{
        char        path[48];
        struct stat st;

        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)server, fd);
        return lstat(path, &st) == 0;
}

int server_lowest_free(void)
{
        int fd = 0;

        while (has_descriptor(fd))
                fd++;
        return fd;
}

int server_descriptors(void)
{
        char           path[32];
        struct dirent *e;
        DIR           *d;
        int            n = 0;

        snprintf(path, sizeof path, "/proc/%d/fd", (int)server);
        d = opendir(path);
        if (!d)
                die("the server is gone");
        while ((e = readdir(d)))
                n += e->d_name[0] != '.';
        closedir(d);
        return n;
}

size_t server_said(const char *text)
{
        char   line[1024];
        size_t n = 0;

        rewind(said);
        while (fgets(line, sizeof line, said))
                n += strstr(line, text) != NULL;
        return n;
}

static void check_sanitizer(void)
{
        if (server_said("Sanitizer") > 0 || server_said("runtime error:") > 0)
                die("a sanitizer complains about the server");
}

void server_settle(int connections)
{
        for (int i = 0; i < 500 && server_descriptors() != descriptors + connections; i++)
                nap(0.01);
        if (server_descriptors() != descriptors + connections)
                die("%d descriptors open in the server with %d connections, %d with none",
                    server_descriptors(), connections, descriptors);
}

void server_stop(void)
{
        int status;

        check_sanitizer();                      /* its helper has descriptors of its own */
        server_settle(0);
        if (waitpid(server, &status, WNOHANG) != 0) {
                server = 0;
                die("the server ended by itself, wait status %#x", (unsigned)status);
        }
        end_server(SIGTERM);
        check_sanitizer();
        remove_files();
}

/* ---- clients ---- */

int dial(void)
{
        const struct sockaddr_in to = {
                .sin_family      = AF_INET,
                .sin_port        = htons((uint16_t)port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        const int one = 1;
        int       fd  = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to) < 0)
                die("connect: %s", strerror(errno));
        if (fd >= (int)(sizeof buffers / sizeof buffers[0]))
                die("descriptor %d", fd);
        buffers[fd].at = buffers[fd].end = 0;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        return fd;
}

bool try_send_all(int fd, const void *buf, size_t len)
{
        const char *p = buf;

        while (len > 0) {
                ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

                if (n < 0)
                        return false;
                p += n;
                len -= (size_t)n;
        }
        return true;
}

void send_all(int fd, const void *buf, size_t len)
{
        if (!try_send_all(fd, buf, len))
                die("send: %s", strerror(errno));
}

void reset(int fd)
{
        const struct linger hard = { .l_onoff = 1, .l_linger = 0 };

        setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(fd);
}

/* Fills the buffer of fd; false: the stream has ended. */
static bool read_ahead(int fd)
{
        struct buffer *b = &buffers[fd];
        ssize_t        n = recv(fd, b->bytes, sizeof b->bytes, 0);

        if (n < 0)
                die("receive: %s", strerror(errno));
        b->at  = 0;
        b->end = (size_t)n;
        return n > 0;
}

static void recv_all(int fd, void *buf, size_t len)
{
        struct buffer *b = &buffers[fd];
        char          *p = buf;

        while (len > 0) {
                size_t n = b->end - b->at < len ? b->end - b->at : len;

                memcpy(p, b->bytes + b->at, n);
                b->at += n;
                p += n;
                len -= n;
                if (len > 0 && !read_ahead(fd))
                        die("end of stream, %zu bytes missing", len);
        }
}

void expect_end(int fd)
{
        if (buffers[fd].at < buffers[fd].end || read_ahead(fd))
                die("more than was asked for");
}

void read_answer(int fd, size_t size)
{
        char   head[1024], piece[4096], length[64];
        size_t n = 0, at = 0;

        do {
                if (n == sizeof head - 1)
                        die("a header without an end");
                recv_all(fd, head + n++, 1);
        } while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0);
        head[n] = '\0';
        snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", size);
        if (strncmp(head, "HTTP/1.1 200 ", 13) != 0 || !strstr(head, length))
                die("not the answer to expect:\n%s", head);
        while (at < size) {
                size_t want = size - at < sizeof piece ? size - at : sizeof piece;

                recv_all(fd, piece, want);
                for (size_t i = 0; i < want; i++, at++)
                        if ((unsigned char)piece[i] != file_byte(at))
                                die("byte %zu of the answer is wrong", at);
        }
}

void ask(int fd, const char *path, size_t size)
{
        char request[256];
        int  n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);

        send_all(fd, request, (size_t)n);
        read_answer(fd, size);
}

void ask_echo(int fd, size_t size)
{
        char out[4096] = "", in[4096];

        for (size_t i = 0; i < size; i++)
                out[i] = (char)rand();
        send_all(fd, out, size);
        recv_all(fd, in, size);
        if (memcmp(in, out, size) != 0)
                die("the echo differs");
}

/* ---- the friend ---- */

static pthread_t     friend;
static bool          friend_echoes, friend_reconnects;
static atomic_bool   friend_done;
static atomic_size_t friend_count;

static void greet(int fd)
{
        if (friend_echoes)
                ask_echo(fd, 1 + friend_count % 4096);
        else if (friend_count % 100 == 0)
                ask(fd, "/big.bin", BIG_SIZE);
        else
                ask(fd, "/small.txt", SMALL_SIZE);
        friend_count++;
}

static void *be_friend(void *arg)
{
        int kept = dial();

        (void)arg;
        do {
                greet(kept);
                if (friend_reconnects) {
                        int fd = dial();

                        greet(fd);
                        close(fd);
                }
                nap(0.001);
        } while (!atomic_load(&friend_done));
        greet(kept);
        close(kept);
        return NULL;
}

void friend_start(bool echo, bool reconnects)
{
        friend_echoes     = echo;
        friend_reconnects = reconnects;
        if (pthread_create(&friend, NULL, be_friend, NULL) != 0)
                die("no thread for the friend");
        while (friend_count == 0)               /* connected before the trouble begins */
                nap(0.001);
}

void friend_stop(void)
{
        atomic_store(&friend_done, true);
        pthread_join(friend, NULL);
        printf("the friend was answered %zu times\n", friend_count);
}
