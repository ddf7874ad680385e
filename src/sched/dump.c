/* The dump: every goroutine with its state, what it waits for, since when, and its stack.
 *
 * What    Walks every stack ever carved; a head with an id is a live goroutine. Parked stacks are
 *         unwound from their saved registers, running ones from registers that their thread noted
 *         in a signal handler. Nothing is stopped.
 *         Parked and runnable ones with the same state, name, entry and stack are printed once,
 *         with their numbers: first all are looked at and counted, then the groups are printed.
 * Shape   of a grouped dump: entries, one per goroutine in the order of their stacks; groups, each
 *         with the frames of its first member and a list of entries; a hash table of groups. All in
 *         one fresh mapping, for a dump may be of a program whose malloc is broken or locked. It has
 *         room for as many as there were a moment before; should there be more, those beyond are
 *         grouped among themselves, in another one.
 * Order   A goroutine may run on while it is looked at. Its stack is read by the kernel on our
 *         behalf, so the worst is a frame that makes no sense; when its switch count changed during
 *         the walk, the dump says so. m->look goes 0 -> 1 (asker, release) -> 2 (handler, release)
 *         -> 0 (asker).
 * Cost    Some microseconds a goroutine (bench dump), most of it the walk up its stack; names are
 *         looked up once per group and kept for the next one that stands at the same place.
 * Not     Comparing what they wait for: of ten thousand handlers each waits on a connection of its
 *         own. Stopping the world for it: a dump is asked for when something hangs, and what hangs
 *         may not stop. */
#include "sched/state.h"
#include <stdlib.h>
#include <unistd.h>
#include <weir/go.h>
#include <weir/run.h>

enum { FRAMES_FIRST = 32, FRAMES_LAST = 16, FRAMES_COUNTED = 20000, NAMES = 256,
       FRAMES_LOOK = 12, IDS_SHOWN = 32, OBJECTS_SHOWN = 64,
       CIRCLE_MAX = 64, OWNER_BELOW = 64 * 1024 };

#define SEVERAL UINT64_MAX

static const char *const why_text[] = {
#define WHY(name, text) text,
        WHY_TABLE
#undef WHY
};

static weir_symbolizer *symbolizer;             /* atomic */
static struct lock      dump_lock;              /* one dump at a time; taken by try alone */

void weir_symbolizer_set(weir_symbolizer *fn)
{
        store_release(&symbolizer, fn);
}

/* ---- names of code addresses ---- */

struct name {
        const void *pc;
        uint64_t    dump;               /* in which: later, another library may be there */
        weir_symbol sym;
        size_t      offset;
        bool        known;
};

static struct name names[NAMES];                /* lock: dump_lock */
static uint64_t    dumps;                       /* lock: dump_lock: how many there were */

/* A dump under way. One that could not have the lock, because another is being written or the fault
 * came in the middle of one, looks names up in a place of its own. */
struct look {
        bool        mine;               /* holds dump_lock */
        uint64_t    dump;               /* its number; 0 without the lock */
        struct name own;
};

/* Turns a symbol into the name that the user wrote: weir_task and WEIR_MAIN put a function around
 * his, and compilers split functions and mark the parts. */
void weir__dump_clean_name(char *name)
{
        size_t n, k = sizeof "_entry_" - 1;

        name[strcspn(name, ".")] = 0;
        n = strlen(name);
        if (n > k && !strcmp(name + n - k, "_entry_"))
                name[n - k] = 0;
        if (!strcmp(name, "weir_root_"))
                memcpy(name, "WEIR_MAIN", sizeof "WEIR_MAIN");
}

static const struct name *look_up(struct look *l, const void *pc, bool lines)
{
        struct name     *n = &l->own;
        weir_symbolizer *fn = load_acquire(&symbolizer);
        weir_symbol      with_line;

        if (l->mine)
                n = &names[((uintptr_t)pc * UINT64_C(0x9E3779B97F4A7C15)) >> 56];
        if (n->pc == pc && n->dump == l->dump)
                return n;
        *n = (struct name){ .pc = pc, .dump = l->dump };
        n->known = weir__os_symbol_find(pc, n->sym.function, sizeof n->sym.function, &n->offset);
        memset(&with_line, 0, sizeof with_line);
        if (lines && fn && fn(pc, &with_line)) {
                memcpy(n->sym.file, with_line.file, sizeof n->sym.file);
                n->sym.line = with_line.line;
                if (!n->known && with_line.function[0]) {
                        memcpy(n->sym.function, with_line.function, sizeof n->sym.function);
                        n->known = true;
                }
        }
        weir__dump_clean_name(n->sym.function);
        return n;
}

