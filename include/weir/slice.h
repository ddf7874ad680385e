/* weir/slice.h: arrays that grow.
 *
 * A slice is three words by value: where its elements are, how many there are, and how many fit. It
 * is zero when empty, needs no making and no freeing: the elements are collected memory. Growing
 * gives the elements a fresh place and leaves the old one as it was, so that a pointer to an
 * element stays good but may no longer be the slice's own. Two slices can share elements; a part
 * made by weir_slice_sub owns nothing beyond it: appending to it copies first.
 *
 * Growth doubles up to 256 elements and adds a quarter and 192 beyond, then takes what the size of
 * the memory block has room for. An append thus costs an assignment mostly, and each element is
 * copied a few times at most.
 *
 * Elements are scanned for pointers unless they are numbers, which the macros see. A slice whose
 * elements are of a type declared by WEIR_TYPE can be grown by the functions that end in _typed:
 * then only the fields that the type names are looked at.
 *
 * The macros name their slice more than once: it must not have side effects. Other arguments are
 * evaluated once.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *         #include <stdlib.h>
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_slice(int) squares = {0};
 *                 int             sum = 0;
 *
 *                 for (int i = 0; i < 10; i++)
 *                         weir_append(squares, i * i);
 *                 for (size_t i = 0; i < squares.len; i++)
 *                         sum += weir_at(squares, i);
 *                 return sum == 285 ? EXIT_SUCCESS : EXIT_FAILURE;
 *         }
 */
#ifndef WEIR_SLICE_H
#define WEIR_SLICE_H

#include <weir/base.h>
#include <weir/gc.h>

WEIR_DECLS_BEGIN

/* The type of a slice of T. Each mention is a type of its own: give it a name by typedef to pass
 * slices between functions. */
#define weir_slice(T) struct { T *ptr; size_t len, cap; }

/* ---- growing ---- */

/* How a block of memory is to be made; flags to be added. */
enum {
        WEIR_SCAN = 0,          /* may hold pointers: scanned */
        WEIR_NOSCAN = 1,        /* holds none */
        WEIR_GROW_STEPS = 2,    /* double below 1024, then 64 more at a time; not rounded */
};

/* WEIR_NOSCAN if x is a number or truth, else WEIR_SCAN. */
#ifdef __cplusplus
#define WEIR_SCAN_OF_(x) WEIR_SCAN
#else
#define WEIR_SCAN_OF_(x)                                                                        \
        _Generic((x), char: 1, signed char: 1, unsigned char: 1, short: 1, unsigned short: 1,   \
                 int: 1, unsigned: 1, long: 1, unsigned long: 1, long long: 1,                  \
                 unsigned long long: 1, float: 1, double: 1, long double: 1, _Bool: 1,          \
                 default: WEIR_SCAN)
#endif

/* Returns room for one more element than len: a copy of the elements at ptr, zeroes behind them,
 * and stores in *cap how many fit. What ptr points to stays.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: more memory than there can be. */
WEIR_API void *weir_slice_grow(void *ptr, size_t len, size_t *cap, size_t elem_size);

/* The same for more elements, as flags say. When there is room already, returns ptr. */
WEIR_API void *weir_slice_grow_by(void *ptr, size_t len, size_t *cap, size_t elem_size, size_t more,
                                  unsigned flags);

/* How many elements a slice that has room for cap gets room for when it must hold need, before
 * rounding; by flags. 0: more than there can be. */
WEIR_API size_t weir_slice_next_cap(size_t cap, size_t need, unsigned flags);

/* Appends v. */
#define weir_append(s, v)                                                                       \
        ((void)((s).len < (s).cap ||                                                            \
                (WEIR_SLICE_GROW_(s, 1, WEIR_SCAN_OF_(*(s).ptr)), 0)),                          \
         (void)((s).ptr[(s).len++] = (v)))

/* The same with flags: weir_append_with(packets, p, WEIR_NOSCAN), for structs without pointers. All
 * growing of a slice should say the same. */
#define weir_append_with(s, v, flags)                                                           \
        ((void)((s).len < (s).cap || (WEIR_SLICE_GROW_(s, 1, (flags)), 0)),                     \
         (void)((s).ptr[(s).len++] = (v)))

