/* Goroutines that wait in the same way, printed once: most of a dump of many.
 *
 * What    Parked and runnable ones with the same state, name, entry and stack are printed once,
 *         with their numbers: first all are looked at and counted, then the groups are printed.
 * Shape   Entries, one per goroutine in the order of their stacks; groups, each with the frames of
 *         its first member and a list of entries; a hash table of groups. All in one fresh mapping,
 *         for a dump may be of a program whose malloc is broken or locked. It has room for as many
 *         as there were a moment before; should there be more, those beyond are grouped among
 *         themselves, in another one.
 * Cost    Most stacks stand like one seen lately, and are compared with that: a tenth of a walk.
 *         Names are looked up once per group.
 * Not     Comparing what they wait for: of ten thousand handlers each waits on a connection of its
 *         own. */
#include "sched/dump.h"

struct entry {
        struct g *g;
        uint64_t  id;
        uint32_t  next;                 /* entry of the same group, NONE */
        uint32_t  group;                /* NONE: printed by itself */
};

enum { RECENT = 16, SPAN_MAX = 1024, ROOM_TINY = 8 };

#define NONE UINT32_MAX

struct group {
        uint64_t    hash;
        uint32_t    first, last, count;
        uint32_t    state, why;
        const void *on;                 /* NULL: nothing, or several */
        int64_t     oldest, newest;     /* since when */
        uint64_t    starter;            /* SEVERAL */
        void      (*fn)(void *);
        char        name[G_NAME_MAX + 1];
        uint64_t    frames;             /* hash of these alone */
        int         depth;
        const void *pc[FRAMES_FIRST + FRAMES_LAST];     /* the last ones in a ring */
        uint16_t    at[FRAMES_FIRST];   /* where above sp the return address of frame i stood */
        uint16_t    span;               /* of the stack that these take; 0: too much, or too deep */
};

struct census {
        struct entry *entry;
        struct group *group;
        uint32_t     *table;            /* group + 1, 0: free */
        uint32_t      entries, groups, room, mask;
        uint32_t      recent[RECENT];   /* groups + 1 that the next may be like, latest first */
        size_t        size;
};

static uint64_t mix(uint64_t h, uint64_t v)
{
        h = (h ^ v) * UINT64_C(0x9E3779B97F4A7C15);
        return h ^ h >> 29;
}

/* Room for the stacks from here on, and for some that are made meanwhile. The dead are counted as
 * well: they may be started before the second look. */
static bool census_make(struct census *c, struct stack_cursor from)
{
        uint32_t     room = 0, slots = 64;
        struct stack s;
        char        *at;

        while (weir__stack_next(&from, &s))
                room++;
        room = weir__debug.tiny ? ROOM_TINY : room + room / 8 + 64;
        while (slots < 2 * room)
                slots *= 2;
        *c = (struct census){ .room = room, .mask = slots - 1 };
        c->size = ALIGN_UP(room * (sizeof *c->entry + sizeof *c->group) + slots * sizeof *c->table,
                           (size_t)OS_PAGE);
        at = weir__os_map(c->size);
        if (!at)
                return false;
        c->group = (struct group *)(void *)at;
        c->entry = (struct entry *)(void *)(c->group + room);
        c->table = (uint32_t *)(void *)(c->entry + room);
        return true;
}

/* Walks up a stack that rests. */
static void take_frames(struct group *to, const struct regs *r)
{
        uint64_t    low = r->r[ARCH_SP], h = 0, above = 0;
        struct walk w;
        int         n = 0;

        weir__arch_walk_start(&w, r, true);
        do {
                const void *pc = weir__arch_walk_pc(&w);

                to->pc[n < FRAMES_FIRST ? n : FRAMES_FIRST + n % FRAMES_LAST] = pc;
                above = MAX(above, w.regs.r[ARCH_SP] - low);
                if (n < FRAMES_FIRST)
                        to->at[n] = (uint16_t)(n ? w.regs.r[ARCH_SP] - low - sizeof(void *) : 0);
                if (n)                  /* by which of its ways the scheduler left says nothing */
                        h = mix(h, (uintptr_t)pc);
        } while (++n < FRAMES_COUNTED && weir__arch_walk_next(&w));
        to->depth = n;
        to->span = n <= FRAMES_FIRST && above <= SPAN_MAX ? (uint16_t)above : 0;
        to->frames = h;
}

