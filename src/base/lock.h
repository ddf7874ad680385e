/* The lock of the runtime's own data.
 *
 * What    One word. Held for some tens of instructions, seldom for the growth of a table (a timer
 *         heap, a slab of stacks, symbols), never across a park or a system call that can wait; so
 *         a waiter spins, and only when the holder's thread lost its core does it give its own
 *         core away.
 * Order   The acquire exchange in lock() pairs with the release store in unlock().
 * Cost    One locked instruction to take (about 5 ns), a plain store to release. A lock of pthreads
 *         or a futex word needs a second locked instruction to learn whether somebody sleeps.
 * Not     A futex: measured at one third more per channel operation for a case (holder preempted)
 *         that happens some times a second. A ticket lock: fair, but a waiter whose thread is off
 *         its core stops everybody behind it. */
#ifndef WEIR_BASE_LOCK_H
#define WEIR_BASE_LOCK_H

#include "base/base.h"

enum rank {
#define RANK(name, inside, what) RANK_##name,
#include "base/rank.def"
#undef RANK
        RANK_COUNT
};

struct lock {
        uint32_t word;          /* atomic: 0 free, 1 held */
#if WEIR_CHECK >= 1
        uint8_t rank;           /* const after init; 0: not checked */
#endif
};

#if WEIR_CHECK >= 1
#define LOCK_INIT(r) { .rank = RANK_##r }
#define lock_init(l, r) (*(l) = (struct lock)LOCK_INIT(r))
void weir__rank_acquired(const struct lock *l);
void weir__rank_released(const struct lock *l);
#else
#define LOCK_INIT(r) { 0 }
#define lock_init(l, r) (*(l) = (struct lock){ 0 })
#define weir__rank_acquired(l) ((void)(l))
#define weir__rank_released(l) ((void)(l))
#endif

void weir__lock_word_slow(uint32_t *word) slowpath;

/* In the child of a fork: a holder may not be there; who waits long for one ends the program. */
void weir__lock_forked(void);

static inline bool lock_try(struct lock *l)
{
        uint32_t free_ = 0;

        if (load_relaxed(&l->word) || !cas_acquire(&l->word, &free_, 1))
                return false;
        weir__rank_acquired(l);
        return true;
}

static inline void lock_take(struct lock *l)
{
        uint32_t free_ = 0;

        if (unlikely(!cas_acquire(&l->word, &free_, 1)))        /* pairs with unlock's release */
                weir__lock_word_slow(&l->word);
        weir__rank_acquired(l);
}

static inline void lock_drop(struct lock *l)
{
        check(load_relaxed(&l->word) == 1);
        weir__rank_released(l);
        store_release(&l->word, 0);
}

/* The same on a bare word inside a public struct, where there is no room for a rank. */
static inline void word_take(uint32_t *word)
{
        uint32_t free_ = 0;

        if (unlikely(!cas_acquire(word, &free_, 1)))
                weir__lock_word_slow(word);
}

static inline void word_drop(uint32_t *word)
{
        store_release(word, 0);
}

#endif
