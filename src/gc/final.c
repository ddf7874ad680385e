/* Finalizers and cleanups: calls that an object's death brings about.
 *
 * What    A finalizer gets the object, which lives until the call is over and may be made reachable
 *         again. A cleanup gets an argument of its own; the object is gone by then. Who asked for
 *         either finds its record in special.c, from where a cycle moves it to the queue. A
 *         goroutine that is started for it takes the queue and calls.
 * States  Of a record: in a chain -> in the queue (a cycle, world stopped) -> free, its call on the
 *         stack of the goroutine.
 * Order   Of objects with finalizers that point to each other the pointing one comes first, for
 *         what they point to is marked before it is asked who died. A cleanup of an object that has
 *         a finalizer too waits until the object dies without one. Calls of one cycle are made in
 *         no order.
 *         A queue that nobody has taken anything from between two cycles gets another goroutine:
 *         the last one waits inside of a call, or was ended by it, or could not be started.
 * Not     One goroutine for ever: one finalizer that never ends would hold up all others until the
 *         end; here it holds up those of its cycle until the next but one. */
#include "gc/special.h"

/* The address that stands for obj; panics where it is no start of one. */
static uintptr_t object_of(const void *obj, const char *call)
{
        struct mem_object o;

        (void)weir__sched_need_g(call);
        if (!weir__mem_find(obj, &o) || o.kind == MEM_MANUAL || (o.base != obj && o.size > 16))
                weir__panic("%s: %p is not the start of a collected object", call, obj);
        return (uintptr_t)obj;
}

void weir_gc_finalize(void *obj, void (*fn)(void *obj))
{
        uintptr_t at = object_of(obj, "weir_gc_finalize");
        uint32_t  i;

        lock_take(&weir__special_lock);
        i = weir__special_find(at, SPECIAL_FINAL);
        if (i && fn) {
                weir__special_at(i)->fn = fn;
        } else if (i) {
                weir__special_unlink(i);
                weir__special_free(i);
        } else if (fn) {
                (void)weir__special_add(at, SPECIAL_FINAL, fn, NULL);
        }
        lock_drop(&weir__special_lock);
        weir__mem_shade(obj);
}

weir_cleanup weir_gc_cleanup(void *obj, void (*fn)(void *arg), void *arg)
{
        uintptr_t         at = object_of(obj, "weir_gc_cleanup");
        struct mem_object o;
        uint32_t          i, generation;

        if (!fn)
                weir__panic("weir_gc_cleanup: a NULL function for %p", obj);
        if (weir__mem_find(arg, &o) && (uintptr_t)o.base <= at && at - (uintptr_t)o.base < o.size)
                weir__panic("weir_gc_cleanup: the argument %p points into the object %p, which "
                            "would never die", arg, obj);
        lock_take(&weir__special_lock);
        i = weir__special_add(at, SPECIAL_CLEANUP, fn, arg);
        generation = weir__special_at(i)->generation;
        lock_drop(&weir__special_lock);
        weir__mem_shade(obj);
        weir__mem_shade(arg);
        return (weir_cleanup){ (uint64_t)generation << 32 | i };
}

bool weir_cleanup_stop(weir_cleanup c)
{
        uint32_t i = (uint32_t)c.id;
        bool     found = false;

        (void)weir__sched_need_g("weir_cleanup_stop");
        if (!i)
                return false;
        lock_take(&weir__special_lock);
        if (weir__special_at(i)->generation == c.id >> 32 &&
            weir__special_at(i)->kind == SPECIAL_CLEANUP) {
                weir__special_unlink(i);
                weir__special_free(i);
                found = true;
        }
        lock_drop(&weir__special_lock);
        return found;
}

/* ---- calls ---- */

struct call {
        void (*fn)(void *);
        void  *arg;
        bool   cleanup;
};

static uint64_t taken;                  /* lock: specials: calls taken from the queue */

static bool next_call(struct call *ret)
{
        struct special *s;
        uint32_t        i;

        lock_take(&weir__special_lock);
        i = weir__special_queue.first;
        if (i) {
                s = weir__special_at(i);
                weir__special_queue.first = s->next;
                if (!s->next)
                        weir__special_queue.last = 0;
                *ret = (struct call){ s->fn, s->obj ? (void *)s->obj : s->arg, !s->obj };
                weir__special_free(i);
                taken++;
        }
        lock_drop(&weir__special_lock);
        return i != 0;
}

static void call_all(void *arg)
{
        struct call c;

        (void)arg;
        while (next_call(&c)) {
                if (c.cleanup)
                        weir__count(gc_cleanups, 1);
                else
                        weir__count(gc_finalized, 1);
                c.fn(c.arg);
        }
}

void weir__final_run(size_t queued)
{
        static uint64_t seen;           /* whoever runs a cycle */
        bool            stands;

        lock_take(&weir__special_lock);
        stands = weir__special_queue.first && taken == seen;
        seen = taken;
        lock_drop(&weir__special_lock);
        if (queued || stands)
                (void)weir__sched_spawn_outside(call_all, "finalizers");        /* else next time */
}
