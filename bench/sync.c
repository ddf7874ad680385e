/* What waits without channels costs; the mutex is in mutex.c.
 *
 * rwmutex_read       8 goroutines lock an rwmutex to read, and nobody writes.
 * rwmutex_writes_1   the same, but one lock in 100 is to write; _5, _20 and _50: so many.
 * mutex_for_all      what these do, with a mutex: below it the rwmutex pays.
 * rwmutex_writer     8 goroutines read without a pause; one op is one lock to write beside them.
 * once_done          a once that is done.
 * sema_uncontended   acquire and release a unit that is there.
 * cond_ping_pong     two goroutines wake each other by two conds of one mutex; one op is both.
 * pool_get_put       takes an object from a pool and puts it back.
 * pool_8way          8 goroutines do that, and keep four objects each.
 * box_load           loads from an atomic box (Go: atomic.Value with a type assertion).
 * cmap_read          8 goroutines read 1000 keys of a concurrent map (Go: sync.Map, keys boxed
 *                    beforehand).
 * cmap_read_large    the same of 1 000 000 keys.
 * cmap_mixed         the same of 1000, and each tenth operation puts.
 * cmap_put           8 goroutines put values of 1000 keys that are there.
 *
 * Fair: the twins use sync, context and, where Go's library has none (semaphore), a channel. Go's
 * sync.Map holds interfaces: a value that is no pointer is allocated by each Store. Here it is a
 * word in place, as in a map of Go's. */
#include "bench.h"

#include <inttypes.h>
#include <stdlib.h>

struct guarded {
        weir_rwmutex m;
        int64_t      count;             /* lock: m */
};

weir_task(use, my, { weir_wg *wg; struct guarded *s; int64_t n; int write_every; })
{
        struct guarded *s = my->s;
        int64_t         sum = 0;

        for (int64_t i = 0, n = my->n, left = my->write_every; i < n; i++) {
                if (my->write_every && !--left) {
                        left = my->write_every;
                        weir_rwmutex_lock(&s->m);
                        s->count++;
                        weir_rwmutex_unlock(&s->m);
                } else {
                        weir_rwmutex_rlock(&s->m);
                        sum += s->count;
                        weir_rwmutex_runlock(&s->m);
                }
        }
        if (sum < 0)
                abort();
        weir_wg_done(my->wg);
}

static void rwmutex(struct bench *b, int write_every)
{
        struct guarded *s = bench_alloc(1, sizeof *s);
        weir_wg         wg = { 0 };

        weir_wg_add(&wg, 8);
        for (int i = 0; i < 8; i++)
                weir_go(use, .wg = &wg, .s = s, .n = bench_share(b->n, i, 8),
                        .write_every = write_every);
        weir_wg_wait(&wg);
        free(s);
}

BENCH(rwmutex_read)
{
        rwmutex(b, 0);
}

BENCH(rwmutex_writes_1)
{
        rwmutex(b, 100);
}

BENCH(rwmutex_writes_5)
{
        rwmutex(b, 20);
}

BENCH(rwmutex_writes_20)
{
        rwmutex(b, 5);
}

BENCH(rwmutex_writes_50)
{
        rwmutex(b, 2);
}

struct plain {
        weir_mutex m;
        int64_t    count;               /* lock: m */
};

weir_task(use_plain, my, { weir_wg *wg; struct plain *s; int64_t n; })
{
        struct plain *s = my->s;
        int64_t       sum = 0;

        for (int64_t i = 0, n = my->n; i < n; i++) {
                weir_mutex_lock(&s->m);
                sum += s->count;
                weir_mutex_unlock(&s->m);
        }
        if (sum < 0)
                abort();
        weir_wg_done(my->wg);
}

BENCH(mutex_for_all)
{
        struct plain *s = bench_alloc(1, sizeof *s);
        weir_wg       wg = { 0 };

        weir_wg_add(&wg, 8);
        for (int i = 0; i < 8; i++)
                weir_go(use_plain, .wg = &wg, .s = s, .n = bench_share(b->n, i, 8));
        weir_wg_wait(&wg);
        free(s);
}

static uint32_t stop;           /* atomic */

weir_task(keep_reading, my, { weir_wg *wg; struct guarded *s; })
{
        int64_t sum = 0;

        while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
                weir_rwmutex_rlock(&my->s->m);
                sum += my->s->count;
                weir_rwmutex_runlock(&my->s->m);
        }
        if (sum < 0)
                abort();
        weir_wg_done(my->wg);
}

BENCH(rwmutex_writer)
{
        struct guarded *s = bench_alloc(1, sizeof *s);
        weir_wg         wg = { 0 };
        int64_t         worst = 0;

        __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
        weir_wg_add(&wg, 8);
        for (int i = 0; i < 8; i++)
                weir_go(keep_reading, .wg = &wg, .s = s);
        weir_yield();
        bench_timer_reset(b);
        for (int64_t i = 0; i < b->n; i++) {
                weir_time start = weir_now();

                weir_rwmutex_lock(&s->m);
                s->count++;
                weir_rwmutex_unlock(&s->m);
                if (weir_now() - start > worst)
                        worst = weir_now() - start;
        }
        bench_timer_stop(b);
        bench_metric(b, (double)worst, "worst-ns");
        __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
        weir_wg_wait(&wg);
        free(s);
}

