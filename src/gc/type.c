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
 *         Parts, members of another declared type, are written out into offsets, to any depth. Of a
 *         part at the end without a number of its own, a flexible array, the marker gets the type
 *         instead: how many there are follows from the size of the object.
 * Locks   types: the list, while it grows.
 * Order   What weir__mem_type is told is stored before the word that names it (release), and read
 *         by who has read that (acquire) or by a marker after a stop of the world.
 * Not     A number inside weir_type: it is const, in the program's read-only data. */
#include "gc/gc.h"
#include "base/debug.h"
#include "base/lock.h"
#include "os/os.h"

enum { TABLE = 4096, NUMBERS = 1 << 16, FIELDS_MAX = 1 << 20, DEPTH_MAX = 32 };

#define ADDRESS ((UINT64_C(1) << 48) - 1)       /* of a word of the table */

static struct known {
        const weir_type *type;
        size_t           size;
        const weir_ptrs *ptrs;
        const weir_part *parts;
} *known;                               /* lock: types; by number */
static uint32_t    nknown = 1;          /* lock: types; 0 is no type */
static struct lock lock = LOCK_INIT(types);
static uint64_t    table[TABLE];        /* atomic: number << 48 | address */

/* Memory for offsets; never given back. NULL: there is none. */
static uint32_t *room_for(size_t n)
{
        static uint32_t *next, *end;    /* lock: types */
        uint32_t        *at;

        if (!next || (size_t)(end - next) < n) {
                size_t bytes = ALIGN_UP(MAX(n * sizeof *next, (size_t)64 << 10), (size_t)OS_PAGE);

                next = weir__os_map(bytes);
                if (!next)
                        return NULL;
                end = next + bytes / sizeof *next;
        }
        at = next;
        next += n;
        return at;
}

/* Where a part lies; one at the end without a number of its own reaches as far as there is. */
struct extent {
        size_t low, high;
};

static bool is_tail(const weir_part *a)
{
        return !a->count;
}

static struct extent extent_of(const weir_type *t, size_t i)
{
        struct extent e;

        if (i < t->nptrs) {
                e.low = t->ptrs[i].offset;
                e.high = e.low + t->ptrs[i].count * sizeof(void *);
        } else {
                const weir_part *a = &t->parts[i - t->nptrs];

                e.low = a->offset;
                e.high = is_tail(a) ? SIZE_MAX : e.low + a->count * a->type->size;
        }
        return e;
}

static const weir_part *tail_of(const weir_type *t)
{
        return t->nparts && is_tail(&t->parts[t->nparts - 1]) ? &t->parts[t->nparts - 1] : NULL;
}

static void check_type(const weir_type *t, unsigned depth);

static void check_parts(const weir_type *t, unsigned depth)
{
        for (size_t i = 0; i < t->nparts; i++) {
                const weir_part *a = &t->parts[i];
                struct extent    e = extent_of(t, t->nptrs + i);

                check_type(a->type, depth + 1);
                if (a->offset % sizeof(void *) && (a->type->nptrs || a->type->nparts))
                        weir__panic("type %s: the part of type %s at byte %u is not aligned to "
                                    "%zu", t->name, a->type->name, a->offset, sizeof(void *));
                if (tail_of(a->type))
                        weir__panic("type %s: the part of type %s at byte %u has a flexible "
                                    "array, which can only be at the end of an object", t->name,
                                    a->type->name, a->offset);
                if (is_tail(a) && (i + 1 < t->nparts || a->offset > t->size || !a->type->size))
                        weir__panic("type %s: the flexible array at byte %u is not its end",
                                    t->name, a->offset);
                if (!is_tail(a) && e.high > t->size)
                        weir__panic("type %s: the part at bytes %zu to %zu lies outside of its "
                                    "%zu bytes", t->name, e.low, e.high, t->size);
                for (size_t k = 0; k < t->nptrs + i; k++) {
                        struct extent o = extent_of(t, k);

                        if (e.low < o.high && o.low < e.high)
                                weir__panic("type %s: the members at bytes %zu and %zu overlap",
                                            t->name, o.low, e.low);
                }
        }
}

