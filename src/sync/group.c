/* The group: goroutines that work on one thing, of which the first error counts.
 *
 * What    A wait group, a word for the first error, a semaphore when there is a limit, and a
 *         context that the first error cancels.
 * States  Of the error word: 0, then for ever the first error, by an exchange; who wins it cancels
 *         the context. A panic of a member is kept beside it, is an error like others, and goes on
 *         in who waits: there is somebody who may be ready for it.
 * Shape   A member's arguments stand behind a head that names group and function, in one copy at
 *         the top of its stack.
 * Order   The error word is stored before the member is done, and read after the wait for that.
 * Cost    A start and an end, of a wait group; the record of a weir_protect.
 * Not     Ending the program at the member's panic, as a lone goroutine's does: a request that
 *         protects itself would not be protected from what it starts. */
#include "ctx/ctx.h"
#include "gc/gc.h"
#include "mem/mem.h"
#include "sync/sync.h"
#include <weir/go.h>
#include <weir/group.h>

struct group {
        weir_ctx        *ctx;           /* const after init; NULL: none */
        weir_panic_info *panic;         /* atomic: of the first member that panicked */
        weir_wg          wg;
        weir_sema        places;        /* when there is a limit */
        uint64_t         limit;         /* const while members run; 0: none */
        int32_t          err;           /* atomic */
        uint32_t         place;         /* for check_place */
};

_Static_assert(sizeof(struct group) <= sizeof(weir_group), "weir_group is too small");
_Static_assert(offsetof(struct group, ctx) == offsetof(weir_group, ctx_) &&
               offsetof(struct group, panic) == offsetof(weir_group, panic_), "the named members");

struct head {
        struct group *group;
        int         (*fn)(void *args);
        int           result;
} __attribute__((aligned(16)));

static inline struct group *open_group(weir_group *g)
{
        return (struct group *)(void *)g;
}

weir_ctx *weir_group_init(weir_group *pub, weir_ctx *parent)
{
        struct group *g = open_group(pub);

        weir__sched_need_g("weir_group_init");
        weir_gc_write(&g->ctx, NULL);
        weir_gc_write(&g->panic, NULL);
        memset(&g->wg, 0, sizeof *g - offsetof(struct group, wg));
        weir_gc_write(&g->ctx, weir_ctx_with_cancel(parent));
        return g->ctx;
}

static uint32_t running(struct group *g)
{
        struct object_told told = { 0 };

        weir__wg_tell(&g->wg, &told);
        return (uint32_t)told.count;
}

void weir_group_limit(weir_group *pub, size_t n)
{
        struct group *g = open_group(pub);
        weir_sema     places = WEIR_SEMA(n);

        weir__sched_need_g("weir_group_limit");
        if (running(g))
                weir__panic("weir_group_limit: %u members of group %p are running", running(g),
                            (void *)pub);
        g->places = places;
        g->limit = n;
}

/* ---- members ---- */

static void fail(struct group *g, int err)
{
        int32_t none = 0;

        if (cas_seq(&g->err, &none, (int32_t)err) && g->ctx)
                weir_ctx_cancel_cause(g->ctx, err, NULL);
}

static void keep_panic(struct group *g, const weir_panic_info *info)
{
        weir_panic_info *kept = weir__gc_new(MEM_NOSCAN, sizeof *kept), *none = NULL;

        *kept = *info;
        if (unlikely(load_relaxed(&weir__gc_barrier)))
                weir__mem_stores(&g->panic, kept);
        (void)cas_seq(&g->panic, &none, kept);
}

static void call(void *arg)
{
        struct head *h = arg;

        h->result = h->fn(h + 1);
}

static void run_member(void *arg)
{
        struct head    *h = arg;
        weir_panic_info info;

        if (weir_protect(call, h, &info) < 0) {
                keep_panic(h->group, &info);
                h->result = WEIR_EPANIC;
        }
        if (h->result < 0)
                fail(h->group, h->result);
}

/* Also after a weir_go_exit. */
static void member_done(void *arg)
{
        struct group *g = arg;

        if (g->limit)
                weir_sema_release(&g->places, 1);
        weir_wg_done(&g->wg);
}

static void start(struct group *g, const void *site, int (*fn)(void *args), const void *args,
                  size_t size)
{
        char        *copy = __builtin_alloca(sizeof(struct head) + size + 16);
        struct head *h = (struct head *)(void *)ALIGN_UP((uintptr_t)copy, (uintptr_t)16);

        *h = (struct head){ .group = g, .fn = fn };
        if (size)
                memcpy(h + 1, args, size);
        weir_wg_add(&g->wg, 1);
        weir__sched_spawn(site, run_member, h, sizeof *h + size, 0, NULL, member_done, g);
}

static void check_start(struct group *g, int (*fn)(void *args), size_t size,
                        const char *call_name)
{
        weir__sched_need_g(call_name);
        if (!fn)
                weir__panic("%s: the function is NULL", call_name);
        weir__sched_check_args(size + sizeof(struct head));     /* before anything is counted */
        check_place(g, &g->place, "group");
}

void weir_group_go_copy(weir_group *pub, int (*fn)(void *args), const void *args, size_t size)
{
        struct group *g = open_group(pub);

        check_start(g, fn, size, "weir_group_go");
        if (g->limit)
                weir_sema_acquire(&g->places, 1);
        start(g, __builtin_return_address(0), fn, args, size);
        keep_frame();
}

bool weir_group_try_go_copy(weir_group *pub, int (*fn)(void *args), const void *args, size_t size)
{
        struct group *g = open_group(pub);

        check_start(g, fn, size, "weir_group_try_go");
        if (g->limit && !weir_sema_try_acquire(&g->places, 1))
                return false;
        start(g, __builtin_return_address(0), fn, args, size);
        return true;
}

int weir_group_wait(weir_group *pub)
{
        struct group          *g = open_group(pub);
        const weir_panic_info *panic;

        weir__sched_need_g("weir_group_wait");
        check_place(g, &g->place, "group");
        weir_wg_wait(&g->wg);
        if (g->ctx)
                weir_ctx_cancel(g->ctx);
        panic = load_acquire(&g->panic);
        if (unlikely(panic != NULL))
                weir__panic("a member of the group panicked: %s", panic->message);
        return load_acquire(&g->err);
}
