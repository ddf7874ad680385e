/* Stacks that never move: address space is reserved, memory comes by first touch.
 *
 * What    A stack is a slot in a slab of address space. Slots are carved from the slab one after
 *         another and guarded once. They are never given back: the scheduler recycles a goroutine
 *         together with its stack, hottest first, from lists of its own.
 * Shape   A slot, low address to high:
 *
 *             | guard 4 pages | usable, 2^class bytes ... | head: struct g | colour |
 *
 *         The head is in the first page that the stack touches, so a small goroutine costs one
 *         page. The stride is an odd number of pages, so that the tops of neighbouring stacks fall
 *         in different sets of the second-level cache; the colour, (index mod 8) * 256 bytes inside
 *         the last page, does the same for the first level. Without both, every goroutine's hot
 *         lines compete for the same eight ways.
 * States  index below `carved`: owned by the goroutine in its head; others never touched.
 * Locks   stack: the slabs' carving. Readers of slabs take none: a slab is published by the release
 *         store to `slabs` and never goes away, and `carved` is stored with release after the slot
 *         is ready (pairs with the acquire loads in each and find).
 * Cost    One madvise (0.6 us) and the first touch (1.3 us), once in a stack's life.
 * Not     Copying growth as in Go: C takes the address of locals. mmap and mprotect per stack: 9
 *         us, and the kernel stops it at 32 750. MAP_GROWSDOWN: grows into neighbours. Huge pages:
 *         a slab is marked against them, one would make 7 goroutines pay 2 MiB. */
#include "stack/stack.h"
#include "base/debug.h"
#include "base/lock.h"
#include "os/os.h"

enum {
        GUARD = 4 * OS_PAGE,
        COLOURS = 8,
        COLOUR_STEP = 256,
        CLASS_MIN = 14,
        CLASS_MAX = 30,
        SLAB_SIZE = 64 * 1024 * 1024,
};

struct slab {
        char        *base;
        size_t       stride;            /* const: bytes from slot to slot */
        uint32_t     class, slots;      /* const */
        uint32_t     carved;            /* atomic; written under the lock */
        struct slab *next;              /* const after publication */
};

static struct lock       stack_lock = LOCK_INIT(stack);
static struct slab      *slabs;                                 /* atomic: newest first */
static struct slab      *current[CLASS_MAX + 1];                /* lock: stack */
static uint64_t          sys_bytes, unguarded;                  /* atomic */

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
        ret->guarded = true;
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

static bool guard(const struct stack *s)
{
        struct out o = { .fd = 2 };
        int        r = weir__os_guard(s->low - GUARD, GUARD);

        if (r >= 0)
                return true;
        if (!fetch_add_relaxed(&unguarded, 1) || weir__debug.guard) {
                weir__out_print(&o, "weir: a goroutine's stack cannot be guarded (%s, raise "
                                "vm.max_map_count); an overflow of it may go unnoticed\n",
                                weir_error_name(r));
                weir__out_flush(&o);
        }
        return false;
}

/* Called with the lock. */
static bool carve(uint32_t class, struct stack *ret)
{
        struct slab *sl = current[class];
        uint32_t     i;

        if (!sl || sl->carved == sl->slots) {
                sl = new_slab(class);
                if (!sl)
                        return false;
                current[class] = sl;
        }
        i = sl->carved;
        slot_stack(sl, i, ret);
        ret->guarded = guard(ret);
        if (!ret->guarded && weir__debug.guard)
                return false;
        store_release(&sl->carved, i + 1);      /* pairs with the acquire in each and find */
        return true;
}

bool weir__stack_carve(uint32_t class, struct stack *ret)
{
        bool ok;

        lock_take(&stack_lock);
        ok = carve(class, ret);
        lock_drop(&stack_lock);
        return ok;
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

bool weir__stack_find(const void *addr, struct stack *ret, bool *ret_in_guard)
{
        const char *a = addr;

        for (struct slab *sl = load_acquire(&slabs); sl; sl = sl->next) {
                if (a < sl->base || a >= sl->base + sl->stride * load_acquire(&sl->carved))
                        continue;
                slot_stack(sl, (uint32_t)((size_t)(a - sl->base) / sl->stride), ret);
                *ret_in_guard = a < ret->low;
                return true;
        }
        return false;
}

uint64_t weir__stack_sys(void)
{
        return load_relaxed(&sys_bytes);
}

uint64_t weir__stack_unguarded(void)
{
        return load_relaxed(&unguarded);
}
