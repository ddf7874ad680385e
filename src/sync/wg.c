/* The wait group.
 *
 * What    A counter and the goroutines that wait for it to become 0.
 * Shape   one word: counter in the low half (signed), waiters in the high half; one list. A
 *         negative delta borrows nothing from the high half as long as the counter does not fall
 *         below 0, and when it does that is a panic and taken back.
 * States  Waiting: the goroutine has raised the number of waiters and is pushing its record, or
 *         has. Who finds the counter at 0 with waiters > 0 and sets the word to 0 has taken so many
 *         records, and touches the group until it holds them; with waiters == 0 nobody touches it
 *         again, so a goroutine that finds the counter at 0 may return and let its memory go. A
 *         counter that is raised again before the waiters were taken keeps them waiting.
 * Order   The counter's release (done) pairs with the acquire of who waited.
 * Cost    add, done: one locked instruction. */
#include "sync/sync.h"
#include "os/os.h"

struct record {
        struct record *next;
        struct g      *g;
};

struct wg {
        uint64_t       word;            /* atomic: waiters << 32 | (uint32_t)counter */
        struct record *list;            /* atomic: pushed by waiters, emptied by the last done */
};

_Static_assert(sizeof(struct wg) <= sizeof(weir_wg), "weir_wg is too small");

static inline struct wg *open_wg(weir_wg *wg)
{
        return (struct wg *)(void *)wg;
}

static inline int32_t counter(uint64_t word)
{
        return (int32_t)(uint32_t)word;
}

static void push(struct wg *wg, struct record *first, struct record *last)
{
        last->next = load_relaxed(&wg->list);
        while (!cas_release(&wg->list, &last->next, first))
                ;
}

/* Takes n records: a waiter that has announced itself is about to push its record if it has not
 * yet. */
static struct record *collect(struct wg *wg, uint32_t n)
{
        struct record *all = NULL, *r, *last;
        unsigned       rounds = 0;

        for (;;) {
                r = exchange_acquire(&wg->list, NULL);  /* pairs with the release of the push */
                while (r && n) {
                        struct record *next = r->next;

                        r->next = all;
                        all = r;
                        r = next;
                        n--;
                }
                if (r) {                                /* of later waiters */
                        for (last = r; last->next; last = last->next)
                                ;
                        push(wg, r, last);
                }
                if (!n)
                        return all;
                if (rounds++ < 100)
                        weir__spin_pause();
                else
                        weir__os_yield();
        }
}

/* The counter has come to 0 with waiters. */
static slowpath void wake_all(struct wg *wg)
{
        uint64_t       word = load_relaxed(&wg->word);
        struct record *r, *next;

        do {
                if (counter(word) || !(word >> 32))
                        return;         /* raised again, or somebody else wakes them */
        } while (!cas_seq(&wg->word, &word, 0));
        for (r = collect(wg, (uint32_t)(word >> 32)); r; r = next) {
                next = r->next;
                weir__sched_ready(r->g);
        }
}

void weir_wg_add(weir_wg *pub, int delta)
{
        struct wg *wg = open_wg(pub);
        uint64_t   old;
        int32_t    now;

        if (watching())
                weir__watch_uses(wg, "wait group", !load_relaxed(&wg->word));
        old = fetch_add_seq(&wg->word, (uint64_t)(int64_t)delta);
        if (unlikely(__builtin_add_overflow(counter(old), delta, &now) || now < 0)) {
                fetch_sub_seq(&wg->word, (uint64_t)(int64_t)delta);
                weir__panic("wait group %p: negative counter (%d, adding %d)", (void *)pub,
                            counter(old), delta);
        }
        if (now == 0 && old >> 32)
                wake_all(wg);
}

void weir_wg_done(weir_wg *wg)
{
        weir_wg_add(wg, -1);
        keep_frame();
}

void weir_wg_wait(weir_wg *pub)
{
        struct wg    *wg = open_wg(pub);
        struct record r = { .g = weir__sched_need_g("weir_wg_wait") };
        uint64_t      old;

        if (watching())
                weir__watch_uses(wg, "wait group", !load_relaxed(&wg->word));
        old = load_acquire(&wg->word);          /* pairs with done's release */
        do {
                if (!counter(old))
                        return;
        } while (!cas_seq(&wg->word, &old, old + (UINT64_C(1) << 32)));
        weir__sched_park_begin(r.g, WHY_WG, wg);
        weir__sched_own(r.g, &r, sizeof r);
        push(wg, &r, &r);
        weir__sched_park(r.g);
        keep_frame();
}

static void done(void *wg)
{
        weir_wg_done(wg);
}

void weir_wg_go_copy(weir_wg *wg, void (*entry)(void *), const void *args, size_t size)
{
        weir__sched_need_g("weir_wg_go");
        if (!entry)
                weir__panic("weir_wg_go: the function is NULL");
        weir__sched_check_args(size);           /* before the add: a panic must not leave it behind */
        weir_wg_add(wg, 1);
        weir__sched_spawn(__builtin_return_address(0), entry, args, size, 0, NULL, done, wg);
}

/* ---- for a report of a deadlock ---- */

void weir__wg_tell(const void *on, struct object_told *ret)
{
        const struct wg *wg = on;

        ret->count = counter(load_relaxed(&wg->word));
}

static __attribute__((constructor)) void init(void)
{
        weir__sched_hooks.object_tell[WHY_WG] = weir__wg_tell;
}
