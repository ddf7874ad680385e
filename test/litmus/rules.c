/* The rules of docs/memory-model.md, one litmus test each: what was written before one side of a
 * rule is there after the other. Plain memory, so that the thread sanitizer looks as well.
 *
 *         build/bin/litmus [RULE...]      WEIR_LITMUS=N: each so often (10^5; make litmus: 10^8)
 *
 * A processor of x86 shows only some of the orders that a missing fence allows; the mutants of
 * test/model/rules.c are what proves that each rule's fence is needed. */
#include <weir.h>

#include <stdlib.h>
#include <string.h>

static void failed(const char *rule, uint64_t i, uint64_t seen)
{
        fprintf(stderr, "litmus: %s: at %llu %llu was there\n", rule, (unsigned long long)i,
                (unsigned long long)seen);
        abort();
}

#define expect(rule, i, seen) \
        do { \
                uint64_t seen_ = (seen); \
                if (seen_ != (i)) \
                        failed(rule, (i), seen_); \
        } while (0)

enum { RING = 64, CAP = 16, TURN = 8 };

/* ---- go: what a starter did comes before the goroutine ---- */

struct cell {
        uint64_t a, b;
};

weir_task(started, my, { struct cell *c; uint64_t i; weir_chan *back; })
{
        expect("go", my->i, my->c->a);
        my->c->b = my->i;
        weir_send(my->back, &my->i);
}

static void rule_go(uint64_t n)
{
        weir_chan  *back = weir_chan_make(uint64_t, 0);
        struct cell c = { 0, 0 };

        for (uint64_t i = 1; i <= n; i++) {
                uint64_t who;

                c.a = i;
                weir_go(started, .c = &c, .i = i, .back = back);
                weir_recv(back, &who);
                expect("go", i, c.b);
        }
}

/* ---- channels ---- */

weir_task(produce, my, { uint64_t *ring; weir_chan *c; uint64_t n; })
{
        for (uint64_t i = 1; i <= my->n; i++) {
                my->ring[i % RING] = i;
                weir_send(my->c, &i);
        }
        my->ring[0] = my->n;
        weir_chan_close(my->c);
}

/* Send before receive; close before the receive that says so. With CAP < RING it is also what keeps
 * the producer from overwriting what is still read: the k-th receive before the k+CAP-th send. */
static void stream(const char *rule, uint64_t n, size_t cap)
{
        uint64_t   ring[RING] = { 0 }, i = 0;
        weir_chan *c = weir_chan_make(uint64_t, cap);

        weir_go(produce, .ring = ring, .c = c, .n = n);
        while (weir_recv(c, &i))
                expect(rule, i, ring[i % RING]);
        expect("close", n, ring[0]);
}

static void rule_send(uint64_t n)
{
        stream("send", n, 0);
}

static void rule_kth_receive(uint64_t n)
{
        stream("kth_receive", n, CAP);
}

/* Without a buffer the receive comes before the end of the send. */
weir_task(receive, my, { uint64_t *x; weir_chan *c; uint64_t n; })
{
        for (uint64_t i = 1; i <= my->n; i++) {
                uint64_t v;

                *my->x = i;
                weir_recv(my->c, &v);
                weir_recv(my->c, &v);
        }
}

static void rule_receive(uint64_t n)
{
        static uint64_t x;
        weir_chan      *c = weir_chan_make(uint64_t, 0);

        weir_go(receive, .x = &x, .c = c, .n = n);
        for (uint64_t i = 1; i <= n; i++) {
                weir_send(c, &i);
                expect("receive", i, x);
                weir_send(c, &i);
        }
}

static void rule_close(uint64_t n)
{
        for (uint64_t i = 0; i < n; i++)
                stream("close", 1, 1);
}

/* ---- mutex, rwmutex ---- */

struct guarded {
        weir_mutex   m;
        weir_rwmutex rw;
        uint64_t     a, b;
        struct cell  read_by[2];        /* each reader's own, written with the read lock */
};

weir_task(lock_it, my, { weir_wg *wg; struct guarded *g; uint64_t n; })
{
        struct guarded *g = my->g;

        for (uint64_t i = 0; i < my->n; i++) {
                weir_mutex_lock(&g->m);
                expect("mutex", g->a, g->b);
                g->a++;
                g->b++;
                weir_mutex_unlock(&g->m);
        }
        weir_wg_done(my->wg);
}

