/* Panics in many goroutines at once, nested, with parks on the way: each is caught by the nearest
 * protect of its own goroutine, with its own message, after exactly the cleanup handlers
 * between. */
#include "stress.h"

enum { WORKERS = 32, DEPTH = 12 };

struct level {
        int      depth, bottom;         /* it panics at the bottom */
        uint64_t rand;
        int     *cleanups;              /* the goroutine's own */
        bool     protects;              /* this level catches what its callee throws */
};

static void clean(int **n)
{
        ++**n;
}

static void descend(void *arg);

static __attribute__((noinline)) void step(struct level *up)
{
        __attribute__((cleanup(clean))) int *guard = up->cleanups;
        struct level    l = *up;
        weir_panic_info info;
        int             before;

        l.depth++;
        l.rand = stress_rand(&l.rand);
        l.protects = l.rand % 4 == 0;
        if (l.rand % 8 < 4)
                weir_yield();
        if (l.depth == l.bottom)
                weir_panic("bottom %d of goroutine %llu", l.depth, (unsigned long long)weir_go_id());
        if (!l.protects) {
                descend(&l);
                return;
        }
        before = *guard;
        must(weir_protect(descend, &l, &info) == WEIR_EPANIC);
        must(*guard > before);
        must(strstr(info.message, "of goroutine"));
        must_say(strtoull(strrchr(info.message, ' '), NULL, 10) == weir_go_id(), "%s", info.message);
        weir_panic("again %d of goroutine %llu", l.depth, (unsigned long long)weir_go_id());
}

static void descend(void *arg)
{
        step(arg);
        __asm__ volatile("");           /* no sibling call */
}

weir_task(worker, my, { uint64_t rand; int rounds; })
{
        for (int i = 0; i < my->rounds; i++) {
                int             cleanups = 0;
                weir_panic_info info = { .message = "untouched" };
                struct level    l = { .bottom = 1 + (int)stress_below(&my->rand, DEPTH),
                                      .rand = stress_rand(&my->rand), .cleanups = &cleanups };

                must(weir_protect(descend, &l, &info) == WEIR_EPANIC);
                must_say(cleanups == l.bottom, "%d handlers ran of %d", cleanups, l.bottom);
                must_say(strtoull(strrchr(info.message, ' '), NULL, 10) == weir_go_id(), "%s", info.message);
        }
}

WEIR_MAIN(argc, argv)
{
        stress_begin(argc, argv);
        while (stress_more()) {
                weir_wg wg = { 0 };

                for (int i = 0; i < WORKERS; i++)
                        weir_wg_go(&wg, worker, .rand = stress_rand(&stress_state), .rounds = 20);
                weir_wg_wait(&wg);
        }
        return 0;
}
