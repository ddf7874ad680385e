/* Goroutines that hold their threads in blocking calls, among others that pass messages: the others
 * go on meanwhile, nobody loses a processor, and timers stay on time enough to end the round. */
#include "stress.h"

enum { BLOCKERS = 12, PAIRS = 6 };

struct call {
        int64_t  ns;
        uint64_t calls;
        int      err;
};

static void hold(void *arg)
{
        struct call *c = arg;

        if (c->ns)
                nanosleep(&(struct timespec){ .tv_nsec = c->ns }, NULL);
        c->calls++;
        errno = c->err;
}

weir_task(blocker, my, { uint64_t rand; bool *stop; uint64_t *calls; })
{
        struct call c = { 0 };
        uint64_t    n = 0;

        while (!__atomic_load_n(my->stop, __ATOMIC_RELAXED)) {
                unsigned yields = stress_below(&my->rand, 130);

                c.ns = stress_below(&my->rand, 3) ? 0 : stress_below(&my->rand, 300) * 1000;
                c.err = (int)stress_below(&my->rand, 100);
                weir_blocking(hold, &c);
                must_say(errno == c.err, "errno is %d, not %d", errno, c.err);
                for (unsigned i = 0; i < yields; i++)
                        weir_yield();
                n++;
        }
        must(c.calls == n);
        __atomic_fetch_add(my->calls, n, __ATOMIC_RELAXED);
}

weir_task(bounce, my, { weir_chan *in, *out; bool first; uint64_t *turns; })
{
        uint64_t v = 0;

        if (my->first)
                weir_send(my->out, &v);
        while (weir_recv(my->in, &v)) {
                if (v == UINT64_MAX)
                        break;
                v++;
                ++*my->turns;
                weir_send(my->out, &v);
        }
        weir_chan_close(my->out);
}

static void round_of(void)
{
        weir_wg    wg = { 0 };
        bool       stop = false;
        uint64_t   calls = 0, turns[PAIRS][2] = { { 0 } }, last = UINT64_MAX;
        weir_chan *there[PAIRS], *back[PAIRS];

        for (int i = 0; i < PAIRS; i++) {
                there[i] = weir_chan_make(uint64_t, 1);
                back[i] = weir_chan_make(uint64_t, 1);
                weir_wg_go(&wg, bounce, .in = back[i], .out = there[i], .first = true,
                           .turns = &turns[i][0]);
                weir_wg_go(&wg, bounce, .in = there[i], .out = back[i], .turns = &turns[i][1]);
        }
        for (int i = 0; i < BLOCKERS; i++)
                weir_wg_go(&wg, blocker, .rand = stress_rand(&stress_state), .stop = &stop,
                           .calls = &calls);
        for (int i = 0; i < 20; i++)
                weir_sleep(5 * WEIR_MILLISECOND);
        __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
        for (int i = 0; i < PAIRS; i++)
                weir_send(there[i], &last);
        weir_wg_wait(&wg);
        must(calls > 0);
        for (int i = 0; i < PAIRS; i++)
                must(turns[i][0] + 2 >= turns[i][1] && turns[i][1] + 2 >= turns[i][0]);
}

WEIR_MAIN(argc, argv)
{
        stress_begin(argc, argv);
        while (stress_more())
                round_of();
        return 0;
}
