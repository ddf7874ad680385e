/* Variables on the stacks of goroutines that wait, into which others store while collections run: the
 * workers of a parent leave what they made in its locals, long after it has begun to wait, and end. */
/* run: WEIR_DEBUG=gcpoison=1 */
#include "unit/gc/heap.h"
#include <string.h>

enum { PARENTS = 8, WORKERS = 6, ROUNDS = 800 };

static uint32_t over;

static noinline void make(node **at, uint64_t key)
{
        node *n = weir_new(node);

        n->key = key;
        *at = n;
}

/* Holds it for some time on a stack that is read or not, then gives it away and ends. */
weir_task(works, my, { node **out; uint64_t key; weir_wg *wg; })
{
        node *n;

        make(&n, my->key);
        for (uint64_t i = 0; i < my->key % 13; i++)
                weir_yield();
        if (my->key % 3 == 0)
                weir_sleep((weir_duration)(my->key % 7) * 50 * WEIR_MICROSECOND);
        must(n->key == my->key);
        *my->out = n;
        n = NULL;
        weir_wg_done(my->wg);
}

/* The same by a block of malloc that goes when it was used. */
struct job {
        node   **out;
        node    *n;
        weir_wg *wg;
};

weir_task(takes, my, { weir_chan *jobs; weir_wg *ended; })
{
        struct job *j;

        while (weir_recv(my->jobs, &j)) {
                for (uint64_t i = 0; i < j->n->key % 5; i++)
                        weir_yield();
                *j->out = j->n;
                weir_wg_done(j->wg);
                memset(j, 0, sizeof *j);
                free(j);
        }
        weir_wg_done(my->ended);
}

static noinline void spoil(void)
{
        volatile char waste[2048];

        memset((char *)(uintptr_t)waste, 0, sizeof waste);
}

weir_task(parents, my, { uint64_t id; weir_chan *jobs; weir_wg *ended; })
{
        for (uint64_t round = 0; round < ROUNDS; round++) {
                node   *out[2 * WORKERS] = { NULL };
                weir_wg wg = { 0 };

                weir_wg_add(&wg, 2 * WORKERS);
                for (uint64_t i = 0; i < WORKERS; i++)
                        weir_go(works, .out = &out[i], .key = my->id << 40 | round << 8 | i, .wg = &wg);
                for (uint64_t i = WORKERS; i < 2 * WORKERS; i++) {
                        struct job *j = malloc(sizeof *j);

                        *j = (struct job){ .out = &out[i], .wg = &wg };
                        make(&j->n, my->id << 40 | round << 8 | i);
                        weir_send(my->jobs, &j);
                }
                spoil();
                weir_wg_wait(&wg);
                for (uint64_t i = 0; i < 2 * WORKERS; i++)
                        ck_assert_msg(out[i]->key == (my->id << 40 | round << 8 | i),
                                      "parent %llu, round %llu, worker %llu: %llx",
                                      (unsigned long long)my->id, (unsigned long long)round,
                                      (unsigned long long)i, (unsigned long long)out[i]->key);
        }
        weir_wg_done(my->ended);
}

weir_task(collects, my, { weir_wg *wg; })
{
        while (!load_seq(&over))
                weir_gc_run();
        weir_wg_done(my->wg);
}

static void lend(void)
{
        weir_wg    wg = { 0 }, helpers = { 0 };
        weir_chan *jobs = weir_chan_make(struct job *, 16);

        if (foreign())
                test_skip("malloc is another's");
        weir_wg_add(&wg, PARENTS);
        weir_wg_add(&helpers, 4);
        for (int i = 0; i < 3; i++)
                weir_go(takes, .jobs = jobs, .ended = &helpers);
        weir_go(collects, .wg = &helpers);
        for (uint64_t i = 0; i < PARENTS; i++)
                weir_go(parents, .id = i, .jobs = jobs, .ended = &wg);
        weir_wg_wait(&wg);
        store_seq(&over, 1);
        weir_chan_close(jobs);
        weir_wg_wait(&helpers);
}

WEIR_TEST_WITH(what_others_store_into_locals_is_kept, .procs = 2, .timeout = 60)
{
        lend();
}

WEIR_TEST_WITH(the_same_on_four, .procs = 4, .timeout = 60)
{
        lend();
}