static const char *entry_name(void (*fn)(void *), char *buf, size_t size)
{
        size_t offset;

        if (!weir__os_symbol_find((const void *)(uintptr_t)fn, buf, size, &offset))
                return "?";
        weir__dump_clean_name(buf);
        return buf;
}

const char *weir__dump_entry_name(const struct g *g, char *buf, size_t size)
{
        return entry_name(load_relaxed(&g->fn), buf, size);
}

/* Whoever dumps at the same time waits, but not for ever: the holder may be who faulted. */
static bool wait_for_lock(void)
{
        for (int i = 0; i < 2000; i++) {
                if (lock_try(&dump_lock))
                        return true;
                weir__os_sleep(1000000);
        }
        return false;
}

/* With the lock or without. */
static struct look look_begin(bool mine)
{
        return (struct look){ .mine = mine, .dump = mine ? ++dumps : 0 };
}

void weir__dump_place(struct out *o, const void *site)
{
        struct look        l = look_begin(wait_for_lock());
        const void        *pc = (const char *)site - 1;
        const struct name *n = look_up(&l, pc, true);

        if (n->known)
                weir__out_print(o, "%s+0x%zx", n->sym.function, n->offset + 1);
        else
                weir__out_print(o, "%p", site);
        if (n->sym.line)
                weir__out_print(o, "  %s:%d", n->sym.file, n->sym.line);
        if (l.mine)
                lock_drop(&dump_lock);
}

const char *weir__dump_why(uint32_t why)
{
        return why_text[MIN(why, (uint32_t)WHY_COUNT - 1)];
}

/* ---- one stack ---- */

static bool internal(const char *function)
{
        return !strncmp(function, "weir__", 6);
}

static bool public_call(const char *function)
{
        return !strncmp(function, "weir_", 5) && !internal(function);
}

/* The frame to begin with: the runtime's call that the program made, not what it does inside.
 * Answers how many frames to pass over. */
static int frames_inside(struct look *l, const struct regs *regs, bool after_call, bool lines)
{
        struct walk w;
        int         n = 0;

        weir__arch_walk_start(&w, regs, after_call);
        do {
                const struct name *name = look_up(l, weir__arch_walk_pc(&w), lines);

                if (name->known && public_call(name->sym.function))
                        return n;
        } while (++n < FRAMES_LOOK && weir__arch_walk_next(&w));
        return 0;
}

/* Whether asking libdw for lines is safe: not when the stack stands in libc, whose malloc it
 * needs. */
static bool lines_are_safe(const struct regs *r, bool after_call)
{
        struct os_image image, libc;

        if (after_call)
                return true;
        return weir__os_image_find((const void *)(uintptr_t)r->r[ARCH_PC], &image) &&
               weir__os_image_find((const void *)(uintptr_t)&malloc, &libc) &&
               image.base != libc.base;
}

/* How many frames there are, as far as it is sensible to count. */
static int stack_depth(const struct regs *regs, bool after_call)
{
        struct walk w;
        int         n = 0;

        weir__arch_walk_start(&w, regs, after_call);
        do
                n++;
        while (n < FRAMES_COUNTED && weir__arch_walk_next(&w));
        return n;
}

static void print_frame(struct out *o, const struct name *n, const void *pc, bool after_call)
{
        struct os_image image;

        if (n->known)
                weir__out_print(o, "        %s+0x%zx", n->sym.function, n->offset + after_call);
        else
                weir__out_print(o, "        %p", pc);
        if (n->sym.line)
                weir__out_print(o, "  %s:%d", n->sym.file, n->sym.line);
        else if (weir__os_image_find(pc, &image) && image.path[0])
                weir__out_print(o, "  in %s", image.path);
        weir__out_print(o, "\n");
}

static bool system_frames_wanted(void)
{
        const char *level = getenv("WEIR_TRACEBACK");

        return level && !strcmp(level, "system");
}

static void print_stack(struct out *o, struct look *l, const struct regs *regs, bool after_call,
                        const void *from)
{
        bool        system = system_frames_wanted(), lines = lines_are_safe(regs, after_call);
        int         skip = system || from ? 0 : frames_inside(l, regs, after_call, lines);
        int         depth = stack_depth(regs, after_call), at = 0;
        struct walk w;

        weir__arch_walk_start(&w, regs, after_call);
        do {
                const struct name *n;

                if (at++ < skip)
                        continue;
                if (depth > FRAMES_FIRST + FRAMES_LAST && at > FRAMES_FIRST &&
                    at <= depth - FRAMES_LAST) {
                        if (at == depth - FRAMES_LAST)
                                weir__out_print(o, "        ... %d frames ...\n",
                                                depth - FRAMES_FIRST - FRAMES_LAST);
                        continue;
                }
                if (from && (uintptr_t)from != w.regs.r[ARCH_PC])
                        continue;
                from = NULL;
                n = look_up(l, weir__arch_walk_pc(&w), lines);
                if (system || !n->known || !internal(n->sym.function))
                        print_frame(o, n, weir__arch_walk_pc(&w), w.after_call);
        } while (weir__arch_walk_next(&w));
}

