/* Memory for the objects that weir hands to programs, from the process's malloc.
 *
 * Objects of weir__mem_new live until the process ends: the contract says that channels are
 * collected, which they are not yet. Pools keep closed records for a while before
 * they hand them out again, which bounds memory without letting a second close hit a stranger
 * soon. */
#include "mem/heap.h"
#include <stdlib.h>
#include <unistd.h>

struct spare {
        struct spare *next;
};

static slowpath _Noreturn void out_of_memory(size_t size, const char *what)
{
        struct out o = { .fd = STDERR_FILENO };

        weir__out_print(&o, "fatal: out of memory: %zu bytes for a %s\n", size, what);
        weir__out_flush(&o);
        _exit(2);
}

/* Objects outside of weir's own heap: another malloc's. The collector looks at them. */
struct foreign {
        struct foreign *next;           /* const */
        size_t          size;           /* const */
        void           *p;              /* const */
};
static struct foreign *foreign;         /* atomic: a list that only grows */

bool weir__mem_own(const void *p)
{
        return weir__span_of((uintptr_t)p) != NULL;
}

static void note_foreign(void *p, size_t size, const char *what)
{
        struct foreign *f = malloc(sizeof *f), *head = load_relaxed(&foreign);

        if (!f)
                out_of_memory(sizeof *f, what);
        *f = (struct foreign){ .size = size, .p = p };
        do
                f->next = head;
        while (!cas_seq(&foreign, &head, f));
}

void weir__mem_each_foreign(void (*fn)(void *p, size_t size, void *arg), void *arg)
{
        for (struct foreign *f = load_acquire(&foreign); f; f = f->next)
                fn(f->p, f->size, arg);
}

void *weir__mem_new(size_t size, const char *what)
{
        void *p = NULL;

        if (posix_memalign(&p, CACHE_LINE, ALIGN_UP(size, (size_t)CACHE_LINE)))
                out_of_memory(size, what);
        memset(p, 0, size);
        if (unlikely(!weir__mem_own(p)))
                note_foreign(p, size, what);
        return p;
}

void *weir__pool_get(struct pool *p, bool *ret_fresh)
{
        struct spare *s = NULL;

        lock_take(&p->lock);
        if (p->count > p->keep) {
                s = p->first;
                p->first = s->next;
                p->count--;
        }
        lock_drop(&p->lock);
        *ret_fresh = !s;
        return s ? (void *)s : weir__mem_new(p->size, p->what);
}

void weir__pool_put(struct pool *p, void *record)
{
        struct spare *s = record;

        s->next = NULL;
        lock_take(&p->lock);
        if (p->count++)
                p->last->next = s;
        else
                p->first = s;
        p->last = s;
        lock_drop(&p->lock);
}
