/* The ring, the deque and stealing, on processors that no thread has. */
#include "check.h"
#include "sched/state.h"
#include <pthread.h>
#include <stdlib.h>

static struct p *new_p(void)
{
        struct p *p = weir__os_map(ALIGN_UP(sizeof(struct p), (size_t)OS_PAGE));

        ck_assert_ptr_nonnull(p);
        p->budget = 1;          /* no turn of the deque before the ring; see the test of that */
        return p;
}

/* Goroutines are only pointers to the queues; next alone is written. */
static struct g *new_gs(size_t n)
{
        struct g *g = calloc(n, sizeof *g);

        ck_assert_ptr_nonnull(g);
        sched.nprocs = 2;
        return g;
}

PLAIN_TEST(the_ring_is_first_in_first_out)
{
        struct p *p = new_p();
        struct g *g = new_gs(200);

        for (int i = 0; i < 200; i++)
                weir__runq_put(p, &g[i]);
        ck_assert_uint_eq(weir__runq_size(p), 200);
        for (int i = 0; i < 200; i++)
                ck_assert_ptr_eq(weir__runq_get(p), &g[i]);
        ck_assert_ptr_null(weir__runq_get(p));
        ck_assert(weir__runq_empty(p));
}

PLAIN_TEST(the_ring_goes_on_when_its_indices_wrap)
{
        struct p *p = new_p();
        struct g *g = new_gs(RUNQ_SIZE);

        p->head = p->tail = UINT32_MAX - 100;
        for (int round = 0; round < 3; round++) {
                for (int i = 0; i < RUNQ_SIZE; i++)
                        weir__runq_put(p, &g[i]);
                ck_assert_uint_eq(weir__runq_size(p), RUNQ_SIZE);
                ck_assert_uint_eq(sched.global.count, 0);
                for (int i = 0; i < RUNQ_SIZE; i++)
                        ck_assert_ptr_eq(weir__runq_get(p), &g[i]);
        }
}

PLAIN_TEST(a_thief_takes_half_across_the_wrap)
{
        struct p *p = new_p(), *thief = new_p();
        struct g *g = new_gs(RUNQ_SIZE);
        int       seen = 0;

        p->head = p->tail = UINT32_MAX - 10;
        thief->head = thief->tail = UINT32_MAX - 3;
        for (int i = 0; i < 21; i++)
                weir__runq_put(p, &g[i]);
        ck_assert_ptr_eq(weir__runq_steal(thief, p, false), &g[10]);    /* the last of the 11 */
        for (int i = 0; i < 10; i++, seen++)
                ck_assert_ptr_eq(weir__runq_get(thief), &g[i]);
        for (int i = 11; i < 21; i++, seen++)
                ck_assert_ptr_eq(weir__runq_get(p), &g[i]);
        ck_assert_int_eq(seen, 20);
        ck_assert_ptr_null(weir__runq_get(thief));
        ck_assert_ptr_null(weir__runq_steal(thief, p, true));
}

PLAIN_TEST(an_overflow_moves_half_and_the_newcomer_to_the_global_queue)
{
        struct p *p = new_p();
        struct g *g = new_gs(RUNQ_SIZE + 1);

        for (int i = 0; i <= RUNQ_SIZE; i++)
                weir__runq_put(p, &g[i]);
        ck_assert_uint_eq(weir__runq_size(p), RUNQ_SIZE / 2);
        ck_assert_uint_eq(sched.global.count, RUNQ_SIZE / 2 + 1);
        ck_assert_uint_eq(sched.nglobal, RUNQ_SIZE / 2 + 1);
        ck_assert_ptr_eq(sched.global.first, &g[0]);
        ck_assert_ptr_eq(sched.global.last, &g[RUNQ_SIZE]);
        ck_assert_ptr_eq(weir__runq_get(p), &g[RUNQ_SIZE / 2]);
        ck_assert_uint_eq(p->counters.value[COUNTER_runq_overflows], 1);
}

