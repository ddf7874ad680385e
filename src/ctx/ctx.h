/* Contexts, for the layers above: who waits for the end of one. */
#ifndef WEIR_CTX_CTX_H
#define WEIR_CTX_CTX_H

#include "base/lock.h"
#include "sched/sched.h"
#include "time/time.h"
#include <weir/ctx.h>

/* Why a context ended. One of the two constants of tree.c, or a collected object. */
struct ctx_end {
        int  err;                       /* WEIR_ECANCELED, WEIR_ETIMEOUT */
        int  cause;                     /* what the caller said, else err */
        char message[];                 /* "": none */
};

/* Somebody who is to be told of the end, a record on a stack or in a block of malloc's.
 *
 *   OUT    its owner's
 *   IN     in the list of ctx, owned by ctx->lock
 *
 *   OUT -> IN   its owner, weir__ctx_watch     IN -> OUT   its owner, weir__ctx_unwatch, or the one
 *   that tells the end, which calls fn with the lock held: once fn has returned, or the owner has
 *   had the lock, the record is the owner's alone */
struct ctx_watch {
        struct ctx_watch *next;         /* lock: ctx */
        struct ctx_watch **at;          /* lock: ctx: what points to it; NULL: OUT */
        weir_ctx         *ctx;          /* const while IN */
        struct g       *(*fn)(struct ctx_watch *w);     /* const while IN */
};

/* A function that waits for a context or for a time; a collected object (after.c). */
struct weir_after {
        struct weir_after *next, *prev; /* lock: ctx */
        weir_ctx          *ctx;         /* const */
        void              *arg;         /* const */
        void             (*fn)(void *arg);              /* const */
        void             (*ended)(struct weir_after *a); /* const: called once, by who ends ctx */
        struct timer       timer;
        uint64_t           trace[3];    /* const: of who made it */
        uint32_t           state;       /* atomic: see after.c */
        bool               listed;      /* lock: ctx */
        bool               timed;       /* const */
};

/* See tree.c. */
struct weir_ctx {
        weir_ctx         *values;       /* const: the nearest above that has a key, or NULL */
        const void       *key;          /* const: NULL: none */
        void             *value;        /* const */
        weir_ctx         *parent;       /* const: whose end is its end too, or NULL */
        const struct ctx_end *end;      /* atomic: NULL until it is known to have ended */
        int64_t           deadline;     /* const: its own or its parent's; NEVER: none */

        struct lock       lock;
        uint32_t          magic;        /* const: CTX_MAGIC */
        struct ctx_watch *watches;      /* lock: own */
        struct weir_after *afters;      /* lock: own */
        weir_ctx         *children;     /* lock: own: those that somebody waits for */
        uint32_t          nchildren;    /* lock: own */
        uint32_t          prune_at;     /* lock: own: at so many it looks for idle ones */
        bool              active;       /* lock: own: linked to the parent, or about to be */
        bool              armed;        /* atomic; lock: own to write: the timer was started */
        bool              timed;        /* const: the deadline is its own */
        bool              linked;       /* lock: the parent's: in its list */
        uint32_t          depth;        /* const */
        weir_ctx         *next, *prev;  /* lock: the parent's */
        struct timer      timer;
        struct ctx_note  *note;         /* const: what the report knows of it (note.c), or NULL */
};

#define CTX_MAGIC UINT32_C(0x77637478)
#define CTX_NEVER INT64_MAX

extern weir_ctx weir__ctx_background;

_Noreturn slowpath void weir__ctx_foreign(const weir_ctx *ctx, const char *call);

/* What a caller named: NULL for the background, which never ends. Panics unless weir made it. */
static inline weir_ctx *weir__ctx_check(const weir_ctx *ctx, const char *call)
{
        if (ctx && unlikely(ctx->magic != CTX_MAGIC))
                weir__ctx_foreign(ctx, call);
        return ctx == &weir__ctx_background ? NULL : (weir_ctx *)(uintptr_t)ctx;
}

/* What was seen once must be seen by all that look later: ends ctx for e, unless it has. */
slowpath const struct ctx_end *weir__ctx_found(weir_ctx *ctx, const struct ctx_end *e);

/* The deadline has passed? */
slowpath const struct ctx_end *weir__ctx_look_at_clock(weir_ctx *ctx);

/* Why ctx ended; NULL: it goes on. From: any thread. Inline: who computes asks often, and nearly
 * always nothing has ended. */
static inline const struct ctx_end *weir__ctx_look(weir_ctx *ctx)
{
        const struct ctx_end *e = load_acquire(&ctx->end);      /* pairs with settle's exchange */

        if (unlikely(e != NULL))
                return e;
        for (weir_ctx *up = ctx->parent; up; up = up->parent)
                if (unlikely((e = load_acquire(&up->end)) != NULL))
                        return weir__ctx_found(ctx, e);
        return likely(ctx->deadline == CTX_NEVER) ? NULL : weir__ctx_look_at_clock(ctx);
}

/* Puts w, whose fn is set, where fn(w) will be called once when ctx ends. False: it has ended, and
 * fn will not be called. fn runs with a lock of ctx held, on any thread; it may take locks of
 * words, and answers a goroutine that it took from where it was parked, or NULL: the caller readies
 * it. From: goroutine, also one that is PARKED by its state; without locks. */
bool weir__ctx_watch(weir_ctx *ctx, struct ctx_watch *w);

/* Takes w out, wherever it is; on return fn neither runs nor will run. From: goroutine, without
 * locks. */
void weir__ctx_unwatch(struct ctx_watch *w);

/* Waits for the moment `when` (CTX_NEVER: none) or the end of ctx, as why: 0, or the code of the
 * end. From: goroutine. */
int weir__ctx_park(weir_ctx *ctx, int64_t when, enum why why);

/* ---- between the files of this folder ---- */

extern const struct ctx_end weir__ctx_canceled, weir__ctx_passed;

/* Stores a pointer into a context or what belongs to one; as weir_set. */
#define ctx_set(slot, v) weir__ctx_store((void **)&(slot), (void *)(uintptr_t)(v))
void weir__ctx_store(void **slot, void *v);

/* Ends ctx for the reason e, unless it has ended, and tells everybody below. */
void weir__ctx_finish(weir_ctx *ctx, const struct ctx_end *e);

/* Lists a; false: ctx has ended. Takes it out; false: it was not there. */
bool weir__ctx_list(weir_ctx *ctx, struct weir_after *a);
bool weir__ctx_unlist(struct weir_after *a);

/* The report of contexts that were never cancelled: note.c. */
void weir__ctx_note(weir_ctx *ctx, const void *site);
void weir__ctx_note_value(const weir_ctx *ctx, const void *site);

#endif
