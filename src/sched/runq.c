/* The queues of runnable goroutines.
 *
 * What    Each processor has three: `runnext`, one goroutine just readied, which inherits the time
 *         slice of the one that readied it; a ring, first in first out, of those readied or
 *         yielding; and a deque of those just started, from which the owner takes the newest and
 *         thieves the oldest. One global queue takes what overflows or comes from elsewhere.
 * Shape   ring:   head (any, by compare-exchange) ... tail (owner)
 *         deque:  top (any, by compare-exchange; oldest) ... bottom (owner; newest)
 *         The deque grows up to SPAWNED_MAX: what a full one gave to the ring would run, and start
 *         others in its turn, before what is in the deque.
 * States  A goroutine in a slot between head and tail (top and bottom) is owned by the queue; the
 *         successful compare-exchange on head (top) moves the ownership of the slots it passes.
 *         A slot may be read by a thief that then loses; so slots are atomic words.
 * Order   ring: the release store of tail pairs with a thief's acquire load of it; the acquire
 *         exchange on head pairs with the release by who emptied the slot, so that the owner does
 *         not overwrite a slot still being read.
 *         deque: the sequentially consistent pair (bottom then top) in pop_spawned and
 *         steal_spawned decides who gets the last one, as in Chase and Lev 2005 with the orderings
 *         of Le, Pop, Cohen and Nardelli 2013.
 * Cost    put: plain stores. get: one locked instruction. ready + dispatch through runnext: two.
 * Not     Starting goroutines through the ring, as Go does: a tree of a million goroutines is then
 *         expanded level by level, and all of them are alive at once, each touching fresh pages.
 *         Newest first keeps some tens alive and their stacks in the cache. The ring comes before
 *         the deque, for what runs already should end first, but for every fourth switch. Nobody
 *         starves: at a wide look (find.c) what has waited in the deque for AGED_NS, in the global
 *         queue or in runnext goes to the tail of the ring, and the head of the ring runs. */
#include "sched/state.h"

/* ---- the ring ---- */

/* Moves half of a full ring and g to the global queue. False: a thief made room meanwhile. */
static slowpath bool overflow(struct p *p, struct g *g, uint32_t head, uint32_t tail)
{
        struct g    *batch[RUNQ_SIZE / 2];
        struct glist l = { 0 };
        uint32_t     n = (tail - head) / 2;

        for (uint32_t i = 0; i < n; i++)
                batch[i] = load_relaxed(&p->ring[(head + i) % RUNQ_SIZE]);
        if (!cas_seq(&p->head, &head, head + n))
                return false;
        for (uint32_t i = 0; i < n; i++)
                weir__glist_push(&l, batch[i]);
        weir__glist_push(&l, g);
        count_in(&p->counters, runq_overflows, 1);
        weir__global_put_list(&l);
        return true;
}

/* At least so many fit: thieves only make room. */
uint32_t weir__runq_room(const struct p *p)
{
        return RUNQ_SIZE - (load_relaxed(&p->tail) - load_acquire(&p->head));
}

void weir__runq_put(struct p *p, struct g *g)
{
        for (;;) {
                uint32_t head = load_acquire(&p->head); /* pairs with the exchange in get, steal */
                uint32_t tail = load_relaxed(&p->tail);

                if (likely(tail - head < RUNQ_SIZE)) {
                        store_relaxed(&p->ring[tail % RUNQ_SIZE], g);
                        store_release(&p->tail, tail + 1);
                        return;
                }
                if (overflow(p, g, head, tail))
                        return;
        }
}

/* Brings what the next switches will touch nearer: the goroutine after the next, and the stack of
 * the next, whose head was brought by the call before. A thief may take them meanwhile; the heads
 * of stacks never go away, so the worst is a line fetched in vain. */
