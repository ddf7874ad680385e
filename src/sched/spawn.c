/* The birth and death of goroutines.
 *
 * What    A goroutine lives in the head of its stack and is recycled with it: from the processor's
 *         list of dead ones (hottest first), else from the shared list of its stack class, else
 *         from a fresh stack. Arguments and name are copied to the top of its stack.
 *         Of a goroutine on a fresh stack the kernel's part, guard and first page, is nine tenths
 *         of the cost. So where one processor starts many, another one that finds no work
 *         makes dead ones meanwhile, and puts them on the shared list.
 * Shape   stack top, downward: name, arguments (16-aligned), the first frame.
 * States  See g.h. A dead goroutine is put on the list by itself while it still runs on its stack;
 *         context.on_cpu keeps whoever takes it from there waiting until it has left.
 * Cost    About 40 ns for start, run and end of an empty goroutine. */
#include "sched/state.h"
#include "sched/san.h"
#include <errno.h>
#include <weir/go.h>

enum { ARGS_MAX = 64 * 1024, IDS = 64, UNDER = 4 * OS_PAGE, AHEAD = 8 };

static uint64_t next_id;        /* atomic: ids given to processors, IDS at a time */

static slowpath void put_shared(uint32_t class, struct g *first, struct g *last)
{
        lock_take(&sched.lock);
        last->next = sched.dead[class];
        store_relaxed(&sched.dead[class], first);
        lock_drop(&sched.lock);
}

/* Gives the older half of p's dead goroutines to all: others start them, p only ends them. */
static slowpath void spill(struct p *p)
{
        struct g *keep = p->dead, *last;

        for (p->ndead = 1; p->ndead < G_CACHE / 2; p->ndead++)
                keep = keep->next;
        for (last = keep->next; last->next; last = last->next)
                ;
        put_shared(sched.stack_class, keep->next, last);
        keep->next = NULL;
}

/* WEIR_DEBUG=stackuse=1: measures how deep the running goroutine went. The memory goes back, so
 * that the next one on this stack is measured for itself. */
slowpath void weir__sched_note_use(struct g *g)
{
        weir__stack_note_use(load_relaxed(&g->fn), weir__stack_used(&g->stack), g->stack.class);
        (void)weir__stack_return(&g->stack, (char *)__builtin_frame_address(0) - UNDER);
}

_Noreturn void weir__sched_finish(struct g *g)
{
        struct m *m = self();
        struct p *p;
        struct g *next;

        if (unlikely(weir__debug.stackuse))
                weir__sched_note_use(g);
        if (unlikely(!m->p))
                weir__sched_regain("the end of a goroutine");
        p = m->p;
        store_relaxed(&g->id, 0);
        store_relaxed(&g->state, G_DEAD);
        count_in(&p->counters, goroutines_finished, 1);
        if (likely(g->stack.class == sched.stack_class)) {
                g->next = p->dead;
                p->dead = g;
                if (unlikely(++p->ndead == G_CACHE))
                        spill(p);
        } else {
                /* Who asked for such a stack may have used it. Below this frame only the call. */
                (void)weir__stack_return(&g->stack, (char *)__builtin_frame_address(0) - UNDER);
                fetch_add_relaxed(&sched.stacks_odd, ((uint64_t)1 << sched.stack_class) -
                                                             ((uint64_t)1 << g->stack.class));
                put_shared(g->stack.class, g, g);
        }
        if (unlikely(g->locks)) {
                m->ending = true;
                next = NULL;
        } else {
                next = weir__sched_pick(m);
        }
        weir__sched_switch(m, g, next ? next : &m->g0);
        weir__throw("goroutine %p ran after its end", (void *)g);
}

/* The first frame of every goroutine. Not static, so that its name keeps it out of dumps. */
void weir__sched_first_frame(void *arg)
{
        struct g *g = arg;

        san_arrived(g);
        if (unlikely(g->locks))                         /* started so: this thread is its own now */
                g->thread = self();
        weir__os_errno_set(0);
        g->fn(g->arg);
        if (unlikely(weir__sched_forked))
                weir__fork_ended(g, sched.root_result);
        if (g->after)
                g->after(g->after_arg);
        weir__sched_finish(g);
}

