/* run: WEIR_DEBUG=gccheck=1 */
/* Arrays of plain memory that are copied and replaced while collections run: who copies fills an
 * object that was born a moment ago with pointers that nothing else keeps. (Such a copy was once
 * read by nobody, if it was made between the first stop of a cycle and the moment from which the
 * kernel told of writes.) */
#include "stress.h"

enum { TABLE = 16, ELEMENTS = 15, WORKERS = 12, STEPS = 3000 };

typedef struct pair {
        uint64_t a, b;
} pair;
WEIR_TYPE_PLAIN(pair);

struct shared {
        weir_mutex lock;
        pair    ***table;
        weir_wg    wg;
};

static void look(const struct shared *s)
{
        for (int x = 0; x < TABLE; x++) {
                pair **of = __atomic_load_n(&s->table[x], __ATOMIC_ACQUIRE);

                for (int y = 0; y < ELEMENTS; y++) {
                        pair *p = __atomic_load_n(&of[y], __ATOMIC_ACQUIRE);

                        must(!p || p->a == ~p->b);
                }
        }
}

static void change(struct shared *s, uint64_t *rand)
{
        uint32_t k = stress_below(rand, ELEMENTS), j = stress_below(rand, TABLE);
        pair   **of = s->table[j], *p = weir_new(pair);

        p->a = stress_rand(rand);
        p->b = ~p->a;
        __atomic_store_n(&of[k], p, __ATOMIC_RELEASE);
        if (!stress_below(rand, 64)) {
                pair **copy = weir_new_bytes(ELEMENTS * sizeof *copy);

                memcpy(copy, of, ELEMENTS * sizeof *copy);
                __atomic_store_n(&s->table[j], copy, __ATOMIC_RELEASE);
        }
}

weir_task(worker, my, { struct shared *s; uint64_t rand; })
{
        struct shared *s = my->s;

        for (int i = 0; i < STEPS; i++) {
                if (!stress_below(&my->rand, 16)) {
                        look(s);
                        continue;
                }
                weir_mutex_lock(&s->lock);
                change(s, &my->rand);
                weir_mutex_unlock(&s->lock);
                if (!stress_below(&my->rand, 16))
                        weir_sleep(20 * WEIR_MICROSECOND);
        }
        weir_wg_done(&s->wg);
}

static void round_of(void)
{
        struct shared s = { .table = weir_new_bytes(TABLE * sizeof *s.table) };

        for (int i = 0; i < TABLE; i++)
                s.table[i] = weir_new_bytes(ELEMENTS * sizeof **s.table);
        weir_wg_add(&s.wg, WORKERS);
        for (int i = 0; i < WORKERS; i++)
                weir_go(worker, .s = &s, .rand = stress_rand(&stress_state));
        for (int i = 0; i < 3; i++)
                weir_gc_run();
        weir_wg_wait(&s.wg);
}

WEIR_MAIN(argc, argv)
{
        stress_begin(argc, argv);
        while (stress_more())
                round_of();
        return 0;
}