/* Appends the n elements at from, which may be the slice's own. */
#define weir_append_many(s, from, n)                                                            \
        __extension__({                                                                         \
                const __typeof__(*(s).ptr) *wfrom_ = (from);                                    \
                size_t                      wmany_ = (n);                                       \
                WEIR_SLICE_GROW_(s, wmany_, WEIR_SCAN_OF_(*(s).ptr));                           \
                weir_slice_move((s).ptr, (s).len, wfrom_, wmany_, sizeof *(s).ptr);             \
                (s).len += wmany_;                                                              \
        })

/* Makes room for n more elements, so that appending them moves nothing. */
#define weir_slice_reserve(s, n) WEIR_SLICE_GROW_(s, (n), WEIR_SCAN_OF_(*(s).ptr))

/* Room by value: a slice whose address nobody takes stays in registers. */
struct weir_slice_room_ {
        void  *ptr;
        size_t cap;
};

static inline struct weir_slice_room_ weir_slice_grown_(void *ptr, size_t len, size_t cap,
                                                        size_t elem_size, size_t more,
                                                        unsigned flags)
{
        struct weir_slice_room_ room_;

        room_.ptr = weir_slice_grow_by(ptr, len, &cap, elem_size, more, flags);
        room_.cap = cap;
        return room_;
}

#define WEIR_SLICE_GROW_(s, n, flags)                                                           \
        __extension__({                                                                         \
                struct weir_slice_room_ wroom_ = weir_slice_grown_((s).ptr, (s).len, (s).cap,   \
                                                        sizeof *(s).ptr, (n), (flags));         \
                (s).ptr = (__typeof__((s).ptr))wroom_.ptr;                                      \
                (s).cap = wroom_.cap;                                                           \
                (void)0;                                                                        \
        })

/* ---- elements ---- */

WEIR_API WEIR_NORETURN void weir_bounds_fail(size_t i, size_t len);
WEIR_API WEIR_NORETURN void weir_bounds_range_fail(size_t i, size_t j, size_t len);

/* Returns i if it is below len.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: it is not; with both numbers. */
static inline size_t weir_bounds(size_t i, size_t len)
{
        if (__builtin_expect(i >= len, 0))
                weir_bounds_fail(i, len);
        return i;
}

/* Returns i if i <= j <= len.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: otherwise; with all three numbers. */
static inline size_t weir_bounds_range(size_t i, size_t j, size_t len)
{
        if (__builtin_expect(i > j || j > len, 0))
                weir_bounds_range_fail(i, j, len);
        return i;
}

/* The element at i, to read or to assign to. Panics if there is none. */
#define weir_at(s, i) ((s).ptr[weir_bounds((i), (s).len)])

/* ---- parts ---- */

/* The elements from i up to, without, j, as a slice of the same type; nothing is copied. Its cap is
 * its len: appending to it does not overwrite what follows in s. Panics unless i <= j <= len. */
#define weir_slice_sub(s, i, j)                                                                 \
        __extension__({                                                                         \
                size_t        wi_ = (i), wj_ = (j);                                             \
                __typeof__(s) wsub_ = (s);                                                      \
                if (weir_bounds_range(wi_, wj_, wsub_.len))                                     \
                        wsub_.ptr += wi_;                                                       \
                wsub_.len = wsub_.cap = wj_ - wi_;                                              \
                wsub_;                                                                          \
        })

/* Inserts the n elements at from before the one at i. Panics if i > len. from may be the slice's
 * own. */
#define weir_slice_insert(s, i, from, n)                                                        \
        __extension__({                                                                         \
                size_t                      wi_ = (i), wmany_ = (n);                            \
                const __typeof__(*(s).ptr) *wfrom_ = (from);                                    \
                weir_bounds_range(wi_, (s).len, (s).len);                                       \
                (s).ptr = (__typeof__((s).ptr))weir_slice_put((s).ptr, (s).len, &(s).cap,       \
                                sizeof *(s).ptr, wi_, wfrom_, wmany_, WEIR_SCAN_OF_(*(s).ptr)); \
                (s).len += wmany_;                                                              \
        })

/* Removes the n elements from i on; those behind move up, and what they leave is zeroed. Panics if
 * there are not so many. */
#define weir_slice_delete(s, i, n)                                                              \
        __extension__({                                                                         \
                size_t wi_ = (i), wmany_ = (n);                                                 \
                weir_slice_cut((s).ptr, (s).len, sizeof *(s).ptr, wi_, wmany_);                 \
                (s).len -= wmany_;                                                              \
        })

