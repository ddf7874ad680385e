/* Tokens are neither lost nor made: many goroutines send, receive and select on many channels until
 * the channels are closed under them. What was sent is what was received and what is left inside.
 *
 * A send that returned has delivered, one that panicked (the channel was closed) has not. */
#include "stress.h"

enum { CHANNELS = 12, WORKERS = 24 };

struct tally {
        uint64_t count, sum;
};

struct worker {
        weir_chan  **c;
        uint64_t     rand;
        struct tally sent, received;
        int          choices;           /* of select cases, to see that it did something */
};

static void count(struct tally *t, uint64_t v)
{
        t->count++;
        t->sum += v;
}

static weir_chan *any(struct worker *w)
{
        return w->c[stress_below(&w->rand, CHANNELS)];
}

static void select_some(struct worker *w)
{
        weir_case cases[6] = { 0 };
        uint64_t  v[6];
        bool      ok[6];
        unsigned  n = 1 + stress_below(&w->rand, 5);
        int       i;

        for (unsigned k = 0; k < n; k++) {
                v[k] = stress_rand(&w->rand);
                cases[k] = (weir_case){ .op = WEIR_OP_SEND, .chan = any(w), .elem = &v[k],
                                        .size = sizeof v[k], .ok = &ok[k] };
                if (stress_below(&w->rand, 2)) {
                        cases[k].op = WEIR_OP_RECV;
                        v[k] = 0;
                }
        }
        switch (stress_below(&w->rand, 3)) {
        case 0:
                cases[n++] = (weir_case)weir_on_default();
                break;
        case 1:
                cases[n++] = (weir_case)weir_on_timeout(
                        (int64_t)stress_below(&w->rand, 200) * WEIR_MICROSECOND);
                break;
        default:
                break;
        }
        i = weir_select_n(cases, n);
        must(i >= 0 && (unsigned)i < n);
        w->choices++;
        if (cases[i].op == WEIR_OP_SEND)
                count(&w->sent, v[i]);
        else if (cases[i].op == WEIR_OP_RECV && ok[i])
                count(&w->received, v[i]);
        else if (cases[i].op == WEIR_OP_RECV)
                must(v[i] == 0);
}

static void work(void *arg)
{
        struct worker *w = arg;
        uint64_t       v;

        for (;;) {
                switch (stress_below(&w->rand, 6)) {
                case 0:
                        v = stress_rand(&w->rand);
                        weir_send(any(w), &v);
                        count(&w->sent, v);
                        break;
                case 1:
                        if (weir_recv(any(w), &v))
                                count(&w->received, v);
                        else
                                return;
                        break;
                case 2:
                        v = stress_rand(&w->rand);
                        if (weir_chan_try_send(any(w), &v, sizeof v))
                                count(&w->sent, v);
                        break;
                default:
                        select_some(w);
                        break;
                }
        }
}

weir_task(worker, my, { struct worker *w; })
{
        weir_panic_info info;

        if (weir_protect(work, my->w, &info) < 0)
                must_say(strstr(info.message, "closed channel"), "%s", info.message);
}

static void round_of(void)
{
        struct worker w[WORKERS];
        struct tally  sent = { 0 }, received = { 0 };
        weir_chan    *c[CHANNELS];
        weir_wg       wg = { 0 };
        uint64_t      v;

        for (int i = 0; i < CHANNELS; i++)
                c[i] = weir_chan_make(uint64_t, stress_below(&stress_state, 2)
                                                        ? 0 : stress_below(&stress_state, 20));
        for (int i = 0; i < WORKERS; i++) {
                w[i] = (struct worker){ .c = c, .rand = stress_rand(&stress_state) };
                weir_wg_go(&wg, worker, .w = &w[i]);
        }
        weir_sleep((int64_t)stress_below(&stress_state, 20) * WEIR_MILLISECOND);
        for (int i = 0; i < CHANNELS; i++)
                weir_chan_close(c[i]);
        weir_wg_wait(&wg);
        for (int i = 0; i < WORKERS; i++) {
                sent.count += w[i].sent.count;
                sent.sum += w[i].sent.sum;
                received.count += w[i].received.count;
                received.sum += w[i].received.sum;
        }
        for (int i = 0; i < CHANNELS; i++)
                while (weir_recv(c[i], &v))
                        count(&received, v);
        must_say(sent.count == received.count && sent.sum == received.sum,
                 "%llu tokens were sent, %llu received", (unsigned long long)sent.count,
                 (unsigned long long)received.count);
}

WEIR_MAIN(argc, argv)
{
        stress_begin(argc, argv);
        while (stress_more())
                round_of();
        return 0;
}
