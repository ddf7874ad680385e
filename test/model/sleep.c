/* The whole scheduler: its loop, threads that go to sleep, goroutines that park and are readied
 * (src/sched/find.c, thread.c, park.c, runq.c, src/time/timer.c), on two threads with a processor
 * each and a third thread from outside. What is readied runs, whoever was on his way to bed; and
 * nobody enters a stack that another thread has not left. */
#include "explore.h"
#include "os.h"
#include "sched/state.h"
#include "time/time.h"
#include <weir/time.h>

enum { MS = 2 };

static struct m  m[MS];
static struct p *p[MS];
static struct g  g[2];
static int       an_errno[MS];
static uint32_t  parked;        /* atomic: what to ready */
static int       ran;           /* of the goroutine that runs, one after the other */
static int       wanted;        /* how many are to run */

static void finish_run(void)
{
        if (++ran == wanted)
                store_seq(&sched.stopping, 1);
}

static _Noreturn void end(struct g *me)
{
        weir__sched_park_begin(me, WHY_NONE, NULL);
        weir__sched_park(me);
        model_fail("a goroutine woke that nobody has readied");
}

static void start(struct g *new, void (*fn)(void *), uint32_t state)
{
        static uint64_t id;

        new->id = ++id;
        new->state = state;
        weir__arch_context_init(&new->ctx, NULL, fn, new);
}

static void make(void)
{
        wanted = 1;
        for (int i = 0; i < MS; i++) {
                p[i] = model_alloc(sizeof *p[i]);
                p[i]->state = P_RUNNING;
                p[i]->budget = SLICE;
                p[i]->rand = 88172645463325252u + (unsigned)i;
                p[i]->timer_when = INT64_MAX;
                weir__sched_hooks.timers_init(p[i]);
                m[i].p = p[i];
                m[i].g = &m[i].g0;
                m[i].g0.ctx.on_cpu = 1;
                m[i].g0.state = G_RUNNING;
                m[i].err = &an_errno[i];
                model_set_self_of(i, &m[i]);
        }
        model_set_self(NULL);
        sched.procs = p;
        sched.nprocs = sched.nall = sched.nthreads = MS;
        sched.wake_credit = 1;
}

static void work(void)
{
        weir__sched_loop(&m[model_self()]);
}

/* ---- readied from outside ---- */

static void run_and_end(void *me)
{
        finish_run();
        end(me);
}

static void make_parked(void)
{
        make();
        start(&g[0], run_and_end, G_PARKED);
}

static void ready_it(void)
{
        weir__sched_ready(&g[0]);
}

static void it_ran(void)
{
        must(ran == wanted);
}

/* ---- the same for threads that take no goroutine that was just started ---- */

static void make_shy(void)
{
        make_parked();
        for (int i = 0; i < MS; i++) {
                m[i].shy = true;
                m[i].shy_until = INT64_MAX;
        }
}

/* ---- two from outside, and one thread for two processors: it must not go to sleep over either ---- */

static void make_two_for_one(void)
{
        make();
        wanted = 2;
        start(&g[0], run_and_end, G_PARKED);
        start(&g[1], run_and_end, G_PARKED);
        sched.nthreads = 1;
        sched.start_again = INT64_MAX;
        weir__p_idle_put(p[1]);
        model_set_self_of(1, NULL);
}

static void ready_second(void)
{
        weir__sched_ready(&g[1]);
}

/* ---- parks while another one readies it ---- */

static void park_once(void *me)
{
        weir__sched_park_begin(me, WHY_NONE, NULL);
        store_release(&parked, 1);
        weir__sched_park(me);
        finish_run();
        end(me);
}

static void make_parking(void)
{
        make();
        start(&g[0], park_once, G_RUNNABLE);
        weir__runq_put(p[0], &g[0]);
}

static void ready_when_parked(void)
{
        while (!load_acquire(&parked))
                weir__spin_pause();
        weir__sched_ready(&g[0]);
}

