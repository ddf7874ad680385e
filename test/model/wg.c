/* The wait group (src/sync/wg.c): who waited sees all that was done, nobody waits for ever, and
 * nobody is woken twice. */
#include "sync/sync.h"
#include "fake.h"

static weir_wg wg;
static int     made[MODEL_THREADS];     /* each its thread's, until it is done */
static int     back[MODEL_THREADS];     /* each its thread's */

static void make_1(void)
{
        fake_init();
        weir_wg_add(&wg, 1);
}

static void make_2(void)
{
        fake_init();
        weir_wg_add(&wg, 2);
}

static void work(void)
{
        made[model_self()] = 1;
        weir_wg_done(&wg);
}

static void wait_for_both(void)
{
        weir_wg_wait(&wg);
        must(made[0] && made[1]);
        back[model_self()] = 1;
}

static void wait_for_one(void)
{
        weir_wg_wait(&wg);
        must(made[0]);
        back[model_self()] = 1;
}

/* Raises it, perhaps again when it has been 0 and the waiter is about to be woken. */
static void raise_it(void)
{
        weir_wg_add(&wg, 1);
        weir_wg_done(&wg);
}

static void empty(void)
{
        must(!wg.state_[0] && !wg.state_[1]);
        must(back[2]);
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "wg/workers", .setup = make_2, .finish = empty, .bound = 4,
                  .thread = { work, work, wait_for_both },
                  .mutants = {
                          { "weir_wg_add:fetch_add_seq(&wg->word)", MUTATE_RELAX },
                          { "weir_wg_add:fetch_add_seq(&wg->word)", MUTATE_TEAR },
                          { "weir_wg_wait:load_acquire(&wg->word)", MUTATE_RELAX },
                          { "weir_wg_wait:cas_seq(&wg->word)", MUTATE_BLIND },
                          { "push:cas_release(&wg->list)", MUTATE_RELAX } } },
                { .name = "wg/waiters", .setup = make_1, .finish = empty, .bound = 4,
                  .thread = { work, wait_for_one, wait_for_one },
                  .mutants = {
                          { "weir_wg_wait:cas_seq(&wg->word)", MUTATE_BLIND },
                          { "push:cas_release(&wg->list)", MUTATE_BLIND },
                          { "collect:exchange_acquire(&wg->list)", MUTATE_RELAX } } },
                { .name = "wg/raised", .setup = make_1, .finish = empty, .bound = 4,
                  .thread = { work, raise_it, wait_for_one },
                  .mutants = { { "wake_all:cas_seq(&wg->word)", MUTATE_BLIND } } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
