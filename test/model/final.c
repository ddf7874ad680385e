/* Finalizers (src/gc/final.c, special.c) and the stop between them and the program (src/sched/world.c):
 * what was done with an object before nothing pointed to it any more is there when its finalizer
 * begins. One thread uses the object and lets go of it, one is the collector, one the goroutine that
 * it starts for the calls; marking is a look at the one pointer that there is. */
#include "fake.h"
#include "gc/gc.h"
#include "gc/special.h"
#include "mem/mem.h"
#include "sched/world.h"

struct thing {
        int n;
};

static struct thing  thing, *held;      /* held: the program's last pointer */
static void        (*calls)(void *);    /* atomic: what the collector's goroutine runs */
static uint32_t      over;              /* atomic */
static int           finalized, seen_marked;

/* ---- the collector, as far as it is not the shipped one ---- */

bool weir__mark_is(const void *p)
{
        return p == held;
}

void weir__mark_pointer(struct marker *m, const void *p)
{
        (void)m, (void)p;
}

void weir__mark_inside(struct marker *m, const void *p)
{
        (void)m, (void)p;
}

void weir__weak_clear(void *handle)
{
        (void)handle;
}

bool weir__mem_find(const void *p, struct mem_object *ret)
{
        *ret = (struct mem_object){ .base = (void *)(uintptr_t)p, .size = sizeof thing,
                                    .kind = MEM_TYPED };
        return true;
}

/* Without any order: the lock of the records has to do. */
bool weir__sched_spawn_outside(void (*fn)(void *), const char *name)
{
        (void)name;
        store_relaxed(&calls, fn);
        return true;
}

/* ---- threads: those of the scenario are all there are, and stand where they ask ---- */

int weir__os_threads(void (*fn)(int tid, void *arg), void *arg)
{
        (void)fn, (void)arg;
        return 0;
}

int weir__os_threads_open(void)
{
        return 0;
}

struct m *weir__bound_get(bool with_processor)
{
        (void)with_processor;
        return NULL;
}

#define NEVER(ret, name, params, value) \
        ret name params { model_fail(#name " was called"); return value; }

NEVER(int, weir__os_thread_signal, (int tid __attribute__((unused)),
                                    int sig __attribute__((unused))), 0)
NEVER(int64_t, weir__os_thread_cpu, (int tid __attribute__((unused))), 0)
NEVER(bool, weir__os_thread_is_quiet, (int tid __attribute__((unused))), false)
NEVER(bool, weir__mem_holds_all, (void), false)
NEVER(bool, weir__mem_interrupted, (const void *pc __attribute__((unused))), false)
NEVER(enum os_text, weir__os_text_of, (const void *pc __attribute__((unused))), OS_TEXT_OTHER)
NEVER(uintptr_t, weir__os_stack_end, (uintptr_t sp __attribute__((unused)),
                                      int tid __attribute__((unused)),
                                      uintptr_t tcb __attribute__((unused))), 0)
NEVER(bool, weir__stack_find, (const void *p __attribute__((unused)),
                               struct stack *ret __attribute__((unused)),
                               bool *ret_in_guard __attribute__((unused))), false)
NEVER(bool, weir__arch_walk_next, (struct walk *w __attribute__((unused))), false)

void weir__os_thread_state(int tid, int sig, struct os_thread_state *ret)
{
        (void)tid, (void)sig, (void)ret;
}

void weir__os_signal_frame(const void *ucontext, struct os_frame *ret)
{
        (void)ucontext, (void)ret;
}

void weir__os_tls(uintptr_t tcb, void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg)
{
        (void)tcb, (void)fn, (void)arg;
}

void weir__stack_each(bool (*fn)(void *head, void *arg), void *arg)
{
        (void)fn, (void)arg;
}

void weir__m_hand(struct m *m, struct p *p)
{
        (void)m, (void)p;
}

void weir__sched_wake(void)
{
}

/* ---- the scenario ---- */

static void finalize(void *obj)
{
        struct thing *t = obj;

        must(t->n == 1);
        finalized++;
}

static void make(void)
{
        fake_init();
        fake_p[0].m = self();           /* the first thread's */
        fake_p[0].state = P_RUNNING;
        held = &thing;
        weir_gc_finalize(&thing, finalize);
}

static void use_and_let_go(void)
{
        held->n = 1;
        held = NULL;
        while (!load_relaxed(&over)) {
                weir__world_poll();
                model_yield();
        }
        /* It stood, and went on after the collector. */
        must(seen_marked == 1);
}

static void collect(void)
{
        size_t queued;

        weir__world_stop();
        weir__special_look();
        weir__final_mark(NULL);
        queued = weir__final_queue(NULL);
        seen_marked = 1;
        weir__world_start();
        must(queued == 1);
        weir__final_run(queued);
        store_relaxed(&over, 1);
}

static void run_calls(void)
{
        void (*fn)(void *);

        while (!(fn = load_relaxed(&calls)))
                model_yield();
        fn(NULL);
        must(finalized == 1);
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "final/finalizer", .setup = make, .bound = 2,
                  .thread = { use_and_let_go, collect, run_calls },
                  .mutants = {
                          { "stand:store_seq(&m->halted)", MUTATE_RELAX },
                          { "processors_stand:load_seq(&m->halted)", MUTATE_RELAX },
                          { "processors_stand:load_seq(&m->halted)", MUTATE_FORCE, 1 },
                          { "weir__world_start:fetch_add_seq(&sched.world)", MUTATE_RELAX },
                          { "lock_take:cas_acquire(&l->word)", MUTATE_RELAX },
                          { "lock_drop:store_release(&l->word)", MUTATE_RELAX } } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