/* ---- the same, by a goroutine on the other processor ---- */

static void ready_first(void *me)
{
        while (!load_acquire(&parked))
                weir__spin_pause();
        weir__sched_ready(&g[0]);
        end(me);
}

static void make_pair(void)
{
        make_parking();
        start(&g[1], ready_first, G_RUNNABLE);
        weir__runq_put(p[1], &g[1]);
}

/* ---- a sleep ---- */

static void sleep_once(void *me)
{
        weir_sleep(1000);
        finish_run();
        end(me);
}

static void make_sleeping(void)
{
        make();
        start(&g[0], sleep_once, G_RUNNABLE);
        weir__runq_put(p[0], &g[0]);
}

/* ---- a sleep, and one from outside in the meantime ---- */

static void make_sleeping_and_parked(void)
{
        make_sleeping();
        wanted = 2;
        start(&g[1], run_and_end, G_PARKED);
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "sleep/outside", .setup = make_parked, .stuck = it_ran, .finish = it_ran,
                  .bound = 2, .thread = { work, work, ready_it },
                  .mutants = {
                          { "weir__sched_wake:load_seq(&sched.nidle)", MUTATE_FORCE, 0 },
                          { "weir__m_sleep:load_acquire(&m->wake)", MUTATE_RELAX },
                          { "weir__m_hand:store_release(&m->wake)", MUTATE_RELAX } } },
                { .name = "sleep/shy", .setup = make_shy, .stuck = it_ran, .finish = it_ran,
                  .bound = 2, .thread = { work, work, ready_it },
                  .mutants = {
                          { "weir__sched_wake:load_seq(&sched.nidle)", MUTATE_FORCE, 0 } } },
                { .name = "sleep/one", .setup = make_two_for_one, .stuck = it_ran,
                  .finish = it_ran, .bound = 3, .thread = { work, ready_it, ready_second },
                  .mutants = {
                          { "work_somewhere:load_seq(&sched.nglobal)", MUTATE_FORCE, 0 },
                          { "weir__global_put_list:store_seq(&sched.nglobal)", MUTATE_RELAX },
                          { "weir__sched_wake:load_seq(&sched.nglobal)", MUTATE_FORCE, 0 },
                          { "weir__sched_wake:load_seq(&sched.poller)", MUTATE_FORCE, 0 } } },
                { .name = "sleep/park", .setup = make_parking, .stuck = it_ran, .finish = it_ran,
                  .bound = 2, .thread = { work, work, ready_when_parked },
                  .mutants = {
                          { "weir__arch_switch:store_release(on_cpu)", MUTATE_RELAX },
                          { "weir__sched_switch:load_acquire(&to->ctx.on_cpu)", MUTATE_RELAX },
                          { "weir__sched_switch:load_acquire(&to->ctx.on_cpu)", MUTATE_FORCE, 0 } } },
                { .name = "sleep/pair", .setup = make_pair, .stuck = it_ran, .finish = it_ran,
                  .bound = 2, .thread = { work, work },
                  .mutants = {
                          { "weir__sched_switch:load_acquire(&to->ctx.on_cpu)", MUTATE_FORCE, 0 } } },
                { .name = "sleep/timer", .setup = make_sleeping, .stuck = it_ran, .finish = it_ran,
                  .bound = 2, .thread = { work, work },
                  .mutants = {
                          { "weir__sched_timer_earlier:load_seq(&sched.poller)", MUTATE_FORCE,
                            0 },
                          { "wait_in_poller:store_seq(&sched.poll_until)", MUTATE_RELAX } } },
                { .name = "sleep/timer-and-outside", .setup = make_sleeping_and_parked,
                  .stuck = it_ran, .finish = it_ran, .bound = 2,
                  .thread = { work, work, ready_second },
                  .mutants = {
                          { "weir__sched_timer_earlier:load_seq(&sched.poller)", MUTATE_FORCE,
                            0 } } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
