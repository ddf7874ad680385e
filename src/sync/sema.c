/* The weighted semaphore.
 *
 * What    A number of units, and a line of goroutines that want more than there are. First come,
 *         first served: who wants few waits behind who wants many, or the latter would starve.
 * States  Units are the semaphore's until a release finds enough of them for the first in line:
 *         they are that goroutine's before it runs.
 * Cost    Acquire and release without waiting: one locked instruction each. */
#include "sync/sync.h"
#include "ctx/ctx.h"

struct sema {
        uint64_t    units;              /* lock: own. First: WEIR_SEMA sets it */
        uint32_t    lock;
        uint32_t    place;              /* for check_place */
        struct line line;               /* lock: own */
};

_Static_assert(sizeof(struct sema) <= sizeof(weir_sema), "weir_sema is too small");

static inline struct sema *open_sema(weir_sema *s)
{
        return (struct sema *)(void *)s;
}

/* Gives units to the first in line, as far as there are enough; drops the lock. */
static void serve(struct sema *s)
{
        struct waiting *w, *first = NULL, **end = &first;

        while ((w = weir__line_first(&s->line)) && w->wants <= s->units) {
                s->units -= w->wants;
                weir__line_take(&s->line);
                *end = w;
                end = &w->next;
                w->next = NULL;
        }
        word_drop(&s->lock);
        while ((w = first)) {
                first = w->next;
                weir__sched_ready(w->g);
        }
}

static bool acquire(struct sema *s, uint64_t n, struct g *g, int64_t deadline)
{
        struct waiting w = { .g = g, .wants = n };

        check_place(s, &s->place, "semaphore");
        word_take(&s->lock);
        if (likely(!s->line.last && s->units >= n)) {
                s->units -= n;
                word_drop(&s->lock);
                return true;
        }
        if (deadline != NO_DEADLINE && weir__sched_now() >= deadline) {
                word_drop(&s->lock);
                return false;
        }
        if (weir__line_wait(&s->line, &s->lock, &w, WHY_SEMA, s, deadline))
                return true;
        word_take(&s->lock);            /* those behind may want less */
        serve(s);
        return false;
}

void weir_sema_acquire(weir_sema *s, uint64_t n)
{
        acquire(open_sema(s), n, weir__sched_need_g("weir_sema_acquire"), NO_DEADLINE);
        keep_frame();
}

int weir_sema_acquire_until(weir_sema *s, uint64_t n, weir_time deadline)
{
        struct g *g = weir__sched_need_g("weir_sema_acquire_until");
        bool      got = acquire(open_sema(s), n, g, deadline);

        keep_frame();
        return got ? 0 : WEIR_ETIMEOUT;
}

int weir_sema_acquire_ctx(weir_sema *pub, uint64_t n, weir_ctx *ctx)
{
        struct waiting        w = { .g = weir__sched_need_g("weir_sema_acquire_ctx"), .wants = n };
        struct sema          *s = open_sema(pub);
        weir_ctx             *c = weir__ctx_check(ctx, "weir_sema_acquire_ctx");
        const struct ctx_end *e;

        if (!c) {
                acquire(s, n, w.g, NO_DEADLINE);
                keep_frame();
                return 0;
        }
        check_place(s, &s->place, "semaphore");
        word_take(&s->lock);
        if (likely(!s->line.last && s->units >= n)) {
                s->units -= n;
                word_drop(&s->lock);
                return 0;
        }
        word_drop(&s->lock);
        if ((e = weir__ctx_look(c)))
                return e->err;
        word_take(&s->lock);
        if (!s->line.last && s->units >= n) {
                s->units -= n;
                word_drop(&s->lock);
                return 0;
        }
        if (weir__line_wait_ctx(&s->line, &s->lock, &w, WHY_SEMA, s, c))
                return 0;
        word_take(&s->lock);            /* those behind may want less */
        serve(s);
        return weir__ctx_look(c)->err;
}

bool weir_sema_try_acquire(weir_sema *pub, uint64_t n)
{
        struct sema *s = open_sema(pub);
        bool         got;

        weir__sched_need_g("weir_sema_try_acquire");
        check_place(s, &s->place, "semaphore");
        word_take(&s->lock);
        got = !s->line.last && s->units >= n;
        if (got)
                s->units -= n;
        word_drop(&s->lock);
        return got;
}

void weir_sema_release(weir_sema *pub, uint64_t n)
{
        struct sema *s = open_sema(pub);

        weir__sched_need_g("weir_sema_release");
        check_place(s, &s->place, "semaphore");
        word_take(&s->lock);
        if (unlikely(__builtin_add_overflow(s->units, n, &s->units))) {
                s->units -= n;
                word_drop(&s->lock);
                weir__panic("weir_sema_release: %llu more units than semaphore %p can count",
                            (unsigned long long)n, (void *)s);
        }
        serve(s);
}