static void rule_mutex(uint64_t n)
{
        struct guarded g = { .a = 0 };
        weir_wg        wg = { 0 };

        weir_wg_add(&wg, 2);
        weir_go(lock_it, .wg = &wg, .g = &g, .n = n / 2);
        weir_go(lock_it, .wg = &wg, .g = &g, .n = n / 2);
        weir_wg_wait(&wg);
        expect("mutex", n / 2 * 2, g.a);
}

/* A reader sees what the last writer did; a writer that, and what those who read before it did. */
weir_task(read_it, my, { weir_wg *wg; struct guarded *g; uint64_t n; uint64_t every; int me; })
{
        struct guarded *g = my->g;
        struct cell    *own = &g->read_by[my->me];

        for (uint64_t i = 1; i <= my->n; i++)
                if (i % my->every) {
                        weir_rwmutex_rlock(&g->rw);
                        expect("rwmutex", g->a, g->b);
                        own->a = i;
                        own->b = i;
                        weir_rwmutex_runlock(&g->rw);
                } else {
                        weir_rwmutex_lock(&g->rw);
                        expect("rwmutex", g->a, g->b);
                        expect("rwmutex", g->read_by[0].a, g->read_by[0].b);
                        expect("rwmutex", g->read_by[1].a, g->read_by[1].b);
                        g->a++;
                        g->b++;
                        weir_rwmutex_unlock(&g->rw);
                }
        weir_wg_done(my->wg);
}

static void rule_rwmutex(uint64_t n)
{
        static const uint64_t every[] = { 2, 10, 1000, 1000000 };

        for (int i = 0; i < 4; i++) {
                struct guarded g = { .a = 0 };
                weir_wg        wg = { 0 };

                weir_wg_add(&wg, 2);
                weir_go(read_it, .wg = &wg, .g = &g, .n = n / 8, .every = every[i], .me = 0);
                weir_go(read_it, .wg = &wg, .g = &g, .n = n / 8, .every = every[i], .me = 1);
                weir_wg_wait(&wg);
        }
}

/* ---- two that meet for each turn, and what they meet by ---- */

struct turn {
        weir_barrier barrier;
        weir_once    once[RING];
        weir_wg      wg[RING];
        weir_latch   latch[RING];
        weir_box     box;
        uint64_t     data[RING];
        uint64_t     who[2];
};

struct write_arg {
        struct turn *t;
        uint64_t     i;
};

static void write_once(void *arg)
{
        struct write_arg *w = arg;

        w->t->data[w->i % RING] = w->i;
}

weir_task(once_for_each, my, { weir_wg *wg; struct turn *t; uint64_t n; })
{
        struct turn *t = my->t;

        for (uint64_t from = 0; from < my->n; from += RING) {
                for (uint64_t i = from; i < from + RING; i++) {
                        struct write_arg w = { t, i };

                        weir_once_do(&t->once[i % RING], write_once, &w);
                        expect("once", i, t->data[i % RING]);
                }
                if (weir_barrier_wait(&t->barrier))
                        memset(t->once, 0, sizeof t->once);
                weir_barrier_wait(&t->barrier);
        }
        weir_wg_done(my->wg);
}

static struct turn *two(void (*start)(weir_wg *wg, struct turn *t, uint64_t n), uint64_t n)
{
        struct turn *t = calloc(1, sizeof *t);
        weir_wg      wg = { 0 };

        if (!t)
                abort();
        t->barrier = (weir_barrier)WEIR_BARRIER(2);
        weir_wg_add(&wg, 2);
        start(&wg, t, n);
        weir_wg_wait(&wg);
        return t;
}

static void start_once(weir_wg *wg, struct turn *t, uint64_t n)
{
        weir_go(once_for_each, .wg = wg, .t = t, .n = n);
        weir_go(once_for_each, .wg = wg, .t = t, .n = n);
}

static void rule_once(uint64_t n)
{
        free(two(start_once, n));
}

weir_task(wg_write, my, { weir_wg *wg; struct turn *t; uint64_t n; bool latch; })
{
        struct turn *t = my->t;

        for (uint64_t from = 0; from < my->n; from += RING) {
                weir_barrier_wait(&t->barrier);
                for (uint64_t i = from; i < from + RING; i++) {
                        t->data[i % RING] = i;
                        if (my->latch)
                                weir_latch_down(&t->latch[i % RING], 1);
                        else
                                weir_wg_done(&t->wg[i % RING]);
                }
                weir_barrier_wait(&t->barrier);
        }
        weir_wg_done(my->wg);
}

