/* An explorer of interleavings for the shipped code.
 *
 * What    Runs the threads of a scenario as coroutines on one thread of the system, again and
 *         again, each time with other decisions: who runs at each atomic operation, and which of
 *         the stores that the memory model allows is read. All ways with at most `bound` deviations
 *         from the straight one are tried (a deviation: cutting a thread that could go on, or
 *         reading another store than the newest), depth first, each from the start.
 * Shape   decisions: a stack of (options, taken); the last one that has options left is advanced.
 *         memory: per atomic word the list of its stores; per thread the oldest store of each word
 *         that it may still read, and a vector clock. A release store carries both, an acquire load
 *         takes them over.
 * Order   The model is C11 with two differences. Locked instructions that are sequentially
 *         consistent are full fences, as they are on x86-64 and as the sources say they rely on; a
 *         store goes last in the order of its word. So what may be late is seen late: a plain store
 *         passes a later load of another word, a relaxed load reads what was there before, a
 *         relaxed store publishes nothing. Loads do not read from the future.
 *         Plain accesses are reported by the compiler (-fsanitize=thread, with the functions below
 *         in place of the sanitizer's): two that are not ordered, one of them a write, are an
 *         error. A thread that was cut off gets its core back: who runs on for long gives way.
 * States  RUN, YIELDED (it looks in vain: runs when nobody else can, or as a deviation), WAITING
 *         (runs when its condition holds), DONE. When none can run, those with a time limit go on;
 *         without any the scenario is stuck.
 * Cost    Words that only one thread has ever touched are no places for decisions; when a second
 *         one touches them the exploration starts again with that knowledge.
 * Not     Partial order reduction: bounded deviations find what a removed fence does in some
 *         thousands of executions, and stay explainable. Unbounded search: three threads in a run
 *         queue have more ways than there is time. */
#include "explore.h"
#include "arch/arch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
        T = MODEL_THREADS,
        LOCS = 192,             /* atomic words in one execution */
        HISTORY = 48,           /* stores of a word that can still be read */
        STREAK = 300,           /* steps after which a thread that runs on gives way to the others */
        STEPS = 3000,           /* more: the threads wait for one another in loops */
        DEPTH = 2000,
        STACK = 64 * 1024,
        HEAP = 256 * 1024,
        CLOCKS = 4096,
        SHADOW = 8192,
        CONTEXTS = 16,
        SPLITS = 4,
        SECONDS = 60,           /* of a processor, for one exploration */
};

struct clock {
        uint16_t vc[T];
        uint16_t view[LOCS];
};

struct store {
        uint64_t            value;
        const struct clock *message;    /* NULL: the store releases nothing */
};

struct loc {
        uintptr_t    addr;
        unsigned     size, n;
        uint16_t     base;      /* number of the first store kept */
        uint16_t     total;     /* newest that is in the total order of sequential consistency */
        uint16_t     known;     /* its entry among the words known from earlier executions */
        struct store s[HISTORY];
};

/* A word as earlier executions have seen it. */
struct known {
        uintptr_t addr;
        int       owner;
        bool      shared;       /* from the next execution on: `next` */
        bool      next;
};

enum state { RUN, YIELDED, WAITING, DONE };

struct thread {
        struct context ctx;
        struct clock   clock;
        enum state     state;
        bool         (*ready)(void *arg);
        void          *arg;
        bool           timed, timed_out, yielding;
        void          *self;
        struct context *leaving;        /* of the shipped code: cleared once it is left */
        bool          *leaving_saved;
};

/* A context of the shipped code: where it really is. */
struct shipped {
        struct context *key;
        struct context  raw;
        bool            saved;
        void          (*fn)(void *);
        void           *arg;
        char           *stack;
};

struct decision {
        uint16_t n, taken;
};

struct shadow {
        uintptr_t key;
        uint32_t  run;
        uint8_t   writer;
        uint16_t  wrote;
        uint16_t  awrote[T], read[T], aread[T];
};

/* Everything of the explorer is in one mapping, out of the way of the snapshot. */
static struct explorer {
        const struct scenario *sc;
        bool            running, failed, trace, asking;
        int             cur;
        unsigned        threads;
        struct thread   thread[T];
        struct context  main;
        jmp_buf         env;

        struct decision decision[DEPTH];
        unsigned        depth, len, spent, steps, streak;
        uint64_t        executions;
        bool            learned;

        struct known    known[LOCS * 4];
        unsigned        nknown;
        struct loc      loc[LOCS];
        unsigned        nloc;
        const void     *split[SPLITS];  /* words whose halves are written apart */
        unsigned        nsplit;
        struct clock    total;          /* of the fences */
        struct clock    clock[CLOCKS];
        unsigned        nclock;

        struct shipped  shipped[CONTEXTS];
        unsigned        nshipped, nstack;

