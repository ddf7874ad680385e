/* Weak pointers and pins: one that does not keep its object, one that keeps it from outside.
 *
 * What    A weak pointer is a collected object of two words without pointers, the handle, in which
 *         the address of the other stands until that dies. One handle per object, so that two weak
 *         pointers to the same are equal; its record is in special.c.
 * Order   A handle is cleared with the world stopped, when nobody is in the runtime. So who asks
 *         for the object either has it in a register when the stop comes, where it is found and
 *         marked before it is asked what died, or asks afterwards and gets NULL. That is also why
 *         the answer need not be shaded; it is all the same, for then the stop has less to mark.
 *         A handle is cleared before the finalizer of the object is queued: what a finalizer makes
 *         reachable again is not reached by the weak pointers there were.
 * Not     A weak pointer that lies in the program's structs and is registered: it would have to be
 *         taken back before its memory goes, each time. */
#include "gc/special.h"

struct weir_weak {
        uintptr_t obj;                  /* atomic; 0: it died */
        uint64_t  reserved;             /* lest it be packed with others */
};

weir_weak *weir_weak_make(const void *obj)
{
        struct mem_object o;
        weir_weak        *w;
        uint32_t          i;

        (void)weir__sched_need_g("weir_weak_make");
        if (!obj)
                return NULL;
        if (!weir__mem_find(obj, &o) || o.kind == MEM_MANUAL || (o.base != obj && o.size > 16))
                weir__panic("weir_weak_make: %p is not the start of a collected object", obj);
        w = weir__gc_new(MEM_NOSCAN, sizeof *w);
        w->obj = (uintptr_t)obj;
        lock_take(&weir__special_lock);
        i = weir__special_find((uintptr_t)obj, SPECIAL_WEAK);
        if (i)
                w = weir__special_at(i)->arg;
        else
                (void)weir__special_add((uintptr_t)obj, SPECIAL_WEAK, NULL, w);
        lock_drop(&weir__special_lock);
        weir__mem_shade(obj);
        weir__mem_shade(w);
        return w;
}

void *weir_weak_get(const weir_weak *w)
{
        void *obj = w ? (void *)load_relaxed(&w->obj) : NULL;

        weir__mem_shade(obj);
        return obj;
}

void weir__weak_clear(void *handle)
{
        struct weir_weak *w = handle;

        store_relaxed(&w->obj, 0);
        weir__count(gc_weak_cleared, 1);
}

/* ---- pins ---- */

static uintptr_t pinned(const void *obj, const char *call)
{
        struct mem_object o;

        if (!weir__mem_find(obj, &o) || o.kind == MEM_MANUAL)
                weir__panic("%s: %p is no address of a collected object", call, obj);
        return (uintptr_t)o.base;
}

void weir_gc_pin(const void *obj)
{
        uintptr_t at = pinned(obj, "weir_gc_pin");
        uint32_t  i;

        lock_take(&weir__special_lock);
        i = weir__special_find(at, SPECIAL_PIN);
        if (!i)
                i = weir__special_add(at, SPECIAL_PIN, NULL, NULL);
        weir__special_at(i)->count++;
        lock_drop(&weir__special_lock);
        weir__mem_shade(obj);
}

void weir_gc_unpin(const void *obj)
{
        uintptr_t at = pinned(obj, "weir_gc_unpin");
        uint32_t  i;

        lock_take(&weir__special_lock);
        i = weir__special_find(at, SPECIAL_PIN);
        if (i && !--weir__special_at(i)->count) {
                weir__special_unlink(i);
                weir__special_free(i);
        }
        lock_drop(&weir__special_lock);
        if (!i)
                weir__panic("weir_gc_unpin: the object at %p is not pinned", (void *)at);
}
