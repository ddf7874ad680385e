/* Stacks that never move: address space is reserved, memory comes by first touch.
 *
 * What    A stack is a slot in a slab of address space. Slots are carved from the slab one after
 *         another and guarded once. They are never given back: the scheduler recycles a goroutine
 *         together with its stack, hottest first, from lists of its own.
 * Shape   A slot, low address to high:
 *
 *             | guard 8 pages | usable, 2^class bytes ... | head: struct g | colour |
 *
 *         The head is in the first page that the stack touches, so a small goroutine costs one
 *         page. The stride is an odd number of pages, so that the tops of neighbouring stacks fall
 *         in different sets of the second-level cache; the colour, (index mod 8) * 256 bytes inside
 *         the last page, does the same for the first level. Without both, every goroutine's hot
 *         lines compete for the same eight ways.
 *         All of the guard but its lowest page can be opened for a while, so that an overflow may
 *         be unwound on the stack that has no room left.
 * Guards  One of three kinds, the best that is to be had; a slot keeps what it got:
 *           ADVISED   MADV_GUARD_INSTALL, Linux 6.13: no mapping of its own
 *           DENIED    mprotect: two mappings each, so only up to a budget, 7/16 of
 *                     vm.max_map_count, which leaves an eighth to the rest of the program
 *           CANARY    nothing: the area is read at each switch away from the stack (park.c), and
 *                     must still be zero. It is never written, so all of them are backed by the
 *                     one page of zeros and cost neither memory nor cache. A call writes its return
 *                     address, so an overflow shows; but late, when the damage is done: it ends the
 *                     program.
 *         The kinds only get worse, ADVISED or DENIED first, then CANARY for good: in each slab the
 *         first `guarded` slots have the better one.
 * States  index below `carved`: owned by the goroutine in its head; others never touched.
 * Locks   stack: the slabs' carving. Readers of slabs take none: a slab is published by the release
 *         store to `slabs` and never goes away, and `carved` is stored with release after the slot
 *         is ready (pairs with the acquire loads in each and find).
 * Cost    A guard (0.5 us) and the first touch (1.3 us), once in a stack's life. Who needs many
 *         carves a run of slots, as many as there are before these in the slab, and makes their
 *         guards in one system call.
 * Not     Copying growth as in Go: C takes the address of locals. mmap and mprotect per stack: 9
 *         us, and the kernel stops it at 32 750. First pages in bulk (MADV_POPULATE_WRITE by
 *         process_madvise): 2.1 us each, as much as by touch. MAP_GROWSDOWN: grows into neighbours.
 *         Huge pages: a slab is marked against them, one would make 7 goroutines pay 2 MiB. A
 *         canary that is written: a page of memory for each stack. */
#include "stack/stack.h"
#include "base/debug.h"
#include "base/lock.h"
#include "os/os.h"
#include <errno.h>

enum {
        GUARD = STACK_GUARD,
        COLOURS = 8,
        COLOUR_STEP = 256,
        CLASS_MIN = 14,
        CLASS_MAX = 30,
        SLAB_SIZE = 64 * 1024 * 1024,
        CANARY = 512,                   /* bytes looked at: 8 lines, about 5 ns */
        CELL_SHIFT = 25,                /* slabs of many slots are longer than that, at most twice */
        CELLS = 1 << (47 - CELL_SHIFT),
};

struct slab {
        char        *base;
        size_t       stride;            /* const: bytes from slot to slot */
        uint32_t     class, slots;      /* const */
        uint32_t     carved;            /* atomic; written under the lock */
        uint32_t     guarded;           /* atomic; written under the lock: slots without a canary */
        enum stack_guard guard;         /* const after the first slot: the kind of the guarded */
        struct slab *next;              /* const after publication */
};