/* Takes some recycled goroutines of the class from the shared list, keeping all but one for p. */
static struct g *refill(struct p *p, uint32_t class)
{
        struct g *g;
        uint32_t  n = 1;

        lock_take(&sched.lock);
        sched.taken[class]++;
        g = sched.dead[class];
        if (!g && sched.cold[class]) {
                g = sched.cold[class];
                store_relaxed(&sched.cold[class], g->next);
        } else if (g) {
                store_relaxed(&sched.dead[class], g->next);
                while (class == sched.stack_class && p->ndead < G_CACHE / 2 && sched.dead[class]) {
                        struct g *more = sched.dead[class];

                        store_relaxed(&sched.dead[class], more->next);
                        more->next = p->dead;
                        p->dead = more;
                        p->ndead++;
                        n++;
                }
        }
        lock_drop(&sched.lock);
        if (g)
                fetch_add_relaxed(&sched.demand, n);
        return g;
}

static struct g *fresh(const struct stack *s)
{
        struct g *g = (struct g *)(void *)s->high;      /* zero: fresh memory */

        g->stack = *s;
        g->ctx.flags = s->guard == STACK_CANARY ? CTX_CANARY : 0;
        return g;
}

/* A goroutine on a stack that nobody has used. The stores are what first touches it. */
static int make(struct p *p, uint32_t class, struct g **ret)
{
        struct stack s;
        int          r = class == sched.stack_class ? weir__stack_carve_run(class, &p->run, &s)
                                                    : weir__stack_carve(class, &s);

        if (r < 0)
                return r;
        *ret = fresh(&s);
        return 0;
}

static slowpath struct g *get_other(struct p *p, uint32_t class)
{
        struct g *g = NULL;
        int       r;

        if (load_relaxed(&sched.dead[class]) || load_relaxed(&sched.cold[class]))
                g = refill(p, class);
        if (g)
                return g;
        fetch_add_relaxed(&sched.demand, 1);
        r = make(p, class, &g);
        if (r == -ENOBUFS)
                weir__panic("weir_go: another stack cannot be guarded (raise vm.max_map_count), "
                            "and WEIR_DEBUG=guard=strict");
        if (r < 0)
                weir__panic("weir_go: no address space for another stack of %zu KiB",
                            ((size_t)1 << class) / 1024);
        return g;
}

/* Called by a thread that has looked for work in vain. Most of what a goroutine on a fresh stack
 * costs is the kernel's: its guard and its first page. So where another processor starts many, this
 * one makes as many meanwhile. Before it steals would be worse: a million goroutines took 3.3 s so,
 * 2.0 to 3.0 otherwise. Not with guard=strict: what is made ahead and not yet shared would be missed
 * by a spawn, which panics where another moment would have served it. */
bool weir__sched_spawn_ahead(struct p *p)
{
        static uint32_t seen;           /* atomic: demand the last time */
        uint32_t        demand = load_relaxed(&sched.demand), class = sched.stack_class;
        struct g       *first = NULL, *last = NULL, *g;

        if (demand - load_relaxed(&seen) < AHEAD || load_relaxed(&sched.dead[class]) ||
            load_relaxed(&sched.cold[class]) || weir__debug.guard)
                return false;
        store_relaxed(&seen, demand);
        for (int i = 0; i < AHEAD && make(p, class, &g) == 0; i++) {
                g->next = first;
                first = g;
                last = last ? last : g;
        }
        if (first)
                put_shared(class, first, last);
        return first;
}

static inline struct g *get_dead(struct p *p, uint32_t class)
{
        struct g *g = p->dead;

        if (likely(g && class == sched.stack_class)) {
                p->dead = g->next;
                p->ndead--;
        } else {
                g = get_other(p, class);
        }
        while (unlikely(load_acquire(&g->ctx.on_cpu)))          /* its last thread is leaving it */
                weir__os_yield();
        return g;
}

