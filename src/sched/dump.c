/* The dump: every goroutine with its state, what it waits for, since when, and its stack.
 *
 * What    Walks every stack ever carved; a head with an id is a live goroutine. Parked stacks are
 *         unwound from their saved registers, running ones from registers that their thread noted
 *         in a signal handler. Nothing is stopped.
 * Order   A goroutine may run on while it is looked at. Its stack is read by the kernel on our
 *         behalf, so the worst is a frame that makes no sense; when its switch count changed during
 *         the walk, the dump says so. m->look goes 0 -> 1 (asker, release) -> 2 (handler, release)
 *         -> 0 (asker).
 * Cost    Some microseconds a frame, most of it the search in the symbol table; looked-up names are
 *         kept for the next goroutine that stands at the same place.
 * Not     Stopping the world for it: a dump is asked for when something hangs, and what hangs may
 *         not stop. */
#include "sched/state.h"
#include <stdlib.h>
#include <unistd.h>
#include <weir/go.h>
#include <weir/run.h>

enum { FRAMES_FIRST = 32, FRAMES_LAST = 16, FRAMES_COUNTED = 20000, NAMES = 256 };

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
        weir_symbol sym;
        size_t      offset;
        bool        known;
};

static struct name names[NAMES];                /* lock: dump_lock */

/* A dump under way. One that could not have the lock, because another is being written or the fault
 * came in the middle of one, looks names up in a place of its own. */
struct look {
        bool        mine;               /* holds dump_lock */
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
        if (n->pc == pc)
                return n;
        *n = (struct name){ .pc = pc };
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

const char *weir__dump_entry_name(const struct g *g, char *buf, size_t size)
{
        size_t offset;

        if (!weir__os_symbol_find((const void *)(uintptr_t)load_relaxed(&g->fn), buf, size,
                                  &offset))
                return "?";
        weir__dump_clean_name(buf);
        return buf;
}

/* Whoever dumps at the same time waits, but not for ever: the holder may be who faulted. */
static void look_begin(struct look *l)
{
        for (int i = 0; i < 2000 && !(l->mine = lock_try(&dump_lock)); i++)
                weir__os_sleep(1000000);
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
        enum { LOOK = 12 };
        struct walk w;
        int         n = 0;

        weir__arch_walk_start(&w, regs, after_call);
        do {
                const struct name *name = look_up(l, weir__arch_walk_pc(&w), lines);

                if (name->known && public_call(name->sym.function))
                        return n;
        } while (++n < LOOK && weir__arch_walk_next(&w));
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

static void print_frame(struct out *o, const struct name *n, const struct walk *w)
{
        struct os_image image;

        if (n->known)
                weir__out_print(o, "        %s+0x%zx", n->sym.function, n->offset + w->after_call);
        else
                weir__out_print(o, "        %p", weir__arch_walk_pc(w));
        if (n->sym.line)
                weir__out_print(o, "  %s:%d", n->sym.file, n->sym.line);
        else if (weir__os_image_find(weir__arch_walk_pc(w), &image) && image.path[0])
                weir__out_print(o, "  in %s", image.path);
        weir__out_print(o, "\n");
}

static void print_stack(struct out *o, struct look *l, const struct regs *regs, bool after_call,
                        const void *from)
{
        const char *level = getenv("WEIR_TRACEBACK");
        bool system = level && !strcmp(level, "system"), lines = lines_are_safe(regs, after_call);
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
                        print_frame(o, n, &w);
        } while (weir__arch_walk_next(&w));
}

/* ---- one goroutine ---- */

static void print_age(struct out *o, int64_t ns)
{
        if (ns >= 60 * INT64_C(1000000000))
                weir__out_print(o, ", %lld min", (long long)(ns / 60000000000));
        else if (ns >= INT64_C(1000000000))
                weir__out_print(o, ", %lld s", (long long)(ns / 1000000000));
        else if (ns >= 1000000)
                weir__out_print(o, ", %lld ms", (long long)(ns / 1000000));
}

static void print_head(struct out *o, const struct g *g, uint32_t state)
{
        static const char *const states[] = { "dead", "runnable", "running", "parked",
                                              "blocking call" };
        const void *on = load_relaxed(&g->wait_on);
        const char *name = load_relaxed(&g->name);
        char copy[G_NAME_MAX + 1] = ""; /* the goroutine may end and take it along */

        weir__out_print(o, "goroutine %llu", (unsigned long long)load_relaxed(&g->id));
        if (name && weir__os_peek(copy, name, G_NAME_MAX))
                weir__out_print(o, " \"%s\"", copy);
        weir__out_print(o, " [%s",
                        state == G_PARKED ? why_text[load_relaxed(&g->why)] : states[state]);
        if (state == G_PARKED && on)
                weir__out_print(o, " %p", on);
        if (state == G_PARKED || state == G_BLOCKED) /* the others' since is of an earlier wait */
                print_age(o, weir__sched_clock() - load_relaxed(&g->since));
        weir__out_print(o, "]:\n");
}

static void print_foot(struct out *o, const struct g *g)
{
        char name[128];

        if (load_relaxed(&g->fn) == weir__sched_run_root)
                weir__out_print(o, "        the root goroutine\n");
        else if (load_relaxed(&g->starter_id))
                weir__out_print(o, "        entry %s, started by goroutine %llu\n",
                                weir__dump_entry_name(g, name, sizeof name),
                                (unsigned long long)load_relaxed(&g->starter_id));
        else
                weir__out_print(o, "        entry %s, started by the runtime\n",
                                weir__dump_entry_name(g, name, sizeof name));
}

void weir__dump_g(struct out *o, struct g *g, const struct regs *regs, bool after_call, void *from)
{
        struct look l = { 0 };

        look_begin(&l);
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
        struct g   *g = head;
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

void weir__dump_all(struct out *o)
{
        struct dump d = { .o = o };

        look_begin(&d.look);
        weir__stack_each(dump_one, &d);
        weir__hold_print(o);
        if (weir__debug.stackuse)
                weir__dump_stackuse(o);
        weir__out_flush(o);
        if (d.look.mine)
                lock_drop(&dump_lock);
}

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

void weir_dump(FILE *out)
{
        struct out o = { .fd = -1, .file = out };

        weir__dump_all(&o);
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
