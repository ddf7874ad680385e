/* Contexts: making them, ending them, asking them. How an end travels is in tree.c.
 *
 * What    Every call that derives a context makes one object of its own, with an end of its own:
 *         who cancels what it derived ends that and what was derived from it, never what it was
 *         given.
 * Shape   values: a chain of its own through those contexts that carry one, so that a lookup passes
 *         over all others.
 * Cost    A lookup: a load and a comparison per context with a value.
 * Not     A value context that shares its parent's end (Go): a cancel there would have to end the
 *         parent, which belongs to somebody else, or to be refused. */
#include "ctx/ctx.h"
#include "base/debug.h"
#include "gc/gc.h"
#include "mem/mem.h"
#include <weir/ctx.h>

WEIR_TYPE(weir_ctx, values, key, value, parent, end, afters, children, next, prev);

static uint64_t deepest;        /* atomic */

static void note_depth(uint32_t depth)
{
        uint64_t seen = load_relaxed(&deepest);

        while (unlikely(depth > seen) && !cas_relaxed(&deepest, &seen, (uint64_t)depth))
                ;
}

static uint64_t gauge_depth(void)
{
        return load_relaxed(&deepest);
}

static __attribute__((constructor)) void fill_gauges(void)
{
        weir__gauge_set(GAUGE_ctx_depth, gauge_depth);
}

/* What is derived from above (checked; NULL: the background), and ends with parent. */
static weir_ctx *derive(weir_ctx *above, weir_ctx *parent)
{
        weir_ctx *c = weir_gc_alloc(&weir_type_weir_ctx, 1);

        lock_init(&c->lock, ctx);
        c->magic = CTX_MAGIC;
        c->deadline = parent ? parent->deadline : CTX_NEVER;
        c->depth = above ? above->depth + 1 : 1;
        if (above && (above->key || above->values))
                weir_set(c->values, above->key ? above : above->values);
        if (parent)
                weir_set(c->parent, parent);
        note_depth(c->depth);
        weir__count(ctx_made, 1);
        return c;
}

static inline void note(weir_ctx *c, const void *site)
{
        if (unlikely(weir__debug.ctxtrace))
                weir__ctx_note(c, site);
}

weir_ctx *weir_ctx_with_cancel(weir_ctx *parent)
{
        weir_ctx *c;

        weir__sched_need_g("weir_ctx_with_cancel");
        parent = weir__ctx_check(parent, "weir_ctx_with_cancel");
        c = derive(parent, parent);
        note(c, __builtin_return_address(0));
        return c;
}

static weir_ctx *with_deadline(weir_ctx *parent, int64_t when, int64_t now)
{
        weir_ctx *c = derive(parent, parent);

        if (when < c->deadline) {
                c->deadline = when;
                c->timed = true;
        }
        if (when <= now)
                weir__ctx_finish(c, &weir__ctx_passed);         /* or why its parent has ended */
        return c;
}

weir_ctx *weir_ctx_with_deadline(weir_ctx *parent, weir_time when)
{
        weir_ctx *c;

        weir__sched_need_g("weir_ctx_with_deadline");
        parent = weir__ctx_check(parent, "weir_ctx_with_deadline");
        c = with_deadline(parent, when, weir__sched_now());
        note(c, __builtin_return_address(0));
        return c;
}

weir_ctx *weir_ctx_with_timeout(weir_ctx *parent, weir_duration d)
{
        weir_ctx *c;
        int64_t   now = weir__sched_now(), when;

        weir__sched_need_g("weir_ctx_with_timeout");
        parent = weir__ctx_check(parent, "weir_ctx_with_timeout");
        if (__builtin_add_overflow(now, MAX(d, INT64_C(0)), &when))
                when = CTX_NEVER - 1;
        c = with_deadline(parent, when, now);
        note(c, __builtin_return_address(0));
        return c;
}

weir_ctx *weir_ctx_with_timeout_margin(weir_ctx *parent, weir_duration margin)
{
        weir_ctx *c;
        int64_t   when = CTX_NEVER;

        weir__sched_need_g("weir_ctx_with_timeout_margin");
        parent = weir__ctx_check(parent, "weir_ctx_with_timeout_margin");
        if (parent && parent->deadline != CTX_NEVER &&
            __builtin_sub_overflow(parent->deadline, MAX(margin, INT64_C(0)), &when))
                when = INT64_MIN;
        c = with_deadline(parent, when, weir__sched_now());
        note(c, __builtin_return_address(0));
        return c;
}

