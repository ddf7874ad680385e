/* Mutex, wait group, once and the rest: for the layers above, the public calls are all there is. */
#ifndef WEIR_SYNC_SYNC_H
#define WEIR_SYNC_SYNC_H

#include "base/lock.h"
#include "sched/sched.h"
#include <weir/sync.h>

/* On by: model tests, which must see each atomic operation. */
#ifdef WEIR_MODEL
#undef weir_mutex_lock
#undef weir_mutex_unlock
#undef weir_once_do
#endif

/* ---- WEIR_DEBUG=lockcheck: sched/watch.c ---- */

static inline bool watching(void)
{
#ifdef WEIR_MODEL
        return false;
#else
        return unlikely(load_relaxed(&weir__lock_watch));
#endif
}

static inline void watch_locked(const void *lock, const char *what)
{
        if (watching()) {
                weir__watch_locked(lock, what);
                keep_frame();
        }
}

/* Whether copies are looked for. */
static inline bool checks_places(void)
{
        return WEIR_CHECK >= 1 || watching();
}

/* By every call that uses the object: who uses only the copy is the one that is mistaken. */
static inline void check_place(const void *object, uint32_t *note, const char *what)
{
        if (checks_places())
                weir__watch_place(object, note, what);
}

/* For the hook object_tell. */
void weir__mutex_tell(const void *on, struct object_told *ret);
void weir__wg_tell(const void *on, struct object_told *ret);

/* ---- line.c: goroutines in line, inside objects that have no room for more than a word to lock
 * ---- */

/* One goroutine's wait, a record on its stack.
 *
 *   IN LINE   in the line of an object, owned by the object's lock
 *   OUT       owned by who took it out, until it readies the goroutine; then its goroutine's */
struct waiting {
        struct waiting *next, *prev;    /* lock: the object's */
        struct g       *g;              /* const */
        uint64_t        wants;          /* const: for the object */
        bool            in_line;        /* lock: the object's */
        bool            woken;          /* who took it out: not the deadline */
};

struct line {
        struct waiting *last;           /* lock: the object's; circular, last->next is the first */
};

#define NO_DEADLINE INT64_MAX

/* Parks the caller at the end of the line until somebody takes it out and readies it. The object's
 * lock is held, and dropped in here. False: the deadline took it out. */
bool weir__line_wait(struct line *l, uint32_t *lock, struct waiting *w, enum why why,
                     const void *on, int64_t deadline);

/* The same until ctx, which is not the background, ends. False: its end took the caller out. */
bool weir__line_wait_ctx(struct line *l, uint32_t *lock, struct waiting *w, enum why why,
                         const void *on, weir_ctx *ctx);

/* The first in line, taken out, or NULL. With the lock; ready its goroutine without. */
struct waiting *weir__line_take(struct line *l);

static inline struct waiting *weir__line_first(const struct line *l)
{
        return l->last ? l->last->next : NULL;
}

#endif
