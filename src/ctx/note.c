/* WEIR_DEBUG=ctxtrace=1: contexts that were made to be cancelled and never were.
 *
 * What    Each context of with_cancel, with_timeout and with_deadline gets a note, which names the
 *         call that made it and outlives it. When the collector finds such a context dead that
 *         never ended, and for those that are left when the program ends, the report says so, one
 *         line for each call: how many, how deep.
 *         with_value is looked at, too: what a context carries is data of a request, which it does
 *         not own.
 * Shape   A list of notes in blocks of malloc's. A note has the address of its context turned
 *         around: it must not keep it alive.
 * Locks   notes: the list.
 * Cost    An allocation, a finalizer and a lock for each context. Nothing without the switch. */
#include "ctx/ctx.h"
#include "base/debug.h"
#include "gc/gc.h"
#include "mem/mem.h"
#include "os/os.h"
#include <stdlib.h>
#include <unistd.h>

struct ctx_note {
        struct ctx_note *next, *prev;   /* lock: notes */
        uintptr_t        hidden;        /* const: ~ the context */
        const void      *site;          /* const */
        uint32_t         depth;         /* const */
};

enum { SITES = 256, LARGE = 1024 };

static struct lock      lock = LOCK_INIT(notes);
static struct ctx_note *notes;          /* lock: notes */

static void take_out(struct ctx_note *n)
{
        lock_take(&lock);
        if (n->prev)
                n->prev->next = n->next;
        else
                notes = n->next;
        if (n->next)
                n->next->prev = n->prev;
        lock_drop(&lock);
}

/* The finalizer: nobody can reach it any more. */
static void collected(void *obj)
{
        weir_ctx        *c = obj;
        struct ctx_note *n = c->note;
        struct out       o = { .fd = STDERR_FILENO };

        take_out(n);
        if (!weir__ctx_look(c)) {
                weir__out_print(&o, "ctx: a context made at ");
                weir__dump_place(&o, n->site);
                weir__out_print(&o, " (depth %u) was never cancelled; it was collected\n", n->depth);
                weir__out_flush(&o);
        }
        free(n);
}

void weir__ctx_note(weir_ctx *c, const void *site)
{
        struct ctx_note *n = calloc(1, sizeof *n);

        if (!n)
                return;
        *n = (struct ctx_note){ .hidden = ~(uintptr_t)c, .site = site, .depth = c->depth };
        c->note = n;
        lock_take(&lock);
        n->next = notes;
        if (notes)
                notes->prev = n;
        notes = n;
        lock_drop(&lock);
        weir_gc_finalize(c, collected);
}

void weir__ctx_note_value(const weir_ctx *c, const void *site)
{
        struct mem_object o;
        struct out        out = { .fd = STDERR_FILENO };
        const char       *what = NULL;
        char              name[128];
        size_t            offset;

        if (!c->value)
                return;
        if (weir__mem_find(c->value, &o))
                what = o.kind == MEM_MANUAL ? "is a block of malloc's, which somebody has to free"
                       : o.size > LARGE     ? "is large"
                                            : NULL;
        else if (weir__os_symbol_find(c->value, name, sizeof name, &offset) && !offset)
                what = "is a function";
        if (!what)
                return;
        weir__out_print(&out, "ctx: the value given at ");
        weir__dump_place(&out, site);
        weir__out_print(&out, " %s; a context carries small data of a request\n", what);
        weir__out_flush(&out);
}

/* ---- the end of the program ---- */

static bool has_ended(const weir_ctx *c)
{
        for (const weir_ctx *up = c; up; up = up->parent)
                if (load_acquire(&up->end))
                        return true;
        return c->deadline != CTX_NEVER && weir__os_now() >= c->deadline;
}

struct site {
        const void *site;
        uint64_t    count;
        uint32_t    deepest;
};

/* When main returns, or exit is called. Goroutines stand by then, or soon. */
static __attribute__((destructor)) void report(void)
{
        static struct site site[SITES];
        struct out         o = { .fd = STDERR_FILENO };
        uint32_t           n = 0;

        if (!weir__debug.ctxtrace)
                return;
        lock_take(&lock);
        for (const struct ctx_note *at = notes; at; at = at->next) {
                uint32_t i = 0;

                if (has_ended((const weir_ctx *)~at->hidden))
                        continue;
                while (i < n && site[i].site != at->site)
                        i++;
                if (i == SITES)
                        continue;
                n = MAX(n, i + 1);
                site[i].site = at->site;
                site[i].count++;
                site[i].deepest = MAX(site[i].deepest, at->depth);
        }
        lock_drop(&lock);
        for (uint32_t i = 0; i < n; i++) {
                weir__out_print(&o, "ctx: %llu made at ", (unsigned long long)site[i].count);
                weir__dump_place(&o, site[i].site);
                weir__out_print(&o, " (depth %u) never cancelled\n", site[i].deepest);
        }
        weir__out_flush(&o);
}