        struct shadow   shadow[SHADOW];
        uint32_t        run;

        size_t          heap_used;
        char            message[512];
        char            heap[HEAP] __attribute__((aligned(64)));
        char            stacks[T + CONTEXTS][STACK] __attribute__((aligned(64)));
} *X;

extern struct site __start_model_sites[], __stop_model_sites[];
extern char        __data_start[], _end[];

static char *snapshot;

/* Whether threads are being explored; not so in constructors, setup and finish. */
static bool running(void)
{
        return X && X->running;
}

/* ---- failing ---- */

void model_fail(const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(X->message, sizeof X->message, fmt, ap);
        va_end(ap);
        X->failed = true;
        if (X->cur < 0)
                longjmp(X->env, 1);
        weir__arch_switch(&X->thread[X->cur].ctx, &X->main);
        abort();
}

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
        va_list ap;

        if (!X->trace)
                return;
        va_start(ap, fmt);
        if (X->cur >= 0)
                printf("  %*s%d: ", X->cur * 4, "", X->cur);
        vprintf(fmt, ap);
        va_end(ap);
        putchar('\n');
}

/* ---- decisions ---- */

/* One of n; 0 is the straight way. */
static unsigned choose(unsigned n, bool free_)
{
        struct decision *d;

        if (n <= 1 || (!free_ && X->spent >= X->sc->bound))
                return 0;
        if (X->depth == DEPTH)
                model_fail("more than %d decisions", DEPTH);
        d = &X->decision[X->depth++];
        if (X->depth > X->len) {
                *d = (struct decision){ .n = (uint16_t)n };
                X->len = X->depth;
        } else if (d->n != n) {
                model_fail("the explorer lost its way: %u options became %u", d->n, n);
        }
        if (d->taken && !free_)
                X->spent++;
        return d->taken;
}

/* To the next way. False: there is none. */
static bool advance(void)
{
        while (X->len) {
                struct decision *d = &X->decision[X->len - 1];

                if (++d->taken < d->n)
                        return true;
                X->len--;
        }
        return false;
}

/* ---- threads ---- */

/* What a thread waits for is looked at by nobody in particular: no race can come of it. */
static bool ask(bool (*ready)(void *), void *arg)
{
        bool yes;

        X->asking = true;
        yes = ready(arg);
        X->asking = false;
        return yes;
}

static bool can_run(const struct thread *t)
{
        return t->state == RUN || (t->state == WAITING && ask(t->ready, t->arg));
}

static void switch_to(int to)
{
        int from = X->cur;

        if (to == from) {
                X->thread[to].state = RUN;
                return;
        }
        X->cur = to;
        X->streak = 0;
        X->thread[to].state = RUN;
        weir__arch_set_self(X->thread[to].self);
        weir__arch_switch(from < 0 ? &X->main : &X->thread[from].ctx, &X->thread[to].ctx);
}

/* Leaves the running thread, which cannot go on now. */
static void next_thread(void)
{
        unsigned n = 0;
        int      can[T];

        for (unsigned i = 0; i < X->threads; i++)
                if ((int)i != X->cur && can_run(&X->thread[i]))
                        can[n++] = (int)i;
        if (n) {
                switch_to(can[choose(n, true)]);
                return;
        }
        for (unsigned i = 1; i <= X->threads; i++) {
                int at = (X->cur + (int)i) % (int)X->threads;

                if (X->thread[at].state == YIELDED) {
                        switch_to(at);
                        return;
                }
        }
        for (unsigned i = 0; i < X->threads; i++)
                if (X->thread[i].state == WAITING && X->thread[i].timed)
                        can[n++] = (int)i;
        if (n) {
                int at = can[choose(n, true)];

                X->thread[at].timed_out = true;
                switch_to(at);
                return;
        }
        for (unsigned i = 0; i < X->threads; i++)
                n += X->thread[i].state != DONE;
        if (n) {
                say("nobody can run");
                if (!X->sc->stuck)
                        model_fail("stuck: %u threads wait and nobody can wake them", n);
                X->running = false;
                X->sc->stuck();
        }
        weir__arch_switch(&X->thread[X->cur].ctx, &X->main);
}

/* Before an operation on a word. */
static void point(bool shared)
{
        struct thread *t = &X->thread[X->cur];
        unsigned       n = 1, taken;
        int            can[T];

        if (++X->steps > STEPS)
                model_fail("no end after %d steps: threads wait for one another in loops", STEPS);
        if (t->yielding || ++X->streak > STREAK) {
                X->streak = 0;
                t->yielding = false;
                t->state = YIELDED;
                next_thread();
                return;
        }
        if (!shared || X->spent >= X->sc->bound)
                return;
        can[0] = X->cur;
        for (unsigned i = 0; i < X->threads; i++)
                if ((int)i != X->cur && (X->thread[i].state == YIELDED || can_run(&X->thread[i])))
                        can[n++] = (int)i;
        if ((taken = choose(n, false)))
                switch_to(can[taken]);
}

