/* Select (src/chan/select.c): one winner, whatever comes at the same time. */
#include "chan/chan.h"
#include "fake.h"
#include "time/time.h"

static weir_chan *a, *b;
static int        got_a, got_b, timed_out, sent;
static uint32_t   done;         /* atomic */

static void make(void)
{
        fake_init();
        a = weir_chan_new(sizeof(int), 0);
        b = weir_chan_new(sizeof(int), 0);
}

static void receive_either(void)
{
        int       x = 0, y = 0;
        weir_case k[] = {
                { .op = WEIR_OP_RECV, .chan = a, .elem = &x, .size = sizeof x },
                { .op = WEIR_OP_RECV, .chan = b, .elem = &y, .size = sizeof y },
        };

        if (weir_select_n(k, 2) == 0) {
                must(x == 1 && y == 0);
                got_a++;
                must(weir_chan_recv(b, &y, sizeof y) && y == 2);
                got_b++;
        } else {
                must(y == 2 && x == 0);
                got_b++;
                must(weir_chan_recv(a, &x, sizeof x) && x == 1);
                got_a++;
        }
}

static void send_a(void)
{
        weir_chan_send(a, &(int){ 1 }, sizeof(int));
}

static void send_b(void)
{
        weir_chan_send(b, &(int){ 2 }, sizeof(int));
}

static void both_once(void)
{
        must(got_a == 1 && got_b == 1);
        must(!a->receivers.first && !b->receivers.first && !a->senders.first && !b->senders.first);
}

/* Two selects that can serve each other in two ways, and a sender that can serve one. */
static int served;

static void left(void)
{
        int       y = 0;
        weir_case k[] = {
                { .op = WEIR_OP_SEND, .chan = a, .elem = &(int){ 1 }, .size = sizeof(int) },
                { .op = WEIR_OP_RECV, .chan = b, .elem = &y, .size = sizeof y },
        };

        must(weir_select_n(k, 2) != 1 || y == 2);
}

static void right(void)
{
        int       x = 0;
        weir_case k[] = {
                { .op = WEIR_OP_SEND, .chan = b, .elem = &(int){ 2 }, .size = sizeof(int) },
                { .op = WEIR_OP_RECV, .chan = a, .elem = &x, .size = sizeof x },
        };

        must(weir_select_n(k, 2) != 1 || x == 1);
}

static void try_a(void)
{
        served = weir_chan_try_send(a, &(int){ 1 }, sizeof(int));
}

/* The one who was not served by the third waits on; that is right when the third served one. */
static void one_left(void)
{
        must(served);
        served = 2;
}

static void all_or_one_left(void)
{
        must(served != 1);
        if (!served)
                both_once();
}

static void setup_mutual(void)
{
        make();
        got_a = got_b = 1;
}

/* ---- a timeout, a sender ---- */

static void receive_or_time_out(void)
{
        int       x = 0;
        weir_case k[] = {
                { .op = WEIR_OP_RECV, .chan = a, .elem = &x, .size = sizeof x },
                { .op = WEIR_OP_TIMEOUT, .timeout = 1000 },
        };

        if (weir_select_n(k, 2) == 0) {
                must(x == 1);
                got_a++;
        } else {
                must(x == 0);
                timed_out++;
        }
        store_release(&done, 1);
}

static void try_send_a(void)
{
        sent = weir_chan_try_send(a, &(int){ 1 }, sizeof(int));
}

static void run_timers(void)
{
        while (!load_acquire(&done)) {
                weir__sched_hooks.timers_run(&fake_p[0], INT64_C(1) << 40);
                model_yield();
        }
}

static void one_of_two(void)
{
        must(got_a + timed_out == 1 && got_a == sent);
        must(!a->receivers.first);
}

/* ---- a close wins ---- */

static void close_a(void)
{
        weir_chan_close(a);
}

static void closed_or_b(void)
{
        int       x = 5, y = 0;
        bool      ok = true;
        weir_case k[] = {
                { .op = WEIR_OP_RECV, .chan = a, .elem = &x, .size = sizeof x, .ok = &ok },
                { .op = WEIR_OP_RECV, .chan = b, .elem = &y, .size = sizeof y },
        };

        if (weir_select_n(k, 2) == 0) {
                must(!ok && x == 0);
                must(weir_chan_recv(b, &y, sizeof y) && y == 2);
        } else {
                must(y == 2);
        }
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "select/two", .setup = make, .finish = both_once, .bound = 3,
                  .thread = { receive_either, send_a, send_b },
                  .mutants = {
                          { "weir__waitq_take:cas_seq(&w->select->winner)", MUTATE_BLIND },
                          { "weir__waitq_take:cas_seq(&w->select->winner)", MUTATE_TEAR },
                          { "lock_take:cas_acquire(&l->word)", MUTATE_RELAX } } },
                { .name = "select/mutual", .setup = setup_mutual, .finish = all_or_one_left,
                  .stuck = one_left, .bound = 3, .thread = { left, right, try_a },
                  .mutants = {
                          { "lock_take:cas_acquire(&l->word)", MUTATE_BLIND },
                          { "lock_drop:store_release(&l->word)", MUTATE_RELAX } } },
                { .name = "select/timeout", .setup = make, .finish = one_of_two, .bound = 3,
                  .thread = { receive_or_time_out, try_send_a, run_timers },
                  .mutants = {
                          { "on_timeout:cas_seq(&w->select->winner)", MUTATE_BLIND },
                          { "weir__waitq_take:cas_seq(&w->select->winner)", MUTATE_BLIND },
                          { "on_timeout:cas_seq(&w->select->winner)", MUTATE_TEAR } } },
                { .name = "select/close", .setup = make, .bound = 3,
                  .thread = { closed_or_b, close_a, send_b },
                  .mutants = {
                          { "weir__waitq_take:cas_seq(&w->select->winner)", MUTATE_BLIND } } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
