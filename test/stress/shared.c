/* Pools, boxes, concurrent maps, latches, barriers and limiters under load, with collections: no
 * object has two owners, no key two values, nobody passes a barrier too early, nobody is
 * forgotten. */
#include "stress.h"

enum { WORKERS = 12, KEYS = 300, ROUNDS = 1500 };

struct thing {
        uint64_t owner;                 /* atomic */
        uint64_t state[7];
};

typedef struct pair {
        uint64_t a, b;
} pair;
WEIR_TYPE_PLAIN(pair);

struct shared {
        weir_pool    pool;
        weir_box     box;
        weir_cmap   *map, *sums;
        weir_barrier barrier;
        weir_latch   latch;
        weir_limiter limit;
        uint64_t     added;             /* atomic: to sums */
        uint64_t     turn[WORKERS];     /* atomic */
};

static uint64_t made, destroyed;        /* atomic */

static void *make_thing(void *arg)
{
        (void)arg;
        __atomic_add_fetch(&made, 1, __ATOMIC_RELAXED);
        return calloc(1, sizeof(struct thing));
}

static void reset_thing(void *obj, void *arg)
{
        (void)arg;
        memset(((struct thing *)obj)->state, 0, sizeof ((struct thing *)obj)->state);
}

static void destroy_thing(void *obj, void *arg)
{
        (void)arg;
        must(!__atomic_load_n(&((struct thing *)obj)->owner, __ATOMIC_RELAXED));
        __atomic_add_fetch(&destroyed, 1, __ATOMIC_RELAXED);
        free(obj);
}

static void use_pool(struct shared *s, uint64_t me, uint64_t *rand)
{
        struct thing *all[40];
        uint32_t      n = stress_below(rand, 40) + 1;

        for (uint32_t i = 0; i < n; i++) {
                all[i] = weir_pool_get(&s->pool);
                must(!__atomic_exchange_n(&all[i]->owner, me, __ATOMIC_RELAXED));
                for (int k = 0; k < 7; k++)
                        must(!all[i]->state[k]);
                all[i]->state[stress_below(rand, 7)] = me;
        }
        if (!stress_below(rand, 8))
                weir_yield();
        for (uint32_t i = 0; i < n; i++) {
                must(__atomic_exchange_n(&all[i]->owner, 0, __ATOMIC_RELAXED) == me);
                weir_pool_put(&s->pool, all[i]);
        }
}

static pair *new_pair(uint64_t a)
{
        pair *p = weir_new(pair);

        p->a = a;
        p->b = ~a;
        return p;
}

static void use_box(struct shared *s, uint64_t *rand)
{
        pair *p = weir_box_load(&s->box, pair), *q;

        must(p->a == ~p->b);
        switch (stress_below(rand, 3)) {
        case 0:
                weir_box_store(&s->box, pair, new_pair(stress_rand(rand)));
                break;
        case 1:
                q = weir_box_swap(&s->box, pair, new_pair(stress_rand(rand)));
                must(q->a == ~q->b);
                break;
        default:
                weir_box_cas(&s->box, pair, p, new_pair(stress_rand(rand)));
                must(p->a == ~p->b);
                break;
        }
}

static bool add(void *val, bool there, void *arg)
{
        uint64_t *v = val;

        must(there == (v[0] != 0) && v[0] == v[3]);
        v[0] += *(uint64_t *)arg;
        v[3] = v[0];
        return true;
}

static void use_map(struct shared *s, uint64_t *rand)
{
        uint64_t k = stress_below(rand, KEYS), v = ~k, n = 1 + stress_below(rand, 3), was[4];

        switch (stress_below(rand, 6)) {
        case 0:
                weir_cmap_put(s->map, &k, &v);
                break;
        case 1:
                must(!weir_cmap_take(s->map, &k, &v) || v == ~k);
                break;
        case 2:
                weir_cmap_get_or_put(s->map, &k, &v, &v);
                must(v == ~k);
                break;
        case 3:
                weir_cmap_update(s->sums, &k, add, &n);
                __atomic_add_fetch(&s->added, n, __ATOMIC_RELAXED);
                break;
        case 4:
                must(!weir_cmap_get(s->sums, &k, was) || was[0] == was[3]);
                break;
        default:
                must(!weir_cmap_get(s->map, &k, &v) || v == ~k);
                break;
        }
}

static void walk(struct shared *s)
{
        unsigned char met[KEYS] = { 0 };

        for (weir_cmap_iter it = { .map = s->map };;) {
                uint64_t k, v;

                if (!weir_cmap_next(&it, &k, &v))
                        break;
                must(k < KEYS && v == ~k && !met[k]);
                met[k] = 1;
        }
}

/* All workers go through as many turns. */
static void take_turns(struct shared *s, uint64_t me)
{
        for (uint64_t t = 1; t <= 20; t++) {
                __atomic_store_n(&s->turn[me - 1], t, __ATOMIC_RELAXED);
                weir_barrier_wait(&s->barrier);
                for (int i = 0; i < WORKERS; i++) {
                        uint64_t is = __atomic_load_n(&s->turn[i], __ATOMIC_RELAXED);

                        must(is == t || is == t + 1);
                }
        }
}

weir_task(worker, my, { struct shared *s; uint64_t me, rand; })
{
        take_turns(my->s, my->me);
        for (int i = 0; i < ROUNDS; i++)
                switch (stress_below(&my->rand, 16)) {
                case 0:
                        walk(my->s);
                        break;
                case 1:
                        (void)weir_limiter_wait_until(&my->s->limit, 1,
                                                      weir_now() + 20 * WEIR_MICROSECOND);
                        break;
                case 2:
                case 3:
                case 4:
                        use_pool(my->s, my->me, &my->rand);
                        break;
                case 5:
                case 6:
                        use_box(my->s, &my->rand);
                        break;
                default:
                        use_map(my->s, &my->rand);
                        break;
                }
        weir_latch_down(&my->s->latch, 1);
}

static void round_of(void)
{
        struct shared s = { .pool = { .make = make_thing, .reset = reset_thing,
                                      .destroy = destroy_thing, .size = sizeof(struct thing) },
                            .barrier = WEIR_BARRIER(WORKERS), .latch = WEIR_LATCH(WORKERS),
                            .limit = WEIR_LIMITER(1e6, 10) };
        uint64_t      sum = 0, v[4];

        s.map = weir_cmap_make(uint64_t, uint64_t, 0);
        s.sums = weir_cmap_new(&weir_hash_bytes, sizeof(uint64_t), sizeof v, 0, WEIR_MAP_NOSCAN);
        weir_box_store(&s.box, pair, new_pair(1));
        for (uint64_t i = 1; i <= WORKERS; i++)
                weir_go(worker, .s = &s, .me = i, .rand = stress_rand(&stress_state));
        for (int i = 0; i < 3; i++)
                weir_gc_run();
        weir_latch_wait(&s.latch);
        for (weir_cmap_iter it = { .map = s.sums };;) {
                if (!weir_cmap_next(&it, NULL, v))
                        break;
                sum += v[0];
        }
        must(sum == s.added);
        weir_pool_close(&s.pool);
}

WEIR_MAIN(argc, argv)
{
        stress_begin(argc, argv);
        while (stress_more())
                round_of();
        must(__atomic_load_n(&destroyed, __ATOMIC_RELAXED) <= made);
        return 0;
}
