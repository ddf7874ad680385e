/* The rules of docs/memory-model.md on the shipped sources: what is written before one side of a
 * rule is ordered before what is read after the other, else the explorer reports a race of `data`.
 * Each mutant takes away what the rule rests on. The rules of go statements are in runq.c, those of
 *      mutex,
 * rwmutex, once and wait group are in their own files as well. */
#include "base/debug.h"
#include "chan/chan.h"
#include "fake.h"
#include "gc/gc.h"
#include "sync/sync.h"
#include "time/time.h"
#include <weir/box.h>
#include <weir/pool.h>

#undef weir_mutex_lock
#undef weir_mutex_unlock
#undef weir_once_do

static int          data, more;         /* what the rules order */
static weir_chan   *c;
static weir_mutex   m;
static weir_rwmutex rw;
static weir_cond    cond;
static weir_sema    sema;
static weir_wg      wg;
static weir_once    once;
static weir_latch   latch;
static weir_barrier barrier;
static weir_box     box;
static weir_pool    pool;
static struct timer timer;

static void make(void)
{
        fake_init();
        weir__debug.membarrier = 1;
        model_split(&m);
        model_split(&rw);
        for (int i = 0; i < MODEL_THREADS; i++)
                fake_p[i].id = (uint32_t)i & 3;
        latch = (weir_latch)WEIR_LATCH(1);
        barrier = (weir_barrier)WEIR_BARRIER(2);
        weir_wg_add(&wg, 1);
}

/* ---- channels ---- */

static void make_0(void)
{
        make();
        c = weir_chan_new(1, 0);
}

static void make_1(void)
{
        make();
        c = weir_chan_new(1, 1);
}

static void send_once(void)
{
        data = 1;
        weir_chan_send(c, "", 1);
        must(more == 1);                /* without a buffer, or with one that was full */
}

static void receive_once(void)
{
        more = 1;
        must(weir_chan_recv(c, NULL, 0) && data == 1);
}

static void make_full(void)
{
        make_1();
        weir_chan_send(c, "", 1);
}

/* The second send ends after the first receive began. */
static void receive_first(void)
{
        more = 1;
        must(weir_chan_recv(c, NULL, 0));
}

static void close_once(void)
{
        data = 1;
        weir_chan_close(c);
}

static void receive_closed(void)
{
        must(!weir_chan_recv(c, NULL, 0) && data == 1);
}

/* ---- what is locked ---- */

static void lock_and_write(void)
{
        weir_mutex_lock(&m);
        data++;
        weir_mutex_unlock(&m);
}

static void twice(void)
{
        must(data == 2);
}

static void write_rw(void)
{
        weir_rwmutex_lock(&rw);
        data++;
        weir_rwmutex_unlock(&rw);
}

static void read_rw(void)
{
        weir_rwmutex_rlock(&rw);
        must(data <= 1);
        weir_rwmutex_runlock(&rw);
}

/* ---- what is waited for ---- */

static void first(void *arg)
{
        (void)arg;
        data++;
}

static void do_once(void)
{
        weir_once_do(&once, first, NULL);
        must(data == 1);
}

static void wg_done(void)
{
        data = 1;
        weir_wg_done(&wg);
}

static void wg_wait(void)
{
        weir_wg_wait(&wg);
        must(data == 1);
}

static void sema_give(void)
{
        data = 1;
        weir_sema_release(&sema, 1);
}

static void sema_take(void)
{
        weir_sema_acquire(&sema, 1);
        must(data == 1);
}

/* A signal alone: what was done before it is seen by whoever it wakes. */
static void make_waiting(void)
{
        make();
        data = 0;
}

static uint32_t waits;          /* atomic */

static void cond_wait(void)
{
        weir_mutex_lock(&m);
        store_relaxed(&waits, 1);
        weir_cond_wait(&cond, &m);
        must(data == 1);
        weir_mutex_unlock(&m);
}

static void cond_signal(void)
{
        while (!load_relaxed(&waits))
                model_yield();
        weir_mutex_lock(&m);            /* it waits; the signal orders the rest */
        weir_mutex_unlock(&m);
        data = 1;
        weir_cond_signal(&cond);
}

static void latch_down(void)
{
        data = 1;
        weir_latch_down(&latch, 1);
}

static void latch_wait(void)
{
        weir_latch_wait(&latch);
        must(data == 1);
}

static void arrive_0(void)
{
        data = 1;
        weir_barrier_wait(&barrier);
        must(more == 1);
}

static void arrive_1(void)
{
        more = 1;
        weir_barrier_wait(&barrier);
        must(data == 1);
}

/* ---- box, pool, timer ---- */

typedef struct value {
        int n;
} value;
WEIR_TYPE_PLAIN(value);

static value one;

static void box_store(void)
{
        one.n = 1;
        weir_box_store(&box, value, &one);
}

/* As the header does. */
static void box_load(void)
{
        value *v = load_acquire(&box.held);

        must(!v || load_relaxed(&box.type_) == &weir_type_value);
        must(!v || v->n == 1);
}

