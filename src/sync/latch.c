/* Latch and barrier: goroutines that wait for a number of others.
 *
 * What    A latch opens once its count has come to 0, and stays open. A barrier lets n goroutines
 *         go on once all of them have come, and closes again behind them.
 * States  Latch: who brings the count to 0 takes all out of the line at once, with the lock; nobody
 *         touches the latch after that but who comes later.
 *         Barrier: the generation is over when the last one comes; it takes all others out and sets
 *         the number of those who wait to 0 in the same moment. One whose deadline came first is
 *         not counted any more.
 * Locks   a word each.
 * Cost    An open latch: a load. */
#include "sync/sync.h"

struct latch {
        uint64_t    count;              /* atomic; lock: own. First: WEIR_LATCH sets it */
        uint32_t    lock;
        uint32_t    place;              /* for check_place */
        struct line line;               /* lock: own */
};

struct barrier {
        uint64_t    n;                  /* const. First: WEIR_BARRIER sets it */
        uint32_t    lock;
        uint32_t    place;              /* for check_place */
        uint64_t    here;               /* lock: own */
        uint64_t    generation;         /* atomic; lock: own */
        struct line line;               /* lock: own */
};

_Static_assert(sizeof(struct latch) <= sizeof(weir_latch), "weir_latch is too small");
_Static_assert(sizeof(struct barrier) <= sizeof(weir_barrier), "weir_barrier is too small");

static struct waiting *take_all(struct line *l)
{
        struct waiting *w, *first = NULL, **end = &first;

        while ((w = weir__line_take(l))) {
                w->next = NULL;
                *end = w;
                end = &w->next;
        }
        return first;
}

static void ready_all(struct waiting *w)
{
        for (struct waiting *next; w; w = next) {
                next = w->next;         /* it is its goroutine's again once that is ready */
                weir__sched_ready(w->g);
        }
}

/* ---- latch ---- */

void weir_latch_down(weir_latch *pub, uint64_t n)
{
        struct latch   *l = (struct latch *)(void *)pub;
        struct waiting *all = NULL;
        uint64_t        count;

        weir__sched_need_g("weir_latch_down");
        check_place(l, &l->place, "latch");
        word_take(&l->lock);
        count = l->count;
        if (likely(n <= count))
                store_release(&l->count, count - n);    /* pairs with the acquire in is_open */
        if (n && n == count)
                all = take_all(&l->line);
        word_drop(&l->lock);
        if (unlikely(n > count))
                weir__panic("latch %p: negative counter (%llu, taking %llu)", (void *)pub,
                            (unsigned long long)count, (unsigned long long)n);
        ready_all(all);
}

static inline bool is_open(struct latch *l)
{
        return !load_acquire(&l->count);                /* pairs with the release of the last */
}

static bool await_latch(struct latch *l, struct g *g, int64_t deadline)
{
        struct waiting w = { .g = g };

        check_place(l, &l->place, "latch");
        word_take(&l->lock);
        if (is_open(l)) {
                word_drop(&l->lock);
                return true;
        }
        if (deadline != NO_DEADLINE && weir__sched_now() >= deadline) {
                word_drop(&l->lock);
                return false;
        }
        return weir__line_wait(&l->line, &l->lock, &w, WHY_LATCH, l, deadline);
}

void weir_latch_wait(weir_latch *pub)
{
        struct latch *l = (struct latch *)(void *)pub;

        if (!is_open(l)) {
                await_latch(l, weir__sched_need_g("weir_latch_wait"), NO_DEADLINE);
                keep_frame();
        }
}

int weir_latch_wait_until(weir_latch *pub, weir_time deadline)
{
        struct latch *l = (struct latch *)(void *)pub;
        bool          open = is_open(l);

        if (!open) {
                open = await_latch(l, weir__sched_need_g("weir_latch_wait_until"), deadline);
                keep_frame();
        }
        return open ? 0 : WEIR_ETIMEOUT;
}

uint64_t weir_latch_count(const weir_latch *pub)
{
        return load_acquire(&((const struct latch *)(const void *)pub)->count);
}

/* ---- barrier ---- */

/* 1: the caller was the last; 0: another was; negative: the deadline. */
static int arrive(struct barrier *b, struct g *g, int64_t deadline)
{
        struct waiting  w = { .g = g };
        struct waiting *all;

        check_place(b, &b->place, "barrier");
        word_take(&b->lock);
        if (unlikely(!b->n)) {
                word_drop(&b->lock);
                weir__panic("barrier %p is for no goroutines: WEIR_BARRIER(n) says how many",
                            (void *)b);
        }
        if (b->here + 1 == b->n) {
                b->here = 0;
                store_relaxed(&b->generation, b->generation + 1);
                all = take_all(&b->line);
                word_drop(&b->lock);
                ready_all(all);
                return 1;
        }
        if (deadline != NO_DEADLINE && weir__sched_now() >= deadline) {
                word_drop(&b->lock);
                return WEIR_ETIMEOUT;
        }
        b->here++;
        w.wants = b->generation;
        if (weir__line_wait(&b->line, &b->lock, &w, WHY_BARRIER, b, deadline))
                return 0;
        word_take(&b->lock);
        if (likely(b->generation == w.wants))
                b->here--;
        else
                w.woken = true;         /* after the deadline had taken it out the last one came */
        word_drop(&b->lock);
        return w.woken ? 0 : WEIR_ETIMEOUT;
}

bool weir_barrier_wait(weir_barrier *pub)
{
        bool last = arrive((struct barrier *)(void *)pub, weir__sched_need_g("weir_barrier_wait"),
                           NO_DEADLINE);

        keep_frame();
        return last;
}

int weir_barrier_wait_until(weir_barrier *pub, weir_time deadline)
{
        int r = arrive((struct barrier *)(void *)pub,
                       weir__sched_need_g("weir_barrier_wait_until"), deadline);

        keep_frame();
        return r;
}

uint64_t weir_barrier_generation(const weir_barrier *pub)
{
        return load_relaxed(&((const struct barrier *)(const void *)pub)->generation);
}
