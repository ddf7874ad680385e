/* Giving idle memory back to the kernel, in the background and at a paced rate.
 *
 * What    A thread that exists from the moment in which some megabytes are idle. It returns what
 *         has been idle for a while, huge pages first, and otherwise sleeps.
 * States  NONE     no thread: so far, or in a child of fork
 *         STARTING somebody starts it
 *         ASLEEP   until somebody frees much, or the limit is to be looked at
 *         WATCHING looks every PERIOD
 * Order   Ten times a second it looks how much is idle. What was idle at every look of the last
 *         second nobody needed for a second: that, less a reserve of a 64th of what is in use, is
 *         given back in steps, each followed by 120 times its own duration of sleep. So it stays
 *         below 1 % of a core whatever memory costs to return, and a program that frees and
 *         allocates the same gigabyte twice a second keeps it. Of what was idle for all of the last
 *         five seconds no reserve is kept.
 *         Once a second with a surplus it empties the transfer lists and asks the caches to hold
 *         less. Once a second it reads what the cgroup allows, and whether the group met its limit
 *         since; if so, all that is idle goes back at once.
 * Cost    1 GiB in pages of 4 KiB takes 40 to 100 ms of processor time, in huge pages 4 ms.
 *         Touching returned memory again costs a page fault, 1.3 us and more per 4 KiB.
 * Not     Returning on the path of free, which makes a random call slow and returns what the next
 *         malloc wants; a thread from the start, which small programs do not need. */
#include "mem/heap.h"
#include "base/counter.h"
#include "base/debug.h"
#include "os/os.h"

enum {
        WAKE_PAGES = (16 << 20) / PAGE_SIZE,    /* idle: worth a thread */
        KEEP_PAGES = (128 << 10) / PAGE_SIZE,    /* never given back */
        PERIOD = 100 * 1000 * 1000,
        LOOKS = 10,                             /* in the window */
        LONG_LOOKS = 50,                        /* in the long one */
        STEP_PAGES = (4 << 20) / PAGE_SIZE,
        REST = 120,                             /* times what the work took */
        STACK = 256 << 10,                      /* reading the files of cgroups takes 60 KiB */
};

enum { NONE, STARTING, ASLEEP, WATCHING };
static uint32_t state;                          /* atomic; the futex */

unsigned weir__mem_threads(void)
{
        return load_acquire(&state) != NONE;
}

/* One step; answers the pages returned. */
static size_t step(size_t *cursor, size_t want)
{
        size_t done = weir__page_release(cursor, MIN(want, (size_t)STEP_PAGES), true);

        if (!done && !*cursor)
                done = weir__page_release(cursor, MIN(want, (size_t)STEP_PAGES), false);
        weir__counter_shared(COUNTER_mem_released, (uint64_t)done << PAGE_SHIFT);
        return done;
}

/* Returns surplus pages, resting after each step, until it is done or somebody needs them. */
static void give_back(size_t surplus)
{
        size_t cursor = 0;

        while (surplus) {
                int64_t start = weir__os_now();
                size_t  done = step(&cursor, surplus);

                if (!done)
                        return;
                surplus -= MIN(done, surplus);
                weir__os_sleep(MAX((weir__os_now() - start) * REST, (int64_t)1000 * 1000));
                if (load_relaxed(&weir__heap_pages.idle) < surplus)
                        return;
        }
}

static void ask_caches(void)
{
        for (struct cache *c = load_acquire(&weir__caches); c; c = c->next)
                store_relaxed(&c->trim, 1);
        weir__central_drain();
}

/* Of the last n looks, the fewest pages that were idle beyond `keep`. */
static size_t surplus_of(const size_t idle[LONG_LOOKS], unsigned looks, unsigned n, size_t keep)
{
        size_t low = SIZE_MAX;

        if (looks < n)
                return 0;
        for (unsigned i = looks - n; i < looks; i++)
                low = MIN(low, idle[i % LONG_LOOKS]);
        return low - MIN(low, keep);
}

/* The kernel has begun to take pages from us: better those that nobody uses. */
static void look_at_limit(void)
{
        if (!weir__limit_refresh())
                return;
        ask_caches();
        weir__mem_release(true);
}

/* While there is a limit it is looked at each second, for it may change. */
static int64_t rest(void)
{
        return load_relaxed(&weir__mem_soft) == SIZE_MAX ? -1 : (int64_t)PERIOD * LOOKS;
}

static void watch(void *arg)
{
        size_t   idle[LONG_LOOKS], low;
        unsigned looks = 0;

        (void)arg;
        weir__os_thread_name("weir-mem");
        for (;;) {
                size_t keep = KEEP_PAGES + load_relaxed(&weir__heap_pages.used) / 64;

                idle[looks++ % LONG_LOOKS] = load_relaxed(&weir__heap_pages.idle);
                low = MAX(surplus_of(idle, looks, LOOKS, keep),
                          surplus_of(idle, looks, LONG_LOOKS, KEEP_PAGES));
                if (looks % LOOKS == 0) {
                        look_at_limit();
                        if (low)
                                ask_caches();
                }
                if (low) {
                        give_back(low);
                } else if (looks >= LONG_LOOKS && looks % LOOKS == 0) {
                        store_seq(&state, ASLEEP);
                        while (load_seq(&state) == ASLEEP)
                                if (!weir__os_futex_wait(&state, ASLEEP, rest()))
                                        look_at_limit();
                        looks = 0;
                }
                weir__os_sleep(PERIOD);
        }
}

slowpath void weir__scavenge_start(void)
{
        static int64_t enabled = -1;            /* atomic */
        uint32_t       found = ASLEEP;

        if (load_relaxed(&enabled) < 0)
                store_relaxed(&enabled, weir__debug_early("scavenge", 1));
        if (!load_relaxed(&enabled))
                return;
        if (cas_seq(&state, &found, WATCHING)) {
                weir__os_futex_wake(&state, 1);
                return;
        }
        if (found != NONE || !cas_seq(&state, &found, STARTING))
                return;
        if (weir__os_thread_start_quiet(watch, NULL, STACK) < 0)
                store_seq(&state, NONE);        /* the next one tries again */
        else
                store_seq(&state, WATCHING);
}

void weir__scavenge_wake(void)
{
        if (likely(load_relaxed(&weir__heap_pages.idle) < WAKE_PAGES) ||
            load_relaxed(&state) == WATCHING)
                return;
        weir__scavenge_start();
}

void weir__scavenge_forked(void)
{
        store_relaxed(&state, NONE);
}

size_t weir__mem_release(bool all)
{
        size_t cursor = 0, done = 0, n;

        if (!weir__mem_start())
                return 0;
        weir__central_drain();
        do
                done += n = weir__page_release(&cursor, weir__heap.pages, true);
        while (n && cursor);
        for (cursor = 0; all && (n = weir__page_release(&cursor, weir__heap.pages, false));)
                done += n;
        weir__counter_shared(COUNTER_mem_released, (uint64_t)done << PAGE_SHIFT);
        return done << PAGE_SHIFT;
}