/* A stack with the return addresses of one that was walked, in the same places, is walked the same
 * way: where a frame is follows from the code address of the one below it. */
static bool stands_like(const struct group *gr, const struct regs *r, const char *seen, size_t n)
{
        if (!gr->span || gr->span > n || (uintptr_t)gr->pc[0] + 1 != r->r[ARCH_PC])
                return false;
        for (int i = 1; i < gr->depth; i++) {
                uintptr_t pc;

                memcpy(&pc, seen + gr->at[i], sizeof pc);
                if (pc != (uintptr_t)gr->pc[i] + 1)
                        return false;
        }
        return true;
}

/* The same, by the latest stacks if one of them stands like it: a tenth of the time. */
static void take_frames_fast(const struct census *c, struct group *to, const struct regs *r,
                             const struct g *g)
{
        uintptr_t low = r->r[ARCH_SP];
        char      seen[SPAN_MAX];
        size_t    n = 0;

        if (low <= (uintptr_t)g)                        /* the head is the top of the stack */
                n = weir__os_peek(seen, (const void *)low,
                                  MIN((uintptr_t)g - low, (uintptr_t)SPAN_MAX));
        for (int i = 0; i < RECENT && c->recent[i]; i++) {
                const struct group *gr = &c->group[c->recent[i] - 1];

                if (!stands_like(gr, r, seen, n))
                        continue;
                to->frames = gr->frames;
                to->depth = gr->depth;
                to->span = gr->span;
                memcpy(to->pc, gr->pc, (size_t)gr->depth * sizeof to->pc[0]);
                memcpy(to->at, gr->at, (size_t)gr->depth * sizeof to->at[0]);
                return;
        }
        take_frames(to, r);
}

static void touch_recent(struct census *c, uint32_t group)
{
        int i = 0;

        while (i < RECENT - 1 && c->recent[i] && c->recent[i] != group + 1)
                i++;
        for (; i > 0; i--)
                c->recent[i] = c->recent[i - 1];
        c->recent[0] = group + 1;
}

/* Fills a group for g alone. False: it does not rest. */
static bool describe(const struct census *c, struct group *to, struct g *g)
{
        uint64_t    id = load_relaxed(&g->id);
        uint32_t    switches = load_relaxed(&g->switches), state = load_acquire(&g->state);
        const char *name = load_relaxed(&g->name);
        struct regs r;

        if ((state != G_PARKED && state != G_RUNNABLE) || g == weir__sched_g() ||
            load_acquire(&g->stopped) || load_relaxed(&g->locks) ||
            !weir__arch_context_regs(&g->ctx, &r))
                return false;
        to->name[0] = 0;
        if (name && !weir__os_peek(to->name, name, G_NAME_MAX))
                to->name[0] = 0;
        to->name[G_NAME_MAX] = 0;
        to->state = state;
        to->why = state == G_PARKED ? load_relaxed(&g->why) : 0;
        to->on = state == G_PARKED ? load_relaxed(&g->wait_on) : NULL;
        to->oldest = to->newest = load_relaxed(&g->since);
        to->starter = load_relaxed(&g->starter_id);
        to->fn = load_relaxed(&g->fn);
        to->count = 1;
        take_frames_fast(c, to, &r, g);
        to->hash = mix(mix(to->frames, (uint64_t)state << 32 | to->why), (uintptr_t)to->fn);
        for (const char *at = to->name; *at; at++)
                to->hash = mix(to->hash, (unsigned char)*at);
        return switches == load_relaxed(&g->switches) && id == load_relaxed(&g->id);
}

static void add_to(struct census *c, struct group *of, const struct group *one, uint32_t entry)
{
        of->count++;
        c->entry[of->last].next = entry;
        of->last = entry;
        of->oldest = MIN(of->oldest, one->oldest);
        of->newest = MAX(of->newest, one->newest);
        if (of->on != one->on)
                of->on = NULL;
        if (of->starter != one->starter)
                of->starter = SEVERAL;
}

static void take_one(struct census *c, struct g *g)
{
        uint64_t      id = load_relaxed(&g->id);
        struct entry *e = &c->entry[c->entries];
        struct group *one = &c->group[c->groups];
        uint32_t      at;

        if (!id || load_acquire(&g->state) == G_DEAD)
                return;
        *e = (struct entry){ .g = g, .id = id, .next = NONE, .group = NONE };
        c->entries++;
        if (!describe(c, one, g))
                return;
        for (at = (uint32_t)one->hash & c->mask; c->table[at]; at = (at + 1) & c->mask)
                if (c->group[c->table[at] - 1].hash == one->hash) {
                        e->group = c->table[at] - 1;
                        add_to(c, &c->group[e->group], one, c->entries - 1);
                        touch_recent(c, e->group);
                        return;
                }
        c->table[at] = c->groups + 1;
        e->group = c->groups++;
        one->first = one->last = c->entries - 1;
        touch_recent(c, e->group);
}

