/* Mutexes exclude, every once runs once and is over when anybody returns from it, wait groups wait
 * for all: mixed at random over a few objects, with yields and sleeps while a mutex is held. */
#include "stress.h"

enum { MUTEXES = 3, ONCES = 16, WORKERS = 32 };

struct shared {
        weir_mutex mutex[MUTEXES];
        uint64_t   plain[MUTEXES][2];   /* mutex: own; both always the same */
        weir_once  once[ONCES];
        uint32_t   ran[ONCES];
        uint32_t   panicked[ONCES];
};

struct init {
        struct shared *s;
        int            i;
};

static void initialise(void *arg)
{
        struct init *in = arg;

        weir_yield();
        in->s->ran[in->i]++;            /* plain: once is its lock */
        if (in->i % 4 == 3)
                weir_panic("initialiser %d gives up", in->i);
}

static void call_once(void *arg)
{
        struct init *in = arg;

        weir_once_do(&in->s->once[in->i], initialise, in);
}

static void use_mutex(struct shared *s, int i, uint64_t *rand)
{
        if (stress_below(rand, 4) == 0) {
                if (!weir_mutex_try_lock(&s->mutex[i]))
                        return;
        } else {
                weir_mutex_lock(&s->mutex[i]);
        }
        must(s->plain[i][0] == s->plain[i][1]);
        s->plain[i][0]++;
        switch (stress_below(rand, 64)) {
        case 0:
                weir_sleep(50 * WEIR_MICROSECOND);
                break;
        case 1:
        case 2:
        case 3:
                weir_yield();
                break;
        default:
                break;
        }
        s->plain[i][1]++;
        weir_mutex_unlock(&s->mutex[i]);
}

static void use_once(struct shared *s, int i)
{
        struct init in = { s, i };

        if (weir_protect(call_once, &in, NULL) < 0)
                __atomic_fetch_add(&s->panicked[i], 1, __ATOMIC_RELAXED);
        must(s->ran[i] == 1);
}

weir_task(child, my, { uint32_t *n; })
{
        __atomic_fetch_add(my->n, 1, __ATOMIC_RELAXED);
}

static void use_group(uint64_t *rand)
{
        weir_wg  wg = { 0 };
        uint32_t n = 0, k = stress_below(rand, 8);

        for (uint32_t i = 0; i < k; i++)
                weir_wg_go(&wg, child, .n = &n);
        weir_wg_wait(&wg);
        must(n == k);
}

weir_task(worker, my, { struct shared *s; uint64_t rand; int rounds; })
{
        for (int i = 0; i < my->rounds; i++)
                switch (stress_below(&my->rand, 16)) {
                case 0:
                        use_once(my->s, (int)stress_below(&my->rand, ONCES));
                        break;
                case 1:
                        use_group(&my->rand);
                        break;
                default:
                        use_mutex(my->s, (int)stress_below(&my->rand, MUTEXES), &my->rand);
                        break;
                }
}

weir_task(waiter, my, { weir_wg *wg, *all; uint32_t *running; })
{
        weir_wg_wait(my->wg);
        must(__atomic_load_n(my->running, __ATOMIC_RELAXED) == 0);
        weir_wg_done(my->all);
}

weir_task(counted, my, { weir_wg *wg; uint32_t *running; struct shared *s; uint64_t rand; })
{
        worker(&(struct worker_args){ .s = my->s, .rand = my->rand, .rounds = 200 });
        __atomic_fetch_sub(my->running, 1, __ATOMIC_RELAXED);
        weir_wg_done(my->wg);
}

static void round_of(void)
{
        struct shared s = { 0 };
        weir_wg       wg = { 0 }, waiters = { 0 };
        uint32_t      running = WORKERS;

        weir_wg_add(&wg, WORKERS);
        weir_wg_add(&waiters, 4);
        for (int i = 0; i < 4; i++)
                weir_go(waiter, .wg = &wg, .all = &waiters, .running = &running);
        for (int i = 0; i < WORKERS; i++)
                weir_go(counted, .wg = &wg, .running = &running, .s = &s,
                        .rand = stress_rand(&stress_state));
        weir_wg_wait(&wg);
        weir_wg_wait(&waiters);
        for (int i = 0; i < MUTEXES; i++)
                must(s.plain[i][0] == s.plain[i][1] && weir_mutex_try_lock(&s.mutex[i]));
        for (int i = 0; i < ONCES; i++)
                must(s.ran[i] <= 1 && s.panicked[i] == (s.ran[i] && i % 4 == 3));
}

WEIR_MAIN(argc, argv)
{
        stress_begin(argc, argv);
        while (stress_more())
                round_of();
        return 0;
}