weir_task(wg_read, my, { weir_wg *wg; struct turn *t; uint64_t n; bool latch; })
{
        struct turn *t = my->t;

        for (uint64_t from = 0; from < my->n; from += RING) {
                for (int k = 0; k < RING; k++) {
                        weir_wg_add(&t->wg[k], 1);
                        t->latch[k] = (weir_latch)WEIR_LATCH(1);
                }
                weir_barrier_wait(&t->barrier);
                for (uint64_t i = from; i < from + RING; i++) {
                        if (my->latch) {
                                weir_latch_wait(&t->latch[i % RING]);
                                weir_wg_done(&t->wg[i % RING]);
                        } else {
                                weir_wg_wait(&t->wg[i % RING]);
                        }
                        expect("wg or latch", i, t->data[i % RING]);
                }
                weir_barrier_wait(&t->barrier);
        }
        weir_wg_done(my->wg);
}

static void start_wg(weir_wg *wg, struct turn *t, uint64_t n)
{
        weir_go(wg_write, .wg = wg, .t = t, .n = n, .latch = false);
        weir_go(wg_read, .wg = wg, .t = t, .n = n, .latch = false);
}

static void start_latch(weir_wg *wg, struct turn *t, uint64_t n)
{
        weir_go(wg_write, .wg = wg, .t = t, .n = n, .latch = true);
        weir_go(wg_read, .wg = wg, .t = t, .n = n, .latch = true);
}

static void rule_wg(uint64_t n)
{
        free(two(start_wg, n));
}

static void rule_latch(uint64_t n)
{
        free(two(start_latch, n));
}

weir_task(barrier_turns, my, { weir_wg *wg; struct turn *t; uint64_t n; int me; })
{
        for (uint64_t i = 1; i <= my->n; i++) {
                my->t->who[my->me] = i;
                weir_barrier_wait(&my->t->barrier);
                expect("barrier", i, my->t->who[!my->me]);
                weir_barrier_wait(&my->t->barrier);
        }
        weir_wg_done(my->wg);
}

static void start_barrier(weir_wg *wg, struct turn *t, uint64_t n)
{
        weir_go(barrier_turns, .wg = wg, .t = t, .n = n, .me = 0);
        weir_go(barrier_turns, .wg = wg, .t = t, .n = n, .me = 1);
}

static void rule_barrier(uint64_t n)
{
        free(two(start_barrier, n));
}

/* ---- semaphores and conds: a ring with places and elements ---- */

struct ring {
        weir_sema  free, full;
        weir_mutex m;
        weir_cond  c;
        uint64_t   at, seen;            /* lock: m */
        uint64_t   data[RING];
};

weir_task(release, my, { struct ring *r; uint64_t n; })
{
        for (uint64_t i = 1; i <= my->n; i++) {
                weir_sema_acquire(&my->r->free, 1);
                my->r->data[i % RING] = i;
                weir_sema_release(&my->r->full, 1);
        }
}

static void rule_sema(uint64_t n)
{
        struct ring *r = calloc(1, sizeof *r);

        if (!r)
                abort();
        r->free = (weir_sema)WEIR_SEMA(RING);
        weir_go(release, .r = r, .n = n);
        for (uint64_t i = 1; i <= n; i++) {
                weir_sema_acquire(&r->full, 1);
                expect("sema", i, r->data[i % RING]);
                weir_sema_release(&r->free, 1);
        }
        /* Not freed: the other one may still be in its last release. */
}

weir_task(signal_it, my, { struct ring *r; uint64_t n; })
{
        struct ring *r = my->r;

        for (uint64_t i = 1; i <= my->n; i++) {
                weir_mutex_lock(&r->m);
                while (i - r->seen > RING)
                        weir_cond_wait(&r->c, &r->m);
                r->data[i % RING] = i;
                r->at = i;
                weir_mutex_unlock(&r->m);
                weir_cond_signal(&r->c);
        }
}

static void rule_cond(uint64_t n)
{
        struct ring *r = calloc(1, sizeof *r);

        if (!r)
                abort();
        weir_go(signal_it, .r = r, .n = n);
        for (uint64_t i = 1; i <= n; i++) {
                weir_mutex_lock(&r->m);
                while (r->at < i)
                        weir_cond_wait(&r->c, &r->m);
                expect("cond", i, r->data[i % RING]);
                r->seen = i;
                weir_mutex_unlock(&r->m);
                weir_cond_signal(&r->c);
        }
}

/* ---- pool, box, map, atomics ---- */

static void *make_cell(void *arg)
{
        (void)arg;
        return calloc(1, sizeof(struct cell));
}

static weir_pool cells = { .make = make_cell };

