/* An explorer of interleavings for the shipped code.
 *
 * What    Runs the threads of a scenario as coroutines on one thread of the system, again and
 *         again, each time with other decisions: who runs at each atomic operation, and which of
 *         the stores that the memory model allows is read. All ways with at most `bound` deviations
 *         from the straight one are tried (a deviation: cutting a thread that could go on, or
 *         reading another store than the newest), depth first, each from the start.
 *         Here: decisions, threads and their switches. memory.c has the words and what is read of
 *         them, judge.c the executions, one after the other, and the mutants.
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
#include "state.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct explorer *X;

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

void model_say(const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        if (X->cur >= 0)
                printf("  %*s%d: ", X->cur * 4, "", X->cur);
        vprintf(fmt, ap);
        va_end(ap);
        putchar('\n');
}

/* ---- decisions ---- */

unsigned model_choose(unsigned n, bool free_)
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

bool model_advance(void)
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

void model_switch_to(int to)
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
                model_switch_to(can[model_choose(n, true)]);
                return;
        }
        for (unsigned i = 1; i <= X->threads; i++) {
                int at = (X->cur + (int)i) % (int)X->threads;

                if (X->thread[at].state == YIELDED) {
                        model_switch_to(at);
                        return;
                }
        }
        for (unsigned i = 0; i < X->threads; i++)
                if (X->thread[i].state == WAITING && X->thread[i].timed)
                        can[n++] = (int)i;
        if (n) {
                int at = can[model_choose(n, true)];

                X->thread[at].timed_out = true;
                model_switch_to(at);
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

void model_point(bool shared)
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
        if ((taken = model_choose(n, false)))
                model_switch_to(can[taken]);
}

void model_yield(void)
{
        if (model_running())
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

        model_point(true);
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
        return model_running() ? X->cur : -1;
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
