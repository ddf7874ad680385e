/* WEIR_DEBUG=growth=N: a watch on goroutines that are started and stay.
 *
 * What    Once a second the monitor counts the parked goroutines by the call that started them. A
 *         call whose count grew by N or more in each of three seconds is told, with what most of
 *         its goroutines wait for; again when there are twice as many.
 * States  Of a call in the table: before is its count a second ago, row how many seconds in a row
 *         it grew enough. A look that comes late (the process slept) begins anew.
 * Cost    A walk over all goroutines each second, some 20 to 100 ns for each, on the monitor's
 *         thread. Nothing without the switch.
 * Not     The number of all goroutines: one call that leaks hides behind others that come and
 *         go. */
#include "sched/state.h"
#include <unistd.h>

enum { CALLS = 1024, ROW = 3 };

#define EVERY INT64_C(1000000000)

struct call {
        const void *site;               /* NULL: free */
        uint32_t    count, before, begun;       /* now, a look ago, when the row began */
        uint32_t    row;
        uint32_t    told;               /* count when it was told last; 0: never */
        uint32_t    why[WHY_COUNT];
};

static struct call calls[CALLS];        /* only the monitor */

static struct call *find(const void *site)
{
        uint32_t i = (uint32_t)(((uintptr_t)site * UINT64_C(0x9E3779B97F4A7C15)) >> 54);

        for (uint32_t n = 0; n < CALLS; n++, i = (i + 1) % CALLS) {
                if (!calls[i].site)
                        calls[i].site = site;
                if (calls[i].site == site)
                        return &calls[i];
        }
        return NULL;                    /* more calls than one can look at */
}

static bool take(void *head, void *arg)
{
        struct g    *g = head;
        const void  *site = load_relaxed(&g->site);
        struct call *c;

        (void)arg;
        if (!load_relaxed(&g->id) || load_acquire(&g->state) != G_PARKED || !site)
                return true;
        c = find(site);
        if (c) {
                c->count++;
                c->why[MIN((uint32_t)load_relaxed(&g->why), (uint32_t)WHY_COUNT - 1)]++;
        }
        return true;
}

static void tell(struct call *c)
{
        struct out o = { .fd = STDERR_FILENO };
        uint32_t   most = 0;

        for (uint32_t i = 0; i < WHY_COUNT; i++)
                if (c->why[i] > c->why[most])
                        most = i;
        weir__out_print(&o, "growth: %u more parked goroutines in %d s, %u now, most in %s, "
                        "started at ", c->count - c->begun, ROW, c->count,
                        weir__dump_why(most));
        weir__dump_place(&o, c->site);
        weir__out_print(&o, "\n");
        weir__out_flush(&o);
        weir__counter_shared(COUNTER_growth_alarms, 1);
        c->told = c->count;
}

static void judge(struct call *c, bool late)
{
        bool grew = !late && (int64_t)c->count - c->before >= weir__debug.growth;

        if (grew && !c->row++)
                c->begun = c->before;
        if (!grew)
                c->row = 0;
        if (c->row >= ROW && c->count >= 2 * (uint64_t)c->told)
                tell(c);
        if (c->row >= ROW)
                c->row = 0;
        c->before = c->count;
}

void weir__growth_watch(int64_t now)
{
        static int64_t last;

        if (now - last < EVERY)
                return;
        for (uint32_t i = 0; i < CALLS; i++) {
                calls[i].count = 0;
                memset(calls[i].why, 0, sizeof calls[i].why);
        }
        weir__stack_each(take, NULL);
        for (uint32_t i = 0; i < CALLS; i++)
                if (calls[i].site)
                        judge(&calls[i], now - last > 2 * EVERY);
        last = now;
}