PLAIN_TEST(the_global_queue_gives_each_processor_its_share)
{
        struct p    *p = new_p();
        struct g    *g = new_gs(100);
        struct glist l = { 0 };

        for (int i = 0; i < 100; i++)
                weir__glist_push(&l, &g[i]);
        weir__global_put_list(&l);
        ck_assert_ptr_null(l.first);
        ck_assert_ptr_eq(weir__global_get(p, 1), &g[0]);
        ck_assert(weir__runq_empty(p));
        ck_assert_ptr_eq(weir__global_get(p, 1000), &g[1]);     /* 99 / 2 + 1 = 50 */
        ck_assert_uint_eq(weir__runq_size(p), 49);
        ck_assert_uint_eq(sched.global.count, 49);
        for (int i = 2; i < 51; i++)
                ck_assert_ptr_eq(weir__runq_get(p), &g[i]);
        while (weir__global_get(p, 64))
                while (weir__runq_get(p))
                        ;
        ck_assert_uint_eq(sched.nglobal, 0);
        ck_assert_ptr_null(sched.global.first);
        ck_assert_ptr_null(sched.global.last);
}

PLAIN_TEST(the_owner_takes_the_newest_started_and_a_thief_the_oldest)
{
        struct p *p = new_p(), *thief = new_p();
        struct g *g = new_gs(10);

        for (int i = 0; i < 10; i++)
                weir__runq_put_spawned(p, &g[i]);
        ck_assert_uint_eq(weir__runq_size(p), 10);
        ck_assert_ptr_eq(weir__runq_get(p), &g[9]);
        ck_assert_ptr_null(weir__runq_steal(thief, p, true));
        ck_assert_ptr_eq(weir__runq_steal_spawned(thief, p), &g[0]);
        ck_assert_ptr_null(weir__runq_get(thief));      /* one at a time */
        ck_assert_ptr_eq(weir__runq_steal_spawned(thief, p), &g[1]);
        ck_assert_ptr_eq(weir__runq_get(p), &g[8]);
}

PLAIN_TEST(the_deque_grows_far_beyond_32_bits)
{
        enum { MANY = 10 * SPAWNED_FIRST };
        struct p *p = new_p();
        struct g *g = new_gs(MANY);

        p->spawned.top = p->spawned.bottom = (INT64_C(1) << 32) - 7;
        for (int i = 0; i < MANY; i++)
                weir__runq_put_spawned(p, &g[i]);
        ck_assert_uint_eq(p->tail - p->head, 0);
        for (int i = MANY; i-- > 0;)
                ck_assert_ptr_eq(weir__runq_get(p), &g[i]);
        ck_assert_ptr_null(weir__runq_get(p));
        ck_assert(p->spawned.top == p->spawned.bottom);
}

PLAIN_TEST(a_deque_that_may_not_grow_more_overflows_into_the_ring)
{
        struct p *p = new_p();
        struct g *g = new_gs(SPAWNED_MAX + 5);

        for (int i = 0; i < SPAWNED_MAX + 5; i++)
                weir__runq_put_spawned(p, &g[i]);
        ck_assert_uint_eq(p->tail - p->head, 5);
        for (int i = 0; i < 5; i++)                     /* the ring first */
                ck_assert_ptr_eq(weir__runq_get(p), &g[SPAWNED_MAX + i]);
        for (int i = SPAWNED_MAX; i-- > 0;)
                ck_assert_ptr_eq(weir__runq_get(p), &g[i]);
        ck_assert_ptr_null(weir__runq_get(p));
}