/* ---- one goroutine ---- */

static void print_age(struct out *o, const char *before, int64_t ns)
{
        if (ns >= 60 * INT64_C(1000000000))
                weir__out_print(o, "%s%lld min", before, (long long)(ns / 60000000000));
        else if (ns >= INT64_C(1000000000))
                weir__out_print(o, "%s%lld s", before, (long long)(ns / 1000000000));
        else if (ns >= 1000000)
                weir__out_print(o, "%s%lld ms", before, (long long)(ns / 1000000));
}

static const char *state_name(uint32_t state, uint32_t why)
{
        static const char *const states[] = { "dead", "runnable", "running", "parked",
                                              "blocking call" };

        return state == G_PARKED ? why_text[MIN(why, (uint32_t)WHY_COUNT - 1)] : states[state];
}

static void print_trace_id(struct out *o, const struct g *g)
{
        uint64_t high = load_relaxed(&g->trace[0]), low = load_relaxed(&g->trace[1]);

        if (high | low)
                weir__out_print(o, " trace %016llx%016llx span %016llx", (unsigned long long)high,
                                (unsigned long long)low,
                                (unsigned long long)load_relaxed(&g->trace[2]));
}

static void print_head(struct out *o, const struct g *g, uint32_t state)
{
        const void *on = load_relaxed(&g->wait_on);
        const char *name = load_relaxed(&g->name);
        char copy[G_NAME_MAX + 1] = ""; /* the goroutine may end and take it along */

        weir__out_print(o, "goroutine %llu", (unsigned long long)load_relaxed(&g->id));
        if (name && weir__os_peek(copy, name, G_NAME_MAX))
                weir__out_print(o, " \"%s\"", copy);
        weir__out_print(o, " [%s", state_name(state, load_relaxed(&g->why)));
        if (state == G_PARKED && on)
                weir__out_print(o, " %p", on);
        if (state == G_PARKED || state == G_BLOCKED) /* the others' since is of an earlier wait */
                print_age(o, ", ", weir__sched_clock() - load_relaxed(&g->since));
        weir__out_print(o, "]");
        print_trace_id(o, g);
        weir__out_print(o, ":\n");
}

static void print_entry(struct out *o, void (*fn)(void *), uint64_t starter)
{
        char name[128];

        if (fn == weir__sched_run_root)
                weir__out_print(o, "        the root goroutine\n");
        else if (!fn)
                weir__out_print(o, "        a thread of the program, attached\n");
        else if (starter == SEVERAL)
                weir__out_print(o, "        entry %s, started by several goroutines\n",
                                entry_name(fn, name, sizeof name));
        else if (starter)
                weir__out_print(o, "        entry %s, started by goroutine %llu\n",
                                entry_name(fn, name, sizeof name), (unsigned long long)starter);
        else
                weir__out_print(o, "        entry %s, started by the runtime\n",
                                entry_name(fn, name, sizeof name));
}

static void print_foot(struct out *o, const struct g *g)
{
        print_entry(o, load_relaxed(&g->fn), load_relaxed(&g->starter_id));
}

void weir__dump_g(struct out *o, struct g *g, const struct regs *regs, bool after_call, void *from)
{
        struct look l = look_begin(wait_for_lock());

        print_head(o, g, load_relaxed(&g->state));
        print_stack(o, &l, regs, after_call, from);
        print_foot(o, g);
        if (l.mine)
                lock_drop(&dump_lock);
}

/* ---- running ones: their thread answers ---- */

/* Has m's thread note its registers. False: it did not answer within a tenth of a second. */
static bool ask(struct m *m)
{
        store_release(&m->look, 1);
        if (weir__os_thread_signal(m->tid, sched.signal) < 0) {
                store_relaxed(&m->look, 0);
                return false;
        }
        for (int i = 0; i < 1000; i++) {
                if (load_acquire(&m->look) == 2) {
                        store_relaxed(&m->look, 0);
                        return true;
                }
                weir__os_sleep(100000);
        }
        return exchange_acquire(&m->look, 0) == 2;      /* a late answer is for nobody */
}

