/* Names of code addresses, for dumps: function, distance, file and line.
 *
 * What    The function comes from the symbols of the file that is mapped there, file and line from
 *         a symbolizer, if one is set (libweir-symbols). What was found is kept for the next frame
 *         that stands at the same place, within a dump.
 * Locks   dump_lock guards what is kept; it is held by a dump from beginning to end, and only ever
 *         taken by try: the holder may be who faulted. Who does not get it looks up each by
 *         itself. */
#include "sched/dump.h"
#include <weir/run.h>

enum { NAMES = 256 };

static weir_symbolizer *symbolizer;             /* atomic */
static struct lock      dump_lock;              /* one dump at a time; taken by try alone */

void weir_symbolizer_set(weir_symbolizer *fn)
{
        store_release(&symbolizer, fn);
}

static struct name names[NAMES];                /* lock: dump_lock */
static uint64_t    dumps;                       /* lock: dump_lock: how many there were */

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

const struct name *weir__name_find(struct look *l, const void *pc, bool lines)
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

const char *weir__name_of_entry(void (*fn)(void *), char *buf, size_t size)
{
        size_t offset;

        if (!weir__os_symbol_find((const void *)(uintptr_t)fn, buf, size, &offset))
                return "?";
        weir__dump_clean_name(buf);
        return buf;
}

const char *weir__dump_entry_name(const struct g *g, char *buf, size_t size)
{
        return weir__name_of_entry(load_relaxed(&g->fn), buf, size);
}

bool weir__name_lock(void)
{
        for (int i = 0; i < 2000; i++) {
                if (lock_try(&dump_lock))
                        return true;
                weir__os_sleep(1000000);
        }
        return false;
}

bool weir__name_try_lock(void)
{
        return lock_try(&dump_lock);
}

void weir__name_done(const struct look *l)
{
        if (l->mine)
                lock_drop(&dump_lock);
}

struct look weir__name_look(bool mine)
{
        return (struct look){ .mine = mine, .dump = mine ? ++dumps : 0 };
}

void weir__dump_place(struct out *o, const void *site)
{
        struct look        l = weir__name_look(weir__name_lock());
        const void        *pc = (const char *)site - 1;
        const struct name *n = weir__name_find(&l, pc, true);

        if (n->known)
                weir__out_print(o, "%s+0x%zx", n->sym.function, n->offset + 1);
        else
                weir__out_print(o, "%p", site);
        if (n->sym.line)
                weir__out_print(o, "  %s:%d", n->sym.file, n->sym.line);
        weir__name_done(&l);
}

void weir__dump_forked(void)
{
        dump_lock = (struct lock){ 0 };
        memset(names, 0, sizeof names);
}
