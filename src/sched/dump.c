/* The dump: every goroutine with its state, what it waits for, since when, and its stack.
 *
 * What    Walks every stack ever carved; a head with an id is a live goroutine. Parked stacks are
 *         unwound from their saved registers, running ones from registers that their thread noted
 *         in a signal handler. Nothing is stopped.
 *         Here: a goroutine by itself, and the dump as a whole. Equal ones are grouped by census.c,
 *         addresses get their names in name.c, who waits for whom is in waits.c.
 * Order   A goroutine may run on while it is looked at. Its stack is read by the kernel on our
 *         behalf, so the worst is a frame that makes no sense; when its switch count changed during
 *         the walk, the dump says so. m->look goes 0 -> 1 (asker, release) -> 2 (handler, release)
 *         -> 0 (asker).
 * Cost    Some microseconds a goroutine (bench dump), most of it the walk up its stack.
 * Not     Stopping the world for it: a dump is asked for when something hangs, and what hangs may
 *         not stop. */
#include "sched/dump.h"
#include <stdlib.h>
#include <unistd.h>
#include <weir/go.h>

static const char *const why_text[] = {
#define WHY(name, text) text,
        WHY_TABLE
#undef WHY
};

const char *weir__dump_why(uint32_t why)
{
        return why_text[MIN(why, (uint32_t)WHY_COUNT - 1)];
}

/* ---- one stack ---- */

/* The frame to begin with: the runtime's call that the program made, not what it does inside.
 * Answers how many frames to pass over. */
static int frames_inside(struct look *l, const struct regs *regs, bool after_call, bool lines)
{
        struct walk w;
        int         n = 0;

        weir__arch_walk_start(&w, regs, after_call);
        do {
                const struct name *name = weir__name_find(l, weir__arch_walk_pc(&w), lines);

                if (name->known && dump_public_call(name->sym.function))
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

void weir__dump_frame(struct out *o, const struct name *n, const void *pc, bool after_call)
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

bool weir__dump_system_frames(void)
{
        const char *level = getenv("WEIR_TRACEBACK");

        return level && !strcmp(level, "system");
}

static void print_stack(struct out *o, struct look *l, const struct regs *regs, bool after_call,
                        const void *from)
{
        bool        system = weir__dump_system_frames(), lines = lines_are_safe(regs, after_call);
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
                n = weir__name_find(l, weir__arch_walk_pc(&w), lines);
                if (system || !n->known || !dump_internal(n->sym.function))
                        weir__dump_frame(o, n, weir__arch_walk_pc(&w), w.after_call);
        } while (weir__arch_walk_next(&w));
}

/* ---- one goroutine ---- */

void weir__dump_age(struct out *o, const char *before, int64_t ns)
{
        if (ns >= 60 * INT64_C(1000000000))
                weir__out_print(o, "%s%lld min", before, (long long)(ns / 60000000000));
        else if (ns >= INT64_C(1000000000))
                weir__out_print(o, "%s%lld s", before, (long long)(ns / 1000000000));
        else if (ns >= 1000000)
                weir__out_print(o, "%s%lld ms", before, (long long)(ns / 1000000));
}

const char *weir__dump_state(uint32_t state, uint32_t why)
{
        static const char *const states[] = { "dead", "runnable", "running", "parked",
                                              "blocking call" };

        return state == G_PARKED ? why_text[MIN(why, (uint32_t)WHY_COUNT - 1)] : states[state];
}

void weir__dump_trace_id(struct out *o, const struct g *g)
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
        weir__out_print(o, " [%s", weir__dump_state(state, load_relaxed(&g->why)));
        if (state == G_PARKED && on)
                weir__out_print(o, " %p", on);
        if (state == G_PARKED || state == G_BLOCKED) /* the others' since is of an earlier wait */
                weir__dump_age(o, ", ", weir__sched_clock() - load_relaxed(&g->since));
        weir__out_print(o, "]");
        weir__dump_trace_id(o, g);
        weir__out_print(o, ":\n");
}

void weir__dump_entry(struct out *o, void (*fn)(void *), uint64_t starter)
{
        char name[128];

        if (fn == weir__sched_run_root)
                weir__out_print(o, "        the root goroutine\n");
        else if (!fn)
                weir__out_print(o, "        a thread of the program, attached\n");
        else if (starter == SEVERAL)
                weir__out_print(o, "        entry %s, started by several goroutines\n",
                                weir__name_of_entry(fn, name, sizeof name));
        else if (starter)
                weir__out_print(o, "        entry %s, started by goroutine %llu\n",
                                weir__name_of_entry(fn, name, sizeof name),
                                (unsigned long long)starter);
        else
                weir__out_print(o, "        entry %s, started by the runtime\n",
                                weir__name_of_entry(fn, name, sizeof name));
}

static void print_foot(struct out *o, const struct g *g)
{
        weir__dump_entry(o, load_relaxed(&g->fn), load_relaxed(&g->starter_id));
}

void weir__dump_g(struct out *o, struct g *g, const struct regs *regs, bool after_call, void *from)
{
        struct look l = weir__name_look(weir__name_lock());

        print_head(o, g, load_relaxed(&g->state));
        print_stack(o, &l, regs, after_call, from);
        print_foot(o, g);
        weir__name_done(&l);
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

bool weir__dump_one(void *head, void *arg)
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
        struct dump       d = { .o = o, .look = weir__name_look(weir__name_lock()) };
        const char *const site = g->site;

        (void)weir__dump_one(g, &d);
        if (site) {
                weir__out_print(o, "        started at\n");
                weir__dump_frame(o, weir__name_find(&d.look, site - 1, true), site - 1, true);
                weir__out_print(o, "\n");
        }
        weir__name_done(&d.look);
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
        struct dump d = { .o = o, .look = weir__name_look(mine) };

        weir__dump_stacks(&d);
        weir__guest_each(weir__dump_one, &d);
        weir__hold_print(o);
        if (weir__debug.stackuse)
                weir__dump_stackuse(o);
        weir__out_flush(o);
        weir__name_done(&d.look);
}

/* Whoever dumps at the same time waits; a fault inside a dump goes on without it. */
void weir__dump_all(struct out *o)
{
        dump_locked(o, weir__name_lock());
}

/* Waits for another dump without its processor, for that may take a second. */
void weir_dump(FILE *out)
{
        struct out o = { .fd = -1, .file = out };
        struct m  *m = self();
        bool       mine = weir__name_try_lock();

        if (!mine && m && m->p && m->g != &m->g0) {
                weir__sched_block_enter();
                mine = weir__name_lock();
                weir__sched_block_exit();
        } else if (!mine) {
                mine = weir__name_lock();
        }
        dump_locked(&o, mine);
        fflush(out);
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
