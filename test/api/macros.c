/* Every form in which the macros may be used; compiled, not run. */
#include <weir.h>

weir_task(nothing, my, { })
{
}

weir_task(number, my, { int n; })
{
        (void)my->n;
}

weir_task(pair, my, { weir_chan *in, *out; int ns[2]; })
{
        int v;

        while (weir_recv(my->in, &v))
                weir_send(my->out, &v);
}

static void start(weir_chan *c, weir_wg *wg)
{
        static const weir_go_options options = { .name = "named", .stack_size = 1 << 20 };

        weir_go(nothing);
        weir_go(number);
        weir_go(number, 7);
        weir_go(number, .n = 7);
        weir_go(pair, .in = c, .out = c, .ns = { 1, 2 });
        weir_go(pair,
                .in  = c,
                .out = c,
        );
        weir_go_with(NULL, nothing);
        weir_go_with(&options, number, .n = 7);
        weir_go_with(&(weir_go_options){ .name = "literal" }, pair, .in = c);
        weir_wg_go(wg, nothing);
        weir_wg_go(wg, number, .n = 7);
        weir_wg_go(wg, pair, .in = c, .out = c);
        if (c)
                weir_go(nothing);
        else
                weir_wg_go(wg, number, 1);
}

static int choose(weir_chan *c, weir_ctx *ctx)
{
        enum { RECV, SEND, DROP, LATE, DONE };
        const int one = 1;
        int       v;
        bool      ok;

        weir_select(weir_on_default());
        return weir_select([SEND] = weir_on_send(c, &one),
                           [RECV] = weir_on_recv(c, &v, &ok),
                           [DROP] = { .op = WEIR_OP_RECV, .chan = c },
                           [DONE] = weir_on_done(ctx),
                           [LATE] = weir_on_timeout(2 * WEIR_SECOND));
}

WEIR_MAIN(argc, argv)
{
        weir_wg wg = { 0 };

        start(weir_chan_make(int, 1), &wg);
        return choose(NULL, NULL);
}