void model_yield(void)
{
        if (running())
                X->thread[X->cur].yielding = true;
}

void model_exit(void)
{
        say("ends");
        X->thread[X->cur].state = DONE;
        next_thread();
        abort();
}

static bool wait_for(bool (*ready)(void *), void *arg, bool timed)
{
        struct thread *t = &X->thread[X->cur];

        point(true);
        if (ask(ready, arg))
                return true;
        say("waits");
        t->ready = ready;
        t->arg = arg;
        t->timed = timed;
        t->timed_out = false;
        t->state = WAITING;
        next_thread();
        say(t->timed_out ? "goes on: time passed" : "goes on");
        return !t->timed_out;
}

void model_wait(bool (*ready)(void *arg), void *arg)
{
        (void)wait_for(ready, arg, false);
}

bool model_wait_timed(bool (*ready)(void *arg), void *arg)
{
        return wait_for(ready, arg, true);
}

int model_self(void)
{
        return running() ? X->cur : -1;
}

void model_set_self(void *m)
{
        if (X->cur >= 0)
                X->thread[X->cur].self = m;
        weir__arch_set_self(m);
}

void model_set_self_of(int thread, void *m)
{
        X->thread[thread].self = m;
}

void *model_alloc(size_t size)
{
        char *p = X->heap + X->heap_used;

        X->heap_used += (size + 63) & ~(size_t)63;
        if (X->heap_used > HEAP)
                model_fail("the scenario needs more than %d bytes", HEAP);
        return p;
}

/* ---- words ---- */

static uint64_t peek(const void *p, unsigned size)
{
        uint64_t v = 0;

        memcpy(&v, p, size);
        return v;
}

static void poke(void *p, unsigned size, uint64_t v)
{
        memcpy(p, &v, size);
}

static struct known *known_word(uintptr_t addr)
{
        struct known *k = X->known;

        for (unsigned i = 0; i < X->nknown; i++, k++)
                if (k->addr == addr)
                        return k;
        if (X->nknown == LOCS * 4)
                model_fail("more than %d words", LOCS * 4);
        X->nknown++;
        *k = (struct known){ .addr = addr, .owner = X->cur };
        return k;
}

static struct loc *find_loc(const void *p, unsigned size)
{
        static unsigned hint;
        struct loc     *l = &X->loc[hint];

        if (hint < X->nloc && l->addr == (uintptr_t)p)
                return l;
        for (hint = 0; hint < X->nloc; hint++)
                if (X->loc[hint].addr == (uintptr_t)p)
                        return &X->loc[hint];
        if (X->nloc == LOCS)
                model_fail("more than %d words", LOCS);
        if ((uintptr_t)p < 4096)
                model_fail("thread %d goes to address %p", X->cur, p);
        l = &X->loc[X->nloc++];
        l->addr = (uintptr_t)p;
        l->size = size;
        l->base = l->total = 0;
        l->n = 1;
        l->known = (uint16_t)(known_word(l->addr) - X->known);
        l->s[0] = (struct store){ .value = peek(p, size) };
        return l;
}

static uint16_t newest(const struct loc *l)
{
        return (uint16_t)(l->base + l->n - 1);
}

static void push_store(struct loc *l, uint64_t v, const struct clock *message)
{
        if (l->n == HISTORY) {
                memmove(l->s, l->s + HISTORY / 2, HISTORY / 2 * sizeof l->s[0]);
                l->base += HISTORY / 2;
                l->n = HISTORY / 2;
        }
        l->s[l->n++] = (struct store){ v, message };
}

static unsigned index_of(const struct loc *l)
{
        return (unsigned)(l - X->loc);
}

static void join_view(struct clock *to, const struct clock *from)
{
        for (unsigned i = 0; i < X->nloc; i++)
                if (from->view[i] > to->view[i])
                        to->view[i] = from->view[i];
}

static void join(struct clock *to, const struct clock *from)
{
        for (unsigned i = 0; i < T; i++)
                if (from->vc[i] > to->vc[i])
                        to->vc[i] = from->vc[i];
        join_view(to, from);
}

static struct clock *copy_clock(const struct clock *c)
{
        struct clock *copy;

        if (X->nclock == CLOCKS)
                model_fail("more than %d releases", CLOCKS);
        copy = &X->clock[X->nclock++];
        memcpy(copy->vc, c->vc, sizeof copy->vc);
        memcpy(copy->view, c->view, X->nloc * sizeof copy->view[0]);
        memset(copy->view + X->nloc, 0, (LOCS - X->nloc) * sizeof copy->view[0]);
        return copy;
}