static inline uint64_t new_id(struct p *p)
{
        if (unlikely(p->next_id == p->last_id)) {
                p->next_id = fetch_add_relaxed(&next_id, IDS);
                p->last_id = p->next_id + IDS;
        }
        return ++p->next_id;
}

static inline void check_args(size_t size, uint32_t class)
{
        size_t limit = MIN((size_t)ARGS_MAX, ((size_t)1 << class) / 4);

        if (unlikely(size > limit))
                weir__panic("weir_go: arguments of %zu bytes are over the limit of %zu; "
                            "pass a pointer", size, limit);
}

void weir__sched_check_args(size_t size)
{
        check_args(size, sched.stack_class);
}

uint64_t weir__sched_new_id(struct p *p)
{
        return new_id(p);
}

/* The trace of who starts it. */
static inline void inherit(struct g *g, const struct g *starter)
{
        static const uint64_t none[3];
        const uint64_t       *from = starter ? starter->trace : none;

        store_relaxed(&g->trace[0], from[0]);
        store_relaxed(&g->trace[1], from[1]);
        store_relaxed(&g->trace[2], from[2]);
}

/* Makes a dead goroutine ready to run; who owns it queues it. Inlined: a call for each of nine
 * arguments is 60 instructions. */
static inline WEIR_ALWAYS_INLINE void set_up(struct g *g, uint64_t id, const struct g *starter,
                                             const void *site, void (*fn)(void *),
                                             const void *args, size_t size, const char *name,
                                             bool locked, void (*after)(void *), void *after_arg)
{
        char *top = g->stack.high;

        san_born(g);
        store_relaxed(&g->name, NULL);
        if (unlikely(name != NULL)) {
                size_t n = strnlen(name, G_NAME_MAX);

                top -= n + 1;
                memcpy(top, name, n);
                top[n] = 0;
                store_relaxed(&g->name, top);
        }
        if (size == SPAWN_POINTER) {
                g->arg = (void *)(uintptr_t)args;
                top = (char *)ALIGN_DOWN((uintptr_t)top, 16);
        } else {
                g->arg = top = (char *)ALIGN_DOWN((uintptr_t)top - size, 16);
                if (size - 1 < (size_t)ARGS_MAX)        /* without any, args may be NULL */
                        memcpy(top, args, size);
        }
        store_relaxed(&g->fn, fn);
        g->after = after;
        g->after_arg = after_arg;
        g->protect = NULL;
        store_relaxed(&g->starter_id, starter ? starter->id : 0);
        store_relaxed(&g->site, site);
        inherit(g, starter);
        store_relaxed(&g->switches, 0);
        store_relaxed(&g->no_preempt, 0);
        store_relaxed(&g->reading[0], NULL);
        store_relaxed(&g->reading[1], NULL);
        store_relaxed(&g->locks, locked);
        store_relaxed(&g->since, load_relaxed(&weir__sched_coarse));
        weir__arch_context_init(&g->ctx, top, weir__sched_first_frame, g);
        store_relaxed(&g->id, id);
        if (unlikely(load_relaxed(&sched.scanning)))
                weir__scan_touch(g);
        store_relaxed(&g->state, G_RUNNABLE);
}

static void spawn(struct p *p, const struct g *starter, const void *site, void (*fn)(void *),
                  const void *args, size_t size, size_t stack_size, const char *name, bool locked,
                  void (*after)(void *), void *after_arg)
{
        uint32_t  class = sched.stack_class;
        struct g *g;

        if (unlikely(stack_size && !weir__stack_class(stack_size, &class)))
                weir__panic("weir_go: stack_size %zu is over the limit of %llu bytes", stack_size,
                            (unsigned long long)STACK_MAX);
        if (size != SPAWN_POINTER)
                check_args(size, class);
        g = get_dead(p, class);
        if (unlikely(class != sched.stack_class))
                fetch_add_relaxed(&sched.stacks_odd,
                                  ((uint64_t)1 << class) - ((uint64_t)1 << sched.stack_class));
        set_up(g, new_id(p), starter, site, fn, args, size, name, locked, after, after_arg);
        count_in(&p->counters, goroutines_started, 1);
        if (unlikely(!(p->counters.value[COUNTER_goroutines_started] % TIMED_EVERY)))
                weir__sched_time(g);
        weir__runq_put_spawned(p, g);
        weir__sched_wake_for(p);
}

