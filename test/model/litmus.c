/* The explorer itself: what the memory model allows is seen, what it forbids is not. */
#include "base/base.h"

static uint32_t x, y;           /* atomic */
static int      data, r0, r1, r2;

static void nothing(void)
{
}

/* ---- store buffering: a store, then a load of the other word ---- */

static void buffer_0(void)
{
        store_seq(&x, 1);
        r0 = (int)load_seq(&y);
}

static void buffer_1(void)
{
        store_seq(&y, 1);
        r1 = (int)load_seq(&x);
}

static void one_is_seen(void)
{
        must(r0 || r1);
}

/* ---- message passing: through a third thread ---- */

static void publish(void)
{
        data = 7;
        store_release(&x, 1);
}

static void forward(void)
{
        if (load_acquire(&x))
                store_release(&y, 1);
}

static void receive(void)
{
        if (load_acquire(&y))
                must(data == 7);
}

/* ---- one word: nobody sees it go back ---- */

static void write_twice(void)
{
        store_relaxed(&x, 1);
        store_relaxed(&x, 2);
}

static void read_twice(void)
{
        uint32_t first = load_relaxed(&x);

        must(load_relaxed(&x) >= first);
}

/* ---- an old value is not read where an order forbids it ---- */

static void write_in_order(void)
{
        store_relaxed(&x, 1);
        store_seq(&y, 1);
}

static void never_old(void)
{
        must(!r2);
}

static void read_new(void)
{
        if (load_acquire(&y))
                r2 = load_relaxed(&x) == 0;
}

/* ---- waiting ---- */

static void spin_for_x(void)
{
        while (!load_acquire(&x))
                weir__spin_pause();
        data++;
}

static void count_up(void)
{
        uint32_t old = load_relaxed(&y);

        while (!cas_seq(&y, &old, old + 1))
                ;
}

static void three(void)
{
        must(y == 3);
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "litmus/store-buffer", .setup = nothing, .finish = one_is_seen,
                  .bound = 4, .thread = { buffer_0, buffer_1 },
                  .mutants = { { "buffer_0:store_seq(&x)", MUTATE_RELAX },
                               { "buffer_1:store_seq(&y)", MUTATE_RELAX } } },
                { .name = "litmus/message", .setup = nothing, .bound = 4,
                  .thread = { publish, forward, receive },
                  .mutants = { { "publish:store_release(&x)", MUTATE_RELAX },
                               { "forward:load_acquire(&x)", MUTATE_RELAX },
                               { "forward:store_release(&y)", MUTATE_RELAX },
                               { "receive:load_acquire(&y)", MUTATE_RELAX } } },
                { .name = "litmus/coherence", .setup = nothing, .bound = 4,
                  .thread = { write_twice, read_twice, read_twice } },
                { .name = "litmus/in-order", .setup = nothing, .finish = never_old, .bound = 4,
                  .thread = { write_in_order, read_new },
                  .mutants = { { "write_in_order:store_seq(&y)", MUTATE_RELAX },
                               { "read_new:load_acquire(&y)", MUTATE_RELAX } } },
                { .name = "litmus/spin", .setup = nothing, .bound = 4,
                  .thread = { spin_for_x, publish },
                  .mutants = { { "spin_for_x:load_acquire(&x)", MUTATE_RELAX },
                               { "publish:store_release(&x)", MUTATE_SKIP } } },
                { .name = "litmus/count", .setup = nothing, .finish = three, .bound = 4,
                  .thread = { count_up, count_up, count_up },
                  .mutants = { { "count_up:cas_seq(&y)", MUTATE_BLIND } } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
