/* Contexts (src/ctx/tree.c): whoever waits is told, once, of whichever end comes; timers do not
 * stay behind. With select, which waits for them beside channels. */
#include "chan/chan.h"
#include "ctx/ctx.h"
#include "fake.h"

static weir_ctx  root, child, leaf, sibling;
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
        make_ctx(&sibling, &root, CTX_NEVER);
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

static void wait_too(void)
{
        must(weir__ctx_park(&child, CTX_NEVER, WHY_CTX) == WEIR_ECANCELED);
        told[1]++;
}

static void wait_for_root(void)
{
        must(weir__ctx_park(&root, CTX_NEVER, WHY_CTX) == WEIR_ECANCELED);
        told[1]++;
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

static void both_told(void)
{
        must(told[0] == 1 && told[1] == 1);
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

static void setup_orphan(void)
{
        setup();
        make_ctx(&child, NULL, 1000);
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

struct visit {
        struct ctx_watch watch;
        int              calls;         /* plain: what is not in order is a race */
};

static struct g *touch(struct ctx_watch *w)
{
        CONTAINER_OF(w, struct visit, watch)->calls++;
        return NULL;
}

static void come_and_go(void)
{
        struct visit v = { .watch.fn = touch };
        bool         there = weir__ctx_watch(&child, &v.watch);

        weir__ctx_unwatch(&v.watch);
        must(v.calls <= there);
        v.calls = -1;                           /* the record is its owner's now */
}

/* ---- children that are let go of because they are idle, and come back ---- */

static void visit_sibling(void)
{
        for (int i = 0; i < 2; i++) {
                struct visit v = { .watch.fn = touch };

                (void)weir__ctx_watch(&sibling, &v.watch);
                weir__ctx_unwatch(&v.watch);
        }
}

static void visit_and_wait(void)
{
        come_and_go();
        wait_for_child();
}

/* ---- reasons ---- */

static const struct ctx_end other = { WEIR_ECANCELED, -1 };

static void cancel_otherwise(void)
{
        weir__ctx_finish(&child, &other);
}

static void look_twice(void)
{
        const struct ctx_end *e = weir__ctx_look(&child);

        must(!e || weir__ctx_look(&child) == e);
}

/* ---- what was done before the cancel ---- */

static int data;                        /* plain: what is not in order is a race */

static void write_and_cancel(void)
{
        data = 1;
        cancel_root();
}

static void look_and_read(void)
{
        must(!weir__ctx_look(&child) || data == 1);
}

static void wait_and_read(void)
{
        wait_for_child();
        must(data == 1);
}

/* ---- a nap ---- */

static void nap(void)
{
        int r = weir__ctx_park(&child, 1000, WHY_SLEEP);

        must(!r || r == WEIR_ECANCELED);
        told[0]++;
        store_release(&over, 1);
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
                          { "lock_take:cas_acquire(&l->word)", MUTATE_BLIND },
                          { "lock_drop:store_release(&l->word)", MUTATE_RELAX } } },
                { .name = "ctx/active", .setup = setup, .finish = both_told, .bound = 3,
                  .thread = { wait_for_child, cancel_child, wait_too },
                  .mutants = {
                          { "lock_open:load_acquire(&c->end)", MUTATE_FORCE } } },
                { .name = "ctx/second", .setup = setup, .finish = two_told, .bound = 3,
                  .thread = { wait_for_child, cancel_root, wait_for_root },
                  .mutants = {
                          { "activate:load_acquire(&p->end)", MUTATE_FORCE } } },
                { .name = "ctx/prune", .setup = setup, .finish = one_told, .bound = 3,
                  .thread = { visit_and_wait, cancel_root, visit_sibling },
                  .mutants = {
                          { "lock_try:cas_acquire(&l->word)", MUTATE_BLIND } } },
                { .name = "ctx/reason", .setup = setup, .bound = 3,
                  .thread = { look_twice, cancel_root, cancel_otherwise },
                  .mutants = {
                          { "settle:cas_seq(&c->end)", MUTATE_BLIND } } },
                { .name = "ctx/order", .setup = setup, .bound = 3,
                  .thread = { write_and_cancel, look_and_read, look_and_read },
                  .mutants = {
                          { "settle:cas_seq(&c->end)", MUTATE_RELAX },
                          { "weir__ctx_look:load_acquire(&up->end)", MUTATE_RELAX },
                          { "weir__ctx_look:load_acquire(&ctx->end)", MUTATE_RELAX } } },
                { .name = "ctx/order of a wait", .setup = setup, .bound = 3,
                  .thread = { write_and_cancel, wait_and_read } },
                { .name = "ctx/nap", .setup = setup, .finish = no_timer, .bound = 3,
                  .thread = { nap, cancel_child, run_timers },
                  .mutants = {
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
                          { "activate:load_acquire(&c->end)", MUTATE_FORCE } } },
                { .name = "ctx/orphan", .setup = setup_orphan, .finish = no_timer, .bound = 4,
                  .thread = { wait_for_timed, cancel_child },
                  .mutants = {
                          { "activate:load_acquire(&c->end)", MUTATE_FORCE } } },
                { .name = "ctx/leave", .setup = setup, .finish = nothing_watched, .bound = 4,
                  .thread = { come_and_go, cancel_child, come_and_go } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