static void check_type(const weir_type *t, unsigned depth)
{
        if (depth > DEPTH_MAX)
                weir__panic("type %s: parts within parts, more than %d deep", t->name, DEPTH_MAX);
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
        check_parts(t, depth);
}

/* How many pointers an element of t has, a tail not counted. */
static size_t count_pointers(const weir_type *t)
{
        size_t n = 0;

        for (size_t i = 0; i < t->nptrs; i++)
                n += t->ptrs[i].count;
        for (size_t i = 0; i < t->nparts; i++)
                n += t->parts[i].count * count_pointers(t->parts[i].type);
        return n;
}

/* Writes their offsets, from `base` on; answers where the next one goes. */
static uint32_t *write_offsets(const weir_type *t, uint32_t base, uint32_t *at)
{
        for (size_t i = 0; i < t->nptrs; i++)
                for (uint32_t k = 0; k < t->ptrs[i].count; k++)
                        *at++ = base + t->ptrs[i].offset + k * (uint32_t)sizeof(void *);
        for (size_t i = 0; i < t->nparts; i++)
                for (uint32_t k = 0; k < t->parts[i].count; k++)
                        at = write_offsets(t->parts[i].type,
                                           base + t->parts[i].offset +
                                                   k * (uint32_t)t->parts[i].type->size, at);
        return at;
}

static uint16_t number_of(const weir_type *t);

/* A tail without pointers: there is no element. */
static const struct mem_type no_tail = { .name = "no pointers", .size = UINT32_MAX };

/* 0: there are too many, or too large ones, or no memory. lock: types is held. */
static uint16_t add(const weir_type *t)
{
        const weir_part *tail = tail_of(t);
        struct mem_type  m = { .name = t->name, .size = (uint32_t)t->size };
        size_t           n = count_pointers(t);
        uint32_t        *at;

        if (n > FIELDS_MAX || t->size > UINT32_MAX)
                return 0;
        if (tail) {
                uint16_t number = count_pointers(tail->type) ? number_of(tail->type) : 0;

                if (!number && count_pointers(tail->type))
                        return 0;
                m.tail = number ? weir__mem_type_of(number) : &no_tail;
                m.from = tail->offset;
        }
        if (nknown == NUMBERS)
                return 0;
        m.n = (uint32_t)n;
        m.at = at = room_for(n);
        if (!at)
                return 0;
        write_offsets(t, 0, at);
        weir__mem_type((uint16_t)nknown, &m);
        known[nknown] = (struct known){ t, t->size, t->ptrs, t->parts };
        return (uint16_t)nknown++;
}

/* lock: types is held. */
static uint16_t number_of(const weir_type *t)
{
        for (uint32_t i = 1; i < nknown; i++)
                if (known[i].type == t && known[i].size == t->size && known[i].ptrs == t->ptrs &&
                    known[i].parts == t->parts)
                        return (uint16_t)i;
        return add(t);
}

/* 0: there are too many types; its objects are scanned as if nothing were known of them. */
static slowpath uint16_t look_up(const weir_type *t)
{
        uint64_t *word = &table[((uintptr_t)t >> 4) % TABLE];
        uint16_t  number = 0;

        check_type(t, 0);
        lock_take(&lock);
        if (!known)
                known = weir__os_map(NUMBERS * sizeof *known);
        if (known)
                number = number_of(t);
        lock_drop(&lock);
        /* pairs with the acquire below */
        store_release(word, (uint64_t)number << 48 | (uintptr_t)t);
        return number;
}

uint16_t weir__gc_type(const weir_type *t)
{
        uint64_t word = load_acquire(&table[((uintptr_t)t >> 4) % TABLE]);

        if (likely((word & ADDRESS) == (uintptr_t)t))
                return (uint16_t)(word >> 48);
        return look_up(t);
}

/* ---- the barrier ----
 *
 * Both values are told, Yuasa's and Dijkstra's way together. Dijkstra's alone, of new ones, loses
 * nothing here either: who takes the last pointer out of an object that is not scanned yet has it
 * on a stack or in a register, which is read again, for it ran. What the old one buys is that less
 * is left for that. gcbarrier=1 is there to measure it. */

