/* Declared types, and the allocation of collected objects.
 *
 * What    A type gets a number at its first allocation. The number stands beside the objects of a
 *         span (mem/heap.h), so an object is as long as the program says and keeps the alignment of
 *         its size.
 * Shape   A table of 4096 words by the address of the type's description, each the address and the
 *         number: one load and a comparison at each allocation. It only forgets by being
 *         overwritten; the types themselves are kept for ever, in a list that is searched when the
 *         table does not know. A description whose contents changed (its library was unloaded,
 *         another one is there) is another type.
 * Locks   types: the list, while it grows.
 * Order   What weir__mem_type is told is stored before the word that names it (release), and read
 *         by who has read that (acquire) or by a marker after a stop of the world.
 * Not     A number inside weir_type: it is const, in the program's read-only data. */
#include "gc/gc.h"
#include "base/lock.h"
#include "os/os.h"

enum { TABLE = 4096, NUMBERS = 1 << 16, FIELDS_MAX = 1 << 16 };

static struct known {
        const weir_type *type;
        size_t           size;
        const weir_ptrs *ptrs;
} *known;                               /* lock: types; by number */
static uint32_t    nknown = 1;          /* lock: types; 0 is no type */
static struct lock lock = LOCK_INIT(types);
static uint64_t    table[TABLE];        /* atomic: number << 48 | address */

/* Memory for offsets; never given back. */
static uint32_t *room_for(size_t n)
{
        static uint32_t *next, *end;    /* lock: types */
        uint32_t        *at;

        if (!next || (size_t)(end - next) < n) {
                size_t bytes = ALIGN_UP(MAX(n * sizeof *next, (size_t)64 << 10), (size_t)OS_PAGE);

                next = weir__os_map(bytes);
                if (!next)
                        weir__panic("weir_gc_alloc: no memory to describe a type");
                end = next + bytes / sizeof *next;
        }
        at = next;
        next += n;
        return at;
}

static void check_type(const weir_type *t)
{
        for (size_t i = 0; i < t->nptrs; i++) {
                const weir_ptrs *a = &t->ptrs[i];
                size_t           end = a->offset + (size_t)a->count * sizeof(void *);

                if (a->offset % sizeof(void *))
                        weir__panic("type %s: the pointer field at byte %u is not aligned to %zu",
                                    t->name, a->offset, sizeof(void *));
                if (!a->count)
                        weir__panic("type %s: the field at byte %u is smaller than a pointer",
                                    t->name, a->offset);
                if (end > t->size)
                        weir__panic("type %s: the pointer field at bytes %u to %zu lies outside "
                                    "of its %zu bytes", t->name, a->offset, end, t->size);
                for (size_t k = 0; k < i; k++)
                        if (a->offset < t->ptrs[k].offset + t->ptrs[k].count * sizeof(void *) &&
                            t->ptrs[k].offset < end)
                                weir__panic("type %s: pointer fields at bytes %u and %u overlap",
                                            t->name, t->ptrs[k].offset, a->offset);
        }
}

/* lock: types is held. */
static uint16_t add(const weir_type *t)
{
        struct mem_type m = { .name = t->name, .size = (uint32_t)t->size };
        uint32_t       *at;

        for (size_t i = 0; i < t->nptrs; i++)
                m.n += t->ptrs[i].count;
        m.at = at = room_for(m.n);
        for (size_t i = 0; i < t->nptrs; i++)
                for (uint32_t k = 0; k < t->ptrs[i].count; k++)
                        *at++ = t->ptrs[i].offset + k * (uint32_t)sizeof(void *);
        weir__mem_type((uint16_t)nknown, &m);
        known[nknown] = (struct known){ t, t->size, t->ptrs };
        return (uint16_t)nknown++;
}