/* Whether the word of 4 bytes at p is one whose halves are written apart: each has its own stores,
 * and an operation on the whole is one on both, at once but for a load. */
static bool is_split(const void *p, unsigned size)
{
        if (size != 4)
                return false;
        for (unsigned i = 0; i < X->nsplit; i++)
                if (X->split[i] == p)
                        return true;
        return false;
}

void model_split(const void *p)
{
        if (X->nsplit == SPLITS)
                model_fail("more than %d words in halves", SPLITS);
        X->split[X->nsplit++] = p;
}

/* The word, after the decision who operates on it; also whatever plain stores did to it since: they
 * are ordered with everything, or the compiler's reports have made an error of it. */
static struct loc *enter_at(const void *p, unsigned size, bool decide)
{
        struct loc   *l = find_loc(p, size);
        struct known *k = &X->known[l->known];
        uint64_t      now;

        if (k->owner != X->cur && !k->next)
                k->next = X->learned = true;
        if (decide)
                point(k->shared);
        now = peek(p, size);
        if (now != l->s[l->n - 1].value) {
                push_store(l, now, NULL);
                for (unsigned i = 0; i < X->threads; i++)
                        X->thread[i].clock.view[index_of(l)] = newest(l);
        }
        return l;
}

static struct loc *enter(const void *p, unsigned size)
{
        return enter_at(p, size, true);
}

/* Both halves. */
static void enter_split(const void *p, struct loc *ret[2])
{
        (void)find_loc((const char *)p + 2, 2);
        ret[0] = enter_at(p, 2, true);
        ret[1] = enter_at((const char *)p + 2, 2, false);
}

static struct clock *clock_now(void)
{
        return &X->thread[X->cur].clock;
}

static void fence(void)
{
        join_view(clock_now(), &X->total);
        join_view(&X->total, clock_now());
}

static void take_over(const struct store *s, enum model_order o)
{
        if ((o & MODEL_ACQUIRE) && s->message)
                join(clock_now(), s->message);
}

static void put(struct loc *l, uint64_t v, enum model_order o, const struct clock *inherited)
{
        struct clock *c = clock_now(), *message = NULL;

        c->view[index_of(l)] = (uint16_t)(newest(l) + 1);
        if (o & MODEL_RELEASE)
                message = copy_clock(c);
        if (inherited) {
                if (message)
                        join(message, inherited);
                else
                        message = copy_clock(inherited);
        }
        push_store(l, v, message);
        poke((void *)l->addr, l->size, v);
        c->vc[X->cur]++;
        if (o & 4)
                l->total = newest(l);
}

/* ---- races of plain accesses ---- */

static struct shadow *shadow_of(uintptr_t key)
{
        unsigned at = (unsigned)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 51) % SHADOW;

        for (unsigned i = 0; i < SHADOW; i++, at = (at + 1) % SHADOW) {
                struct shadow *s = &X->shadow[at];

                if (s->run != X->run) {
                        memset(s, 0, sizeof *s);
                        s->run = X->run;
                        s->key = key;
                        return s;
                }
                if (s->key == key)
                        return s;
        }
        model_fail("more than %d bytes touched", SHADOW);
}

static bool before(unsigned who, uint16_t when)
{
        return when <= clock_now()->vc[who];
}

static bool all_before(const uint16_t *when)
{
        for (unsigned i = 0; i < X->threads; i++)
                if (!before(i, when[i]))
                        return false;
        return true;
}

static void race(uintptr_t at, const char *what, const void *pc)
{
        model_fail("data race: thread %d %s %p without an order, at %p", X->cur, what, (void *)at,
                   pc);
}

static void touch(uintptr_t key, bool write, bool atomic, const void *pc)
{
        struct shadow *s = shadow_of(key);
        uint16_t       now = clock_now()->vc[X->cur];

        if (!before(s->writer, s->wrote) || (!atomic && !all_before(s->awrote)))
                race(key, write ? "writes" : "reads what was written to", pc);
        if (write && (!all_before(s->read) || (!atomic && !all_before(s->aread))))
                race(key, "writes what was read of", pc);
        if (!write)
                (atomic ? s->aread : s->read)[X->cur] = now;
        else if (atomic)
                s->awrote[X->cur] = now;
        else {
                s->writer = (uint8_t)X->cur;
                s->wrote = now;
        }
}

/* Words of 4 bytes have an entry each, shorter ones one by their address. */
static void touch_range(const void *p, size_t size, bool write, bool atomic, const void *pc)
{
        uintptr_t at = (uintptr_t)p;

        if (!running() || X->failed || X->asking)
                return;
        if (size < 4) {
                touch(at, write, atomic, pc);
                return;
        }
        for (size_t i = 0; i < size; i += 4)
                touch((at + i) & ~(uintptr_t)3, write, atomic, pc);
}

