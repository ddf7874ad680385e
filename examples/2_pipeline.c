#include <weir.h>
#include <stdio.h>

weir_task(count, my, { weir_chan *out; int upto; })
{
        for (int i = 1; i <= my->upto; i++)
                weir_send(my->out, &i);
        weir_chan_close(my->out);
}

weir_task(square, my, { weir_chan *in, *out; })
{
        int v;

        while (weir_recv(my->in, &v)) {
                v *= v;
                weir_send(my->out, &v);
        }
        weir_chan_close(my->out);
}

WEIR_MAIN(argc, argv)
{
        weir_chan *numbers = weir_chan_make(int, 8);
        weir_chan *squares = weir_chan_make(int, 8);

        weir_go(count, .out = numbers, .upto = 20);
        weir_go(square, .in = numbers, .out = squares);

        for (;;) {
                enum { SQUARE, STALLED };
                int  v;
                bool open;

                switch (weir_select([SQUARE]  = weir_on_recv(squares, &v, &open),
                                    [STALLED] = weir_on_timeout(2 * WEIR_SECOND))) {
                case SQUARE:
                        if (!open)
                                return 0;
                        printf("%d\n", v);
                        break;
                case STALLED:
                        fputs("pipeline stalled\n", stderr);
                        return 1;
                }
        }
}
