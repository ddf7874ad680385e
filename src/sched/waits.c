/* Who waits for whom: what a report of a deadlock says after the goroutines.
 *
 * What    Each object that goroutines are parked on, with all of them, and who could end the wait,
 *         as far as the object's owner in the layers above can tell (the hook object_tell); then
 *         circles of goroutines, each of which holds what the one before waits for.
 * Shape   One record per wait, sorted by object, in a fresh mapping.
 * Order   For when all goroutines are asleep; at another time it may be out of date. */
#include "sched/dump.h"

enum { OBJECTS_SHOWN = 64, CIRCLE_MAX = 64, OWNER_BELOW = 64 * 1024 };

struct wait {
        const void *on;
        uint32_t    why;
        uint64_t    id;
        uint64_t    holder;             /* of the mutex; 0: not known */
};

struct waits {
        struct wait *wait;
        uint32_t     count, room;
};

static bool take_wait(void *head, void *arg)
{
        struct waits *w = arg;
        struct g     *g = head;
        uint32_t      why = load_relaxed(&g->why), last = WHY_COUNT - 1;

        if (!load_relaxed(&g->id) || load_acquire(&g->state) != G_PARKED ||
            !load_relaxed(&g->wait_on))
                return true;
        if (w->count == w->room)
                return false;
        w->wait[w->count++] = (struct wait){ load_relaxed(&g->wait_on), MIN(why, last),
                                             load_relaxed(&g->id), 0 };
        return true;
}

static bool wait_before(const struct wait *a, const struct wait *b)
{
        if (a->on != b->on)
                return (uintptr_t)a->on < (uintptr_t)b->on;
        return a->why != b->why ? a->why < b->why : a->id < b->id;
}

/* Heap sort: in place, and not the C library's, which may ask for memory. */
static void sift(struct wait *w, uint32_t at, uint32_t n)
{
        for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
                struct wait keep = w[at];

                if (child + 1 < n && wait_before(&w[child], &w[child + 1]))
                        child++;
                if (!wait_before(&keep, &w[child]))
                        return;
                w[at] = w[child];
                w[child] = keep;
        }
}

static void sort_waits(struct wait *w, uint32_t n)
{
        for (uint32_t i = n / 2; i-- > 0;)
                sift(w, i, n);
        while (n-- > 1) {
                struct wait last = w[n];

                w[n] = w[0];
                w[0] = last;
                sift(w, 0, n);
        }
}

/* Goroutines on whose stacks an address with these bits lies. */
struct owners {
        uint16_t bits;
        uint64_t id[2];
        int      count;
};

static bool take_owner(void *head, void *arg)
{
        struct owners *w = arg;
        struct g      *g = head;
        uintptr_t      low = (uintptr_t)load_relaxed(&g->ctx.sp) - OWNER_BELOW, high = (uintptr_t)g;

        if (!load_relaxed(&g->id))
                return true;
        low = MAX(low, (uintptr_t)g->stack.low) >> 16;
        for (uintptr_t at = low; at <= (high - 1) >> 16; at++)
                if ((uint16_t)at == w->bits) {
                        if (w->count < 2)
                                w->id[w->count] = load_relaxed(&g->id);
                        w->count++;
                        break;
                }
        return true;
}

/* Goroutines that have an rwmutex locked to read. */
struct readers {
        const void *on;
        bool      (*reads)(const void *on, const struct g *g);
        uint64_t    id[IDS_SHOWN];
        uint32_t    count;
};

static bool take_reader(void *head, void *arg)
{
        struct readers *r = arg;
        const struct g *g = head;

        if (load_relaxed(&g->id) && r->reads(r->on, g)) {
                if (r->count < IDS_SHOWN)
                        r->id[r->count] = load_relaxed(&g->id);
                r->count++;
        }
        return true;
}

static void print_readers(struct out *o, struct wait *w, const struct object_told *is)
{
        struct readers r = { .on = w->on, .reads = is->reads };

        weir__sched_each(take_reader, &r);
        for (uint32_t i = 0; i < MIN(r.count, (uint32_t)IDS_SHOWN); i++)
                weir__out_print(o, "%s %llu", i ? "" : "; locked to read by",
                                (unsigned long long)r.id[i]);
        if (r.count > IDS_SHOWN)
                weir__out_print(o, " and %u more", r.count - IDS_SHOWN);
        if (r.count)
                w->holder = r.id[0];
}

/* Who has what the goroutines of this object wait for. (It may have been an earlier goroutine on
 * that stack, which ended without an unlock.) */
