/* The malloc family in any order: sizes from 0 to some megabytes, alignments to 2 MiB, blocks that
 * grow, shrink and move, that another thread frees, that a child of fork finds as its parent left
 * them.
 *
 * An input is a list of operations. Each block is filled with what its place in the table says, and
 * looked at before it changes or goes: two blocks that overlap, a copy that stopped short, a block
 * that is handed out twice or cleared too late do not pass. An input ends with a walk. */
/* mode: plain */
/* mode: tiny WEIR_DEBUG=tiny=1 */
/* mode: harden WEIR_DEBUG=harden=1 */
/* mode: both WEIR_DEBUG=harden=1,tiny=1 */
/* mode: fail WEIR_DEBUG=fail=40 */
#include "mem/heap.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLOTS = 64, QUEUE = 64 };

static struct {
        unsigned char *p;
        size_t         size;
} slot[SLOTS];

#define must(cond) ((cond) ? (void)0 : broken(#cond, __LINE__))

static _Noreturn void broken(const char *what, int line)
{
        fprintf(stderr, "fuzz/malloc.c:%d: not true: %s\n", line, what);
        abort();
}

/* ---- the other thread ---- */

static unsigned char *queue[QUEUE];     /* atomic; NULL: room */
static uint32_t       freed;            /* atomic */

static void *free_what_comes(void *arg)
{
        (void)arg;
        for (;;)
                for (unsigned i = 0; i < QUEUE; i++) {
                        void *p = exchange_acquire(&queue[i], NULL);    /* pairs with give() */

                        if (p) {
                                weir__free(p);
                                fetch_add_relaxed(&freed, 1);
                        } else if (!i) {
                                usleep(50);
                        }
                }
        return NULL;
}

static bool give(unsigned char *p)
{
        for (unsigned i = 0; i < QUEUE; i++) {
                unsigned char *room = NULL;

                if (cas_release(&queue[i], &room, p))
                        return true;
        }
        return false;
}

/* ---- content ---- */

static unsigned char pattern(unsigned i, size_t at)
{
        return (unsigned char)(i * 37 + at * 7 + 1);
}

/* Large blocks are touched at their pages' ends only. */
static size_t step(size_t at, size_t size)
{
        return size <= 4096 || at + 1 == size ? 1 : MIN((size_t)2047, size - 1 - at);
}

static void fill(unsigned i)
{
        for (size_t at = 0; at < slot[i].size; at += step(at, slot[i].size))
                slot[i].p[at] = pattern(i, at);
}

static void verify_to(unsigned i, size_t end)
{
        for (size_t at = 0; at < end; at += step(at, slot[i].size))
                must(slot[i].p[at] == pattern(i, at));
}

static void verify(unsigned i)
{
        if (slot[i].p)
                verify_to(i, slot[i].size);
}

static void drop(unsigned i)
{
        verify(i);
        weir__free(slot[i].p);
        slot[i].p = NULL;
        slot[i].size = 0;
}

/* ---- operations ---- */

struct input {
        const uint8_t *at, *end;
};

static unsigned take(struct input *in)
{
        return in->at < in->end ? *in->at++ : 0;
}

/* Mostly small; some at the borders of pages and of small and large; a few of megabytes. */
static size_t take_size(struct input *in)
{
        unsigned how = take(in), n = take(in) | take(in) << 8;

        if (how < 150)
                return n % 1100;
        if (how < 200)
                return n;
        if (how < 230)
                return 65536 + n - 32768;
        if (how < 250)
                return (size_t)(n % 256) * 4096 + (n >> 8) - 128 * (n >> 15);
        return (size_t)n * 256;
}

/* Only one request for pages fails, and only when it was asked for. */
static void got(unsigned i, void *p, size_t size)
{
        static int excused = -1;

        if (excused < 0)
                excused = getenv("WEIR_DEBUG") && strstr(getenv("WEIR_DEBUG"), "fail=");
        if (!p) {
                must(excused);
                excused = 0;
                return;
        }
        must(weir__malloc_usable_size(p) >= size);
        slot[i].p = p;
        slot[i].size = size;
        fill(i);
}

static void change(unsigned i, size_t size)
{
        size_t old = slot[i].size;
        void  *p;

        verify(i);
        p = weir__realloc(slot[i].p, size);
        if (!size && slot[i].p) {
                must(!p);
                slot[i].p = NULL;
                slot[i].size = 0;
                return;
        }
        if (p) {
                slot[i].p = p;
                /* The steps depend on the size: those of the old one. */
                for (size_t at = 0; at < MIN(old, size); at += step(at, old))
                        must(slot[i].p[at] == pattern(i, at));
        }
        if (p || !slot[i].p)
                got(i, p, size);
}

static void fork_child(void)
{
        pid_t pid = fork();
        int   status;

        must(pid >= 0);
        if (!pid) {
                alarm(60);
                for (unsigned i = 0; i < SLOTS; i += 2)
                        drop(i);
                for (unsigned i = 0; i < SLOTS; i += 2)
                        got(i, weir__malloc(i * 100), i * 100);
                weir__mem_check();
                for (unsigned i = 0; i < SLOTS; i++)
                        drop(i);
                weir__mem_check();
                _exit(7);
        }
        must(waitpid(pid, &status, 0) == pid);
        must(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void operate(struct input *in)
{
        unsigned op = take(in), i = take(in) % SLOTS;
        size_t   size = take_size(in);
        void    *p;

        switch (op % 16) {
        case 0: case 1: case 2: case 3:
                drop(i);
                got(i, weir__malloc(size), size);
                break;
        case 4: case 5:
                drop(i);
                p = weir__calloc(size / 8 + 1, 8);
                for (size_t at = 0; p && at < size; at += step(at, size))
                        must(!((char *)p)[at]);
                got(i, p, size);
                break;
        case 6: case 7: case 8: case 9:
                change(i, size);
                break;
        case 10: case 11: {
                size_t align = (size_t)1 << (3 + op / 16 % 10 + (op / 16 == 15 ? 9 : 0));

                drop(i);
                p = weir__memalign(align, size);
                must((uintptr_t)p % align == 0);
                got(i, p, size);
                break;
        }
        case 12: case 13:
                verify(i);
                if (slot[i].p && give(slot[i].p)) {
                        slot[i].p = NULL;
                        slot[i].size = 0;
                }
                break;
        case 14:
                if (op == 14 && take(in) < 16 && !WEIR_TSAN)
                        fork_child();
                else if (op == 30)
                        weir__mem_release(true);
                else
                        weir__cache_trim(weir__cache_get());
                break;
        default:
                drop(i);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static bool  started;
        struct input in = { data, data + size };
        pthread_t    t;

        if (!started) {
                must(!pthread_create(&t, NULL, free_what_comes, NULL));
                pthread_detach(t);
                started = true;
        }
        while (in.at < in.end)
                operate(&in);
        for (unsigned i = 0; i < SLOTS; i++)
                drop(i);
        weir__mem_check();
        return 0;
}
