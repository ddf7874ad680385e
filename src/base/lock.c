/* The slow path of the runtime's lock, and the check of its order in debug builds. */
#include "base/lock.h"
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static bool forked;             /* const after the fork */

void weir__lock_forked(void)
{
        forked = true;
}

static slowpath _Noreturn void holder_is_gone(void)
{
        struct out o = { .fd = STDERR_FILENO };

        weir__out_print(&o, "fatal: after fork, the child uses what a thread of the parent was busy "
                            "with: only the parent has a runtime\n");
        weir__out_flush(&o);
        _exit(2);
}

/* Spins some microseconds, staying away for longer and longer: a lock taken for some tens of
 * nanoseconds is best left to one core for many turns (bench buffered_4_4 on two cores: 44 ns an
 * item with eager retries, 26 so). Then lets other threads of this core run, then sleeps: the
 * holder's thread must have lost its core, and on a machine with real-time threads a yield may not
 * be enough to bring it back. */
void weir__lock_word_slow(uint32_t *word)
{
        uint32_t free_;

        for (unsigned round = 0;; round++) {
                if (round < 16) {
                        for (unsigned i = 0; i < 1u << MIN(4 + round / 2, 8u); i++)
                                weir__spin_pause();
                } else if (round < 32) {
                        sched_yield();
                } else {
                        if (forked && round > 1000)
                                holder_is_gone();
                        /* Not by the name that libweir provides (sched/libc.c), which parks. */
                        (void)syscall(SYS_nanosleep, &(struct timespec){ .tv_nsec = 50000 }, NULL);
                }
                free_ = 0;
                if (!load_relaxed(word) && cas_acquire(word, &free_, 1))
                        return;
        }
}

#if WEIR_CHECK >= 1

static const char *const rank_name[] = {
#define RANK(name, inside, what) #name,
#include "base/rank.def"
#undef RANK
};

#define HELD(name) (1u << RANK_##name)
#define HELD_ABOVE(name) (HELD(name) - 1)
static const uint32_t rank_inside[] = {
#define RANK(name, inside, what) inside,
#include "base/rank.def"
#undef RANK
};

/* Locks that this thread holds. A goroutine never parks with one, so they belong to the thread. */
static __thread struct {
        unsigned           count;
        const struct lock *lock[64];
} held;

noinline void weir__rank_acquired(const struct lock *l)
{
        if (!l->rank || load_relaxed(&weir__thrown))
                return;
        for (unsigned i = 0; i < MIN(held.count, COUNT(held.lock)); i++) {
                const struct lock *o = held.lock[i];

                if (!(rank_inside[l->rank] & (1u << o->rank)))
                        weir__throw("lock %s taken while %s is held", rank_name[l->rank],
                                    rank_name[o->rank]);
                if (o->rank == RANK_chan && l->rank == RANK_chan && o > l)
                        weir__throw("two channels locked out of address order");
        }
        if (held.count < COUNT(held.lock))
                held.lock[held.count] = l;
        held.count++;
}

noinline void weir__rank_released(const struct lock *l)
{
        if (!l->rank || load_relaxed(&weir__thrown))
                return;
        for (unsigned i = MIN(held.count, COUNT(held.lock)); i-- > 0;)
                if (held.lock[i] == l) {
                        held.lock[i] = held.lock[MIN(held.count, COUNT(held.lock)) - 1];
                        break;
                }
        held.count--;
}

#endif