static void print_holder(struct out *o, struct waits *w, uint32_t from, uint32_t to)
{
        struct object_told is = { 0 };
        struct owners      by = { 0 };

        if (!weir__sched_hooks.object_tell[w->wait[from].why])
                return;
        weir__sched_hooks.object_tell[w->wait[from].why](w->wait[from].on, &is);
        if (w->wait[from].why == WHY_WG)
                weir__out_print(o, "; %d not done", is.count);
        if (is.reads)
                print_readers(o, &w->wait[from], &is);
        if (!is.locked)
                return;
        by.bits = is.owner;
        weir__stack_each(take_owner, &by);
        if (by.count == 1)
                weir__out_print(o, "; locked on the stack of %llu", (unsigned long long)by.id[0]);
        else if (by.count == 2)
                weir__out_print(o, "; locked on the stack of %llu or %llu",
                                (unsigned long long)by.id[0], (unsigned long long)by.id[1]);
        else if (!by.count && !load_relaxed(&sched.guests))
                weir__out_print(o, "; locked by a goroutine that has ended");
        for (; by.count == 1 && from < to; from++)
                w->wait[from].holder = by.id[0];
}

static const struct wait *wait_of(const struct waits *w, uint64_t id)
{
        for (uint32_t i = 0; i < w->count; i++)
                if (w->wait[i].id == id)
                        return &w->wait[i];
        return NULL;
}

/* Goroutines that hold what the next of them waits for, the last what the first does. */
static void print_circles(struct out *o, const struct waits *w)
{
        uint32_t looked = 0;

        for (uint32_t i = 0; i < w->count && looked < OBJECTS_SHOWN; i++) {
                const struct wait *at = &w->wait[i];
                int                n = 0;

                if (!at->holder)
                        continue;
                looked++;
                do
                        at = wait_of(w, at->holder);
                while (at && at->holder && at->id > w->wait[i].id && ++n < CIRCLE_MAX);
                if (!at || at->id != w->wait[i].id)
                        continue;               /* none, or one that begins with another */
                weir__out_print(o, "        in a circle: %llu", (unsigned long long)at->id);
                do {
                        weir__out_print(o, " waits for %llu", (unsigned long long)at->holder);
                        at = wait_of(w, at->holder);
                } while (at->id != w->wait[i].id);
                weir__out_print(o, "\n");
        }
}

/* The waits of one object, from at on. Answers where the next one's begin. */
static uint32_t print_object(struct out *o, struct waits *w, uint32_t at)
{
        const void *on = w->wait[at].on;
        uint32_t    shown = 0, last_why = WHY_COUNT, first = at;

        weir__out_print(o, "        %p:", on);
        for (; at < w->count && w->wait[at].on == on; at++) {
                if (w->wait[at].why != last_why) {
                        if (last_why != WHY_COUNT)
                                print_holder(o, w, first, at);
                        first = at;
                        weir__out_print(o, "%s %s by", last_why == WHY_COUNT ? "" : ";",
                                        weir__dump_state(G_PARKED, w->wait[at].why));
                        last_why = w->wait[at].why;
                        shown = 0;
                }
                if (shown++ < IDS_SHOWN)
                        weir__out_print(o, " %llu", (unsigned long long)w->wait[at].id);
                else if (shown == IDS_SHOWN + 2)
                        weir__out_print(o, " ...");
        }
        print_holder(o, w, first, at);
        weir__out_print(o, "\n");
        return at;
}

static bool count_one(void *head, void *arg)
{
        (void)head;
        ++*(uint32_t *)arg;
        return true;
}

/* Each object that goroutines wait for, with all of them, and who could end the wait: the holder of
 * a mutex, how many are not done of a wait group, for a channel who waits at its other end. */
void weir__dump_waits(struct out *o)
{
        struct waits w = { 0 };
        uint32_t     shown = 0;
        size_t       size;

        weir__stack_each(count_one, &w.room);
        weir__guest_each(count_one, &w.room);
        size = ALIGN_UP((w.room + 1) * sizeof *w.wait, (size_t)OS_PAGE);
        w.wait = weir__os_map(size);
        if (!w.wait)
                return;
        weir__stack_each(take_wait, &w);
        weir__guest_each(take_wait, &w);
        sort_waits(w.wait, w.count);
        if (w.count)
                weir__out_print(o, "what they wait for:\n");
        for (uint32_t i = 0; i < w.count && shown < OBJECTS_SHOWN; shown++)
                i = print_object(o, &w, i);
        if (shown == OBJECTS_SHOWN)
                weir__out_print(o, "        ...\n");
        print_circles(o, &w);
        weir__out_flush(o);
        weir__os_unmap(w.wait, size);
}