static inline void prefetch_after(struct p *p, uint32_t head)
{
        uint32_t n = load_acquire(&p->tail) - head;     /* as for a thief: the monitor drains, too */
        char    *sp;

        if (n > 2)
                __builtin_prefetch(load_relaxed(&p->ring[(head + 2) % RUNQ_SIZE]));
        if (n > 1) {
                sp = load_relaxed(&load_relaxed(&p->ring[(head + 1) % RUNQ_SIZE])->ctx.sp);
                __builtin_prefetch(sp);
                __builtin_prefetch(sp + CACHE_LINE);
        }
}

static struct g *ring_get(struct p *p)
{
        uint32_t head = load_acquire(&p->head);

        for (;;) {
                struct g *g;

                if (head == load_acquire(&p->tail))     /* pairs with put's release */
                        return NULL;
                g = load_relaxed(&p->ring[head % RUNQ_SIZE]);
                prefetch_after(p, head);
                if (likely(cas_seq(&p->head, &head, head + 1)))
                        return g;
        }
}

/* ---- the deque of started goroutines ---- */

/* Its slots: a power of two that doubles when it is full. Thieves may still read the slots it had
 * before, in which what they can win stays as it was; so those are kept, and as many again at
 * most. */
struct spawned {
        int64_t   size;                 /* const */
        struct g *slot[];               /* atomic */
};

static inline struct g **spawned_slot(struct spawned *s, int64_t i)
{
        return &s->slot[i & (s->size - 1)];
}

static slowpath struct spawned *grow_spawned(struct p *p, struct spawned *old, int64_t bottom)
{
        int64_t         size = old ? 2 * old->size : SPAWNED_FIRST;
        struct spawned *s = size > SPAWNED_MAX ? NULL : weir__os_map(ALIGN_UP(
                sizeof *s + (size_t)size * sizeof s->slot[0], (size_t)OS_PAGE));

        if (!s)
                return NULL;
        s->size = size;
        for (int64_t i = load_relaxed(&p->spawned.top); i < bottom; i++)
                store_relaxed(spawned_slot(s, i), load_relaxed(spawned_slot(old, i)));
        store_release(&p->spawned.slots, s);    /* pairs with the acquire in steal_spawned */
        return s;
}

void weir__runq_put_spawned(struct p *p, struct g *g)
{
        int64_t         bottom = load_relaxed(&p->spawned.bottom);
        struct spawned *s = load_relaxed(&p->spawned.slots);

        if (unlikely(!s || bottom - load_acquire(&p->spawned.top) >= s->size) &&
            !(s = grow_spawned(p, s, bottom))) {
                weir__runq_put(p, g);
                return;
        }
        store_relaxed(spawned_slot(s, bottom), g);
        store_release(&p->spawned.bottom, bottom + 1);
}

static struct g *pop_spawned(struct p *p)
{
        int64_t   bottom = load_relaxed(&p->spawned.bottom) - 1, top;
        struct g *g;

        if (bottom < load_relaxed(&p->spawned.top))
                return NULL;
        exchange_seq(&p->spawned.bottom, bottom);       /* before top is read; see Order */
        top = load_seq(&p->spawned.top);
        if (top > bottom) {
                store_relaxed(&p->spawned.bottom, bottom + 1);
                return NULL;
        }
        g = load_relaxed(spawned_slot(load_relaxed(&p->spawned.slots), bottom));
        if (top < bottom)
                return g;
        if (!cas_seq(&p->spawned.top, &top, top + 1))
                g = NULL;                               /* a thief took the last one */
        store_relaxed(&p->spawned.bottom, bottom + 1);
        return g;
}

/* The oldest, still in its slot; NULL when there is none. */
static struct g *peek_spawned(struct p *p, int64_t *ret_top)
{
        int64_t top = load_seq(&p->spawned.top);

        *ret_top = top;
        if (top >= load_seq(&p->spawned.bottom))
                return NULL;
        /* After bottom: a bottom that counts a goroutine comes with slots that hold it. */
        return load_relaxed(spawned_slot(load_acquire(&p->spawned.slots), top));
}

static struct g *steal_spawned(struct p *p)
{
        struct g *g;
        int64_t   top;

        while ((g = peek_spawned(p, &top)))
                if (cas_seq(&p->spawned.top, &top, top + 1))
                        return g;
        return NULL;
}