/* Under the name of the header's inline function too, for programs that have it declared only. */
void weir__gc_write_call(void *slot, const void *value) __asm__("weir_gc_write")
        __attribute__((visibility("default")));

void weir__gc_write_told(void *slot, const void *value)
{
        if (likely(!weir__debug.gcbarrier))
                weir__mem_shade(__atomic_load_n((void **)slot, __ATOMIC_RELAXED));
        weir__mem_shade(value);
        weir__cards_set(slot, sizeof value);
        __atomic_store_n((const void **)slot, value, __ATOMIC_RELEASE);
}

static inline no_sanitize void shade_words(const void *p, size_t size)
{
        uintptr_t at = ALIGN_UP((uintptr_t)p, sizeof(void *)), end = (uintptr_t)p + size;

        for (; at + sizeof(void *) <= end; at += sizeof(void *))
                weir__mem_shade(*(void *const volatile *)at);
}

void weir_gc_move(void *dst, const void *src, size_t size)
{
        uint32_t barrier = load_relaxed(&weir__gc_barrier);

        if (unlikely(barrier == BARRIER_MARK)) {
                if (likely(!weir__debug.gcbarrier))
                        shade_words(dst, size);
                shade_words(src, size);
        }
        if (!size)
                return;
        if (unlikely(barrier))
                weir__cards_set(dst, size);
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

static noinline void *alloc(const weir_type *t, size_t n)
{
        static const uint64_t nothing[2];
        size_t                size;
        uint16_t              number;

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
        if (unlikely(t->nparts) && n > 1 && tail_of(t))
                weir__panic("weir_gc_alloc: %zu objects of %s, which ends with a flexible array",
                            n, t->name);
        if (!t->nptrs && !t->nparts)
                return weir__mem_alloc(MEM_NOSCAN, size);
        number = weir__gc_type(t);
        if (unlikely(!number))
                return weir__mem_alloc(MEM_PLAIN, size + (n == 1));
        return weir__mem_alloc_typed(number, size);
}

static slowpath void *poll_and_alloc(const weir_type *t, size_t n)
{
        (void)weir__sched_need_g("weir_gc_alloc");
        if (load_relaxed(&weir__gc_wanted))
                weir__gc_poll_and_wait();
        return alloc(t, n);
}

/* One object of a type that is known, which is most of them, by a call and a jump. */
void *weir_gc_alloc(const weir_type *t, size_t n)
{
        uint64_t word;

        if (unlikely(!weir__sched_on_g() || load_relaxed(&weir__gc_wanted)))
                return poll_and_alloc(t, n);
        word = load_acquire(&table[((uintptr_t)t >> 4) % TABLE]);
        if (likely(n == 1 && (word & ADDRESS) == (uintptr_t)t && word >> 48))
                return weir__mem_alloc_one((uint16_t)(word >> 48));
        return alloc(t, n);
}

void *weir__gc_new_line(enum mem_kind kind, size_t size)
{
        size_t room;

        /* Objects stand side by side from the start of a page on. */
        while ((room = weir__mem_round(size)) % CACHE_LINE)
                size = room + 1;
        return weir__gc_new(kind, size);
}

void *weir_gc_alloc_flex(const weir_type *t, size_t n)
{
        const weir_part *tail;
        size_t           size;
        uint16_t         number;

        (void)weir__sched_need_g("weir_gc_alloc_flex");
        if (unlikely(load_relaxed(&weir__gc_wanted)))
                weir__gc_poll_and_wait();
        tail = tail_of(t);
        if (unlikely(!tail))
                weir__panic("weir_gc_alloc_flex: type %s does not end with a flexible array",
                            t->name);
        number = weir__gc_type(t);
        if (unlikely(__builtin_mul_overflow(tail->type->size, n, &size) ||
                     __builtin_add_overflow(size, tail->offset, &size) || size >= PTRDIFF_MAX))
                too_large(tail->type, n);
        size = MAX(size, t->size) + 1;                  /* for a pointer to its end */
        if (unlikely(!number))
                return weir__mem_alloc(MEM_PLAIN, size);
        return weir__mem_alloc_typed(number, size);
}
