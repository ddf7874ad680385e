/* A switch between two goroutines, against the bare switch of stacks and registers: the scheduler's
 * own, and all of a yield, with its way through the queue.
 *
 * Rounds of one and of the other take turns, and the quickest of each count: on a machine that
 * others use too, those are the ones that had their core. */
#include "sched/state.h"
#include "soak/soak.h"

enum { SWITCHES = 2000000, ROUNDS = 40, STACK = 64 * 1024 };

static struct context here, there;
static char           stack[STACK] __attribute__((aligned(4096)));

static void bounce(void *arg)
{
        (void)arg;
        for (;;)
                weir__arch_switch(&there, &here);
}

static double bare_ns(void)
{
        weir_time t = weir_now();

        for (int i = 0; i < SWITCHES / 2; i++)
                weir__arch_switch(&here, &there);
        return (double)(weir_now() - t) / SWITCHES;
}

weir_task(yielder, my, { int n; weir_wg *wg; })
{
        for (int i = 0; i < my->n; i++)
                weir_yield();
        weir_wg_done(my->wg);
}

static double yield_ns(void)
{
        weir_wg   wg = { 0 };
        weir_time t;

        weir_wg_add(&wg, 2);
        t = weir_now();
        weir_go(yielder, .n = SWITCHES / 2, .wg = &wg);
        weir_go(yielder, .n = SWITCHES / 2, .wg = &wg);
        weir_wg_wait(&wg);
        return (double)(weir_now() - t) / SWITCHES;
}

/* Two goroutines that are in no queue switch to one another. */
static struct g *pair[2];
static bool      over;

static void hand(int from)
{
        store_relaxed(&pair[from]->state, G_PARKED);
        store_relaxed(&pair[!from]->state, G_RUNNABLE);
        weir__sched_switch(self(), pair[from], pair[!from]);
}

weir_task(partner, my, { weir_wg *wg; })
{
        pair[1] = weir__sched_g();
        weir__sched_park_begin(pair[1], WHY_SLEEP, NULL);
        weir__sched_park(pair[1]);
        while (!over)
                hand(1);
        weir_wg_done(my->wg);
}

static double switch_ns(void)
{
        weir_wg   wg = { 0 };
        weir_time t;

        over = false;
        pair[0] = weir__sched_g();
        pair[1] = NULL;
        weir_wg_add(&wg, 1);
        weir_go(partner, .wg = &wg);
        while (!pair[1] || load_relaxed(&pair[1]->state) != G_PARKED)
                weir_yield();
        t = weir_now();
        for (int i = 0; i < SWITCHES / 2; i++)
                hand(0);
        t = weir_now() - t;
        over = true;
        weir__sched_ready(pair[1]);
        weir_wg_wait(&wg);
        return (double)t / SWITCHES;
}

WEIR_MAIN(argc, argv)
{
        double bare = 1e9, yield = 1e9, own = 1e9, v;

        (void)soak_minutes(argc, argv);
        weir_procs(1);
        weir__arch_context_init(&there, stack + sizeof stack, bounce, NULL);
        for (int i = 0; i < ROUNDS; i++) {
                v = bare_ns();
                bare = v < bare ? v : bare;
                v = switch_ns();
                own = v < own ? v : own;
                v = yield_ns();
                yield = v < yield ? v : yield;
        }
        printf("a bare switch %.2f ns, the scheduler's %.2f ns, a yield to another goroutine %.2f ns\n",
               bare, own, yield);
        soak_at_most("a switch of goroutines, in bare switches", own / bare, "times", 1.3);
        soak_at_most("a yield to another goroutine, in bare switches", yield / bare, "times", 1.3);
        return soak_missed;
}