/* 0: there are too many types; its objects are scanned as if nothing were known of them. */
static slowpath uint16_t look_up(const weir_type *t)
{
        uint64_t *word = &table[((uintptr_t)t >> 4) % TABLE];
        uint16_t  number = 0;

        check_type(t);
        lock_take(&lock);
        if (!known)
                known = weir__os_map(NUMBERS * sizeof *known);
        for (uint32_t i = 1; known && i < nknown && !number; i++)
                if (known[i].type == t && known[i].size == t->size && known[i].ptrs == t->ptrs)
                        number = (uint16_t)i;
        if (known && !number && nknown < NUMBERS && t->size <= UINT32_MAX)
                number = add(t);
        lock_drop(&lock);
        /* pairs with the acquire below */
        store_release(word, (uint64_t)number << 48 | (uintptr_t)t);
        return number;
}

uint16_t weir__gc_type(const weir_type *t)
{
        uint64_t word = load_acquire(&table[((uintptr_t)t >> 4) % TABLE]);

        if (likely((word & ((UINT64_C(1) << 48) - 1)) == (uintptr_t)t))
                return (uint16_t)(word >> 48);
        return look_up(t);
}

/* ---- the barrier ---- */

/* Under the name of the header's inline function too, for programs that have it declared only. */
void weir__gc_write_call(void *slot, const void *value) __asm__("weir_gc_write")
        __attribute__((visibility("default")));

void weir__gc_write_told(void *slot, const void *value)
{
        weir__mem_shade(__atomic_load_n((void **)slot, __ATOMIC_RELAXED));
        weir__mem_shade(value);
        __atomic_store_n((const void **)slot, value, __ATOMIC_RELEASE);
}

static inline no_sanitize void shade_words(const void *p, size_t size)
{
        uintptr_t at = ALIGN_UP((uintptr_t)p, sizeof(void *)), end = (uintptr_t)p + size;

        for (; at + sizeof(void *) <= end; at += sizeof(void *))
                weir__mem_shade(*(void *const volatile *)at);
}

static void set_cards(const void *p, size_t size)
{
        uintptr_t at = (uintptr_t)p - weir__gc_cards.base;

        if (size && at < weir__gc_cards.bytes && size <= weir__gc_cards.bytes - at)
                for (size_t i = at >> WEIR_CARD_SHIFT_; i <= (at + size - 1) >> WEIR_CARD_SHIFT_; i++)
                        store_relaxed(&weir__gc_cards.card[i], (uint8_t)1);
}

void weir_gc_move(void *dst, const void *src, size_t size)
{
        uint32_t barrier = load_relaxed(&weir__gc_barrier);

        if (unlikely(barrier == BARRIER_CARDS)) {
                set_cards(dst, size);
        } else if (unlikely(barrier)) {
                shade_words(dst, size);
                shade_words(src, size);
        }
        if (size)
                memmove(dst, src, size);
}

void weir__gc_write_call(void *slot, const void *value)
{
        weir_gc_write(slot, value);
}

/* ---- allocation ---- */

static slowpath _Noreturn void too_large(const weir_type *t, size_t n)
{
        weir__panic("weir_gc_alloc: %zu objects of %s, %zu bytes each, are too large", n,
                    t ? t->name : "bytes", t ? t->size : (size_t)1);
}

void *weir_gc_alloc(const weir_type *t, size_t n)
{
        static const uint64_t nothing[2];
        size_t                size;
        uint16_t              number;

        (void)weir__sched_need_g("weir_gc_alloc");
        if (unlikely(load_relaxed(&weir__gc_wanted)))
                weir__gc_poll_and_wait();
        if (unlikely(!n))
                return (void *)(uintptr_t)nothing;
        if (!t) {
                if (unlikely(n >= PTRDIFF_MAX))
                        too_large(t, n);
                return weir__mem_alloc(MEM_PLAIN, n + 1);       /* for a pointer to its end */
        }
        if (unlikely(__builtin_mul_overflow(t->size, n, &size) || size >= PTRDIFF_MAX))
                too_large(t, n);
        if (unlikely(!size))
                return (void *)(uintptr_t)nothing;
        size += n > 1;                                  /* the same; of one object see mark.c */
        if (!t->nptrs)
                return weir__mem_alloc(MEM_NOSCAN, size);
        number = weir__gc_type(t);
        if (unlikely(!number))
                return weir__mem_alloc(MEM_PLAIN, size + (n == 1));
        return weir__mem_alloc_typed(number, size);
}