static void nothing(void *arg)
{
        (void)arg;
}

BENCH(once_done)
{
        static weir_once once;

        for (int64_t i = 0; i < b->n; i++)
                weir_once_do(&once, nothing, NULL);
}

BENCH(sema_uncontended)
{
        weir_sema s = WEIR_SEMA(1);

        for (int64_t i = 0; i < b->n; i++) {
                weir_sema_acquire(&s, 1);
                weir_sema_release(&s, 1);
        }
}

struct table {
        weir_mutex m;
        weir_cond  ping, pong;
        int        turn;                /* lock: m */
};

weir_task(answer, my, { struct table *t; int64_t n; weir_wg *wg; })
{
        struct table *t = my->t;

        weir_mutex_lock(&t->m);
        for (int64_t i = 0; i < my->n; i++) {
                while (!t->turn)
                        weir_cond_wait(&t->ping, &t->m);
                t->turn = 0;
                weir_cond_signal(&t->pong);
        }
        weir_mutex_unlock(&t->m);
        weir_wg_done(my->wg);
}

BENCH(cond_ping_pong)
{
        struct table *t = bench_alloc(1, sizeof *t);
        weir_wg       wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(answer, .t = t, .n = b->n, .wg = &wg);
        weir_mutex_lock(&t->m);
        for (int64_t i = 0; i < b->n; i++) {
                t->turn = 1;
                weir_cond_signal(&t->ping);
                while (t->turn)
                        weir_cond_wait(&t->pong, &t->m);
        }
        weir_mutex_unlock(&t->m);
        weir_wg_wait(&wg);
        free(t);
}

struct buffer {
        uint64_t used;
        char     bytes[504];
};

static void *make_buffer(void *arg)
{
        (void)arg;
        return bench_alloc(1, sizeof(struct buffer));
}

static void free_buffer(void *obj, void *arg)
{
        (void)arg;
        free(obj);
}

static weir_pool buffers = { .make = make_buffer, .destroy = free_buffer };

BENCH(pool_get_put)
{
        for (int64_t i = 0; i < b->n; i++) {
                struct buffer *x = weir_pool_get(&buffers);

                x->used++;
                weir_pool_put(&buffers, x);
        }
}

weir_task(use_pool, my, { weir_wg *wg; int64_t n; })
{
        struct buffer *x[4];

        for (int64_t i = 0; i < my->n; i += 4) {
                for (int k = 0; k < 4; k++) {
                        x[k] = weir_pool_get(&buffers);
                        x[k]->used++;
                }
                for (int k = 0; k < 4; k++)
                        weir_pool_put(&buffers, x[k]);
        }
        weir_wg_done(my->wg);
}

BENCH(pool_8way)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 8);
        for (int i = 0; i < 8; i++)
                weir_go(use_pool, .wg = &wg, .n = bench_share(b->n, i, 8));
        weir_wg_wait(&wg);
}

typedef struct config {
        int64_t limit;
} config;
WEIR_TYPE_PLAIN(config);

static weir_box box;

BENCH(box_load)
{
        int64_t sum = 0;

        weir_box_store(&box, config, weir_new(config));
        for (int64_t i = 0; i < b->n; i++)
                sum += weir_box_load(&box, config)->limit;
        if (sum)
                abort();
}

static weir_cmap *cmap_of(uint64_t keys)
{
        weir_cmap *m = weir_cmap_make(uint64_t, uint64_t, 0);

        for (uint64_t k = 0; k < keys; k++)
                weir_cmap_put(m, &k, &k);
        return m;
}

weir_task(use_cmap, my, { weir_wg *wg; weir_cmap *m; uint64_t keys; int64_t n; int put_every; })
{
        uint64_t k = (uint64_t)my->n, v, mask = my->keys;
        int      left = my->put_every;

        for (int64_t i = 0, n = my->n; i < n; i++) {
                k = (k * 1103515245 + 12345) & 0x7fffffff;
                v = (k >> 8) % mask;
                if (my->put_every && !--left) {
                        left = my->put_every;
                        weir_cmap_put(my->m, &v, &v);
                } else if (!weir_cmap_get(my->m, &v, &v)) {
                        abort();
                }
        }
        weir_wg_done(my->wg);
}

static void cmap(struct bench *b, uint64_t keys, int put_every)
{
        weir_cmap *m = cmap_of(keys);
        weir_wg    wg = { 0 };

        bench_timer_reset(b);
        weir_wg_add(&wg, 8);
        for (int i = 0; i < 8; i++)
                weir_go(use_cmap, .wg = &wg, .m = m, .keys = keys, .n = bench_share(b->n, i, 8),
                        .put_every = put_every);
        weir_wg_wait(&wg);
        bench_timer_stop(b);
}

BENCH(cmap_read)
{
        cmap(b, 1000, 0);
}

BENCH(cmap_read_large)
{
        cmap(b, 1000000, 0);
}

BENCH(cmap_mixed)
{
        cmap(b, 1000, 10);
}

BENCH(cmap_put)
{
        cmap(b, 1000, 1);
}