#define PC __builtin_return_address(0)
#define REPORT(name, size, write) \
        void __tsan_##name(void *p); \
        void __tsan_##name(void *p) { touch_range(p, size, write, false, PC); }
REPORT(read1, 1, false) REPORT(read2, 2, false) REPORT(read4, 4, false) REPORT(read8, 8, false)
REPORT(read16, 16, false) REPORT(write1, 1, true) REPORT(write2, 2, true) REPORT(write4, 4, true)
REPORT(write8, 8, true) REPORT(write16, 16, true)
REPORT(unaligned_read2, 2, false) REPORT(unaligned_read4, 4, false)
REPORT(unaligned_read8, 8, false) REPORT(unaligned_read16, 16, false)
REPORT(unaligned_write2, 2, true) REPORT(unaligned_write4, 4, true)
REPORT(unaligned_write8, 8, true) REPORT(unaligned_write16, 16, true)
void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order) { (void)order; }      /* for the compiler alone */
void __tsan_func_entry(void *p);
void __tsan_func_entry(void *p) { (void)p; }
void __tsan_read_range(void *p, size_t n);
void __tsan_read_range(void *p, size_t n) { touch_range(p, n, false, false, PC); }
void __tsan_write_range(void *p, size_t n);
void __tsan_write_range(void *p, size_t n) { touch_range(p, n, true, false, PC); }
void __tsan_func_exit(void);
void __tsan_func_exit(void) { }
void __tsan_init(void);
void __tsan_init(void) { }
void *__tsan_memcpy(void *d, const void *s, size_t n);
void *__tsan_memcpy(void *d, const void *s, size_t n)
{
        touch_range(s, n, false, false, PC);
        touch_range(d, n, true, false, PC);
        return memcpy(d, s, n);
}
void *__tsan_memset(void *d, int c, size_t n);
void *__tsan_memset(void *d, int c, size_t n)
{
        touch_range(d, n, true, false, PC);
        return memset(d, c, n);
}
void *__tsan_memmove(void *d, const void *s, size_t n);
void *__tsan_memmove(void *d, const void *s, size_t n)
{
        touch_range(s, n, false, false, PC);
        touch_range(d, n, true, false, PC);
        return memmove(d, s, n);
}

/* ---- operations ---- */

static enum model_order order_at(enum model_order o, const struct site *s)
{
        return s->mutation == MUTATE_RELAX ? MODEL_RELAXED : o;
}

/* One of the stores of l that the running thread may read. */
static uint64_t read_one(struct loc *l, enum model_order o, const struct site *s)
{
        struct clock *c = clock_now();
        uint16_t      low = c->view[index_of(l)], at;
        unsigned      n;

        if (o & 4)
                low = low > l->total ? low : l->total;
        low = low > l->base ? low : l->base;
        n = (unsigned)(newest(l) - low) + 1;
        at = (uint16_t)(newest(l) - choose(n, false));
        c->view[index_of(l)] = at;
        take_over(&l->s[at - l->base], o);
        say("%s:%s reads %llx%s", s->func, s->op, (unsigned long long)l->s[at - l->base].value,
            at != newest(l) ? " (old)" : "");
        return l->s[at - l->base].value;
}

uint64_t model_load(const void *p, unsigned size, enum model_order o, const struct site *s)
{
        struct loc *l[2];
        uint64_t    v;

        if (!running())
                return peek(p, size);
        o = order_at(o, s);
        if (is_split(p, size)) {
                enter_split(p, l);
                touch_range(p, size, false, true, PC);
                v = read_one(l[0], o, s);
                v |= read_one(l[1], o, s) << 16;
        } else {
                l[0] = enter(p, size);
                touch_range(p, size, false, true, PC);
                v = read_one(l[0], o, s);
        }
        return s->mutation == MUTATE_FORCE ? s->value : v;
}

void model_store(void *p, unsigned size, uint64_t v, enum model_order o, const struct site *s)
{
        struct loc *l;

        if (!running()) {
                poke(p, size, v);
                return;
        }
        l = enter(p, size);
        o = order_at(o, s);
        say("%s:%s writes %llx", s->func, s->op, (unsigned long long)v);
        if (s->mutation == MUTATE_SKIP)
                return;
        if (size < 8)
                v &= (UINT64_C(1) << 8 * size) - 1;
        touch_range(p, size, true, true, PC);
        put(l, v, o, NULL);
        if (o & 4)
                fence();
}

static uint64_t apply(enum model_rmw what, uint64_t old, uint64_t v, unsigned size)
{
        uint64_t new = v;

        switch (what) {
        case MODEL_XCHG:
                break;
        case MODEL_ADD:
                new = old + v;
                break;
        case MODEL_SUB:
                new = old - v;
                break;
        case MODEL_OR:
                new = old | v;
                break;
        case MODEL_AND:
                new = old & v;
                break;
        }
        return size < 8 ? new & ((UINT64_C(1) << 8 * size) - 1) : new;
}