/* More than a processor keeps for itself. */
weir_task(use_pool, my, { weir_wg *wg; uint64_t n; uint64_t seed; })
{
        struct cell *mine[48];

        for (uint64_t i = 0; i < my->n; i += 48) {
                for (int k = 0; k < 48; k++) {
                        mine[k] = weir_pool_get(&cells);
                        expect("pool", mine[k]->a, mine[k]->b);
                        mine[k]->a = mine[k]->b = i ^ my->seed;
                }
                for (int k = 0; k < 48; k++)
                        weir_pool_put(&cells, mine[k]);
        }
        weir_wg_done(my->wg);
}

static void rule_pool(uint64_t n)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 2);
        weir_go(use_pool, .wg = &wg, .n = n / 2, .seed = 1);
        weir_go(use_pool, .wg = &wg, .n = n / 2, .seed = UINT64_MAX);
        weir_wg_wait(&wg);
}

typedef struct pair {
        uint64_t a, b;
} pair;
WEIR_TYPE_PLAIN(pair);

/* Until enough of what was stored was found: who loads does not see each. */
weir_task(store_box, my, { weir_wg *wg; weir_box *box; uint64_t *over; bool lone; })
{
        for (uint64_t i = 1; !__atomic_load_n(my->over, __ATOMIC_RELAXED); i++) {
                pair *p = weir_new(pair);

                p->a = i;
                p->b = ~i;
                weir_box_store(my->box, pair, p);
                if (i % TURN == 0 && my->lone)
                        weir_yield();           /* the other one's turn */
        }
        weir_wg_done(my->wg);
}

static void rule_box(uint64_t n)
{
        static weir_box box;
        weir_wg         wg = { 0 };
        uint64_t        last = 0, found = 0, over = 0;

        weir_wg_add(&wg, 1);
        weir_go(store_box, .wg = &wg, .box = &box, .over = &over, .lone = weir_procs(0) == 1);
        while (found < n) {
                pair *p = weir_box_load(&box, pair);

                if (!p || p->a == last) {
                        weir_yield();
                        continue;
                }
                expect("box", ~p->a, p->b);
                if (p->a < last)
                        failed("box", last, p->a);
                last = p->a;
                found++;
        }
        __atomic_store_n(&over, 1, __ATOMIC_RELAXED);
        weir_wg_wait(&wg);
        memset(&box, 0, sizeof box);
}

weir_task(put_map, my, { weir_cmap *m; uint64_t *ring; uint64_t n; bool lone; })
{
        for (uint64_t i = 1; i <= my->n; i++) {
                my->ring[i % my->n] = i;
                weir_cmap_put(my->m, &(uint64_t){ i % 1000 }, &i);
                if (i % TURN == 0 && my->lone)
                        weir_yield();
        }
}

/* What was found says how far the other one was; not each value is. */
static void rule_cmap(uint64_t n)
{
        uint64_t   some = n < 1000000 ? n : 1000000;
        uint64_t  *ring = calloc(some, sizeof *ring);

        if (!ring)
                abort();
        for (uint64_t found = 0; found < n;) {
                weir_cmap *m = weir_cmap_make(uint64_t, uint64_t, 0);
                uint64_t   last = 0, v;

                memset(ring, 0, some * sizeof *ring);
                weir_go(put_map, .m = m, .ring = ring, .n = some, .lone = weir_procs(0) == 1);
                while (last < some) {
                        if (!weir_cmap_get(m, &(uint64_t){ (last + 1) % 1000 }, &v) || v <= last) {
                                weir_yield();
                                continue;
                        }
                        expect("cmap", v, ring[v % some]);
                        last = v;
                        found++;
                }
        }
        free(ring);
}

weir_task(publish, my, { uint64_t *ring; uint64_t *at, *seen; uint64_t n; })
{
        for (uint64_t i = 1; i <= my->n; i++) {
                while (i - __atomic_load_n(my->seen, __ATOMIC_ACQUIRE) > RING)
                        weir_yield();
                my->ring[i % RING] = i;
                __atomic_store_n(my->at, i, __ATOMIC_RELEASE);
        }
}

static void rule_atomic(uint64_t n)
{
        static uint64_t ring[RING], at, seen;

        __atomic_store_n(&at, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&seen, 0, __ATOMIC_RELAXED);
        weir_go(publish, .ring = ring, .at = &at, .seen = &seen, .n = n);
        for (uint64_t i = 1; i <= n; i++) {
                while (__atomic_load_n(&at, __ATOMIC_ACQUIRE) < i)
                        weir_yield();
                expect("atomic", i, ring[i % RING]);
                __atomic_store_n(&seen, i, __ATOMIC_RELEASE);
        }
}

