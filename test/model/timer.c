/* Timers (src/time/timer.c): a timer runs once or is stopped, and after a stop it is nobody's but
 * its owner's. */
#include "fake.h"
#include "time/time.h"

static struct timer *t;
static int           ran, stopped;
static uint32_t      armed;     /* atomic */

static void fire(struct timer *fired)
{
        must(fired == t);
        ran++;
}

static void make(void)
{
        fake_init();
        t = model_alloc(sizeof *t);
}

static void start_and_stop(void)
{
        weir__timer_start(t, 100, 0, fire);
        stopped = weir__timer_stop(t);
        t->when = -1;                   /* its memory is free for something else */
        must(ran == !stopped);
}

static void run(void)
{
        weir__sched_hooks.timers_run(&fake_p[0], 1000);
}

/* Stopped by another thread than the one that started it. */
static void start(void)
{
        weir__timer_start(t, 100, 0, fire);
        store_release(&armed, 1);
}

static void stop(void)
{
        while (!load_acquire(&armed))
                model_yield();
        stopped = weir__timer_stop(t);
        t->when = -1;
}

static void ran_or_stopped(void)
{
        must(ran + stopped == 1);
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "timer/own", .setup = make, .finish = ran_or_stopped, .bound = 3,
                  .thread = { start_and_stop, run, run },
                  .mutants = {
                          { "lock_take:cas_acquire(&l->word)", MUTATE_RELAX },
                          { "lock_take:cas_acquire(&l->word)", MUTATE_BLIND },
                          { "lock_drop:store_release(&l->word)", MUTATE_RELAX },
                          { "weir__timer_stop:load_acquire(&t->heap)", MUTATE_FORCE } } },
                { .name = "timer/other", .setup = make, .finish = ran_or_stopped, .bound = 3,
                  .thread = { start, stop, run },
                  .mutants = {
                          { "lock_take:cas_acquire(&l->word)", MUTATE_RELAX },
                          { "weir__timer_stop:load_acquire(&t->heap)", MUTATE_FORCE } } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
