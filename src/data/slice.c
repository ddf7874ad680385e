/* Slices: growth, moves, and what they panic with.
 *
 * What    The headers of slices belong to the program; here is what moves elements. Growing takes a
 *         fresh block of the collected heap and copies: other slices may share the old one.
 *         Elements of a declared type live in blocks that the collector scans by it, and every
 *         move goes by its bulk barrier.
 * Cost    The common append is inline: a comparison and two stores. Growth by a quarter copies each
 *         element about four times over the life of a slice that only grows.
 * Not     Extending a large block in place: the contract says that the old block stays as it was,
 *         for those who still hold it with its old length; they would share the tail. */
#include "data/data.h"
#include "base/debug.h"
#include <weir/go.h>
#include <weir/slice.h>

enum { DOUBLE_BELOW = 256, STEP_BELOW = 1024, STEP = 64 };

static char nothing[16];                /* where elements without size are */
bool        weir_slice_checks;          /* const after start */

__attribute__((constructor)) static void read_switch(void)
{
        weir_slice_checks = weir__debug_early("checkptr", 0) != 0;
}

static slowpath _Noreturn void too_much(size_t n, size_t elem_size)
{
        weir_panic("slice too large: %zu elements of %zu bytes", n, elem_size);
}

size_t weir_slice_next_cap(size_t cap, size_t need, unsigned flags)
{
        size_t next = cap;

        if (need <= cap)
                return cap;
        if (flags & WEIR_GROW_STEPS) {
                if (cap < STEP_BELOW)
                        next = cap ? cap * 2 : 1;
                else if (__builtin_add_overflow(cap, (size_t)STEP, &next))
                        return 0;
                return MAX(next, need);
        }
        if (cap <= SIZE_MAX / 2 && need > cap * 2)
                return need;
        if (cap < DOUBLE_BELOW)
                return cap * 2;
        while (next < need)
                if (__builtin_add_overflow(next, next / 4 + 3 * DOUBLE_BELOW / 4, &next))
                        return 0;
        return next;
}

void *weir_slice_grow_by(void *ptr, size_t len, size_t *cap, size_t elem_size, size_t more,
                         unsigned flags)
{
        enum mem_kind kind = flags & WEIR_NOSCAN ? MEM_NOSCAN : MEM_PLAIN;
        size_t        need, next, bytes;
        void         *block;

        if (__builtin_add_overflow(len, more, &need))
                too_much(SIZE_MAX, elem_size);
        if (need <= *cap)
                return ptr;
        if (!elem_size) {
                *cap = SIZE_MAX;
                return nothing;
        }
        next = weir_slice_next_cap(*cap, need, flags);
        if (!next || __builtin_mul_overflow(next, elem_size, &bytes) || bytes > PTRDIFF_MAX) {
                next = need;            /* what is asked for may fit where the next step does not */
                if (__builtin_mul_overflow(next, elem_size, &bytes) || bytes > PTRDIFF_MAX)
                        too_much(need, elem_size);
        }
        if (!(flags & WEIR_GROW_STEPS)) {
                bytes = weir__mem_round(bytes);
                next = bytes / elem_size;
        }
        /* Only what is not copied over has to be cleared; where that is the most of it, fresh
         * memory reads as zero without being touched. */
        if (kind == MEM_NOSCAN && len * elem_size >= bytes / 2) {
                block = weir__gc_new_dirty(bytes);
                memset((char *)block + len * elem_size, 0, bytes - len * elem_size);
        } else {
                block = weir__gc_new(kind, bytes);
        }
        move_into(kind, block, ptr, len * elem_size);
        *cap = next;
        return block;
}

void *weir_slice_grow(void *ptr, size_t len, size_t *cap, size_t elem_size)
{
        return weir_slice_grow_by(ptr, len, cap, elem_size, 1, WEIR_SCAN);
}

void weir_slice_move(void *to, size_t at, const void *from, size_t n, size_t elem_size)
{
        if (n)
                move_into(MEM_PLAIN, (char *)to + at * elem_size, from, n * elem_size);
}

void weir_slice_cut(void *ptr, size_t len, size_t elem_size, size_t i, size_t n)
{
        char  *at;
        size_t end;

        if (__builtin_add_overflow(i, n, &end) || end > len)
                weir_bounds_range_fail(i, end < i ? SIZE_MAX : end, len);
        if (!n || !elem_size)
                return;
        at = (char *)ptr + i * elem_size;
        move_into(MEM_PLAIN, at, at + n * elem_size, (len - end) * elem_size);
        memset((char *)ptr + (len - n) * elem_size, 0, n * elem_size);
}

