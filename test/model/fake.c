/* The scheduler of fake.h. */
#include "fake.h"

struct g fake_g[MODEL_THREADS];
struct p fake_p[MODEL_THREADS];

static struct m fake_m[MODEL_THREADS];
static struct p *procs[MODEL_THREADS];

int64_t            weir__sched_coarse;
struct scheduler   weir__sched;
struct sched_hooks weir__sched_hooks;

void fake_init(void)
{
        for (int i = 0; i < MODEL_THREADS; i++) {
                fake_m[i].g = &fake_g[i];
                fake_m[i].p = procs[i] = &fake_p[i];
                fake_g[i].state = G_RUNNING;
                fake_g[i].id = (uint64_t)i + 1;
                fake_p[i].rand = 88172645463325252u;
                fake_p[i].timer_when = INT64_MAX;
                if (weir__sched_hooks.timers_init)
                        weir__sched_hooks.timers_init(&fake_p[i]);
                model_set_self_of(i, &fake_m[i]);
        }
        sched.procs = procs;
        sched.nprocs = sched.nall = MODEL_THREADS;
        model_set_self(&fake_m[0]);
}

void weir__sched_park_begin(struct g *g, enum why why, const void *on)
{
        must(load_relaxed(&g->state) == G_RUNNING);
        store_relaxed(&g->why, (uint32_t)why);
        store_relaxed(&g->wait_on, on);
        store_release(&g->state, G_PARKED);
}

void weir__sched_park_cancel(struct g *g)
{
        store_relaxed(&g->state, G_RUNNING);
}

static bool readied(void *arg)
{
        return *(volatile uint32_t *)&((struct g *)arg)->state != G_PARKED;
}

void weir__sched_park(struct g *g)
{
        uint32_t runnable = G_RUNNABLE;

        model_wait(readied, g);
        must(cas_acquire(&g->state, &runnable, G_RUNNING));     /* pairs with ready's release */
}

void weir__sched_ready(struct g *g)
{
        must(load_acquire(&g->state) == G_PARKED);
        store_release(&g->state, G_RUNNABLE);
}

void fake_ready_list(struct glist *l)
{
        struct g *next;

        for (struct g *g = l->first; g; g = next) {
                next = g->next;
                weir__sched_ready(g);
        }
        *l = (struct glist){ 0 };
}

void weir_yield(void);
void weir_yield(void)
{
        model_yield();
}

void weir__sched_spawn_inside(void (*fn)(void *), const void *args, size_t size)
{
        (void)fn, (void)args, (void)size;
        model_fail("a goroutine was started");
}

bool weir__sched_may_spin(void)
{
        return false;
}

_Noreturn void weir__sched_no_g(const char *call)
{
        model_fail("%s: not on a goroutine", call);
}

void weir__sched_timer_earlier(int64_t when)
{
        (void)when;
}

void *weir__gc_new_line(int kind, size_t size);
void *weir__gc_new_line(int kind, size_t size)
{
        (void)kind;
        return model_alloc(size);
}
