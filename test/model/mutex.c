/* The mutex (src/sync/mutex.c): one owner at a time, who sees what the last one did; nobody waits for
 * a mutex that is free. */
#include "sync/sync.h"
#include "fake.h"

#undef weir_mutex_lock
#undef weir_mutex_unlock

static weir_mutex m;
static int        count;        /* m */

static void make(void)
{
        fake_init();
}

/* Every wait is longer than a waiter's patience. */
static void make_slow(void)
{
        fake_init();
        model_os.step = 2000000;
}

static void once(void)
{
        weir_mutex_lock(&m);
        count++;
        weir_mutex_unlock(&m);
}

static void twice(void)
{
        once();
        once();
}

static void try(void)
{
        if (weir_mutex_try_lock(&m)) {
                count++;
                weir_mutex_unlock(&m);
        }
}

/* All but who owned it last. */
static bool is_free(void)
{
        return !(m.state_[0] << 16) && !m.state_[1];
}

static void counted(void)
{
        must(count == 4);
        must(is_free());
}

static void counted_or_tried(void)
{
        must(count == 2 || count == 3);
        must(is_free());
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "mutex/three", .setup = make, .finish = counted, .bound = 3,
                  .thread = { twice, once, once },
                  .mutants = {
                          { "weir_mutex_lock:cas_acquire(&m->word)", MUTATE_RELAX },
                          { "weir_mutex_lock:cas_acquire(&m->word)", MUTATE_BLIND },
                          { "weir_mutex_unlock:cas_release(&m->word)", MUTATE_RELAX },
                          { "weir_mutex_unlock:cas_release(&m->word)", MUTATE_BLIND },
                          { "unlock_slow:cas_release(&m->word)", MUTATE_RELAX },
                          { "unlock_slow:cas_release(&m->word)", MUTATE_BLIND },
                          { "lock_slow:cas_acquire(&m->word)", MUTATE_RELAX },
                          { "stand_in_line:cas_relaxed(&m->word)", MUTATE_BLIND },
                          { "unlock_slow:cas_relaxed(&m->word)", MUTATE_BLIND },
                          { "pop:fetch_and_relaxed(&m->word)", MUTATE_SKIP } } },
                { .name = "mutex/starving", .setup = make_slow, .finish = counted, .bound = 3,
                  .thread = { twice, once, once },
                  .mutants = {
                          { "accept_hand:cas_acquire(&m->word)", MUTATE_BLIND },
                          { "stand_in_line:cas_relaxed(&m->word)", MUTATE_BLIND } } },
                { .name = "mutex/try", .setup = make, .finish = counted_or_tried, .bound = 3,
                  .thread = { once, once, try },
                  .mutants = {
                          { "weir_mutex_try_lock:cas_acquire(&m->word)", MUTATE_RELAX },
                          { "weir_mutex_try_lock:cas_acquire(&m->word)", MUTATE_BLIND } } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
