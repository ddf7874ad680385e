/* The whole family of malloc, under its public names, as any program uses it. With the argument
 * "where" it says whose malloc it is: that of weir knows block sizes that the C library does not.
 * */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define must(cond) ((cond) ? (void)0 : fail(#cond, __LINE__))

static void fail(const char *what, int line)
{
        fprintf(stderr, "family.c:%d: not true: %s\n", line, what);
        _exit(1);
}

static void *before_main;

__attribute__((constructor(101))) static void early(void)
{
        before_main = malloc(123);
}

static void *thread(void *arg)
{
        free(arg);
        return strdup("made by a thread");
}

/* The compiler knows these and would do without them. */
static void *(*volatile volatile_malloc)(size_t) = malloc;
static void *(*volatile volatile_calloc)(size_t, size_t) = calloc;

int main(int argc, char **argv)
{
        char     *p, *q;
        void     *v;
        pthread_t t;
        int       status;

        if (argc > 1 && !strcmp(argv[1], "where")) {
                p = volatile_malloc(1025);
                puts(malloc_usable_size(p) == 1152 ? "weir" : "another");
                return 0;
        }
        must(before_main);
        free(before_main);
        must((p = volatile_malloc(100)) && (uintptr_t)p % 16 == 0);
        memset(p, 1, malloc_usable_size(p));
        must((q = realloc(p, 100000)) && q[99] == 1);
        must((q = reallocarray(q, 1000, 200)) && q[99] == 1);
        must(!reallocarray(NULL, SIZE_MAX / 2, 3) && errno == ENOMEM);
        free(q);
        must((p = volatile_calloc(1000, 10)) && !p[0] && !p[9999]);
        free(p);
        must(!volatile_calloc(SIZE_MAX / 2, 3) && errno == ENOMEM);
        for (size_t align = 8; align <= 2 << 20; align *= 2) {
                must(!posix_memalign(&v, align, 77) && (uintptr_t)v % align == 0);
                free(v);
                must((v = aligned_alloc(align, align * 2)) && (uintptr_t)v % align == 0);
                free(v);
                must((v = memalign(align, 5)) && (uintptr_t)v % align == 0);
                free(v);
        }
        must(posix_memalign(&v, 24, 8) == EINVAL);
        must(posix_memalign(&v, 4, 8) == EINVAL);
        must((v = valloc(10)) && (uintptr_t)v % 4096 == 0);
        free(v);
        must((v = pvalloc(4097)) && (uintptr_t)v % 4096 == 0);
        free(v);
        must(malloc_usable_size(NULL) == 0);
        free(NULL);
        (void)malloc_trim(0);

        /* What the C library allocates, the program frees. */
        must((p = strdup("a string")));
        free(p);
        must(asprintf(&p, "%d", 42) == 2);
        free(p);
        must((p = getcwd(NULL, 0)));
        free(p);

        must(!pthread_create(&t, NULL, thread, volatile_malloc(50)));
        must(!pthread_join(t, &v) && !strcmp(v, "made by a thread"));
        free(v);
        switch (fork()) {
        case 0:
                free(volatile_malloc(1000000));
                _exit(5);
        default:
                must(wait(&status) > 0 && WEXITSTATUS(status) == 5);
        }
        puts("well");
        return 0;
}
