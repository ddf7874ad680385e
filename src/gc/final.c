/* Finalizers.
 *
 * What    A table from object to function, outside of everything that is scanned. A cycle first
 *         marks what the objects in it point to, not the objects: so one that another object with a
 *         finalizer points to is kept, and finalizers run in the order of dependency. After the
 *         marking, objects that nobody marked leave the table for a queue, and are marked, so that
 *         they live until their function has run. A goroutine that is started for it takes the
 *         queue and calls.
 * States  Of an entry: in the table -> in the queue (a cycle, world stopped) -> being called, on
 *         the goroutine's stack -> gone. Each object in the queue is a root.
 * Locks   finals: table and queue. Taken by goroutines inside the runtime, so with the world
 *         stopped nobody has it.
 * Shape   Open addressing by the object's address, half full at most; the queue is an array. Both
 *         in mappings of their own, for the collector must not allocate from what it collects.
 * Not     A list of finalizers per span, as Go has: sweeping would have to know them. One goroutine
 *         for ever: one finalizer that never ends would hold up all others until the end; here it
 *         holds up those of its cycle. */
#include "gc/gc.h"
#include "base/lock.h"
#include "os/os.h"

struct final {
        uintptr_t obj;                  /* 0: free */
        void    (*fn)(void *obj);
};

struct array {
        struct final *at;
        size_t        n, room;          /* used, there is; room is 0 or a power of two */
};

static struct lock  lock = LOCK_INIT(finals);
static struct array table;              /* lock: finals */
static struct array queue;              /* lock: finals */

static size_t place(const struct array *a, uintptr_t obj)
{
        size_t i = (size_t)(obj * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (a->room - 1);

        while (a->at[i].obj && a->at[i].obj != obj)
                i = (i + 1) & (a->room - 1);
        return i;
}

static void resize(struct array *a, size_t room, bool hashed)
{
        struct array old = *a;

        a->at = weir__os_map(room * sizeof *a->at);
        if (!a->at)
                weir__throw("no memory for %zu finalizers", room);
        a->room = room;
        for (size_t i = 0, n = 0; n < old.n; i++)
                if (old.at[i].obj) {
                        a->at[hashed ? place(a, old.at[i].obj) : n] = old.at[i];
                        n++;
                }
        if (old.at)
                weir__os_unmap(old.at, old.room * sizeof *old.at);
}

/* Takes entry i out of a table and closes the gap. */
static void take_out(struct array *a, size_t i)
{
        size_t mask = a->room - 1, k = i;

        a->at[i].obj = 0;
        a->n--;
        /* What stands behind it and would now be sought from before the gap moves up. */
        while (a->at[k = (k + 1) & mask].obj) {
                struct final f = a->at[k];
                size_t       to;

                a->at[k].obj = 0;
                to = place(a, f.obj);
                a->at[to] = f;
        }
}

void weir_gc_finalize(void *obj, void (*fn)(void *obj))
{
        struct mem_object o;
        size_t            i;

        (void)weir__sched_need_g("weir_gc_finalize");
        if (!weir__mem_find(obj, &o) || o.kind == MEM_MANUAL || (o.base != obj && o.size > 16))
                weir__panic("weir_gc_finalize: %p is not the start of a collected object", obj);
        lock_take(&lock);
        if (!table.room || 2 * (table.n + 1) > table.room)
                resize(&table, MAX(2 * table.room, OS_PAGE / sizeof *table.at), true);
        i = place(&table, (uintptr_t)obj);
        if (fn) {
                table.n += !table.at[i].obj;
                table.at[i] = (struct final){ (uintptr_t)obj, fn };
        } else if (table.at[i].obj) {
                take_out(&table, i);
        }
        lock_drop(&lock);
}

void weir__final_mark(struct marker *m)
{
        for (size_t i = 0, n = 0; n < table.n; i++)
                if (table.at[i].obj) {
                        weir__mark_inside(m, (const void *)table.at[i].obj);
                        n++;
                }
        for (size_t i = 0; i < queue.n; i++)
                weir__mark_pointer(m, (const void *)queue.at[i].obj);
}

size_t weir__final_queue(struct marker *m)
{
        size_t found = 0;

        for (size_t i = 0, n = 0, all = table.n; n < all; i++) {
                if (!table.at[i].obj)
                        continue;
                n++;
                if (weir__mark_is((const void *)table.at[i].obj))
                        continue;
                if (queue.n == queue.room)
                        resize(&queue, MAX(2 * queue.room, OS_PAGE / sizeof *queue.at), false);
                queue.at[queue.n++] = table.at[i];
                found++;
        }
        for (size_t i = queue.n - found; i < queue.n; i++) {
                take_out(&table, place(&table, queue.at[i].obj));
                weir__mark_pointer(m, (const void *)queue.at[i].obj);
        }
        return found;
}

static bool next_final(struct final *ret)
{
        bool found;

        lock_take(&lock);
        found = queue.n != 0;
        if (found)
                *ret = queue.at[--queue.n];
        lock_drop(&lock);
        return found;
}

static void call_all(void *arg)
{
        struct final f;

        (void)arg;
        while (next_final(&f)) {
                weir__count(gc_finalized, 1);
                f.fn((void *)f.obj);
        }
}

void weir__final_run(void)
{
        (void)weir__sched_spawn_outside(call_all, "finalizers");        /* else with the next ones */
}
