/* Trees of contexts that grow and end while goroutines wait for them in every way; in the end
 * nothing is linked, no timer is armed, everybody was told. */
/* timeout: 60 */
#include "stress.h"
#include "base/counter.h"

enum { GOROUTINES = 24, DEPTH = 6 };

static uint64_t finished;       /* atomic */

static void count_end(void *arg)
{
        __atomic_add_fetch((uint64_t *)arg, 1, __ATOMIC_SEQ_CST);
}

/* One way to wait for ctx, or for something else that may come first. */
static void wait_somehow(uint64_t *rand, weir_ctx *ctx, weir_chan *c, weir_sema *s)
{
        int v = 1, r;

        switch (stress_below(rand, 6)) {
        case 0:
                r = weir_ctx_wait(ctx);
                must(r == weir_ctx_err(ctx) && r < 0);
                break;
        case 1:
                r = weir_ctx_sleep(ctx, (int64_t)stress_below(rand, 300) * WEIR_MICROSECOND);
                must(r == 0 || r == weir_ctx_err(ctx));
                break;
        case 2:
                r = weir_select(weir_on_done(ctx), weir_on_recv(c, &v, NULL),
                                weir_on_timeout(WEIR_MILLISECOND), weir_on_done(NULL));
                must(r >= 0 && r <= 2 && (r || weir_ctx_err(ctx)));
                break;
        case 3:
                r = weir_select(weir_on_send(c, &v), weir_on_done(ctx), weir_on_done(ctx));
                must(!r || weir_ctx_err(ctx));
                break;
        case 4:
                r = weir_sema_acquire_ctx(s, 1 + stress_below(rand, 3), ctx);
                must(!r || r == weir_ctx_err(ctx));
                if (!r)
                        weir_sema_release(s, 3);        /* more than taken: others get along */
                break;
        default:
                must(weir_ctx_err(ctx) == 0 || weir_ctx_cause(ctx, NULL) < 0);
                break;
        }
}

weir_task(live, my, { uint64_t seed; weir_ctx *top; weir_chan *c; weir_sema *s; weir_wg *wg; uint64_t *due, *ran; })
{
        uint64_t  rand = my->seed;
        weir_ctx *path[DEPTH + 1] = { my->top };

        for (int i = 0; i < 40; i++) {
                unsigned at = stress_below(&rand, DEPTH) + 1;

                for (unsigned k = 1; k <= DEPTH; k++) {
                        if (path[k] && k != at)
                                continue;
                        switch (stress_below(&rand, 4)) {
                        case 0:
                                path[k] = weir_ctx_with_timeout(path[k - 1],
                                                                stress_below(&rand, 2000) * WEIR_MICROSECOND);
                                break;
                        case 1:
                                path[k] = weir_ctx_with_value(path[k - 1], &finished, my);
                                break;
                        default:
                                path[k] = weir_ctx_with_cancel(path[k - 1]);
                                break;
                        }
                }
                if (!stress_below(&rand, 4)) {
                        weir_after *a = weir_ctx_after(path[at], count_end, my->ran);

                        if (stress_below(&rand, 2) || !weir_after_stop(a))
                                __atomic_add_fetch(my->due, 1, __ATOMIC_SEQ_CST);
                }
                if (!stress_below(&rand, 4))
                        weir_ctx_timer_start(path[at], stress_below(&rand, 500) * WEIR_MICROSECOND,
                                             stress_below(&rand, 2) * 100 * WEIR_MICROSECOND,
                                             count_end, &finished);
                if (!stress_below(&rand, 3))
                        weir_ctx_cancel_cause(path[1 + stress_below(&rand, DEPTH)], -1, "stress");
                wait_somehow(&rand, path[DEPTH], my->c, my->s);
        }
        weir_wg_done(my->wg);
}

static int64_t links(void)
{
        return (int64_t)(weir__counter_sum(COUNTER_ctx_links) -
                         weir__counter_sum(COUNTER_ctx_unlinks));
}

WEIR_MAIN(argc, argv)
{
        stress_begin(argc, argv);
        while (stress_more()) {
                weir_ctx  *top = weir_ctx_with_cancel(NULL);
                weir_chan *c = weir_chan_make(int, 2);
                weir_sema  s = WEIR_SEMA(2);
                weir_wg    wg = { 0 };
                uint64_t   due = 0, ran = 0;

                weir_wg_add(&wg, GOROUTINES);
                for (int i = 0; i < GOROUTINES; i++)
                        weir_go(live, .seed = stress_rand(&stress_state), .top = top, .c = c, .s = &s,
                                .wg = &wg, .due = &due, .ran = &ran);
                weir_sleep((int64_t)stress_below(&stress_state, 20) * WEIR_MILLISECOND);
                weir_ctx_cancel(top);
                weir_wg_wait(&wg);
                while (weir_go_count() > 1)             /* functions, ticks */
                        weir_yield();
                must_say(__atomic_load_n(&ran, __ATOMIC_SEQ_CST) == due, "%llu ran, %llu are due ",
                         (unsigned long long)ran, (unsigned long long)due);
                must_say(links() == 0, "%lld links ", (long long)links());
                must_say(weir__gauge_read(GAUGE_timers) == 0, "%llu timers ",
                         (unsigned long long)weir__gauge_read(GAUGE_timers));
        }
        return 0;
}