/* Copies elements of from over those of s, as many as both have; they may overlap. Returns how
 * many. */
#define weir_slice_copy(s, from)                                                                \
        __extension__({                                                                         \
                const __typeof__(*(s).ptr) *wfrom_ = (from).ptr;                                \
                size_t wmany_ = (s).len < (from).len ? (s).len : (from).len;                    \
                weir_slice_move((s).ptr, 0, wfrom_, wmany_, sizeof *(s).ptr);                   \
                wmany_;                                                                         \
        })

/* ---- elements of a declared type ----
 *
 * The same for slices whose elements are of a type T that WEIR_TYPE, WEIR_TYPE_PLAIN or
 * WEIR_TYPE_PARTS declares (weir_any_ptr: of pointers). What is done to elements as a whole goes
 * by weir_gc_move; to a pointer field of one, weir_set(weir_at(s, i).field, p) stores. A slice is
 * grown by these alone, from the beginning.
 *
 *         typedef weir_slice(node) nodes;
 *
 *         weir_append_typed(all, node, ((node){ .next = first }));
 *         weir_set(weir_at(all, 0).next, second);
 *
 * All of them: Parks: as weir_gc_alloc.  From: goroutine.  Fails: never.  Panics: as without
 * _typed; when T and the elements differ in size, the compiler complains. */
#define weir_append_typed(s, T, v)                                                              \
        __extension__({                                                                         \
                __typeof__(*(s).ptr) wval_ = (v);                                               \
                if ((s).len >= (s).cap)                                                         \
                        WEIR_SLICE_GROW_TYPED_(s, T, 1);                                        \
                weir_slice_store_typed_(s, (s).len, wval_);                                     \
                (s).len++;                                                                      \
                (void)0;                                                                        \
        })

#define weir_append_many_typed(s, T, from, n)                                                   \
        __extension__({                                                                         \
                const __typeof__(*(s).ptr) *wfrom_ = (from);                                    \
                size_t                      wmany_ = (n);                                       \
                WEIR_SLICE_GROW_TYPED_(s, T, wmany_);                                           \
                weir_gc_move((s).ptr + (s).len, wfrom_, wmany_ * sizeof *(s).ptr);              \
                (s).len += wmany_;                                                              \
                (void)0;                                                                        \
        })

#define weir_slice_reserve_typed(s, T, n) WEIR_SLICE_GROW_TYPED_(s, T, (n))

#define weir_slice_insert_typed(s, T, i, from, n)                                               \
        __extension__({                                                                         \
                size_t                      wi_ = (i), wmany_ = (n);                            \
                const __typeof__(*(s).ptr) *wfrom_ = (from);                                    \
                weir_bounds_range(wi_, (s).len, (s).len);                                       \
                (s).ptr = (__typeof__((s).ptr))weir_slice_put_typed((s).ptr, (s).len, &(s).cap, \
                                WEIR_SLICE_TYPE_(s, T), wi_, wfrom_, wmany_);                   \
                (s).len += wmany_;                                                              \
                (void)0;                                                                        \
        })

#define weir_slice_delete_typed(s, T, i, n)                                                     \
        __extension__({                                                                         \
                size_t wi_ = (i), wmany_ = (n);                                                 \
                weir_slice_cut_typed((s).ptr, (s).len, WEIR_SLICE_TYPE_(s, T), wi_, wmany_);    \
                (s).len -= wmany_;                                                              \
                (void)0;                                                                        \
        })

#define weir_slice_copy_typed(s, from)                                                          \
        __extension__({                                                                         \
                const __typeof__(*(s).ptr) *wfrom_ = (from).ptr;                                \
                size_t wmany_ = (s).len < (from).len ? (s).len : (from).len;                    \
                weir_gc_move((s).ptr, wfrom_, wmany_ * sizeof *(s).ptr);                        \
                wmany_;                                                                         \
        })

#define WEIR_SLICE_TYPE_(s, T)                                                                  \
        (&WEIR_CAT(weir_type_, T) + 0 * sizeof(char[sizeof(T) == sizeof *(s).ptr ? 1 : -1]))