/* ---- timers, finalizers ---- */

struct shot {
        uint64_t   data;
        weir_chan *back;
};

static void fire(void *arg)
{
        struct shot *s = arg;

        weir_chan_send(s->back, &s->data, sizeof s->data);
}

static void rule_timer(uint64_t n)
{
        struct shot s = { .back = weir_chan_make(uint64_t, 1) };

        for (uint64_t i = 1; i <= n; i++) {
                uint64_t v;

                s.data = i;
                weir_timer_start(0, 0, fire, &s);
                weir_recv(s.back, &v);
                expect("timer", i, v);
        }
}

static uint64_t finalized, wrong;       /* atomic */

static void finalize(void *obj)
{
        pair *p = obj;

        if (p->a != ~p->b)
                __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&finalized, 1, __ATOMIC_RELAXED);
}

weir_task(die, my, { weir_wg *wg; uint64_t n; })
{
        for (uint64_t i = 0; i < my->n; i++) {
                pair *p = weir_new(pair);

                weir_gc_finalize(p, finalize);
                p->a = i;
                p->b = ~i;
        }
        weir_wg_done(my->wg);
}

/* Until so many have died and were seen off, if anything is collected: with another malloc not. */
static void rule_finalizer(uint64_t n)
{
        uint64_t       some = n < 1000000 ? n : 1000000;
        uint64_t       end = __atomic_load_n(&finalized, __ATOMIC_RELAXED) + n;
        weir_mem_stats stats;

        do {
                weir_wg wg = { 0 };

                weir_wg_add(&wg, 2);
                weir_go(die, .wg = &wg, .n = some / 2);
                weir_go(die, .wg = &wg, .n = some / 2);
                weir_wg_wait(&wg);
                weir_gc_run();
                weir_yield();
                weir_mem_read(&stats);
        } while (n > 1000 && stats.gc_cycles &&
                 __atomic_load_n(&finalized, __ATOMIC_RELAXED) < end);
        expect("finalizer", 0, __atomic_load_n(&wrong, __ATOMIC_RELAXED));
}

/* ---- ctx: what was done before a cancel comes before who waits for the end, or finds it ---- */

weir_task(cancel_each, my, { uint64_t *x; weir_chan *c; })
{
        weir_ctx *ctx;

        for (uint64_t i = 1; weir_recv(my->c, &ctx); i++) {
                *my->x = i;
                weir_ctx_cancel(ctx);
        }
}

static void rule_ctx(uint64_t n)
{
        weir_chan      *c = weir_chan_make(weir_ctx *, 0);
        static uint64_t x;

        weir_go(cancel_each, .x = &x, .c = c);
        for (uint64_t i = 1; i <= n; i++) {
                weir_ctx *top = weir_ctx_with_cancel(NULL), *below = weir_ctx_with_cancel(top);

                weir_send(c, &top);
                if (i % 2)
                        weir_ctx_wait(below);
                while (!weir_ctx_err(below))
                        weir_yield();
                expect("ctx", i, x);
        }
        weir_chan_close(c);
}

/* ---- all ---- */

static const struct {
        const char *name;
        void      (*run)(uint64_t n);
} rules[] = {
        { "go", rule_go },
        { "send", rule_send },
        { "receive", rule_receive },
        { "kth_receive", rule_kth_receive },
        { "close", rule_close },
        { "mutex", rule_mutex },
        { "rwmutex", rule_rwmutex },
        { "once", rule_once },
        { "wg", rule_wg },
        { "latch", rule_latch },
        { "barrier", rule_barrier },
        { "sema", rule_sema },
        { "cond", rule_cond },
        { "pool", rule_pool },
        { "box", rule_box },
        { "cmap", rule_cmap },
        { "atomic", rule_atomic },
        { "timer", rule_timer },
        { "finalizer", rule_finalizer },
        { "ctx", rule_ctx },
};

WEIR_MAIN(argc, argv)
{
        const char *times = getenv("WEIR_LITMUS");
        uint64_t    n = times ? strtoull(times, NULL, 10) : 100000;

        for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
                bool      wanted = argc < 2;
                weir_time start = weir_now();

                for (int k = 1; k < argc; k++)
                        wanted |= !strcmp(argv[k], rules[i].name);
                if (!wanted)
                        continue;
                rules[i].run(n);
                printf("%-12s %11llu times, %7.1f s\n", rules[i].name, (unsigned long long)n,
                       (double)(weir_now() - start) / 1e9);
                fflush(stdout);
        }
        return 0;
}
