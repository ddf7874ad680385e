/* Channels (src/chan/chan.c, wait.c): what is sent is received once and in one piece, and a close
 * reaches everybody who waits. */
#include "chan/chan.h"
#include "fake.h"

struct elem {
        long a, b;
};

static weir_chan *c;
static int        got[8];               /* how often each number came; lock of the explorer: one each */
static int        closed_seen[MODEL_THREADS];

static void make(size_t cap)
{
        fake_init();
        c = weir_chan_new(sizeof(struct elem), cap);
}

static void make_0(void)
{
        make(0);
}

static void make_1(void)
{
        make(1);
}

static void send(long n)
{
        struct elem e = { n, -n };

        weir_chan_send(c, &e, sizeof e);
}

static bool receive(void)
{
        struct elem e = { 9, 9 };
        bool        ok = weir_chan_recv(c, &e, sizeof e);

        if (!ok) {
                must(e.a == 0 && e.b == 0);
                closed_seen[model_self()]++;
                return false;
        }
        must(e.a > 0 && e.a < 8 && e.b == -e.a);
        got[e.a]++;
        must(got[e.a] == 1);
        return true;
}

static void send_1(void)
{
        send(1);
}

static void send_2(void)
{
        send(2);
}

static void send_1_2(void)
{
        send(1);
        send(2);
}

static void receive_1(void)
{
        receive();
}

static void receive_2(void)
{
        receive();
        receive();
}

static void both_came(void)
{
        must(got[1] == 1 && got[2] == 1);
        must(!c->receivers.first && !c->senders.first && !c->count);
}

static void send_and_close(void)
{
        send(1);
        weir_chan_close(c);
}

static void receive_all(void)
{
        while (receive())
                ;
}

static void closed_for_both(void)
{
        must(got[1] == 1);
        must(closed_seen[0] == 1 && closed_seen[1] == 1);
}

static int tried;

static void try_send_1(void)
{
        struct elem e = { 1, -1 };

        tried = weir_chan_try_send(c, &e, sizeof e);
}

static void close_it(void)
{
        weir_chan_close(c);
}

static void one_or_close(void)
{
        must(got[1] == tried);
        must(closed_seen[0] == !tried);
}

/* A receive and a try: who closes comes after the try, or the try would panic. */
static void try_and_close(void)
{
        try_send_1();
        close_it();
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "chan/rendezvous", .setup = make_0, .finish = both_came, .bound = 3,
                  .thread = { send_1, send_2, receive_2 },
                  .mutants = {
                          { "lock_take:cas_acquire(&l->word)", MUTATE_RELAX },
                          { "lock_take:cas_acquire(&l->word)", MUTATE_BLIND },
                          { "lock_drop:store_release(&l->word)", MUTATE_RELAX },
                          { "weir__waitq_push:store_relaxed(&q->first)", MUTATE_SKIP } } },
                { .name = "chan/buffer", .setup = make_1, .finish = both_came, .bound = 3,
                  .thread = { send_1_2, receive_1, receive_1 },
                  .mutants = {
                          { "lock_take:cas_acquire(&l->word)", MUTATE_RELAX },
                          { "lock_drop:store_release(&l->word)", MUTATE_RELAX },
                          { "weir__waitq_take:store_relaxed(&q->first)", MUTATE_SKIP } } },
                { .name = "chan/close", .setup = make_0, .finish = closed_for_both, .bound = 3,
                  .thread = { receive_all, receive_all, send_and_close },
                  .mutants = {
                          { "lock_take:cas_acquire(&l->word)", MUTATE_RELAX },
                          { "weir_chan_close:store_release(&c->closed)", MUTATE_SKIP } } },
                { .name = "chan/try", .setup = make_0, .finish = one_or_close, .bound = 4,
                  .thread = { receive_1, try_and_close },
                  .mutants = {
                          { "lock_drop:store_release(&l->word)", MUTATE_RELAX } } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