static struct lock       stack_lock = LOCK_INIT(stack);
static struct slab      *slabs;                                 /* atomic: newest first */
static struct slab     **cells;         /* atomic: by address, who begins in a cell or fills it */
static struct slab      *current[CLASS_MAX + 1];                /* lock: stack */
static uint64_t          sys_bytes, unguarded, returned;               /* atomic */
static enum stack_guard  kind = STACK_ADVISED;                  /* lock: stack: of new stacks */
static uint64_t          denied, budget;                        /* lock: stack */
static bool              no_many;       /* atomic: the kernel makes one guard at a time */

bool weir__stack_class(size_t size, uint32_t *ret)
{
        uint32_t class = CLASS_MIN;

        if (!size)
                size = STACK_DEFAULT;
        if (size > STACK_MAX)
                return false;
        while (((size_t)1 << class) < size)
                class++;
        *ret = class;
        return true;
}

static size_t stride_of(uint32_t class)
{
        return ((size_t)1 << class) + OS_PAGE + GUARD;
}

/* The picture above, computed: everything about slot i follows from its slab and index. */
static void slot_stack(const struct slab *sl, uint32_t i, struct stack *ret)
{
        char *end = sl->base + (size_t)(i + 1) * sl->stride;

        ret->high = end - (i % COLOURS) * COLOUR_STEP - STACK_HEAD;
        ret->low = sl->base + (size_t)i * sl->stride + GUARD;
        ret->class = sl->class;
        ret->guard = i < load_relaxed(&sl->guarded) ? sl->guard : STACK_CANARY;
}

/* No two slabs begin in one cell, nor does one in a cell that another fills. */
static void index_slab(struct slab *sl, size_t size)
{
        size_t first = (uintptr_t)sl->base >> CELL_SHIFT;
        size_t end = ((uintptr_t)sl->base + size) >> CELL_SHIFT;

        if (!slabs)                             /* all or none are in it */
                store_release(&cells, (struct slab **)weir__os_map(CELLS * sizeof *cells));
        for (size_t i = first; cells && (i == first || i < end) && i < CELLS; i++)
                if (i == first || size > SLAB_SIZE)
                        store_release(&cells[i], sl);
}

static struct slab *slab_of(const char *a)
{
        struct slab **index = load_acquire(&cells), *sl;
        size_t        cell = (uintptr_t)a >> CELL_SHIFT;

        if (unlikely(!index)) {
                for (sl = load_acquire(&slabs); sl; sl = sl->next)
                        if ((size_t)(a - sl->base) < sl->stride * load_acquire(&sl->carved))
                                return sl;
                return NULL;
        }
        for (size_t back = 0; back < 3 && back <= cell && cell < CELLS; back++) {
                sl = load_acquire(&index[cell - back]);
                if (sl && (size_t)(a - sl->base) < sl->stride * load_acquire(&sl->carved))
                        return sl;
        }
        return NULL;
}

static struct slab *new_slab(uint32_t class)
{
        size_t       stride = stride_of(class);
        uint32_t     slots = (uint32_t)MAX(SLAB_SIZE / stride, (size_t)1);
        struct slab *sl = weir__os_map(OS_PAGE);

        if (!sl)
                return NULL;
        *sl = (struct slab){ .stride = stride, .class = class, .slots = slots };
        sl->base = weir__os_map(stride * slots);
        if (!sl->base) {
                weir__os_unmap(sl, OS_PAGE);
                return NULL;
        }
        sl->next = slabs;
        index_slab(sl, stride * slots);
        store_release(&slabs, sl);              /* pairs with the acquire in each and find */
        store_relaxed(&sys_bytes, sys_bytes + stride * slots);
        if (weir__debug.stacktrace) {
                struct out o = { .fd = 2 };

                weir__out_print(&o, "stack: slab %p, %u slots of %zu KiB\n", (void *)sl->base,
                                slots, ((size_t)1 << class) / 1024);
                weir__out_flush(&o);
        }
        return sl;
}