static void box_swap(void)
{
        value *v = model_alloc(sizeof *v);

        v->n = 1;
        v = weir_box_swap(&box, value, v);
        must(!v || v->n == 1);
}

/* By the depot: objects that a processor keeps for itself it orders itself. */
static void make_pool(void)
{
        make();
        weir__debug.poolpoison = 1;
}

static void pool_put(void)
{
        one.n = 1;
        weir_pool_put(&pool, &one);
}

static void pool_get(void)
{
        value *v = weir_pool_get(&pool);

        must(!v || v->n == 1);
}

static void fire(struct timer *t)
{
        (void)t;
        must(data == 1);
}

static void timer_start(void)
{
        data = 1;
        weir__timer_start(&timer, 100, 0, fire);
}

static void timer_run(void)
{
        weir__sched_hooks.timers_run(&fake_p[0], 1000);
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "rules/send", .setup = make_0, .bound = 3,
                  .thread = { send_once, receive_once },
                  .mutants = { { "lock_take:cas_acquire(&l->word)", MUTATE_RELAX },
                               { "lock_drop:store_release(&l->word)", MUTATE_RELAX } } },
                { .name = "rules/k-th receive", .setup = make_full, .bound = 3,
                  .thread = { send_once, receive_first },
                  .mutants = { { "lock_take:cas_acquire(&l->word)", MUTATE_RELAX },
                               { "lock_drop:store_release(&l->word)", MUTATE_RELAX } } },
                { .name = "rules/close", .setup = make_1, .bound = 3,
                  .thread = { close_once, receive_closed },
                  .mutants = { { "lock_take:cas_acquire(&l->word)", MUTATE_RELAX },
                               { "lock_drop:store_release(&l->word)", MUTATE_RELAX } } },
                { .name = "rules/mutex", .setup = make, .finish = twice, .bound = 3,
                  .thread = { lock_and_write, lock_and_write },
                  .mutants = { { "weir_mutex_lock:cas_acquire(&m->word)", MUTATE_RELAX },
                               { "weir_mutex_unlock:store_release(&m->half[0])", MUTATE_RELAX } } },
                { .name = "rules/rwmutex", .setup = make, .bound = 3,
                  .thread = { read_rw, write_rw },
                  .mutants = { { "has_readers:load_acquire(&places[i][k])", MUTATE_RELAX },
                               { "weir_rwmutex_runlock:store_release(place)", MUTATE_RELAX } } },
                { .name = "rules/once", .setup = make, .bound = 3,
                  .thread = { do_once, do_once },
                  .mutants = { { "weir_once_do:load_acquire(word)", MUTATE_RELAX },
                               { "finish:exchange_seq(word)", MUTATE_RELAX } } },
                { .name = "rules/wg", .setup = make, .bound = 3,
                  .thread = { wg_done, wg_wait },
                  .mutants = { { "weir_wg_add:fetch_add_seq(&wg->word)", MUTATE_RELAX },
                               { "weir_wg_wait:load_acquire(&wg->word)", MUTATE_RELAX } } },
                { .name = "rules/sema", .setup = make, .bound = 3,
                  .thread = { sema_give, sema_take },
                  .mutants = { { "word_take:cas_acquire(word)", MUTATE_RELAX },
                               { "word_drop:store_release(word)", MUTATE_RELAX } } },
                { .name = "rules/cond", .setup = make_waiting, .bound = 3,
                  .thread = { cond_signal, cond_wait },
                  .mutants = { { "word_take:cas_acquire(word)", MUTATE_RELAX },
                               { "word_drop:store_release(word)", MUTATE_RELAX } } },
                { .name = "rules/latch", .setup = make, .bound = 3,
                  .thread = { latch_down, latch_wait },
                  .mutants = { { "is_open:load_acquire(&l->count)", MUTATE_RELAX },
                               { "weir_latch_down:store_release(&l->count)", MUTATE_RELAX } } },
                { .name = "rules/barrier", .setup = make, .bound = 3,
                  .thread = { arrive_0, arrive_1 },
                  .mutants = { { "word_take:cas_acquire(word)", MUTATE_RELAX },
                               { "word_drop:store_release(word)", MUTATE_RELAX } } },
                { .name = "rules/box", .setup = make, .bound = 3,
                  .thread = { box_store, box_load, box_swap },
                  .mutants = { { "box_load:load_acquire(&box.held)", MUTATE_RELAX },
                               { "weir_box_store_type:exchange_seq(&b->held)", MUTATE_RELAX },
                               { "weir_box_swap_type:exchange_seq(&b->held)", MUTATE_RELAX } } },
                { .name = "rules/pool", .setup = make_pool, .bound = 3,
                  .thread = { pool_put, pool_get },
                  .mutants = { { "word_take:cas_acquire(word)", MUTATE_RELAX },
                               { "word_drop:store_release(word)", MUTATE_RELAX } } },
                { .name = "rules/timer", .setup = make, .bound = 3,
                  .thread = { timer_start, timer_run },
                  .mutants = { { "lock_take:cas_acquire(&l->word)", MUTATE_RELAX },
                               { "lock_drop:store_release(&l->word)", MUTATE_RELAX } } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
