/* Contexts (src/ctx/tree.c): whoever waits is told, once, of whichever end comes; timers do not stay
 * behind. With select, which waits for them beside channels. */
#include "chan/chan.h"
#include "ctx/ctx.h"
#include "fake.h"

static weir_ctx  root, child, leaf;
static weir_chan *a;
static int       told[2], got, ended, sent;
static uint32_t  over;          /* atomic */

static void make_ctx(weir_ctx *c, weir_ctx *parent, int64_t deadline)
{
        *c = (weir_ctx){ .magic = CTX_MAGIC, .parent = parent,
                         .deadline = parent && parent->deadline < deadline ? parent->deadline
                                                                           : deadline };
        c->timed = deadline < (parent ? parent->deadline : CTX_NEVER);
        lock_init(&c->lock, ctx);
}

static void setup(void)
{
        fake_init();
        make_ctx(&root, NULL, CTX_NEVER);
        make_ctx(&child, &root, CTX_NEVER);
        make_ctx(&leaf, &child, CTX_NEVER);
        a = weir_chan_new(sizeof(int), 0);
        over = 0;
}

static void cancel_root(void)
{
        weir__ctx_finish(&root, &weir__ctx_canceled);
}

static void cancel_child(void)
{
        weir__ctx_finish(&child, &weir__ctx_canceled);
}

static void wait_for_child(void)
{
        must(weir__ctx_park(&child, CTX_NEVER, WHY_CTX) == WEIR_ECANCELED);
        told[0]++;
}

static void wait_for_leaf(void)
{
        must(weir__ctx_park(&leaf, CTX_NEVER, WHY_CTX) == WEIR_ECANCELED);
        told[1]++;
}

static void nothing_left(const weir_ctx *c)
{
        must(!c->watches && !c->children && !c->linked && !c->armed);
}

static void one_told(void)
{
        must(told[0] == 1);
        nothing_left(&root);
        nothing_left(&child);
}

static void two_told(void)
{
        must(told[0] == 1 && told[1] == 1);
        nothing_left(&root);
        nothing_left(&child);
        nothing_left(&leaf);
}

/* ---- in a select ---- */

static void receive_or_end(void)
{
        int       x = 0;
        weir_case k[] = {
                { .op = WEIR_OP_RECV, .chan = a, .elem = &x, .size = sizeof x },
                { .op = WEIR_OP_DONE, .ctx = &child },
        };

        if (weir_select_n(k, 2) == 0) {
                must(x == 1);
                got++;
        } else {
                must(x == 0 && weir__ctx_look(&child));
                ended++;
        }
}

static void try_send(void)
{
        sent = weir_chan_try_send(a, &(int){ 1 }, sizeof(int));
}

static void one_of_two(void)
{
        must(got + ended == 1 && got == sent);
        must(!a->receivers.first && !child.watches);
}

/* ---- a deadline ---- */

static void setup_timed(void)
{
        setup();
        make_ctx(&child, &root, 1000);
}

static void wait_for_timed(void)
{
        int r = weir__ctx_park(&child, CTX_NEVER, WHY_CTX);

        must(r == WEIR_ECANCELED || r == WEIR_ETIMEOUT);
        told[0]++;
        store_release(&over, 1);
}

static void run_timers(void)
{
        while (!load_acquire(&over)) {
                weir__sched_hooks.timers_run(&fake_p[0], INT64_C(1) << 40);
                model_yield();
        }
}

/* Nobody lets the clock go on: the cancel must stop what was armed. */
static void no_timer(void)
{
        one_told();
        must(fake_p[0].timer_when == INT64_MAX);
}

/* ---- a watch that leaves ---- */

static uint32_t in_fn;          /* atomic */

static struct g *touch(struct ctx_watch *w)
{
        (void)w;
        store_relaxed(&in_fn, 1);
        store_relaxed(&in_fn, 0);
        return NULL;
}

static void come_and_go(void)
{
        struct ctx_watch w = { .fn = touch };

        (void)weir__ctx_watch(&child, &w);
        weir__ctx_unwatch(&w);
        must(!load_relaxed(&in_fn));
        memset(&w, 0x5a, sizeof w);             /* it is its owner's now */
}

static void nothing_watched(void)
{
        must(!child.watches && !root.watches);
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "ctx/root", .setup = setup, .finish = one_told, .bound = 4,
                  .thread = { wait_for_child, cancel_root },
                  .mutants = {
                          { "weir__ctx_watch:load_acquire(&c->end)", MUTATE_FORCE },
                          { "activate:load_acquire(&p->end)", MUTATE_FORCE },
                          { "settle:cas_seq(&c->end)", MUTATE_BLIND },
                          { "lock_take:cas_acquire(&l->word)", MUTATE_BLIND },
                          { "win:cas_seq(&n->woken)", MUTATE_BLIND } } },
                { .name = "ctx/both", .setup = setup, .finish = one_told, .bound = 3,
                  .thread = { wait_for_child, cancel_root, cancel_child } },
                { .name = "ctx/deep", .setup = setup, .finish = two_told, .bound = 3,
                  .thread = { wait_for_leaf, wait_for_child, cancel_root } },
                { .name = "ctx/select", .setup = setup, .finish = one_of_two, .bound = 3,
                  .thread = { receive_or_end, try_send, cancel_root },
                  .mutants = {
                          { "on_end:cas_seq(&d->select->winner)", MUTATE_BLIND },
                          { "on_end:cas_seq(&d->select->winner)", MUTATE_TEAR },
                          { "weir__waitq_take:cas_seq(&w->select->winner)", MUTATE_BLIND } } },
                { .name = "ctx/deadline", .setup = setup_timed, .finish = one_told, .bound = 3,
                  .thread = { wait_for_timed, cancel_root, run_timers } },
                { .name = "ctx/timer", .setup = setup_timed, .finish = no_timer, .bound = 4,
                  .thread = { wait_for_timed, cancel_child },
                  .mutants = {
                          { "arm:load_acquire(&c->end)", MUTATE_FORCE } } },
                { .name = "ctx/leave", .setup = setup, .finish = nothing_watched, .bound = 4,
                  .thread = { come_and_go, cancel_child, come_and_go } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
