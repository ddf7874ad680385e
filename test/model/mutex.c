/* The mutex (src/sync/mutex.c): one owner at a time, who sees what the last one did; nobody waits
 * for a mutex that is free. */
#include "sync/sync.h"
#include "base/debug.h"
#include "fake.h"

#undef weir_mutex_lock
#undef weir_mutex_unlock

static weir_mutex m;
static int        count;        /* m */


static void make(void)
{
        fake_init();
        model_split(&m);
        weir__debug.membarrier = 1;
}

/* Every wait is longer than a waiter's patience. */
static void make_slow(void)
{
        make();
        model_os.step = 2000000;
}

/* As the header does. */
static void lock(void)
{
        if (!weir_mutex_try_lock(&m))
                weir_mutex_lock(&m);
}

static void once(void)
{
        lock();
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

/* Neither locked nor waited for. (The note of the owner, the count of calm unlocks and the flags of
 * a contended mutex may be there.) */
static bool is_free(void)
{
        return !(m.state_[0] & 0x70001) && !(m.state_[0] >> 32 & 0xffff) && !m.state_[1];
}

static int late;        /* whose deadline passed; its thread's */

/* Waits until a moment that the thread `clock` brings. */
static void until(void)
{
        late = weir_mutex_lock_until(&m, model_os.step ? 5000000 : 1000000) != 0;
        if (late)
                return;
        count++;
        weir_mutex_unlock(&m);
}

static void clock(void)
{
        weir__sched_hooks.timers_run(&fake_p[0], INT64_MAX - 1);
}

static void counted_but_late(void)
{
        must(count + late == 2);
        must(is_free());
}

static void counted(void)
{
        must(count == 4);
        must(is_free());
}

static void make_slow_held(void)
{
        make_slow();
        weir_mutex_lock(&m);
}

static void unlock_it(void)
{
        weir_mutex_unlock(&m);
}

/* One that goes on beside those that wait: from the third time on by stores. */
static void unlock_and_go_on(void)
{
        weir_mutex_unlock(&m);
        for (int i = 0; i < 3; i++)
                once();
}

static void make_held(void)
{
        make();
        weir_mutex_lock(&m);
}

static void counted_five(void)
{
        must(count == 5);
        must(is_free());
}

static void counted_five_but_late(void)
{
        must(count + late == 5);
        must(is_free());
}

static void counted_twice(void)
{
        must(count == 2);
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
                          { "weir_mutex_try_lock:cas_acquire(&m->half[0])", MUTATE_RELAX },
                          { "weir_mutex_try_lock:cas_acquire(&m->half[0])", MUTATE_BLIND },
                          { "weir_mutex_lock:cas_acquire(&m->word)", MUTATE_RELAX },
                          { "weir_mutex_lock:cas_acquire(&m->word)", MUTATE_BLIND },
                          { "weir_mutex_unlock:store_release(&m->half[0])", MUTATE_RELAX },
                          { "weir_mutex_unlock:load_relaxed(&m->half[1])", MUTATE_FORCE, 0 },
                          { "unlock_slow:cas_release(&m->word)", MUTATE_RELAX },
                          { "unlock_slow:cas_release(&m->word)", MUTATE_BLIND },
                          { "lock_slow:cas_acquire(&m->word)", MUTATE_RELAX },
                          { "stand_in_line:cas_relaxed(&m->word)", MUTATE_BLIND },
                          { "take_out:fetch_and_relaxed(&m->word)", MUTATE_SKIP } } },
                /* The unlock that stores, and who waits beside it: without the fence of all threads
                 * (it is left out where SETTLED is set), without the look after it. */
                { .name = "mutex/store", .setup = make, .finish = counted_twice, .bound = 4,
                  .thread = { once, once },
                  .mutants = {
                          { "settle:load_relaxed(&m->word)", MUTATE_FORCE, 2 },
                          { "settle:cas_relaxed(&m->word)", MUTATE_BLIND },
                          { "weir_mutex_unlock:load_relaxed(&m->half[1])", MUTATE_FORCE, 0 },
                          { "wake:cas_relaxed(&m->word)", MUTATE_BLIND } } },
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
                { .name = "mutex/until", .setup = make, .finish = counted_but_late, .bound = 4,
                  .thread = { until, once, clock },
                  .mutants = {
                          { "list_take:cas_acquire(&m->list_lock)", MUTATE_BLIND },
                          { "take_out:fetch_and_relaxed(&m->word)", MUTATE_SKIP } } },
                /* Woken when its time is over, while another one waits. */
                { .name = "mutex/gives up", .setup = make_slow_held, .finish = counted_but_late,
                  .bound = 3, .thread = { until, once, unlock_it },
                  .mutants = { { "give_up:cas_seq(&m->word)", MUTATE_BLIND } } },
                /* Calm while somebody waits. Who unlocks by a store does not see it if the second
                 * look is left out, or if the one that stands in line makes no fence. */
                { .name = "mutex/calm", .setup = make_held, .finish = counted_five, .bound = 2,
                  .thread = { unlock_and_go_on, once, once },
                  .mutants = {
                          { "weir_mutex_unlock:load_relaxed(&m->half[1])", MUTATE_FORCE, 3 },
                          { "settle:load_relaxed(&m->word)", MUTATE_FORCE, 2 },
                          { "unlock_calmly:cas_release(&m->word)", MUTATE_RELAX } } },
                { .name = "mutex/calm and starving", .setup = make_slow_held, .finish = counted_five,
                  .bound = 3, .thread = { unlock_and_go_on, once, once },
                  .mutants = { { "hand_over:cas_relaxed(&m->word)", MUTATE_BLIND } } },
                { .name = "mutex/gives up calmly", .setup = make_slow_held,
                  .finish = counted_five_but_late, .bound = 2,
                  .thread = { unlock_and_go_on, until, once },
                  .mutants = {
                          { "unlock_calmly:cas_release(&m->word)", MUTATE_BLIND } } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