static void dump_running(struct out *o, struct look *l, struct g *g)
{
        struct m *m = load_acquire(&g->m);              /* pairs with the release of the switch */

        if (m && ask(m) && m->look_g == g) {
                print_stack(o, l, &m->look_regs, false, NULL);
                return;
        }
        weir__out_print(o, "        (running; its thread did not answer)\n");
}

struct dump {
        struct out *o;
        struct look look;
};

static bool dump_one(void *head, void *arg)
{
        struct dump *d = arg;
        struct out  *o = d->o;
        struct look *l = &d->look;
        struct g    *g = head;
        uint64_t    id = load_relaxed(&g->id);
        uint32_t    switches = load_relaxed(&g->switches), state = load_acquire(&g->state);
        struct regs r;
        struct m   *m;

        if (!id || state == G_DEAD)
                return true;
        print_head(o, g, state);
        if (g == weir__sched_g()) {
                weir__arch_capture(&r);
                print_stack(o, l, &r, true, NULL);
        } else if ((m = load_acquire(&g->stopped))) {   /* pairs with the release in hold.c */
                print_stack(o, l, &m->stop_regs, false, NULL);
        } else if (state == G_RUNNING || state == G_BLOCKED || load_relaxed(&g->locks)) {
                dump_running(o, l, g);
        } else if (weir__arch_context_regs(&g->ctx, &r)) {
                print_stack(o, l, &r, true, NULL);
                if (switches != load_relaxed(&g->switches) || id != load_relaxed(&g->id))
                        weir__out_print(o, "        (it ran on during the look)\n");
        }
        print_foot(o, g);
        weir__out_print(o, "\n");
        return true;
}

void weir__dump_parked(struct out *o, struct g *g)
{
        struct dump       d = { .o = o, .look = look_begin(wait_for_lock()) };
        const char *const site = g->site;

        (void)dump_one(g, &d);
        if (site) {
                weir__out_print(o, "        started at\n");
                print_frame(o, look_up(&d.look, site - 1, true), site - 1, true);
                weir__out_print(o, "\n");
        }
        if (d.look.mine)
                lock_drop(&dump_lock);
}

/* ---- groups ---- */

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
        uint32_t      recent[RECENT];   /* groups + 1 whose stacks the next may be like, latest first */
        size_t        size;
};

static uint64_t mix(uint64_t h, uint64_t v)
{
        h = (h ^ v) * UINT64_C(0x9E3779B97F4A7C15);
        return h ^ h >> 29;
}

static bool count_one(void *head, void *arg)
{
        (void)head;
        ++*(uint32_t *)arg;             /* the dead as well: they may be started before the second look */
        return true;
}

/* Room for the stacks from here on, and for some that are made meanwhile. */
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
        weir__out_print(o, " [%s", state_name(gr->state, gr->why));
        if (gr->on)
                weir__out_print(o, " %p", gr->on);
        if (gr->state == G_PARKED) {
                print_age(o, ", ", now - gr->newest);
                if (gr->count > 1 && now - gr->oldest >= 2 * MAX(now - gr->newest, INT64_C(500000)))
                        print_age(o, now - gr->newest < 1000000 ? ", up to " : " to ",
                                  now - gr->oldest);
        }
        weir__out_print(o, "]");
        if (gr->count == 1)
                print_trace_id(o, c->entry[gr->first].g);
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

static void print_group(struct out *o, struct look *l, const struct census *c, const struct group *gr)
{
        bool system = system_frames_wanted();
        int  skip = 0;

        for (int i = 0; !system && i < MIN(gr->depth, (int)FRAMES_LOOK); i++) {
                const struct name *n = look_up(l, gr->pc[i], true);

                if (n->known && public_call(n->sym.function)) {
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
                n = look_up(l, pc, true);
                if (system || !n->known || !internal(n->sym.function))
                        print_frame(o, n, pc, true);
        }
        print_entry(o, gr->fn, gr->starter);
        weir__out_print(o, "\n");
}

static void print_census(struct dump *d, struct census *c)
{
        for (uint32_t i = 0; i < c->entries; i++) {
                const struct entry *e = &c->entry[i];

                if (e->group == NONE)
                        dump_one(e->g, d);
                else if (c->group[e->group].first == i)
                        print_group(d->o, &d->look, c, &c->group[e->group]);
        }
        weir__os_unmap(c->group, c->size);
}

/* All goroutines on stacks. More stacks may be made during the walk than there is room for: those
 * found beyond it are grouped anew, among themselves. Without memory to count in: each by itself. */
static void dump_stacks(struct dump *d)
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
                dump_one(s.high, d);
}