void weir__sched_spawn(const void *site, void (*fn)(void *), const void *args, size_t size,
                       size_t stack_size, const char *name, void (*after)(void *),
                       void *after_arg)
{
        struct g *starter = weir__sched_need_g("weir_go");

        spawn(self()->p, starter, site, fn, args, size, stack_size, name, false, after, after_arg);
}

void weir__sched_spawn_inside(void (*fn)(void *), const void *args, size_t size)
{
        spawn(self()->p, NULL, NULL, fn, args, size, 0, NULL, false, NULL, NULL);
}

/* For threads of the runtime that are none of the scheduler's. */
bool weir__sched_spawn_outside(void (*fn)(void *), const char *name)
{
        uint32_t     class = sched.stack_class;
        struct glist l = { 0 };
        struct stack s;
        struct g    *g;

        lock_take(&sched.lock);
        g = sched.dead[class];
        if (g)
                store_relaxed(&sched.dead[class], g->next);
        lock_drop(&sched.lock);
        if (!g) {
                if (weir__stack_carve(class, &s) < 0)
                        return false;
                g = fresh(&s);
        }
        while (load_acquire(&g->ctx.on_cpu))            /* its last thread is leaving it */
                weir__os_yield();
        set_up(g, fetch_add_relaxed(&next_id, IDS) + 1, NULL, NULL, fn, NULL, SPAWN_POINTER, name,
               false, NULL, NULL);
        weir__counter_shared(COUNTER_goroutines_started, 1);
        weir__glist_push(&l, g);
        weir__global_put_list(&l);
        weir__sched_wake();
        return true;
}

/* The root goroutine, before any thread has a processor. */
struct g *weir__sched_spawn_root(struct p *p, void (*fn)(void *), void *arg, size_t stack_size)
{
        uint32_t  class;
        struct g *g;

        (void)weir__stack_class(stack_size, &class);
        g = get_other(p, class);
        san_born(g);
        g->fn = fn;
        g->arg = arg;
        store_relaxed(&g->since, load_relaxed(&weir__sched_coarse));
        weir__arch_context_init(&g->ctx, (void *)ALIGN_DOWN((uintptr_t)g->stack.high, 16),
                                weir__sched_first_frame, g);
        store_relaxed(&g->id, new_id(p));
        store_relaxed(&g->state, G_RUNNABLE);
        count_in(&p->counters, goroutines_started, 1);
        weir__runq_put_spawned(p, g);
        return g;
}

void weir_go_copy(void (*entry)(void *), const void *args, size_t size, const weir_go_options *opt)
{
        if (!entry)
                weir__panic("weir_go: the function is NULL");
        if (unlikely(opt && opt->locked_thread)) {
                struct g *starter = weir__sched_need_g("weir_go");

                spawn(self()->p, starter, __builtin_return_address(0), entry, args, size,
                      opt->stack_size, opt->name, true, NULL, NULL);
                weir__count(threads_locked, 1);
                return;
        }
        weir__sched_spawn(__builtin_return_address(0), entry, args, size,
                          opt ? opt->stack_size : 0, opt ? opt->name : NULL, NULL, NULL);
}

void weir_go_fn(void (*fn)(void *arg), void *arg)
{
        if (!fn)
                weir__panic("weir_go_fn: the function is NULL");
        weir__sched_spawn(__builtin_return_address(0), fn, arg, SPAWN_POINTER, 0, NULL, NULL, NULL);
}

size_t weir_go_count(void)
{
        uint64_t finished = weir__counter_sum(COUNTER_goroutines_finished);
        uint64_t started = weir__counter_sum(COUNTER_goroutines_started);

        return started > finished ? (size_t)(started - finished) : 0;
}

void weir__sched_each(bool (*fn)(void *g, void *arg), void *arg)
{
        weir__stack_each(fn, arg);
        weir__guest_each(fn, arg);
}