PLAIN_TEST(the_one_just_readied_is_next_and_puts_the_former_in_the_ring)
{
        struct p *p = new_p(), *thief = new_p();
        struct g *g = new_gs(4);

        weir__runq_put(p, &g[0]);
        weir__runq_next(p, &g[1]);
        weir__runq_next(p, &g[2]);
        ck_assert(!weir__runq_lone(p));
        ck_assert_ptr_eq(weir__runq_get(p), &g[2]);
        ck_assert_ptr_eq(weir__runq_get(p), &g[0]);
        ck_assert_ptr_eq(weir__runq_get(p), &g[1]);
        weir__runq_next(p, &g[3]);
        ck_assert(weir__runq_lone(p) && !weir__runq_empty(p));
        ck_assert_ptr_null(weir__runq_steal(thief, p, false));
        ck_assert_ptr_eq(weir__runq_steal(thief, p, true), &g[3]);
        ck_assert(weir__runq_empty(p));
}

PLAIN_TEST(a_wide_look_takes_the_ring_then_the_aged_then_runnext)
{
        struct p *p = new_p();
        struct g *g = new_gs(5);
        int64_t   now = 3 * (int64_t)AGED_NS;

        g[1].since = g[2].since = now - AGED_NS;
        g[3].since = now - AGED_NS + 1;
        weir__runq_put(p, &g[0]);
        for (int i = 1; i < 4; i++)
                weir__runq_put_spawned(p, &g[i]);
        p->runnext = &g[4];
        ck_assert_ptr_eq(weir__runq_get_fair(p, now), &g[0]);
        ck_assert_ptr_eq(weir__runq_get_fair(p, now), &g[1]);
        ck_assert_ptr_eq(weir__runq_get_fair(p, now), &g[2]);
        ck_assert_ptr_eq(weir__runq_get_fair(p, now), &g[4]);
        ck_assert_ptr_eq(weir__runq_get_fair(p, now), &g[3]);   /* too young for the ring */
        ck_assert_ptr_null(weir__runq_get_fair(p, now));
}

PLAIN_TEST(one_in_a_while_ages)
{
        struct p *p = new_p();
        struct g *g = new_gs(20);
        int64_t   now = AGED_NS;

        p->aged_at = now;
        for (int i = 0; i < 20; i++)
                weir__runq_put_spawned(p, &g[i]);
        ck_assert_ptr_eq(weir__runq_get_fair(p, now), &g[19]);  /* as ever, the newest */
        now += AGE_EVERY_NS;
        ck_assert_ptr_eq(weir__runq_get_fair(p, now), &g[0]);
        ck_assert_ptr_eq(weir__runq_get_fair(p, now), &g[18]);
        now += 3 * (int64_t)AGE_EVERY_NS;
        ck_assert_ptr_eq(weir__runq_get_fair(p, now), &g[1]);
        ck_assert_uint_eq(RUNQ_SIZE - weir__runq_room(p), 2);
}

PLAIN_TEST(no_more_age_than_the_ring_holds)
{
        struct p *p = new_p();
        struct g *g = new_gs(RUNQ_SIZE + 9);

        for (int i = 0; i < RUNQ_SIZE - 5; i++)
                weir__runq_put(p, &g[i]);
        ck_assert_uint_eq(weir__runq_room(p), 5);
        for (int i = RUNQ_SIZE - 5; i < RUNQ_SIZE + 9; i++)
                weir__runq_put_spawned(p, &g[i]);
        for (int i = 0; i < RUNQ_SIZE + 9; i++)
                ck_assert_ptr_eq(weir__runq_get_fair(p, (i + 2) * (int64_t)AGED_NS), &g[i]);
        ck_assert_uint_eq(sched.global.count, 0);
}

PLAIN_TEST(the_global_queue_is_fetched_in_order)
{
        struct p    *p = new_p();
        struct g    *g = new_gs(9);
        struct glist l = { 0 };

        weir__runq_put(p, &g[0]);
        for (int i = 1; i < 9; i++)
                weir__glist_push(&l, &g[i]);
        weir__global_put_list(&l);
        weir__global_fetch(p, 3);
        ck_assert_uint_eq(sched.global.count, 5);
        for (int i = 0; i < 4; i++)
                ck_assert_ptr_eq(weir__runq_get(p), &g[i]);
        ck_assert_ptr_null(weir__runq_get(p));
}

