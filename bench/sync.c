/* What waits without channels costs; the mutex is in mutex.c.
 *
 * rwmutex_read       8 goroutines lock an rwmutex to read, and nobody writes.
 * rwmutex_writes_1   the same, but one lock in 100 is to write; _5, _20 and _50: so many.
 * mutex_for_all      what these do, with a mutex: below it the rwmutex pays.
 * rwmutex_writer     8 goroutines read without a pause; one op is one lock to write beside them.
 * once_done          a once that is done.
 * sema_uncontended   acquire and release a unit that is there.
 * cond_ping_pong     two goroutines wake each other by two conds of one mutex; one op is both.
 *
 * Fair: the twins use sync, context and, where Go's library has none (semaphore), a channel. */
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