/* The first stack that has no better guard than a canary is told, once. */
static slowpath void tell_unguarded(int r)
{
        struct out o = { .fd = 2 };

        if (fetch_add_relaxed(&unguarded, 1))
                return;
        weir__out_print(&o, "weir: %llu stacks have guards and no more can get one (%s, raise "
                        "vm.max_map_count); an overflow of others is noticed late, and ends the "
                        "program\n", (unsigned long long)denied, weir_error_name(r));
        weir__out_flush(&o);
}

static void choose_budget(void)
{
        uint64_t most = weir__os_mappings_max();

        budget = weir__debug.guardmax >= 0 ? (uint64_t)weir__debug.guardmax : (most - most / 8) / 2;
}

/* Guards s in the best way left. 0, or -errno: it has a canary, which must not be. */
static int guard(struct stack *s)
{
        int r = -ENOMEM;

        if (kind == STACK_ADVISED) {
                r = weir__debug.guardkind ? -EINVAL : weir__os_guard(s->low - GUARD, GUARD);
                if (r >= 0) {
                        s->guard = STACK_ADVISED;
                        return 0;
                }
                r = -ENOMEM;
                kind = weir__debug.guardkind == 2 ? STACK_CANARY : STACK_DENIED;
                choose_budget();
        }
        if (kind == STACK_DENIED) {
                r = denied < budget ? weir__os_protect(s->low - GUARD, GUARD, true) : -ENOMEM;
                if (r >= 0) {
                        denied++;
                        s->guard = STACK_DENIED;
                        return 0;
                }
                kind = STACK_CANARY;
        }
        s->guard = STACK_CANARY;
        if (weir__debug.guard)
                return r;
        tell_unguarded(r);
        return 0;
}

/* Called with the lock. */
static int carve(uint32_t class, struct stack *ret)
{
        struct slab *sl = current[class];
        uint32_t     i;
        int          r;

        if (!sl || sl->carved == sl->slots) {
                sl = new_slab(class);
                if (!sl)
                        return -ENOMEM;
                current[class] = sl;
        }
        i = sl->carved;
        slot_stack(sl, i, ret);
        r = guard(ret);
        if (r < 0)
                return -ENOBUFS;
        if (ret->guard != STACK_CANARY) {
                if (!sl->guarded)
                        sl->guard = ret->guard;
                store_relaxed(&sl->guarded, i + 1);
        }
        store_release(&sl->carved, i + 1);      /* pairs with the acquire in each and find */
        return 0;
}

int weir__stack_carve(uint32_t class, struct stack *ret)
{
        int r;

        lock_take(&stack_lock);
        r = carve(class, ret);
        lock_drop(&stack_lock);
        return r;
}

/* Takes some slots whose guards will be advised, and leaves them without for now: untouched, they
 * are not missed. Called with the lock. */
static void reserve(uint32_t class, struct stack_run *ret)
{
        struct slab *sl = current[class];
        uint32_t     left = sl ? MIN(sl->slots - sl->carved, (uint32_t)OS_GUARDS) : 0, n;

        if (!left || kind != STACK_ADVISED || sl->guarded != sl->carved)
                return;
        n = MIN(sl->carved, left);
        *ret = (struct stack_run){ sl, sl->carved, n };
        store_relaxed(&sl->guarded, sl->carved + n);
        store_release(&sl->carved, sl->carved + n);     /* pairs with the acquire in each and find */
}

/* Makes the guards of a run; it loses what the kernel refuses. */
static void guard_run(struct stack_run *run)
{
        const struct slab *sl = run->slab;
        char              *at = sl->base + (size_t)run->index * sl->stride;
        unsigned           done = 0;

        if (!load_relaxed(&no_many)) {
                done = weir__os_guard_many(at, GUARD, sl->stride, run->count);
                if (!done)
                        store_relaxed(&no_many, true);
        }
        while (done < run->count && weir__os_guard(at + done * sl->stride, GUARD) >= 0)
                done++;
        run->count = done;
}