/* ---- all three together ---- */

static int64_t spawned_count(const struct p *p)
{
        return load_relaxed(&p->spawned.bottom) - load_relaxed(&p->spawned.top);
}

void weir__runq_next(struct p *p, struct g *g)
{
        struct g *old = exchange_seq(&p->runnext, g);

        if (unlikely(old != NULL))
                weir__runq_put(p, old);
}

struct g *weir__runq_get(struct p *p)
{
        struct g *g = load_relaxed(&p->runnext);

        if (g && (g = exchange_seq(&p->runnext, NULL)))
                return g;
        if (p->budget % START_EVERY == 0 && (g = pop_spawned(p)))
                return g;
        g = ring_get(p);
        return g ? g : pop_spawned(p);
}

/* The oldest started leave the deque for the ring when they have waited long: from there they run
 * in their turn, however many are started after them. So few at a time, for with one at each wide
 * look a tree of goroutines is expanded level by level after all (skynet: 1.2 s in place of
 * 0.12). */
static void age_spawned(struct p *p, int64_t now)
{
        int64_t   n = (now - p->aged_at) / AGE_EVERY_NS, top;
        struct g *g;

        if (n <= 0)
                return;
        p->aged_at = now;
        n = MIN(n * (1 + spawned_count(p) / AGE_SHARE), (int64_t)weir__runq_room(p));
        while (n-- > 0 && (g = peek_spawned(p, &top)) &&
               now - load_relaxed(&g->since) >= AGED_NS) {
                if (cas_seq(&p->spawned.top, &top, top + 1))
                        weir__runq_put(p, g);
        }
}

/* At a wide look the ring goes before runnext, whose holders could hand the slice to and fro for
 * ever; runnext goes behind the ring. */
struct g *weir__runq_get_fair(struct p *p, int64_t now)
{
        struct g *g;

        age_spawned(p, now);
        if ((g = exchange_seq(&p->runnext, NULL)))
                weir__runq_put(p, g);
        g = ring_get(p);
        return g ? g : pop_spawned(p);
}

void weir__runq_put_list(struct p *p, struct glist *l)
{
        for (struct g *g = l->first, *next; g; g = next) {
                next = g->next;
                weir__runq_put(p, g);
        }
        *l = (struct glist){ 0 };
}

bool weir__runq_empty(const struct p *p)
{
        return load_seq(&p->head) == load_seq(&p->tail) && !load_seq(&p->runnext) &&
               spawned_count(p) <= 0;
}

bool weir__runq_lone(const struct p *p)
{
        return load_relaxed(&p->head) == load_relaxed(&p->tail) && spawned_count(p) <= 0;
}

bool weir__runq_ring_empty(const struct p *p)
{
        return load_relaxed(&p->head) == load_relaxed(&p->tail);
}

unsigned weir__runq_size(const struct p *p)
{
        int64_t s = spawned_count(p);

        return load_relaxed(&p->tail) - load_relaxed(&p->head) +
               (load_relaxed(&p->runnext) != NULL) + (unsigned)MAX(s, (int64_t)0);
}

/* Takes half of from's ring. Answers how many slots of to's ring it filled past tail; the owner of
 * to publishes them. */
static uint32_t grab(struct p *from, struct p *to, uint32_t tail)
{
        uint32_t head = load_acquire(&from->head);

        for (;;) {
                uint32_t n = load_acquire(&from->tail) - head;  /* pairs with put's release */

                n -= n / 2;
                if (n > RUNQ_SIZE / 2) {                        /* head and tail of two moments */
                        head = load_acquire(&from->head);
                        continue;
                }
                for (uint32_t i = 0; i < n; i++)
                        store_relaxed(&to->ring[(tail + i) % RUNQ_SIZE],
                                      load_relaxed(&from->ring[(head + i) % RUNQ_SIZE]));
                if (!n || cas_seq(&from->head, &head, head + n))
                        return n;
        }
}