/* Reads the newest, as a locked instruction does, and writes. */
static uint64_t read_write(struct loc *l, enum model_rmw what, uint64_t v, enum model_order o)
{
        struct store old = l->s[l->n - 1];

        clock_now()->view[index_of(l)] = newest(l);
        take_over(&old, o);
        if (o & 4)
                fence();
        put(l, apply(what, old.value, v, l->size), o, old.message);
        if (o & 4)
                fence();
        return old.value;
}

static uint64_t newest_of(struct loc *l[2])
{
        return l[0]->s[l[0]->n - 1].value | l[1]->s[l[1]->n - 1].value << 16;
}

/* Reads and writes both halves. */
static void write_split(struct loc *l[2], uint64_t v, enum model_order o)
{
        read_write(l[0], MODEL_XCHG, v & 0xffff, o);
        read_write(l[1], MODEL_XCHG, v >> 16, o);
}

static uint64_t rmw_split(void *p, enum model_rmw what, uint64_t v, enum model_order o,
                          const struct site *s)
{
        struct loc *l[2];
        uint64_t    old;

        enter_split(p, l);
        touch_range(p, 4, true, true, PC);
        old = newest_of(l);
        if (s->mutation == MUTATE_SKIP)
                return old;
        write_split(l, apply(what, old, v, 4), o);
        say("%s:%s from %llx to %llx", s->func, s->op, (unsigned long long)old,
            (unsigned long long)newest_of(l));
        return old;
}

uint64_t model_rmw(void *p, unsigned size, enum model_rmw what, uint64_t v, enum model_order o,
                   const struct site *s)
{
        uint64_t    old;
        struct loc *l;

        if (!running()) {
                old = peek(p, size);
                poke(p, size, apply(what, old, v, size));
                return old;
        }
        o = order_at(o, s);
        if (is_split(p, size))
                return rmw_split(p, what, v, o, s);
        l = enter(p, size);
        touch_range(p, size, true, true, PC);
        if (s->mutation == MUTATE_SKIP)
                return l->s[l->n - 1].value;
        if (s->mutation == MUTATE_TEAR) {
                struct store torn = l->s[l->n - 1];

                take_over(&torn, o);
                point(true);
                put(l, apply(what, torn.value, v, size), o, NULL);
                return torn.value;
        }
        old = read_write(l, what, v, o);
        say("%s:%s from %llx to %llx", s->func, s->op, (unsigned long long)old,
            (unsigned long long)l->s[l->n - 1].value);
        return old;
}

static bool cas_split(void *p, uint64_t *e, uint64_t v, enum model_order o, enum model_order failed,
                      const struct site *s)
{
        struct loc *l[2];
        uint64_t    old;

        enter_split(p, l);
        touch_range(p, 4, true, true, PC);
        old = newest_of(l);
        if (old != *e && s->mutation != MUTATE_BLIND) {
                say("%s:%s finds %llx, not %llx", s->func, s->op, (unsigned long long)old,
                    (unsigned long long)*e);
                for (int i = 0; i < 2; i++) {
                        clock_now()->view[index_of(l[i])] = newest(l[i]);
                        take_over(&l[i]->s[l[i]->n - 1], failed);
                }
                if (failed & 4)
                        fence();
                *e = old;
                return false;
        }
        say("%s:%s from %llx to %llx", s->func, s->op, (unsigned long long)old,
            (unsigned long long)v);
        write_split(l, v, o);
        return true;
}

bool model_cas(void *p, unsigned size, uint64_t *e, uint64_t v, enum model_order o,
               enum model_order failed, const struct site *s)
{
        struct loc *l;
        uint64_t    old;

        if (!running()) {
                old = peek(p, size);
                if (old != *e) {
                        *e = old;
                        return false;
                }
                poke(p, size, v);
                return true;
        }
        if (size < 8)
                *e &= (UINT64_C(1) << 8 * size) - 1;
        o = order_at(o, s);
        if (is_split(p, size))
                return cas_split(p, e, v, o, order_at(failed, s), s);
        l = enter(p, size);
        touch_range(p, size, true, true, PC);
        old = l->s[l->n - 1].value;
        if (old != *e && s->mutation != MUTATE_BLIND) {
                say("%s:%s finds %llx, not %llx", s->func, s->op, (unsigned long long)old,
                    (unsigned long long)*e);
                clock_now()->view[index_of(l)] = newest(l);
                take_over(&l->s[l->n - 1], order_at(failed, s));
                if (order_at(failed, s) & 4)
                        fence();
                *e = old;
                return false;
        }
        say("%s:%s from %llx to %llx", s->func, s->op, (unsigned long long)old,
            (unsigned long long)v);
        if (s->mutation == MUTATE_TEAR)
                point(true);
        read_write(l, MODEL_XCHG, v, o);
        return true;
}