int weir__stack_carve_run(uint32_t class, struct stack_run *run, struct stack *ret)
{
        if (!run->count) {
                lock_take(&stack_lock);
                reserve(class, run);
                lock_drop(&stack_lock);
                if (run->count)
                        guard_run(run);
        }
        if (!run->count)
                return weir__stack_carve(class, ret);
        slot_stack(run->slab, run->index++, ret);
        run->count--;
        return 0;
}

bool weir__stack_canary_broken(const struct stack *s)
{
        const uint64_t *w = (const uint64_t *)(const void *)s->low - CANARY / sizeof *w;
        uint64_t        any = 0;

        for (size_t i = 0; i < CANARY / sizeof *w; i++)
                any |= w[i];
        return any;
}

bool weir__stack_open(const struct stack *s)
{
        char *at = s->low - GUARD + OS_PAGE;

        if (s->guard == STACK_ADVISED)
                return weir__os_guard_remove(at, STACK_SPARE) >= 0;
        return s->guard == STACK_DENIED && weir__os_protect(at, STACK_SPARE, false) >= 0;
}

bool weir__stack_close(const struct stack *s)
{
        char *at = s->low - GUARD + OS_PAGE;

        if (s->guard == STACK_ADVISED)
                return weir__os_guard(at, STACK_SPARE) >= 0;
        (void)weir__os_forget(at, STACK_SPARE);
        return weir__os_protect(at, STACK_SPARE, true) >= 0;
}

size_t weir__stack_used(const struct stack *s)
{
        char *high = (char *)ALIGN_DOWN((uintptr_t)s->high, OS_PAGE);

        return (size_t)(s->high - weir__os_lowest_resident(s->low, high));
}

size_t weir__stack_return(const struct stack *s, const void *keep)
{
        char *high = (char *)ALIGN_DOWN((uintptr_t)keep, OS_PAGE), *low;

        low = weir__os_lowest_resident(s->low, high);
        if (low == high)
                return 0;
        (void)weir__os_forget(low, (size_t)(high - low));
        fetch_add_relaxed(&returned, (uint64_t)(high - low));
        return (size_t)(high - low);
}

void weir__stack_each(bool (*fn)(void *head, void *arg), void *arg)
{
        struct stack s;

        for (struct slab *sl = load_acquire(&slabs); sl; sl = sl->next)
                for (uint32_t i = 0, n = load_acquire(&sl->carved); i < n; i++) {
                        slot_stack(sl, i, &s);
                        if (!fn(s.high, arg))
                                return;
                }
}

bool weir__stack_next(struct stack_cursor *c, struct stack *ret)
{
        const struct slab *sl = c->slab ? c->slab : load_acquire(&slabs);

        while (sl && c->index >= load_acquire(&sl->carved)) {
                sl = sl->next;
                c->index = 0;
        }
        c->slab = sl;
        if (!sl)
                return false;
        slot_stack(sl, c->index++, ret);
        return true;
}

bool weir__stack_find(const void *addr, struct stack *ret, bool *ret_in_guard)
{
        const char        *a = addr;
        const struct slab *sl = slab_of(a);

        if (!sl)
                return false;
        slot_stack(sl, (uint32_t)((size_t)(a - sl->base) / sl->stride), ret);
        *ret_in_guard = a < ret->low;
        return true;
}

void weir__stack_extent(uintptr_t *low, uintptr_t *high)
{
        *low = UINTPTR_MAX;
        *high = 0;
        for (const struct slab *sl = load_acquire(&slabs); sl; sl = sl->next) {
                *low = MIN(*low, (uintptr_t)sl->base);
                *high = MAX(*high, (uintptr_t)sl->base + sl->stride * sl->slots);
        }
}

uint64_t weir__stack_sys(void)
{
        return load_relaxed(&sys_bytes);
}

uint64_t weir__stack_unguarded(void)
{
        return load_relaxed(&unguarded);
}

uint64_t weir__stack_returned(void)
{
        return load_relaxed(&returned);
}
