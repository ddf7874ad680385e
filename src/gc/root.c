/* Roots: what the program holds outside of the collected heap.
 *
 * What    Globals of the program and of all loaded libraries, thread-local variables, stacks and
 *         registers of all goroutines and threads (sched/world.c), blocks from malloc, objects that
 *         the runtime made outside of malloc's reach, and ranges that the program named.
 * Locks   roots: the named ranges. A thread that holds it is inside the runtime, so with the world
 *         stopped nobody does.
 * Order   The globals are listed with the loader's lock held, and in there the world is stopped: a
 *         library cannot come between. After that the lock is free, and whoever waits for it
 *         stands.
 * Beside the program
 *         globals and named ranges are scanned too, so that the stop finds most marked. They may go
 *         meanwhile, when a library is closed, so they are read through the kernel.
 * Not     Reading /proc/self/maps: it takes a millisecond in a large program, and shows memory of
 *         which nobody knows what it is. */
#include "gc/gc.h"
#include "os/os.h"
#include <errno.h>

enum { GLOBALS = 2048, COPY = 64 << 10 };

struct range {
        uintptr_t low, high;
};

static struct range  globals[GLOBALS];  /* whoever runs a cycle */
static uint32_t      nglobals;

static struct lock   lock = LOCK_INIT(roots);
static struct range *named;             /* lock: roots */
static uint32_t      nnamed, room;      /* lock: roots */

static void (*when_stopped)(void);

static void locked(void *arg)
{
        (void)arg;
        when_stopped();
}

static void add_global(uintptr_t low, uintptr_t high, void *arg)
{
        (void)arg;
        if (nglobals == GLOBALS)
                weir__throw("more than %d writable segments of libraries", GLOBALS);
        globals[nglobals++] = (struct range){ low, high };
}

void weir__roots_find(void (*stopped)(void))
{
        nglobals = 0;
        when_stopped = stopped;
        weir__os_globals(stopped ? locked : NULL, add_global, NULL);
}

static void mark_range(struct world_range r, void *arg)
{
        weir__mark_stack(arg, r.low, r.high);
}

static void mark_object(void *p, size_t size, void *arg)
{
        weir__mark_range(arg, (uintptr_t)p, (uintptr_t)p + size);
}

static void mark_others(struct marker *m)
{
        weir__roots_mark_last(m);
        weir__special_roots(m);
        weir__mark_skip_begin();
        weir__mark_malloc(m, true);
        weir__mark_skip_end();
}

void weir__roots_mark(struct marker *m)
{
        weir__world_each(mark_range, m);
        mark_others(m);
}

void weir__roots_mark_but_stacks(struct marker *m)
{
        mark_others(m);
}

void weir__roots_each(void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg)
{
        weir__exclude_look();
        for (uint32_t i = 0; i < nglobals; i++)
                weir__exclude_each(globals[i].low, globals[i].high, fn, arg);
        for (uint32_t i = 0; i < nnamed; i++)
                weir__exclude_each(named[i].low, named[i].high, fn, arg);
        weir__special_each(fn, arg);
}

static void mark_globals(uintptr_t low, uintptr_t high, void *arg)
{
        weir__mark_globals(arg, low, high);
}

void weir__roots_mark_last(struct marker *m)
{
        weir__exclude_look();
        for (uint32_t i = 0; i < nglobals; i++)
                weir__exclude_each(globals[i].low, globals[i].high, mark_globals, m);
        for (uint32_t i = 0; i < nnamed; i++)
                weir__mark_allowed(m, named[i].low, named[i].high);
        weir__mem_each_foreign(mark_object, m);
        weir__mark_settle(m);
}

void weir__roots_mark_threads(struct marker *m)
{
        weir__world_threads(mark_range, m);
}

size_t weir__roots_mark_touched(struct marker *m, bool stopped)
{
        return stopped ? weir__scan_end(mark_range, m) : weir__scan_again(mark_range, m);
}

size_t weir__roots_mark_shared(struct marker *m)
{
        return weir__scan_shared(mark_range, m);
}

/* ---- beside the program ---- */

/* Whoever runs a cycle. Not a variable itself, or what was copied would be a root. */
static char *copy;

/* Memory that may go while it is read. */
static void copy_and_mark(uintptr_t low, uintptr_t high, void *arg)
{
        struct marker *m = arg;
        uintptr_t      to = (uintptr_t)copy;

        for (low = ALIGN_UP(low, (uintptr_t)8); low < high; low += COPY) {
                size_t want = MIN((size_t)(high - low), (size_t)COPY);
                size_t got = weir__os_peek(copy, (const void *)low, want);

                weir__mark_range(m, to, to + ALIGN_DOWN(got, (size_t)8));
                if (got < want)
                        return;
        }
}

static void mark_copy(uintptr_t low, uintptr_t high, void *arg)
{
        weir__mem_each_root(low, high, copy_and_mark, arg);
}

void weir__roots_mark_beside(struct marker *m)
{
        if (!copy)
                copy = weir__os_map(COPY);
        weir__roots_find(NULL);
        weir__exclude_look();
        weir__special_roots(m);
        for (uint32_t i = 0; copy && i < nglobals; i++)
                weir__exclude_each(globals[i].low, globals[i].high, mark_copy, m);
        for (uint32_t i = 0; copy; i++) {
                struct range r = { 0 };

                lock_take(&lock);
                if (i < nnamed)
                        r = named[i];
                lock_drop(&lock);
                if (!r.high)
                        break;
                weir__exclude_each(r.low, r.high, mark_copy, m);
        }
        weir__scan_parked(mark_range, m);
        weir__mark_settle(m);
}

void weir__roots_forked(void)
{
        lock_init(&lock, roots);
}

int weir_gc_root_add(const void *addr, size_t size)
{
        uintptr_t low = (uintptr_t)addr;
        int       r = 0;

        if (!low || low % sizeof(void *) || size > UINTPTR_MAX - low)
                return -EINVAL;
        lock_take(&lock);
        if (nnamed == room) {
                uint32_t      n = room ? 2 * room : OS_PAGE / sizeof *named;
                struct range *more = weir__os_map(n * sizeof *more);

                if (more && named) {
                        memcpy(more, named, nnamed * sizeof *more);
                        weir__os_unmap(named, room * sizeof *named);
                }
                if (more) {
                        named = more;
                        room = n;
                } else {
                        r = -ENOMEM;
                }
        }
        if (!r)
                named[nnamed++] = (struct range){ low, low + size };
        lock_drop(&lock);
        return r;
}

int weir_gc_root_remove(const void *addr, size_t size)
{
        uintptr_t low = (uintptr_t)addr;
        int       r = -ENOENT;

        lock_take(&lock);
        for (uint32_t i = 0; r && i < nnamed; i++)
                if (named[i].low == low && named[i].high == low + size) {
                        named[i] = named[--nnamed];
                        r = 0;
                }
        lock_drop(&lock);
        return r;
}