/* Each thread, wherever it is, passes through a full fence. */
void model_fence_all(void)
{
        if (!running())
                return;
        point(true);
        say("a fence in all threads");
        for (unsigned i = 0; i < X->threads; i++)
                join_view(&X->total, &X->thread[i].clock);
        for (unsigned i = 0; i < X->threads; i++)
                join_view(&X->thread[i].clock, &X->total);
}

void model_count(void *p, unsigned size, uint64_t v)
{
        poke(p, size, peek(p, size) + v);
}

/* ---- the switch of the shipped code ---- */

static struct shipped *shipped_of(struct context *c)
{
        for (unsigned i = 0; i < X->nshipped; i++)
                if (X->shipped[i].key == c)
                        return &X->shipped[i];
        if (X->nshipped == CONTEXTS)
                model_fail("more than %d contexts", CONTEXTS);
        X->shipped[X->nshipped] = (struct shipped){ .key = c };
        return &X->shipped[X->nshipped++];
}

/* On the new stack: what the assembly does after its last look at the old one. */
static void arrive(void)
{
        static struct site site __attribute__((section("model_sites"), used)) = {
                .file = __FILE__, .func = "weir__arch_switch", .op = "store_release(on_cpu)" };
        struct thread *t = &X->thread[X->cur];

        *t->leaving_saved = true;
        model_store(&t->leaving->on_cpu, sizeof t->leaving->on_cpu, 0, MODEL_RELEASE, &site);
}

static void first_frame(void *arg)
{
        struct shipped *s = arg;

        arrive();
        s->fn(s->arg);
        abort();
}

void model_context_init(struct context *c, void *top, void (*fn)(void *), void *arg);
void model_context_init(struct context *c, void *top, void (*fn)(void *), void *arg)
{
        struct shipped *s = shipped_of(c);

        (void)top;
        s->saved = true;
        s->fn = fn;
        s->arg = arg;
        if (!s->stack) {
                if (X->nstack == T + CONTEXTS)
                        model_fail("more than %d stacks", T + CONTEXTS);
                s->stack = X->stacks[X->nstack++];
        }
        weir__arch_context_init(&s->raw, s->stack + STACK, first_frame, s);
}

void model_arch_switch(struct context *from, struct context *to);
void model_arch_switch(struct context *from, struct context *to)
{
        struct shipped *f = shipped_of(from), *t = shipped_of(to);

        if (!t->saved)
                model_fail("thread %d enters a stack that another one is still on", X->cur);
        t->saved = false;
        X->thread[X->cur].leaving = from;
        X->thread[X->cur].leaving_saved = &f->saved;
        weir__arch_switch(&f->raw, &t->raw);
        arrive();
}

/* ---- one execution, and all of them ---- */

static void thread_main(void *arg)
{
        X->sc->thread[(uintptr_t)arg]();
        model_exit();
}

static void run_once(void)
{
        const struct scenario *sc = X->sc;

        memcpy(__data_start, snapshot, (size_t)(_end - __data_start));
        memset(X->heap, 0, X->heap_used);
        X->heap_used = 0;
        X->depth = X->spent = X->steps = X->nloc = X->nclock = X->nshipped = X->nstack = 0;
        memset(&X->total, 0, sizeof X->total);
        X->nsplit = 0;
        memset(X->thread, 0, sizeof X->thread);
        X->run++;
        X->executions++;
        X->failed = X->learned = X->running = false;
        X->cur = -1;
        if (setjmp(X->env))
                return;
        for (X->threads = 0; X->threads < T && sc->thread[X->threads]; X->threads++)
                X->thread[X->threads].clock.vc[X->threads] = 1;
        sc->setup();
        for (unsigned i = 0; i < X->threads; i++)
                weir__arch_context_init(&X->thread[i].ctx, X->stacks[X->nstack++] + STACK,
                                        thread_main, (void *)(uintptr_t)i);
        X->running = true;
        switch_to((int)choose(X->threads, true));
        X->running = false;
        if (X->failed)
                return;
        X->cur = -1;
        if (sc->finish)
                sc->finish();
}

/* Answers whether nothing was wrong in any of them. */
static bool explore(void)
{
        do {
                run_once();
                if (X->failed)
                        return false;
                for (unsigned i = 0; i < X->nknown; i++)
                        X->known[i].shared = X->known[i].next;
                if (X->learned)
                        X->len = 0;
        } while (X->learned || advance());
        return true;
}