void *weir_slice_put(void *ptr, size_t len, size_t *cap, size_t elem_size, size_t i,
                     const void *from, size_t n, unsigned flags)
{
        char       *block = weir_slice_grow_by(ptr, len, cap, elem_size, n, flags), *at;
        const char *source = from;
        size_t      bytes = n * elem_size, split;

        if (!bytes)
                return block;
        at = block + i * elem_size;
        if (i < len)
                move_into(MEM_PLAIN, at + bytes, at, (len - i) * elem_size);
        /* Elements of the slice itself from i on have moved up by now. */
        if (block == ptr && source + bytes > at && source < block + len * elem_size) {
                split = source < at ? (size_t)(at - source) : 0;
                move_into(MEM_PLAIN, at, source, split);
                move_into(MEM_PLAIN, at + split, source + split + bytes, bytes - split);
        } else {
                move_into(MEM_PLAIN, at, from, bytes);
        }
        return block;
}

/* ---- elements of a declared type ---- */

void *weir_slice_grow_typed(void *ptr, size_t len, size_t *cap, const weir_type *t, size_t more)
{
        size_t need, next, bytes;
        void  *block;

        if (__builtin_add_overflow(len, more, &need))
                too_much(SIZE_MAX, t->size);
        if (need <= *cap)
                return ptr;
        if (!t->size) {
                *cap = SIZE_MAX;
                return nothing;
        }
        next = weir_slice_next_cap(*cap, need, 0);
        if (!next || __builtin_mul_overflow(next, t->size, &bytes) || bytes >= PTRDIFF_MAX / 2) {
                next = need;
                if (__builtin_mul_overflow(next, t->size, &bytes) || bytes >= PTRDIFF_MAX / 2)
                        too_much(need, t->size);
        }
        /* An array has a byte behind it, so that a pointer to its end keeps it. */
        next = MAX(next, (weir__mem_round(bytes + 1) - 1) / t->size);
        block = weir_gc_alloc(t, next);
        weir_gc_move(block, ptr, len * t->size);
        *cap = next;
        return block;
}

/* Zeroes, told to a collector that may not have seen what they replace. */
static void clear_typed(char *at, size_t bytes)
{
        static const uint64_t zeroes[64];

        for (size_t n; bytes; at += n, bytes -= n) {
                n = MIN(bytes, sizeof zeroes);
                weir_gc_move(at, zeroes, n);
        }
}

void weir_slice_cut_typed(void *ptr, size_t len, const weir_type *t, size_t i, size_t n)
{
        char  *at;
        size_t end;

        if (__builtin_add_overflow(i, n, &end) || end > len)
                weir_bounds_range_fail(i, end < i ? SIZE_MAX : end, len);
        if (!n || !t->size)
                return;
        at = (char *)ptr + i * t->size;
        weir_gc_move(at, at + n * t->size, (len - end) * t->size);
        clear_typed((char *)ptr + (len - n) * t->size, n * t->size);
}

void *weir_slice_put_typed(void *ptr, size_t len, size_t *cap, const weir_type *t, size_t i,
                           const void *from, size_t n)
{
        char       *block = weir_slice_grow_typed(ptr, len, cap, t, n);
        const char *source = from;
        size_t      bytes = n * t->size, at = i * t->size, split = bytes;

        if (!bytes)
                return block;
        weir_gc_move(block + at + bytes, block + at, (len - i) * t->size);
        /* Elements of the slice itself from i on have moved up by now. */
        if (block == ptr && source + bytes > block + at && source < block + len * t->size) {
                split = source < block + at ? (size_t)(block + at - source) : 0;
                weir_gc_move(block + at + split, source + split + bytes, bytes - split);
        }
        weir_gc_move(block + at, source, split);
        return block;
}

/* ---- panics ---- */

void weir_bounds_fail(size_t i, size_t len)
{
        weir_panic("index out of range: %zu with length %zu", i, len);
}

void weir_bounds_range_fail(size_t i, size_t j, size_t len)
{
        weir_panic("slice bounds out of range: [%zu:%zu] with length %zu", i, j, len);
}

void weir_slice_check_fail(const void *ptr, size_t n, size_t elem_size)
{
        size_t bytes;

        if (__builtin_mul_overflow(n, elem_size, &bytes) || bytes > PTRDIFF_MAX)
                weir_panic("weir_slice_of: length out of range: %zu elements of %zu bytes", n,
                           elem_size);
        if (!ptr)
                weir_panic("weir_slice_of: ptr is NULL and the length is %zu, not 0", n);
        weir_panic("weir_slice_of: %zu elements of %zu bytes at %p end beyond the address space", n,
                   elem_size, ptr);
}

void weir_slice_check_object(const void *ptr, size_t bytes)
{
        size_t room = weir__mem_room(ptr);

        if (bytes > room)
                weir_panic("weir_slice_of: %zu bytes at %p, where the object has %zu left", bytes,
                           ptr, room);
}
