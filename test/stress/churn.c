/* Goroutines of every stack size come and go, each filling most of its stack: what one left behind,
 * or a neighbour writes, never shows in another; arguments and names are its own. */
#include "stress.h"

enum { ALIVE = 64, CLASSES = 9, ARGUMENT = 96 };

/* Fills room bytes of stack with a pattern, lets others run, and looks again. */
static __attribute__((noinline)) void fill(size_t room, unsigned char with, unsigned yields)
{
        unsigned char own[2048];

        memset(own, with, sizeof own);
        if (room > 2 * sizeof own)
                fill(room - sizeof own - 256, (unsigned char)(with + 1), yields);
        else
                for (unsigned i = 0; i < yields; i++)
                        weir_yield();
        for (size_t i = 0; i < sizeof own; i++)
                must_say(own[i] == with, "byte %zu of a frame is %u, not %u", i, own[i], with);
}

weir_task(filler, my, { size_t room; unsigned yields; unsigned char with; char text[ARGUMENT]; })
{
        must((uintptr_t)my % _Alignof(max_align_t) == 0);
        if (my->room)
                fill(my->room, my->with, my->yields);
        for (int i = 0; i < ARGUMENT; i++)
                must(my->text[i] == (char)(my->with + i));
}

weir_task(batch, my, { uint64_t rand; weir_wg *all; })
{
        char    name[80];
        weir_wg wg = { 0 };

        for (int i = 0; i < ALIVE; i++) {
                size_t            size = (size_t)16384 << stress_below(&my->rand, CLASSES);
                weir_go_options   opt = { .stack_size = size };
                struct filler_args a = { .with = (unsigned char)stress_below(&my->rand, 256) };

                /* Sanitizers widen frames: leave most of the room to them. */
                a.room = WEIR_PATIENCE > 1 ? size / 8 : size / 4 * 3;
                if (size > 1 << 20)
                        a.room = 4096;
                a.yields = stress_below(&my->rand, 4);
                for (int k = 0; k < ARGUMENT; k++)
                        a.text[k] = (char)(a.with + k);
                memset(name, 'a' + i % 26, sizeof name);
                name[stress_below(&my->rand, sizeof name)] = 0;
                name[sizeof name - 1] = 0;
                if (stress_below(&my->rand, 2))
                        opt.name = name;
                if (stress_below(&my->rand, 4)) {
                        weir_go_copy(filler_entry_, &a, sizeof a, &opt);
                } else {
                        a.room = 0;
                        weir_wg_go_copy(&wg, filler_entry_, &a, sizeof a);
                }
        }
        weir_wg_wait(&wg);
        weir_wg_done(my->all);
}

WEIR_MAIN(argc, argv)
{
        stress_begin(argc, argv);
        while (stress_more()) {
                weir_wg all = { 0 };
                int     n = 1 + (int)stress_below(&stress_state, 6);

                weir_wg_add(&all, n);
                for (int i = 0; i < n; i++)
                        weir_go(batch, .rand = stress_rand(&stress_state), .all = &all);
                weir_wg_wait(&all);
                while (weir_go_count() != 1)
                        weir_yield();
        }
        return 0;
}
