/* The queues of runnable goroutines (src/sched/runq.c): an owner and thieves. Every goroutine that
 * is put comes out exactly once, and who takes it sees what was written before it was put. */
#include "explore.h"
#include "os.h"
#include "sched/state.h"

enum { GS = 8 };

static struct p *p[3];
static struct g *g[GS];
static int       taken[GS];             /* plain: each belongs to whoever took the goroutine */

static void make(void)
{
        for (int i = 0; i < 3; i++) {
                p[i] = model_alloc(sizeof *p[i]);
                p[i]->budget = 1;
                p[i]->timer_when = INT64_MAX;
        }
        for (int i = 0; i < GS; i++)
                g[i] = model_alloc(sizeof *g[i]);
        sched.procs = p;
        sched.nprocs = sched.nall = 3;
}

static void take(struct g *got)
{
        int i = 0;

        while (i < GS && g[i] != got)
                i++;
        must(i < GS);
        must(got->saved_errno == 42);
        taken[i]++;
        must(taken[i] == 1);
}

static struct g *fresh(int i)
{
        g[i]->saved_errno = 42;
        return g[i];
}

static void put(int i)
{
        weir__runq_put(p[0], fresh(i));
}

static void put_spawned(int i)
{
        weir__runq_put_spawned(p[0], fresh(i));
}

static void get(void)
{
        struct g *got = weir__runq_get(p[0]);

        if (got)
                take(got);
}

static void steal_to(struct p *to, bool next_too)
{
        struct g *got = weir__runq_steal_spawned(to, p[0]);

        if (!got)
                got = weir__runq_steal(to, p[0], next_too);
        if (got)
                take(got);
        while ((got = weir__runq_get(to)))
                take(got);
}

static void thief_1(void)
{
        steal_to(p[1], false);
}

static void thief_2(void)
{
        steal_to(p[2], false);
}

static void next_thief_1(void)
{
        steal_to(p[1], true);
}

static void next_thief_2(void)
{
        steal_to(p[2], true);
}

static void all_taken_once(void)
{
        struct g *got;

        for (int i = 0; i < 3; i++)
                while ((got = weir__runq_get(p[i])))
                        take(got);
        while ((got = weir__global_get(p[0], 1)))
                take(got);
        for (int i = 0; i < GS; i++)
                must(taken[i] == (g[i]->saved_errno == 42));
}

/* ---- the ring, twice around ---- */

static void ring_owner(void)
{
        put(0);
        put(1);
        put(2);
        get();
        put(3);
        put(4);
        get();
}

/* ---- the deque ---- */

static void deque_setup(void)
{
        make();
        put_spawned(0);
        put_spawned(1);
}

static void deque_owner(void)
{
        get();
        put_spawned(2);
        get();
        get();
}

/* ---- the deque grows under the thieves ---- */

static void grow_setup(void)
{
        make();
        for (int i = 0; i < SPAWNED_FIRST; i++)
                put_spawned(i);
}

static void grow_owner(void)
{
        put_spawned(SPAWNED_FIRST);
        get();
        put_spawned(SPAWNED_FIRST + 1);
}

/* ---- a full ring ---- */

static void full_setup(void)
{
        make();
        for (int i = 0; i < RUNQ_SIZE; i++)
                put(i);
}

static void full_owner(void)
{
        put(RUNQ_SIZE);
        get();
        put(RUNQ_SIZE + 1);
}

/* ---- runnext ---- */

static void next_setup(void)
{
        make();
        weir__runq_next(p[0], fresh(0));
}

static void next_owner(void)
{
        weir__runq_next(p[0], fresh(1));
        get();
        get();
}

/* ---- another thread empties it ---- */

static void drain_setup(void)
{
        next_setup();
        put(1);
        put_spawned(2);
}

static void drain_owner(void)
{
        get();
        put(3);
        get();
}

static void drainer(void)
{
        struct glist l = { 0 };
        struct g    *next;

        weir__runq_drain(p[0], &l);
        for (struct g *got = l.first; got; got = next) {
                next = got->next;
                take(got);
        }
}

/* ---- the fair look, which moves from the deque and runnext to the ring ---- */

static void fair_setup(void)
{
        next_setup();
        put_spawned(1);
        put(2);
}

