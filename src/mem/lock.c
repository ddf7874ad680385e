/* The locks of the allocator together, for fork and for whoever must see all of it at once.
 *
 * What    weir__mem_lock_all() takes every lock of the allocator in the order of their ranks. The
 *         handlers of fork use it so that the child finds no lock held by a thread that it does not
 *         have. Other handlers of fork may allocate between ours, or ask for all locks again: the
 *         forking thread then passes through locks that it holds itself, where the structures are
 *         whole.
 * Not     Registering our handlers last, which would make that unnecessary: the C library calls
 *         them in the order of registration, and a program may register before anything is
 *         allocated. */
#include "mem/heap.h"

/* How many times over. */
static __thread unsigned holds_all __attribute__((tls_model("initial-exec")));

bool weir__mem_holds_all(void)
{
        return holds_all != 0;
}

void weir__mem_lock(struct lock *l)
{
        if (likely(!holds_all))
                lock_take(l);
}

void weir__mem_unlock(struct lock *l)
{
        if (likely(!holds_all))
                lock_drop(l);
}

/* More locks than a thread's record of held ones has room for, two of each rank: taken by word. */
static void each_lock(void (*fn)(uint32_t *word))
{
        fn(&weir__quarantine_lock.word);
        fn(&weir__caches_lock.word);
        for (unsigned kind = 0; kind < KINDS; kind++)
                for (unsigned class = 1; class < classes_of(kind); class++)
                        fn(&weir__central[kind][class].lock.word);
        fn(&weir__shades_lock.word);
        fn(&weir__heap_lock.word);
        fn(&weir__fixed_lock.word);
}

static void take(uint32_t *word)
{
        word_take(word);
}

static void drop(uint32_t *word)
{
        word_drop(word);
}

void weir__mem_lock_all(void)
{
        if (!holds_all)
                each_lock(take);
        holds_all++;
}

void weir__mem_unlock_all(void)
{
        if (!--holds_all)
                each_lock(drop);
}