#define WEIR_SLICE_GROW_TYPED_(s, T, n)                                                         \
        __extension__({                                                                         \
                struct weir_slice_room_ wroom_ = weir_slice_grown_typed_((s).ptr, (s).len,      \
                                                (s).cap, WEIR_SLICE_TYPE_(s, T), (n));          \
                (s).ptr = (__typeof__((s).ptr))wroom_.ptr;                                      \
                (s).cap = wroom_.cap;                                                           \
                (void)0;                                                                        \
        })

/* While no collection is under way an element is assigned to like any other. */
#define weir_slice_store_typed_(s, i, v)                                                        \
        (__atomic_load_n(&weir__gc_barrier, __ATOMIC_RELAXED)                                   \
                 ? weir_gc_move((s).ptr + (i), &(v), sizeof(v))                                 \
                 : (void)((s).ptr[i] = (v)))

/* weir_slice_grow_by for elements of type t; the block is one of weir_gc_alloc. */
WEIR_API void *weir_slice_grow_typed(void *ptr, size_t len, size_t *cap, const weir_type *t,
                                     size_t more);
WEIR_API void  weir_slice_cut_typed(void *ptr, size_t len, const weir_type *t, size_t i, size_t n);
WEIR_API void *weir_slice_put_typed(void *ptr, size_t len, size_t *cap, const weir_type *t,
                                    size_t i, const void *from, size_t n);

static inline struct weir_slice_room_ weir_slice_grown_typed_(void *ptr, size_t len, size_t cap,
                                                             const weir_type *t, size_t more)
{
        struct weir_slice_room_ room_;

        room_.ptr = weir_slice_grow_typed(ptr, len, &cap, t, more);
        room_.cap = cap;
        return room_;
}

/* ---- views ---- */

/* A slice of the n elements at ptr, wherever they are; nothing is copied, and cap is len. In a
 * definition: __auto_type s = weir_slice_of(p, n); weir_slice_set(s, p, n) assigns to one.
 *
 * Panics: n is beyond what memory can hold (a negative number is), the end lies beyond the address
 * space, or ptr is NULL and n is not 0. With WEIR_DEBUG=checkptr=1 also if the elements are not all
 * inside one block of weir's heap in which they begin. */
#ifdef __cplusplus
#else
#define weir_slice_of(ptr_, n)                                                                  \
        __extension__({                                                                         \
                weir_slice(__typeof__(*(ptr_))) wof_;                                           \
                weir_slice_set(wof_, (ptr_), (n));                                              \
                wof_;                                                                           \
        })
#endif
#define weir_slice_set(s, ptr_, n)                                                              \
        __extension__({                                                                         \
                __typeof__((s).ptr) wptr_ = (ptr_);                                             \
                size_t              wlen_ = (n);                                                \
                weir_slice_check(wptr_, wlen_, sizeof *wptr_);                                  \
                (s).ptr = wptr_;                                                                \
                (s).len = (s).cap = wlen_;                                                      \
        })

WEIR_API WEIR_NORETURN void weir_slice_check_fail(const void *ptr, size_t n, size_t elem_size);
WEIR_API void               weir_slice_check_object(const void *ptr, size_t bytes);
WEIR_API extern bool        weir_slice_checks;          /* WEIR_DEBUG=checkptr=1 */

/* The check of weir_slice_of. */
static inline void weir_slice_check(const void *ptr, size_t n, size_t elem_size)
{
        size_t    bytes;
        uintptr_t end;

        if (__builtin_expect(__builtin_mul_overflow(n, elem_size, &bytes) || bytes > PTRDIFF_MAX ||
                             __builtin_add_overflow((uintptr_t)ptr, bytes, &end) || (!ptr && n), 0))
                weir_slice_check_fail(ptr, n, elem_size);
        if (__builtin_expect(weir_slice_checks, 0))
                weir_slice_check_object(ptr, bytes);
}

/* What the macros call. */
WEIR_API void  weir_slice_move(void *to, size_t at, const void *from, size_t n, size_t elem_size);
WEIR_API void  weir_slice_cut(void *ptr, size_t len, size_t elem_size, size_t i, size_t n);
WEIR_API void *weir_slice_put(void *ptr, size_t len, size_t *cap, size_t elem_size, size_t i,
                              const void *from, size_t n, unsigned flags);

WEIR_DECLS_END

#endif