static void fair_owner(void)
{
        struct g *got = weir__runq_get_fair(p[0], INT64_C(1) << 40);

        if (got)
                take(got);
        get();
}

/* ---- the global queue ---- */

static void put_global(int i)
{
        struct glist l = { 0 };

        weir__glist_push(&l, fresh(i));
        weir__glist_push(&l, fresh(i + 1));
        weir__global_put_list(&l);
}

static void global_1(void)
{
        struct g *got;

        put_global(0);
        if ((got = weir__global_get(p[0], 1)))
                take(got);
}

static void global_2(void)
{
        struct g *got;

        put_global(2);
        if ((got = weir__global_get(p[1], 4)))
                take(got);
}

static void global_3(void)
{
        struct g *got;

        if ((got = weir__global_get(p[2], 2)))
                take(got);
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "runq/ring", .setup = make, .finish = all_taken_once, .bound = 3,
                  .thread = { ring_owner, thief_1, thief_2 },
                  .mutants = {
                          { "weir__runq_put:store_release(&p->tail)", MUTATE_RELAX },
                          { "grab:load_acquire(&from->tail)", MUTATE_RELAX },
                          { "ring_get:cas_seq(&p->head)", MUTATE_BLIND },
                          { "grab:cas_seq(&from->head)", MUTATE_BLIND } } },
                { .name = "runq/deque", .setup = deque_setup, .finish = all_taken_once, .bound = 3,
                  .thread = { deque_owner, thief_1, thief_2 },
                  .mutants = {
                          { "weir__runq_put_spawned:store_release(&p->spawned.bottom)",
                            MUTATE_RELAX },
                          { "pop_spawned:exchange_seq(&p->spawned.bottom)", MUTATE_RELAX },
                          { "pop_spawned:cas_seq(&p->spawned.top)", MUTATE_BLIND },
                          { "steal_spawned:cas_seq(&p->spawned.top)", MUTATE_BLIND },
                          { "peek_spawned:load_seq(&p->spawned.bottom)", MUTATE_RELAX } } },
                { .name = "runq/grow", .setup = grow_setup, .finish = all_taken_once, .bound = 3,
                  .thread = { grow_owner, thief_1, thief_2 },
                  .mutants = {
                          { "grow_spawned:store_release(&p->spawned.slots)", MUTATE_RELAX },
                          { "steal_spawned:cas_seq(&p->spawned.top)", MUTATE_BLIND } } },
                { .name = "runq/full", .setup = full_setup, .finish = all_taken_once, .bound = 3,
                  .thread = { full_owner, thief_1, thief_2 },
                  .mutants = { { "overflow:cas_seq(&p->head)", MUTATE_BLIND } } },
                { .name = "runq/next", .setup = next_setup, .finish = all_taken_once, .bound = 3,
                  .thread = { next_owner, next_thief_1, next_thief_2 },
                  .mutants = {
                          { "weir__runq_next:exchange_seq(&p->runnext)", MUTATE_RELAX },
                          { "weir__runq_get:exchange_seq(&p->runnext)", MUTATE_TEAR },
                          { "weir__runq_steal:cas_seq(&from->runnext)", MUTATE_BLIND } } },
                { .name = "runq/drain", .setup = drain_setup, .finish = all_taken_once, .bound = 3,
                  .thread = { drain_owner, drainer, next_thief_1 },
                  .mutants = {
                          { "weir__runq_drain:exchange_seq(&p->runnext)", MUTATE_TEAR },
                          { "steal_spawned:cas_seq(&p->spawned.top)", MUTATE_BLIND } } },
                { .name = "runq/fair", .setup = fair_setup, .finish = all_taken_once, .bound = 3,
                  .thread = { fair_owner, thief_1, next_thief_2 },
                  .mutants = {
                          { "weir__runq_get_fair:exchange_seq(&p->runnext)", MUTATE_TEAR },
                          { "steal_spawned:cas_seq(&p->spawned.top)", MUTATE_BLIND } } },
                { .name = "runq/global", .setup = make, .finish = all_taken_once, .bound = 3,
                  .thread = { global_1, global_2, global_3 },
                  .mutants = {
                          { "lock_take:cas_acquire(&l->word)", MUTATE_RELAX },
                          { "lock_take:cas_acquire(&l->word)", MUTATE_BLIND },
                          { "lock_drop:store_release(&l->word)", MUTATE_RELAX } } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