weir_ctx *weir_ctx_with_value(weir_ctx *parent, const void *key, void *value)
{
        weir_ctx *c;

        weir__sched_need_g("weir_ctx_with_value");
        if (!key)
                weir__panic("weir_ctx_with_value: the key is NULL; a key is the address of a "
                            "variable of your own");
        parent = weir__ctx_check(parent, "weir_ctx_with_value");
        c = derive(parent, parent);
        weir_set(c->key, key);
        weir_set(c->value, value);
        if (unlikely(weir__debug.ctxtrace))
                weir__ctx_note_value(c, __builtin_return_address(0));
        return c;
}

weir_ctx *weir_ctx_without_cancel(weir_ctx *parent)
{
        weir__sched_need_g("weir_ctx_without_cancel");
        return derive(weir__ctx_check(parent, "weir_ctx_without_cancel"), NULL);
}

/* ---- ending ---- */

static weir_ctx *to_cancel(weir_ctx *ctx, const char *call)
{
        weir__sched_need_g(call);
        if (ctx && ctx == weir_ctx_background())
                weir__panic("%s: the background is never cancelled", call);
        return weir__ctx_check(ctx, call);
}

void weir_ctx_cancel(weir_ctx *ctx)
{
        ctx = to_cancel(ctx, "weir_ctx_cancel");
        if (ctx)
                weir__ctx_finish(ctx, &weir__ctx_canceled);
}

void weir_ctx_cancel_cause(weir_ctx *ctx, int cause, const char *message)
{
        struct ctx_end *e;
        size_t          n = message ? strlen(message) : 0;

        ctx = to_cancel(ctx, "weir_ctx_cancel_cause");
        if (!ctx || load_acquire(&ctx->end))
                return;
        e = weir__gc_new(MEM_NOSCAN, sizeof *e + n + 1);
        e->err = WEIR_ECANCELED;
        e->cause = cause ? cause : WEIR_ECANCELED;
        if (n)
                memcpy(e->message, message, n);
        weir__ctx_finish(ctx, e);
}

/* ---- asking ---- */

int weir_ctx_err(const weir_ctx *ctx)
{
        weir_ctx             *c = weir__ctx_check(ctx, "weir_ctx_err");
        const struct ctx_end *e = c ? weir__ctx_look(c) : NULL;

        return e ? e->err : 0;
}

int weir_ctx_cause(const weir_ctx *ctx, const char **ret_message)
{
        weir_ctx             *c = weir__ctx_check(ctx, "weir_ctx_cause");
        const struct ctx_end *e = c ? weir__ctx_look(c) : NULL;

        if (!e)
                return 0;
        if (ret_message)
                *ret_message = e->message[0] ? e->message : weir_strerror(e->cause);
        return e->cause;
}

bool weir_ctx_deadline(const weir_ctx *ctx, weir_time *ret)
{
        weir_ctx *c = weir__ctx_check(ctx, "weir_ctx_deadline");

        if (!c || c->deadline == CTX_NEVER)
                return false;
        if (ret)
                *ret = c->deadline;
        return true;
}

void *weir_ctx_value(const weir_ctx *ctx, const void *key)
{
        for (const weir_ctx *c = weir__ctx_check(ctx, "weir_ctx_value"); c; c = c->values)
                if (c->key == key)
                        return key ? c->value : NULL;
        return NULL;
}

unsigned weir_ctx_depth(const weir_ctx *ctx)
{
        const weir_ctx *c = weir__ctx_check(ctx, "weir_ctx_depth");

        return c ? c->depth : 0;
}

/* ---- waiting ---- */

int weir_ctx_wait(weir_ctx *ctx)
{
        int r;

        weir__sched_need_g("weir_ctx_wait");
        r = weir__ctx_park(weir__ctx_check(ctx, "weir_ctx_wait"), CTX_NEVER, WHY_CTX);
        keep_frame();
        return r;
}

int weir_ctx_sleep(weir_ctx *ctx, weir_duration d)
{
        const struct ctx_end *e;
        weir_ctx             *c;
        int                   r;

        weir__sched_need_g("weir_ctx_sleep");
        c = weir__ctx_check(ctx, "weir_ctx_sleep");
        e = c ? weir__ctx_look(c) : NULL;
        if (e || d <= 0)
                return e ? e->err : 0;
        r = weir__ctx_park(c, weir__time_after(d), WHY_SLEEP);
        keep_frame();
        return r;
}
