/* RWMutexes, conds and semaphores under load: writers are alone, units are never more than there
 * are, no wait is forgotten, with and without deadlines. */
#include "stress.h"

enum { WORKERS = 24, MUTEXES = 5, ROUNDS = 400 };

struct shared {
        weir_rwmutex rw[MUTEXES];
        long         plain[MUTEXES][2];         /* lock: rw of that index */
        weir_sema    units;
        int64_t      in_use;                    /* atomic */
        weir_mutex   m;
        weir_cond    turned;
        long         tickets, served;           /* lock: m */
};

static void pause_a_little(uint64_t *rand)
{
        switch (stress_below(rand, 32)) {
        case 0:
                weir_sleep(20 * WEIR_MICROSECOND);
                break;
        case 1:
        case 2:
                weir_yield();
                break;
        default:
                break;
        }
}

static weir_time soon(uint64_t *rand)
{
        return weir_now() + stress_below(rand, 30) * WEIR_MICROSECOND;
}

static void write_it(struct shared *s, int i, uint64_t *rand)
{
        switch (stress_below(rand, 4)) {
        case 0:
                if (!weir_rwmutex_try_lock(&s->rw[i]))
                        return;
                break;
        case 1:
                if (weir_rwmutex_lock_until(&s->rw[i], soon(rand)) < 0)
                        return;
                break;
        default:
                weir_rwmutex_lock(&s->rw[i]);
                break;
        }
        must(s->plain[i][0] == s->plain[i][1]);
        s->plain[i][0]++;
        pause_a_little(rand);
        s->plain[i][1]++;
        weir_rwmutex_unlock(&s->rw[i]);
}

static void read_it(struct shared *s, int i, uint64_t *rand)
{
        long seen;

        switch (stress_below(rand, 4)) {
        case 0:
                if (!weir_rwmutex_try_rlock(&s->rw[i]))
                        return;
                break;
        case 1:
                if (weir_rwmutex_rlock_until(&s->rw[i], soon(rand)) < 0)
                        return;
                break;
        default:
                weir_rwmutex_rlock(&s->rw[i]);
                break;
        }
        seen = s->plain[i][0];
        must(seen == s->plain[i][1]);
        pause_a_little(rand);
        must(seen == s->plain[i][0]);
        weir_rwmutex_runlock(&s->rw[i]);
}

static void use_units(struct shared *s, uint64_t *rand)
{
        uint64_t n = stress_below(rand, 6);

        if (stress_below(rand, 2))
                weir_sema_acquire(&s->units, n);
        else if (weir_sema_acquire_until(&s->units, n, soon(rand)) < 0)
                return;
        must(__atomic_add_fetch(&s->in_use, (int64_t)n, __ATOMIC_SEQ_CST) <= 8);
        pause_a_little(rand);
        __atomic_sub_fetch(&s->in_use, (int64_t)n, __ATOMIC_SEQ_CST);
        weir_sema_release(&s->units, n);
}

/* Whoever draws a ticket is served in its turn, by who was before. */
static void take_turn(struct shared *s, uint64_t *rand)
{
        long mine;

        weir_mutex_lock(&s->m);
        mine = s->tickets++;
        while (s->served != mine)
                if (stress_below(rand, 2))
                        weir_cond_wait(&s->turned, &s->m);
                else
                        (void)weir_cond_wait_until(&s->turned, &s->m, soon(rand));
        s->served++;
        weir_cond_broadcast(&s->turned);
        weir_mutex_unlock(&s->m);
}

weir_task(worker, my, { struct shared *s; uint64_t rand; })
{
        for (int i = 0; i < ROUNDS; i++)
                switch (stress_below(&my->rand, 8)) {
                case 0:
                        write_it(my->s, (int)stress_below(&my->rand, MUTEXES), &my->rand);
                        break;
                case 1:
                        use_units(my->s, &my->rand);
                        break;
                case 2:
                        take_turn(my->s, &my->rand);
                        break;
                default:
                        read_it(my->s, (int)stress_below(&my->rand, MUTEXES), &my->rand);
                        break;
                }
}

static void round_of(void)
{
        struct shared s = { .units = WEIR_SEMA(8) };
        weir_wg       wg = { 0 };

        for (int i = 0; i < WORKERS; i++)
                weir_wg_go(&wg, worker, .s = &s, .rand = stress_rand(&stress_state));
        weir_wg_wait(&wg);
        for (int i = 0; i < MUTEXES; i++)
                must(s.plain[i][0] == s.plain[i][1] && weir_rwmutex_try_lock(&s.rw[i]));
        must(weir_sema_try_acquire(&s.units, 8));
        must(s.tickets == s.served);
}

WEIR_MAIN(argc, argv)
{
        stress_begin(argc, argv);
        while (stress_more())
                round_of();
        return 0;
}
