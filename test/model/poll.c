/* The poller's parking place (src/net/poll.c): an event, a deadline or a close never passes a
 * waiter by, whichever of them comes at the same time; and the descriptor goes with its last
 * user. */
#include "fake.h"
#include "net/desc.h"
#include "os/os.h"

static struct desc *d;
static int          result, released;
static uint32_t     done;       /* atomic */

static void release(struct desc *of)
{
        must(of == d);
        released++;
}

static void make(void)
{
        fake_init();
        d = model_alloc(sizeof *d);
        must(weir__desc_open(d, -1, release) == 0);
}

static void wait_once(void)
{
        if (!weir__desc_enter(d)) {
                result = WEIR_ECLOSED;
                return;
        }
        result = weir__desc_wait(&d->read, WHY_READ);
        weir__desc_leave(d);
        store_release(&done, 1);
}

static void event(void)
{
        struct glist l = { 0 };

        weir__sched_hooks.poll_event(d, OS_POLL_READ, &l);
        fake_ready_list(&l);
}

static void close_it(void)
{
        must(weir__desc_close(d) == 0);
}

static void woken_by_event(void)
{
        must(result == 0 && !released);
}

static void closed_for_good(void)
{
        must(result == 0 || result == WEIR_ECLOSED);
        must(released == 1 && model_os.closed == 1);
}

static void closed_alone(void)
{
        must(result == WEIR_ECLOSED);
        closed_for_good();
}

static void set_past(void)
{
        weir__desc_deadline(&d->read, 1);
}

static void wait_with_deadline(void)
{
        weir__desc_deadline(&d->read, INT64_C(1) << 30);
        wait_once();
}

static void run_timers(void)
{
        while (!load_acquire(&done)) {
                weir__sched_hooks.timers_run(&fake_p[0], INT64_C(1) << 40);
                model_yield();
        }
}

static void timed_out_or_event(void)
{
        must(result == 0 || result == WEIR_ETIMEOUT);
        must(!released);
}

static void timed_out(void)
{
        must(result == WEIR_ETIMEOUT && !released);
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "poll/event", .setup = make, .finish = woken_by_event, .bound = 4,
                  .thread = { wait_once, event, event },
                  .mutants = {
                          { "take:cas_seq(&s->waiter)", MUTATE_BLIND },
                          { "weir__desc_wait:cas_seq(&s->waiter)", MUTATE_BLIND } } },
                { .name = "poll/close", .setup = make, .finish = closed_for_good, .bound = 3,
                  .thread = { wait_once, close_it, event },
                  .mutants = {
                          { "weir__desc_wait:cas_seq(&s->waiter)", MUTATE_RELAX },
                          { "take:cas_seq(&s->waiter)", MUTATE_BLIND },
                          { "weir__desc_leave:fetch_sub_seq(&d->refs)", MUTATE_TEAR } } },
                { .name = "poll/close-alone", .setup = make, .finish = closed_alone, .bound = 5,
                  .thread = { wait_once, close_it },
                  .mutants = {
                          { "weir__desc_wait:cas_seq(&s->waiter)", MUTATE_RELAX },
                          { "weir__desc_close:cas_seq(&d->refs)", MUTATE_RELAX },
                          { "weir__desc_usable:load_seq(&s->desc->refs)", MUTATE_FORCE } } },
                { .name = "poll/past", .setup = make, .finish = timed_out, .bound = 5,
                  .thread = { wait_once, set_past },
                  .mutants = {
                          { "weir__desc_wait:cas_seq(&s->waiter)", MUTATE_RELAX },
                          { "weir__desc_deadline:store_seq(&s->expired)", MUTATE_RELAX },
                          { "weir__desc_usable:load_seq(&s->expired)", MUTATE_FORCE } } },
                { .name = "poll/deadline", .setup = make, .finish = timed_out_or_event, .bound = 3,
                  .thread = { wait_with_deadline, run_timers, event },
                  .mutants = {
                          { "take:cas_seq(&s->waiter)", MUTATE_BLIND } } },
                { .name = "poll/deadline-alone", .setup = make, .finish = timed_out, .bound = 4,
                  .thread = { wait_with_deadline, run_timers },
                  .mutants = {
                          { "on_deadline:store_seq(&s->expired)", MUTATE_SKIP },
                          { "weir__desc_wait:cas_seq(&s->waiter)", MUTATE_TEAR } } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