static void print_group_head(struct out *o, const struct census *c, const struct group *gr)
{
        int64_t now = weir__sched_clock();

        if (gr->count == 1)
                weir__out_print(o, "goroutine %llu",
                                (unsigned long long)c->entry[gr->first].id);
        else
                weir__out_print(o, "%u goroutines", gr->count);
        if (gr->name[0])
                weir__out_print(o, " \"%s\"", gr->name);
        weir__out_print(o, " [%s", weir__dump_state(gr->state, gr->why));
        if (gr->on)
                weir__out_print(o, " %p", gr->on);
        if (gr->state == G_PARKED) {
                weir__dump_age(o, ", ", now - gr->newest);
                if (gr->count > 1 && now - gr->oldest >= 2 * MAX(now - gr->newest, INT64_C(500000)))
                        weir__dump_age(o, now - gr->newest < 1000000 ? ", up to " : " to ",
                                  now - gr->oldest);
        }
        weir__out_print(o, "]");
        if (gr->count == 1)
                weir__dump_trace_id(o, c->entry[gr->first].g);
        weir__out_print(o, ":");
        if (gr->count > 1)
                for (uint32_t e = gr->first, n = 0; e != NONE; e = c->entry[e].next, n++) {
                        if (n == IDS_SHOWN) {
                                weir__out_print(o, " and %u more", gr->count - n);
                                break;
                        }
                        weir__out_print(o, " %llu", (unsigned long long)c->entry[e].id);
                }
        weir__out_print(o, "\n");
}

static void print_group(struct out *o, struct look *l, const struct census *c,
                        const struct group *gr)
{
        bool system = weir__dump_system_frames();
        int  skip = 0;

        for (int i = 0; !system && i < MIN(gr->depth, (int)FRAMES_LOOK); i++) {
                const struct name *n = weir__name_find(l, gr->pc[i], true);

                if (n->known && dump_public_call(n->sym.function)) {
                        skip = i;
                        break;
                }
        }
        print_group_head(o, c, gr);
        for (int i = skip; i < gr->depth; i++) {
                const void        *pc = gr->pc[i < FRAMES_FIRST ? i
                                                                : FRAMES_FIRST + i % FRAMES_LAST];
                const struct name *n;

                if (i >= FRAMES_FIRST && i < gr->depth - FRAMES_LAST) {
                        weir__out_print(o, "        ... %d frames ...\n",
                                        gr->depth - FRAMES_FIRST - FRAMES_LAST);
                        i = gr->depth - FRAMES_LAST - 1;
                        continue;
                }
                n = weir__name_find(l, pc, true);
                if (system || !n->known || !dump_internal(n->sym.function))
                        weir__dump_frame(o, n, pc, true);
        }
        weir__dump_entry(o, gr->fn, gr->starter);
        weir__out_print(o, "\n");
}

static void print_census(struct dump *d, struct census *c)
{
        for (uint32_t i = 0; i < c->entries; i++) {
                const struct entry *e = &c->entry[i];

                if (e->group == NONE)
                        weir__dump_one(e->g, d);
                else if (c->group[e->group].first == i)
                        print_group(d->o, &d->look, c, &c->group[e->group]);
        }
        weir__os_unmap(c->group, c->size);
}

/* More stacks may be made during the walk than there is room for: those found beyond it are grouped
 * anew, among themselves. Without memory to count in: each by itself. */
void weir__dump_stacks(struct dump *d)
{
        struct stack_cursor at = { 0 };
        struct census       c;
        struct stack        s;
        bool                more = weir__stack_next(&at, &s);

        while (more && !weir__debug.dumpeach && census_make(&c, at)) {
                do {
                        take_one(&c, (struct g *)(void *)s.high);
                        more = weir__stack_next(&at, &s);
                } while (more && c.entries < c.room);
                print_census(d, &c);
        }
        for (; more; more = weir__stack_next(&at, &s))
                weir__dump_one(s.high, d);
}