/* Called by the owner of to, whose ring is empty. */
struct g *weir__runq_steal(struct p *to, struct p *from, bool next_too)
{
        uint32_t  tail = load_relaxed(&to->tail), n = grab(from, to, tail);
        struct g *g;

        if (!n) {
                if (!next_too || !(g = load_relaxed(&from->runnext)) ||
                    !cas_seq(&from->runnext, &g, NULL))
                        return NULL;
                count_in(&to->counters, steals, 1);
                count_in(&to->counters, stolen_goroutines, 1);
                return g;
        }
        count_in(&to->counters, steals, 1);
        count_in(&to->counters, stolen_goroutines, n);
        n--;
        g = load_relaxed(&to->ring[(tail + n) % RUNQ_SIZE]);
        if (n)
                store_release(&to->tail, tail + n);
        return g;
}

/* One of those just started, not half: the oldest is the root of most work, and where they are many
 * tiny ones their starter runs them cheaper than a cold core (bench spawn_exit). */
struct g *weir__runq_steal_spawned(struct p *to, struct p *from)
{
        struct g *g = steal_spawned(from);

        if (g) {
                count_in(&to->counters, steals, 1);
                count_in(&to->counters, stolen_goroutines, 1);
        }
        return g;
}

/* Appends to l what waits on p, which any thread may do: as much as a processor can hold, for its
 * owner may put more meanwhile. */
void weir__runq_drain(struct p *p, struct glist *l)
{
        struct g *g = exchange_seq(&p->runnext, NULL);

        for (unsigned i = 0; i < 2 * RUNQ_SIZE; i++) {
                if (g)
                        weir__glist_push(l, g);
                if (!(g = ring_get(p)) && !(g = steal_spawned(p)))
                        return;
        }
        weir__glist_push(l, g);
}

/* ---- the global queue ---- */

void weir__global_put_list(struct glist *l)
{
        if (!l->first)
                return;
        lock_take(&sched.lock);
        if (sched.global.last)
                sched.global.last->next = l->first;
        else
                sched.global.first = l->first;
        sched.global.last = l->last;
        sched.global.count += l->count;
        /* Locked: before whoever put this looks for spinning threads, see Order in find.c. */
        store_seq(&sched.nglobal, sched.global.count);
        lock_drop(&sched.lock);
        *l = (struct glist){ 0 };
}

/* Takes from the front what is p's share, at most max. */
static struct glist global_detach(unsigned max)
{
        struct glist l = { 0 };
        struct g    *g;

        if (!load_relaxed(&sched.nglobal))
                return l;
        lock_take(&sched.lock);
        l.count = MIN(sched.global.count, sched.global.count / load_relaxed(&sched.nprocs) + 1);
        l.count = MIN(l.count, max);
        l.count = MIN(l.count, (unsigned)RUNQ_SIZE / 2);
        if (l.count) {
                l.first = g = sched.global.first;
                for (unsigned i = 1; i < l.count; i++)
                        g = g->next;
                l.last = g;
                sched.global.first = g->next;
                if (!g->next)
                        sched.global.last = NULL;
                g->next = NULL;
                sched.global.count -= l.count;
                store_relaxed(&sched.nglobal, sched.global.count);
        }
        lock_drop(&sched.lock);
        return l;
}

struct g *weir__global_get(struct p *p, unsigned max)
{
        struct glist l = global_detach(max);
        struct g    *g = l.first;

        if (g) {
                l.first = g->next;
                weir__runq_put_list(p, &l);
        }
        return g;
}

void weir__global_take_all(struct glist *l)
{
        if (!load_relaxed(&sched.nglobal))
                return;
        lock_take(&sched.lock);
        if (l->last)
                l->last->next = sched.global.first;
        else
                l->first = sched.global.first;
        l->last = sched.global.last;
        l->count += sched.global.count;
        sched.global = (struct glist){ 0 };
        store_relaxed(&sched.nglobal, 0);
        lock_drop(&sched.lock);
}

void weir__global_fetch(struct p *p, unsigned max)
{
        struct glist l = global_detach(max);

        weir__runq_put_list(p, &l);
}