/* ---- a stack, for reports of mistakes ---- */

static void take_stack(struct stack_shown *ret, const struct regs *r, bool from_public,
                       const void *site)
{
        struct walk w;

        ret->n = 0;
        weir__arch_walk_start(&w, r, false);
        do {
                const void *pc = weir__arch_walk_pc(&w);
                char        name[128];
                size_t      offset;

                if (site && (uintptr_t)site != w.regs.r[ARCH_PC])
                        continue;
                site = NULL;
                if (ret->n || !from_public ||
                    (weir__os_symbol_find(pc, name, sizeof name, &offset) && public_call(name) &&
                     strcmp(name, "weir_root_") != 0))
                        ret->pc[ret->n++] = pc;
        } while (ret->n < STACK_SHOWN && weir__arch_walk_next(&w));
}

/* From the public call on, if there are names. */
noinline void weir__sched_stack(struct stack_shown *ret)
{
        struct regs r;

        weir__arch_capture(&r);
        take_stack(ret, &r, true, NULL);
        if (!ret->n)
                take_stack(ret, &r, false, NULL);
}

noinline void weir__sched_stack_from(struct stack_shown *ret, const void *site)
{
        struct regs r;

        weir__arch_capture(&r);
        take_stack(ret, &r, false, site);
        if (!ret->n)
                take_stack(ret, &r, false, NULL);
}

void weir__sched_stack_print(struct out *o, const struct stack_shown *s)
{
        for (uint32_t i = 0; i < s->n; i++) {
                char   name[128];
                size_t offset;

                if (!weir__os_symbol_find(s->pc[i], name, sizeof name, &offset)) {
                        weir__out_print(o, "                %p\n", s->pc[i]);
                        continue;
                }
                if (internal(name))
                        continue;
                weir__dump_clean_name(name);
                weir__out_print(o, "                %s+0x%zx\n", name, offset);
        }
}

/* ---- who waits for whom ---- */

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
                weir__out_print(o, "; locked on the stack of %llu or %llu", (unsigned long long)by.id[0],
                                (unsigned long long)by.id[1]);
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
                                        state_name(G_PARKED, w->wait[at].why));
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

/* ---- all ---- */

static void print_use(void (*entry)(void *), size_t used, uint32_t class, uint64_t count, void *arg)
{
        struct out *o = arg;
        char        name[128];
        size_t      offset;

        if (entry == weir__sched_run_root)
                weir__fmt(name, sizeof name, "the root");
        else if (weir__os_symbol_find((const void *)(uintptr_t)entry, name, sizeof name, &offset))
                weir__dump_clean_name(name);
        else
                weir__fmt(name, sizeof name, "%p", (void *)(uintptr_t)entry);
        weir__out_print(o, "stackuse: %s: %zu KiB of %zu at the deepest, %llu goroutines\n", name,
                        used / 1024, ((size_t)1 << class) / 1024, (unsigned long long)count);
}

void weir__dump_stackuse(struct out *o)
{
        weir__stack_each_use(print_use, o);
}

static void dump_locked(struct out *o, bool mine)
{
        struct dump d = { .o = o, .look = look_begin(mine) };

        dump_stacks(&d);
        weir__guest_each(dump_one, &d);
        weir__hold_print(o);
        if (weir__debug.stackuse)
                weir__dump_stackuse(o);
        weir__out_flush(o);
        if (mine)
                lock_drop(&dump_lock);
}

/* Whoever dumps at the same time waits; a fault inside a dump goes on without it. */
void weir__dump_all(struct out *o)
{
        dump_locked(o, wait_for_lock());
}

/* Waits for another dump without its processor, for that may take a second. */
void weir_dump(FILE *out)
{
        struct out o = { .fd = -1, .file = out };
        struct m  *m = self();
        bool       mine = lock_try(&dump_lock);

        if (!mine && m && m->p && m->g != &m->g0) {
                weir__sched_block_enter();
                mine = wait_for_lock();
                weir__sched_block_exit();
        } else if (!mine) {
                mine = wait_for_lock();
        }
        dump_locked(&o, mine);
        fflush(out);
}

void weir__dump_forked(void)
{
        dump_lock = (struct lock){ 0 };
        memset(names, 0, sizeof names);
}

static void dump_thrown(void)
{
        struct out o = { .fd = STDERR_FILENO };

        weir__dump_all(&o);
        weir__order_tell(&o);
}

void weir__dump_init(void)
{
        weir__throw_hook = dump_thrown;
}