/* ---- owner and thieves at once: each goroutine comes out exactly once ---- */

enum { ITEMS = 60000, THIEVES = 3 };

struct race {
        struct p *p;
        struct g *g;
        uint32_t *taken;        /* by number */
        uint32_t  left;
};

static void take(struct race *r, struct g *g)
{
        ck_assert_uint_eq(__atomic_fetch_add(&r->taken[g - r->g], 1, __ATOMIC_RELAXED), 0);
        __atomic_fetch_sub(&r->left, 1, __ATOMIC_RELAXED);
}

static void *thief(void *arg)
{
        struct race *r = arg;
        struct p    *own = new_p();
        struct g    *g;

        own->head = own->tail = UINT32_MAX - 1000;
        while (__atomic_load_n(&r->left, __ATOMIC_RELAXED)) {
                if ((g = weir__runq_steal_spawned(own, r->p)) ||
                    (g = weir__runq_steal(own, r->p, true)))
                        take(r, g);
                while ((g = weir__runq_get(own)))
                        take(r, g);
        }
        return NULL;
}

static void race(uint32_t items, uint64_t seed)
{
        struct race r = { .p = new_p(), .left = items };
        pthread_t   t[THIEVES];
        struct g   *g;
        int64_t     now = 0;

        r.g = new_gs(items);
        r.taken = calloc(items, sizeof *r.taken);
        r.p->head = r.p->tail = UINT32_MAX - 5000;
        r.p->spawned.top = r.p->spawned.bottom = INT64_C(1) << 32;
        for (int i = 0; i < THIEVES; i++)
                ck_assert_int_eq(pthread_create(&t[i], NULL, thief, &r), 0);
        for (uint32_t i = 0; i < items;) {
                bool burst = weir__rand_below(&seed, 200) == 0;         /* makes the deque grow */

                for (uint32_t n = weir__rand_below(&seed, burst ? 9000 : 20); n && i < items;
                     n--, i++)
                        switch (weir__rand_below(&seed, 3)) {
                        case 0:
                                weir__runq_put(r.p, &r.g[i]);
                                break;
                        case 1:
                                weir__runq_put_spawned(r.p, &r.g[i]);
                                break;
                        default:
                                weir__runq_next(r.p, &r.g[i]);
                                break;
                        }
                for (uint32_t n = weir__rand_below(&seed, 12); n; n--)
                        if ((g = weir__rand_below(&seed, 8) ? weir__runq_get(r.p)
                                                            : weir__runq_get_fair(r.p, now += AGED_NS)))
                                take(&r, g);
        }
        while (__atomic_load_n(&r.left, __ATOMIC_RELAXED)) {
                if ((g = weir__runq_get(r.p)) || (g = weir__global_get(r.p, 64)))
                        take(&r, g);
        }
        for (int i = 0; i < THIEVES; i++)
                pthread_join(t[i], NULL);
        for (uint32_t i = 0; i < items; i++)
                ck_assert_uint_eq(r.taken[i], 1);
}

TEST_(owner_and_thieves_take_each_exactly_once, true, { .timeout = 60 })
{
        for (uint64_t seed = 1; seed <= 3; seed++)
                race(ITEMS / WEIR_PATIENCE, seed);
}

PLAIN_TEST(started_goroutines_get_a_turn_though_the_ring_is_full)
{
        struct p *p = new_p();
        struct g *g = new_gs(20);
        int       turn = 0;

        weir__runq_put_spawned(p, &g[0]);
        for (int i = 1; i < 20; i++)
                weir__runq_put(p, &g[i]);
        for (p->budget = SLICE; weir__runq_get(p) != &g[0]; p->budget--)
                turn++;
        ck_assert_int_lt(turn, START_EVERY);
}