/* The execution that failed once more, in words. */
static void explain(void)
{
        X->trace = true;
        X->len = X->depth;
        run_once();
        printf("  %s\n", X->message);
}

static bool matches(const struct site *s, const char *name)
{
        size_t n = strlen(s->func);

        return !strncmp(name, s->func, n) && name[n] == ':' && !strcmp(name + n + 1, s->op);
}

static bool mutate(const struct mutant *m)
{
        bool found = false;

        for (struct site *s = __start_model_sites; s < __stop_model_sites; s++)
                if (matches(s, m->site)) {
                        s->mutation = (int)m->what;
                        s->value = m->value;
                        found = true;
                }
        return found;
}

enum { HELD = 0, BROKEN = 1, NOWHERE = 3 };

/* In a process of its own, for what is mutated may crash. */
static int explore_apart(const struct scenario *sc, const struct mutant *m, bool verbose)
{
        pid_t child;
        int   status;

        fflush(stdout);
        memset(X, 0, sizeof *X);
        child = fork();
        if (child < 0) {
                perror("fork");
                exit(2);
        }
        if (child) {
                if (waitpid(child, &status, 0) < 0)
                        return NOWHERE;
                return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        setitimer(ITIMER_PROF, &(struct itimerval){ .it_value.tv_sec = SECONDS }, NULL);
        X->sc = sc;
        if (m && !mutate(m))
                _exit(NOWHERE);
        snapshot = malloc((size_t)(_end - __data_start));
        if (!snapshot)
                _exit(2);
        memcpy(snapshot, __data_start, (size_t)(_end - __data_start));
        if (explore())
                _exit(HELD);
        if (!m || verbose)
                explain();
        fflush(stdout);
        _exit(BROKEN);
}

static const char *const mutation_name[] = { "", "relaxed", "skipped", "torn", "blind", "forced" };

/* Answers whether it went as it must. */
static bool judge(const struct scenario *sc, const struct mutant *m, bool verbose)
{
        int r = explore_apart(sc, m, verbose);

        if (!m) {
                printf("%s: %s, %llu executions, at most %u deviations\n", sc->name,
                       r == HELD ? "holds" : "BROKEN", (unsigned long long)X->executions,
                       sc->bound);
                if (r > BROKEN)
                        printf("  ended with status %d\n", r);
                return r == HELD;
        }
        if (r == NOWHERE) {
                printf("  %s: NO SUCH PLACE\n", m->site);
                return false;
        }
        printf("  %s %s: %s", m->site, mutation_name[m->what], r == HELD ? "NOT CAUGHT" : "caught");
        if (r == BROKEN)
                printf(" at execution %llu: %s\n", (unsigned long long)X->executions, X->message);
        else if (r == HELD)
                printf(" in %llu executions\n", (unsigned long long)X->executions);
        else
                printf(": ended with %d\n", r);
        return r == BROKEN || (r > 128 && r != 128 + 14);
}

/* model-NAME try SCENARIO SITE MUTATION [VALUE] */
static int try_mutant(const struct scenario *scenarios, size_t n, char **argv)
{
        struct mutant m = { .site = argv[3], .value = argv[5] ? strtoull(argv[5], NULL, 0) : 0 };

        for (int i = 0; i < (int)(sizeof mutation_name / sizeof mutation_name[0]); i++)
                if (!strcmp(argv[4], mutation_name[i]))
                        m.what = (enum model_mutation)i;
        for (size_t i = 0; i < n && m.what; i++)
                if (!strcmp(scenarios[i].name, argv[2]))
                        return !judge(&scenarios[i], &m, false);
        fprintf(stderr, "no scenario %s, or no mutation %s\n", argv[2], argv[4]);
        return 2;
}

int model_main(int argc, char **argv, const struct scenario *scenarios, size_t n)
{
        bool        verbose = argc > 1 && !strcmp(argv[argc - 1], "-v"), good = true;
        const char *only = argc > 1 + verbose ? argv[1] : NULL;

        if (only && !strcmp(only, "--sites")) {
                for (struct site *s = __start_model_sites; s < __stop_model_sites; s++)
                        printf("%s:%d: %s:%s\n", s->file, s->line, s->func, s->op);
                return 0;
        }
        X = mmap(NULL, sizeof *X, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (X == MAP_FAILED) {
                perror("mmap");
                return 2;
        }
        if (only && !strcmp(only, "try") && argc >= 5)
                return try_mutant(scenarios, n, argv);
        for (size_t i = 0; i < n; i++) {
                const struct scenario *sc = &scenarios[i];

                if (only && !strstr(sc->name, only))
                        continue;
                good = judge(sc, NULL, verbose) && good;
                for (unsigned k = 0; k < MODEL_MUTANTS && sc->mutants[k].site; k++)
                        good = judge(sc, &sc->mutants[k], verbose) && good;
        }
        return !good;
}
