/* A switch between two goroutines, against the bare switch of stacks and registers.
 *
 * bare     weir__arch_switch, to and fro between two contexts: registers, control words, stack.
 * switch   weir__sched_switch, to and fro between two goroutines that are in no queue: the above,
 *          and all that makes it a switch of goroutines: errno, states, counters, the thread's
 *          notes for dumps, the wait for one that is still on its stack elsewhere. This has the
 *          limit.
 * yield    weir_yield between two goroutines: the above, and the way of each through the queue,
 *          from which any thread may steal. A park and ready costs as much. It has the same
 *          limit, which the queue's own cost does not let it meet.
 *
 * Each pair runs the same loop on both sides, as goroutines do that wait inside one function of the
 * runtime. Rounds of one and of the other take turns, and the quickest of each count: on a machine
 * that others use too, those are the ones that had their core. */
#include "sched/state.h"
#include "soak/soak.h"
#include <limits.h>

enum { SWITCHES = 2000000, ROUNDS = 40, STACK = 64 * 1024 };

static const double switch_limit = 1.3, yield_limit = 1.3;

static struct context bare[2];
static char           stack[STACK] __attribute__((aligned(4096)));

static noinline void swing(int me, int n)
{
        for (int i = 0; i < n; i++)
                weir__arch_switch(&bare[me], &bare[!me]);
}

static void swing_on(void *arg)
{
        (void)arg;
        for (;;)
                swing(1, SWITCHES);
}

static double bare_ns(void)
{
        weir_time t = weir_now();

        swing(0, SWITCHES / 2);
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
static bool      over;           /* atomic */

static noinline void hand(int me, int n)
{
        for (int i = 0; i < n && !load_relaxed(&over); i++) {
                store_relaxed(&pair[me]->state, G_PARKED);
                store_relaxed(&pair[!me]->state, G_RUNNABLE);
                weir__sched_switch(self(), pair[me], pair[!me]);
        }
}

weir_task(partner, my, { weir_wg *wg; })
{
        pair[1] = weir__sched_g();
        weir__sched_park_begin(pair[1], WHY_SLEEP, NULL);
        weir__sched_park(pair[1]);
        hand(1, INT_MAX);               /* until it is over */
        weir_wg_done(my->wg);
}

static double switch_ns(void)
{
        weir_wg   wg = { 0 };
        weir_time t;

        store_relaxed(&over, false);
        pair[0] = weir__sched_g();
        pair[1] = NULL;
        weir_wg_add(&wg, 1);
        weir_go(partner, .wg = &wg);
        while (!pair[1] || load_relaxed(&pair[1]->state) != G_PARKED)
                weir_yield();
        t = weir_now();
        hand(0, SWITCHES / 2);
        t = weir_now() - t;
        store_relaxed(&over, true);
        weir__sched_ready(pair[1]);
        weir_wg_wait(&wg);
        return (double)t / SWITCHES;
}

WEIR_MAIN(argc, argv)
{
        double least = 1e9, yield = 1e9, own = 1e9, v;

        (void)soak_minutes(argc, argv);
        weir_procs(1);
        weir__arch_context_init(&bare[1], stack + sizeof stack, swing_on, NULL);
        for (int i = 0; i < ROUNDS; i++) {
                v = bare_ns();
                least = v < least ? v : least;
                v = switch_ns();
                own = v < own ? v : own;
                v = yield_ns();
                yield = v < yield ? v : yield;
        }
        printf("a bare switch %.2f ns, the scheduler's %.2f ns, a yield to another goroutine %.2f ns\n",
               least, own, yield);
        soak_at_most("a switch of goroutines, in bare switches", own / least, "times", switch_limit);
        soak_at_most("a yield to another goroutine, in bare switches", yield / least, "times",
                     yield_limit);
        return soak_missed;
}
