/* weir/gc.h: collected memory.
 *
 * Memory from here is freed when nothing points to it any more. Plain C is enough: a pointer counts
 * wherever it stands, in a local variable, a register, a global or thread-local variable, in memory
 * from malloc, on the stack of any goroutine or thread, or in another collected object; to the
 * start of an object, into it, or one past its end (past a single object of a declared type: only
 * from a local variable or a register). It must be stored as it is, aligned to 8 bytes.
 *
 * What is declared by WEIR_TYPE is scanned exactly: only the named fields are pointers, and each
 * store to one goes by weir_set, or by weir_gc_move for several at once. Marking runs while the
 * program does; a store that bypasses them may lose what it stores. WEIR_DEBUG=gccheck=1 ends the
 * program with a message that names type, field and object when that would happen. Objects that are
 * not declared, blocks from malloc, variables: there = is right.
 *
 * WEIR_GC=N, weir_gc_percent and the option gc_percent say how much may be allocated, in percent of
 * what is in use, before a collection begins (100); WEIR_GC=off: none but by weir_gc_run. One comes
 * after two minutes in any case, if anything was allocated. Most collections find out only about
 * objects made since the last one. That an older one has died a full collection finds, which comes
 * when old objects have grown by half of what may be allocated, after many of the others, at the
 * limit of memory, after the two minutes, and by weir_gc_run.
 *
 * What is not looked at: memory from mmap, unless weir_gc_root_add names it; what weir_gc_exclude
 * names and weir_malloc_plain gives; memory of another allocator. In a program that has malloc from
 * elsewhere (a sanitizer's, -DWEIR_MALLOC=OFF) what malloc handed out is not looked at either, so
 * there nothing is collected, and weir_gc_run does nothing; WEIR_DEBUG=gcforeign=1 collects
 * nevertheless. A variable on the stack of a goroutine that waits, into which others store, is looked
 * at if its address is where it is looked, too: no object may be all that knows of such a variable
 * in a field that is not declared.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *
 *         typedef struct node {
 *                 struct node *left, *right;
 *                 int          key;
 *         } node;
 *
 *         WEIR_TYPE(node, left, right);
 *
 *         static node *grow(int depth)
 *         {
 *                 node *n = weir_new(node);
 *
 *                 if (depth > 0) {
 *                         weir_set(n->left, grow(depth - 1));
 *                         weir_set(n->right, grow(depth - 1));
 *                 }
 *                 return n;
 *         }
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 for (int i = 0; i < 1000; i++)
 *                         grow(10);
 *                 return 0;
 *         }
 */
#ifndef WEIR_GC_H
#define WEIR_GC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <weir/base.h>
#include <weir/time.h>

WEIR_DECLS_BEGIN

/* Pointers side by side in a type: where the first one is, in bytes, and how many. */
typedef struct weir_ptrs {
        uint32_t offset, count;
} weir_ptrs;

/* A member of a type that is itself of a declared type, or so many of them side by side; 0 of them:
 * a flexible array at its end. Made by WEIR_PART and WEIR_TAIL. */
typedef struct weir_part {
        const struct weir_type *type;
        uint32_t                offset, count;
} weir_part;

/* What the collector knows of a type. Made by WEIR_TYPE and its kin. */
typedef struct weir_type {
        const char      *name;
        size_t           size;
        size_t           nptrs;
        const weir_ptrs *ptrs;
        size_t           nparts;
        const weir_part *parts;
} weir_type;

/* n objects of type t side by side, zeroed, aligned to 16 bytes, or to their size where that is
 * smaller. NULL for t: n bytes of any content, all of which may be pointers. For n of 0 an address
 * that holds nothing.
 *
 * Fails: never; without memory the program ends with a report.  Parks: for some 100 us at a time
 * while a collection runs and the program allocates faster than it marks; not between
 * weir_preempt_disable and weir_preempt_enable. From: goroutine.
 * Panics: n objects do not fit into the address space; t has a field that is not aligned to 8
 * bytes, overlaps another or lies outside. */
WEIR_API void *weir_gc_alloc(const weir_type *t, size_t n);

/* One object of t, which ends with a flexible array, with n elements in that. What weir_new_flex
 * calls.
 *
 * Fails, parks, from: as weir_gc_alloc.
 * Panics: as that; t does not end with a flexible array. */
WEIR_API void *weir_gc_alloc_flex(const weir_type *t, size_t n);

/* For weir_gc_write alone: whether a collection is marking (1), and the store while it is; else
 * where stores are noted. */
#define WEIR_CARD_SHIFT_ 9
struct weir__gc_cards {
        uintptr_t base, bytes;
        uint8_t  *card;                 /* atomic: one for each 512 bytes from base on */
};
WEIR_API extern uint32_t              weir__gc_barrier;
WEIR_API extern struct weir__gc_cards weir__gc_cards;
WEIR_API void weir__gc_write_told(void *slot, const void *value);

/* Stores value in *slot, a pointer field of a collected object. What weir_set calls.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
static inline void weir_gc_write(void *slot, const void *value)
{
        uintptr_t at_ = (uintptr_t)slot - weir__gc_cards.base;

        if (__builtin_expect(__atomic_load_n(&weir__gc_barrier, __ATOMIC_RELAXED) == 1, 0)) {
                weir__gc_write_told(slot, value);
                return;
        }
        if (at_ < weir__gc_cards.bytes)                 /* 0 where there are no cards */
                __atomic_store_n(__atomic_load_n(&weir__gc_cards.card, __ATOMIC_RELAXED) +
                                         (at_ >> WEIR_CARD_SHIFT_), (uint8_t)1, __ATOMIC_RELAXED);
        __atomic_store_n((const void **)slot, value, __ATOMIC_RELEASE);
}

/* memmove(dst, src, size), where dst lies in a collected object and what is copied may be pointers:
 * elements of an array, a struct of a declared type.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API void weir_gc_move(void *dst, const void *src, size_t size);

/* Collects now: a whole cycle, finished on return. What died before is free afterwards; finalizers
 * of what died run on a goroutine of their own, perhaps later.
 *
 * Parks until it is done; the program runs meanwhile but for two short stops. While another cycle
 * is under way, waits for it and then runs one.
 * From: goroutine.  Fails: never.  Panics: never. */
WEIR_API void weir_gc_run(void);

/* Has fn(obj) called once nothing points to obj any more, obj being the address that the allocation
 * returned. Inside of fn obj is whole, and may become reachable again; its next death is then not
 * told unless this is called again. NULL for fn takes it back; a second call replaces the first.
 *
 * Of two objects with finalizers of which one points to the other, the pointing one is finalized
 * first, the other one cycle later at the earliest. Objects of which each reaches the other are
 * never finalized. None is when the program ends.
 *
 * fn runs on a goroutine that the runtime starts for it and may do what goroutines do; several may
 * share one, so one that parks for long keeps others waiting.
 *
 * Parks: no.  From: goroutine.  Fails: never.
 * Panics: obj is not the start of a collected object. */
WEIR_API void weir_gc_finalize(void *obj, void (*fn)(void *obj));

/* A call that was asked for; see weir_gc_cleanup. */
typedef struct weir_cleanup {
        uint64_t id;
} weir_cleanup;

/* Has fn(arg) called once obj is gone, obj being the address that the allocation returned: for what
 * goes with an object and is not memory. Any number for one object; in no order. arg is kept for
 * fn; obj must not be reachable from it, or obj never dies. Unlike a finalizer it gets no chance to
 * see obj again, and objects that reach each other are no obstacle. Of an object that has a
 * finalizer too it is called once the object has died again after that.
 *
 * fn runs as that of weir_gc_finalize does. None is called when the program ends.
 *
 * Parks: no.  From: goroutine.  Fails: never.
 * Panics: obj is not the start of a collected object; arg points into obj; fn is NULL. */
WEIR_API weir_cleanup weir_gc_cleanup(void *obj, void (*fn)(void *arg), void *arg);

/* Takes a cleanup back. False: it was called, is about to be, or was taken back before.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API bool weir_cleanup_stop(weir_cleanup c);

/* A pointer that does not keep what it points to; itself collected, to be kept by an ordinary
 * one. */
typedef struct weir_weak weir_weak;

/* A weak pointer to obj, the address that the allocation returned. While obj lives each call for it
 * gives the same one, so they may be compared. NULL for NULL.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: obj is not the start of a collected
 * object. */
WEIR_API weir_weak *weir_weak_make(const void *obj);

/* What w points to, kept from here on as by any pointer; NULL once a collection found that nothing
 * else did. That comes before the object's finalizer is called, and stays so if that brings the
 * object back. NULL for NULL.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API void *weir_weak_get(const weir_weak *w);

/* Collects with the program stopped, and prints to out what leaked: each goroutine that waits for
 * ever, because nobody else can reach the channel, mutex or the like that it waits for, with its
 * stack and where it was started; and blocks of malloc that nothing points to, by size, with the
 * first bytes of some. Answers how many that are together. NULL for out prints nothing.
 *
 * Nothing is called leaked that is not, unless the program keeps an address where the collector
 *         does not
 * look. What a stale word on a stack points to is not told, nor a goroutine that waits for an
 * object in a local variable. The program stands for as long as marking all of it takes.
 * WEIR_DEBUG=leaks=1 has each collection look for goroutines, and the end of the program for both.
 *
 * Parks: no, but stops all others.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API size_t weir_gc_leaks(FILE *out);

/* Keeps the object that obj points to or into until weir_gc_unpin was called for it as often: for
 * memory handed to where the collector does not look, a device or another process.
 *
 * Parks: no.  From: any thread.  Fails: never.
 * Panics: obj is no address of a collected object; unpin: it is not pinned. */
WEIR_API void weir_gc_pin(const void *obj);
WEIR_API void weir_gc_unpin(const void *obj);

/* What a collection was like. Bytes and nanoseconds. */
typedef struct weir_gc_cycle {
        uint64_t    number;             /* from 1 */
        const char *why;                /* "goal", "limit" (of memory), "forced" or "leaks" */
        weir_time   began, ended;       /* by weir_now */
        int64_t     stop_first;         /* how long the program stood at the begin; 0: there was one */
        int64_t     stop_last;          /* ... and at the end, or from begin to end */
        uint64_t    cpu_ns;             /* of marking, at most */
        uint64_t    at_start, before;   /* collected bytes when it began and ended, garbage included */
        uint64_t    live;               /* of them, what was marked */
        uint64_t    born;               /* allocated while it ran */
        uint64_t    goal, next_goal;    /* 0: none; where it was to end, where the next one is */
        uint64_t    objects;            /* marked */
        uint64_t    queue_peak;         /* spans that waited to be scanned, at most */
        uint64_t    calls;              /* finalizers and cleanups that it brought about */
        uint32_t    markers;            /* threads that marked */
        bool        minor;              /* it looked at young objects alone */
        bool        slowed;             /* somebody had to wait who allocated faster than was marked */
        uint64_t    reserved[8];
} weir_gc_cycle;

/* The last cycles, at most n and at most 256, the newest first. Answers how many.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API size_t weir_gc_history(weir_gc_cycle *ret, size_t n);

/* Sets how much may be allocated before the next collection, in percent of what the last one found
 * in use; negative: none. Returns what it was.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API int weir_gc_percent(int percent);

/* Makes [addr, addr + size) memory in which pointers count: for what mmap handed out. Ranges may be
 * added more than once; each removal takes one of the same addr and size away.
 *
 * Parks: no.  From: any thread.  Fails: -EINVAL (addr is not aligned to 8 bytes, or NULL), -ENOMEM,
 * -ENOENT (there is no such range).  Panics: never. */
WEIR_API int weir_gc_root_add(const void *addr, size_t size);
WEIR_API int weir_gc_root_remove(const void *addr, size_t size);

/* Has the collector not look for pointers in [addr, addr + size): a large buffer among the globals,
 * in memory that was named, in a block of malloc. Stacks and collected objects are looked at
 * anyway. A range may be excluded more than once; each weir_gc_include takes one of the same addr
 * and size away, from when on what is stored there counts. Memory must be included again before it
 * is freed, for whoever gets it next. For blocks that hold no pointers at all weir_malloc_plain is
 * simpler.
 *
 * Parks: no.  From: any thread.  Fails: -EINVAL (addr is NULL, or the range wraps), -ENOMEM,
 * -ENOENT (there is no such range).  Panics: never. */
WEIR_API int weir_gc_exclude(const void *addr, size_t size);
WEIR_API int weir_gc_include(const void *addr, size_t size);

/* malloc(size) for a block in which nothing points to collected memory: it is never looked at.
 * free, realloc (which keeps that) and malloc_usable_size take it as any other. Without it a block
 * costs a look when it is new and each time that it was written since the last collection; and a
 * number in it that happens to be an address keeps an object. Where malloc is not weir's, and under
 * WEIR_DEBUG=harden=1, it is malloc.
 *
 * Parks: no.  From: any thread.  Fails: NULL, when there is no memory.  Panics: never. */
WEIR_API void *weir_malloc_plain(size_t size);

/* Keeps what obj points to or into from being collected until here, also where the compiler needs
 * it no more. */
static inline void weir_keep_alive(const void *obj)
{
        __asm__ volatile("" : : "r"(obj) : "memory");
}

/* ---- declarations ---- */

/* A global variable that holds pointers. Globals are looked at anyway; this says so to the reader,
 * and to a collector that is told to look at nothing else. */
typedef struct weir_root {
        void       *addr;
        size_t      size;
        const char *name;
} weir_root;

#define WEIR_CAT(a, b) WEIR_CAT_(a, b)

#define WEIR_ROOT(var)                                                                  \
        __attribute__((used, section("weir_roots")))                                    \
        static const weir_root WEIR_CAT(weir_root_, var) = { &(var), sizeof(var), #var }

/* WEIR_TYPE(T, fields...): the fields of the struct T that are pointers to collected memory, 1 to
 * 32 of them: a pointer, an array of pointers, a nested struct of nothing but pointers, or a
 * pointer in one (inner.next). Others may not point to collected memory. T is a name of one
 * word. */
#define WEIR_TYPE(T, ...)                                                               \
        static const weir_type WEIR_CAT(weir_type_, T) = {                              \
                .name = #T, .size = sizeof(T), .nptrs = WEIR_NARG_(__VA_ARGS__),        \
                .ptrs = (const weir_ptrs[]){                                            \
                        WEIR_CAT(WEIR_PTRS_, WEIR_NARG_(__VA_ARGS__))(T, __VA_ARGS__)   \
                } }

/* No field of T points to collected memory. */
#define WEIR_TYPE_PLAIN(T)                                                              \
        static const weir_type WEIR_CAT(weir_type_, T) = { .name = #T, .size = sizeof(T) }

/* A pointer of any kind, as a type of its own: for parts and tails. */
typedef void *weir_any_ptr;
__attribute__((unused)) static const weir_ptrs weir_any_ptr_at[1] = { { 0, 1 } };
__attribute__((unused)) static const weir_type weir_type_weir_any_ptr = {
        "pointer", sizeof(void *), 1, weir_any_ptr_at, 0, NULL
};

/* WEIR_TYPE_PARTS(T, parts...): a struct T made of other declared types. WEIR_PART(T, f, E) is a
 * member f of T that is an E or an array of E; WEIR_TAIL(T, f, E) a flexible array of E at its end,
 * and the last part. E is declared before by WEIR_TYPE or its kin, or weir_any_ptr, which stands
 * for a pointer. What is not named holds no pointers to collected memory.
 *
 *         typedef struct slot  { node *key; int n; } slot;
 *         typedef struct table { node *owner; slot fixed[4]; size_t n; slot more[]; } table;
 *
 *         WEIR_TYPE(slot, key);
 *         WEIR_TYPE_PARTS(table, WEIR_PART(table, owner, weir_any_ptr),
 *                         WEIR_PART(table, fixed, slot), WEIR_TAIL(table, more, slot));
 *         table *t = weir_new_flex(table, 100);
 *         weir_set(t->more[99].key, key); */
#define WEIR_TYPE_PARTS(T, ...)                                                         \
        static const weir_type WEIR_CAT(weir_type_, T) = {                              \
                .name = #T, .size = sizeof(T),                                          \
                .nparts = sizeof((weir_part[]){ __VA_ARGS__ }) / sizeof(weir_part),     \
                .parts = (const weir_part[]){ __VA_ARGS__ } }

#define WEIR_PART(T, f, E)                                                              \
        { &WEIR_CAT(weir_type_, E), offsetof(T, f),                                     \
          sizeof(((T *)0)->f) / sizeof(E) +                                             \
                  0 * sizeof(char[sizeof(((T *)0)->f) % sizeof(E) ? -1 : 1]) }
#define WEIR_TAIL(T, f, E)                                                              \
        { &WEIR_CAT(weir_type_, E), offsetof(T, f),                                     \
          0 * sizeof(char[sizeof(((T *)0)->f[0]) == sizeof(E) ? 1 : -1]) }

/* A struct T without pointers but for its flexible array tail of E; and with pointer fields
 * besides. */
#define WEIR_TYPE_FLEX(T, tail, E) WEIR_TYPE_PARTS(T, WEIR_TAIL(T, tail, E))
#define WEIR_TYPE_FLEX_WITH(T, tail, E, ...)                                            \
        static const weir_type WEIR_CAT(weir_type_, T) = {                              \
                .name = #T, .size = sizeof(T), .nptrs = WEIR_NARG_(__VA_ARGS__),        \
                .ptrs = (const weir_ptrs[]){                                            \
                        WEIR_CAT(WEIR_PTRS_, WEIR_NARG_(__VA_ARGS__))(T, __VA_ARGS__)   \
                },                                                                      \
                .nparts = 1, .parts = (const weir_part[]){ WEIR_TAIL(T, tail, E) } }

#define weir_new_flex(T, n)  ((T *)weir_gc_alloc_flex(&WEIR_CAT(weir_type_, T), (n)))
#define weir_new(T)          ((T *)weir_gc_alloc(&WEIR_CAT(weir_type_, T), 1))
#define weir_new_array(T, n) ((T *)weir_gc_alloc(&WEIR_CAT(weir_type_, T), (n)))
#define weir_new_bytes(n)    weir_gc_alloc(NULL, (n))

/* lvalue = value, where lvalue is a field declared to WEIR_TYPE. */
#define weir_set(lvalue, value) \
        ((void)sizeof((lvalue) = (value)), weir_gc_write(&(lvalue), (value)))

#define WEIR_PTR_(T, f) { offsetof(T, f), sizeof(((T *)0)->f) / sizeof(void *) },
#define WEIR_NARG_(...)                                                                     \
        WEIR_NARG__(__VA_ARGS__, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, \
                    16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define WEIR_NARG__(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, \
                    A, B, C, D, E, F, N, ...) N
#define WEIR_PTRS_1(T, a) WEIR_PTR_(T, a)
#define WEIR_PTRS_2(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_1(T, __VA_ARGS__)
#define WEIR_PTRS_3(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_2(T, __VA_ARGS__)
#define WEIR_PTRS_4(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_3(T, __VA_ARGS__)
#define WEIR_PTRS_5(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_4(T, __VA_ARGS__)
#define WEIR_PTRS_6(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_5(T, __VA_ARGS__)
#define WEIR_PTRS_7(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_6(T, __VA_ARGS__)
#define WEIR_PTRS_8(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_7(T, __VA_ARGS__)
#define WEIR_PTRS_9(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_8(T, __VA_ARGS__)
#define WEIR_PTRS_10(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_9(T, __VA_ARGS__)
#define WEIR_PTRS_11(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_10(T, __VA_ARGS__)
#define WEIR_PTRS_12(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_11(T, __VA_ARGS__)
#define WEIR_PTRS_13(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_12(T, __VA_ARGS__)
#define WEIR_PTRS_14(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_13(T, __VA_ARGS__)
#define WEIR_PTRS_15(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_14(T, __VA_ARGS__)
#define WEIR_PTRS_16(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_15(T, __VA_ARGS__)
#define WEIR_PTRS_17(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_16(T, __VA_ARGS__)
#define WEIR_PTRS_18(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_17(T, __VA_ARGS__)
#define WEIR_PTRS_19(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_18(T, __VA_ARGS__)
#define WEIR_PTRS_20(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_19(T, __VA_ARGS__)
#define WEIR_PTRS_21(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_20(T, __VA_ARGS__)
#define WEIR_PTRS_22(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_21(T, __VA_ARGS__)
#define WEIR_PTRS_23(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_22(T, __VA_ARGS__)
#define WEIR_PTRS_24(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_23(T, __VA_ARGS__)
#define WEIR_PTRS_25(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_24(T, __VA_ARGS__)
#define WEIR_PTRS_26(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_25(T, __VA_ARGS__)
#define WEIR_PTRS_27(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_26(T, __VA_ARGS__)
#define WEIR_PTRS_28(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_27(T, __VA_ARGS__)
#define WEIR_PTRS_29(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_28(T, __VA_ARGS__)
#define WEIR_PTRS_30(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_29(T, __VA_ARGS__)
#define WEIR_PTRS_31(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_30(T, __VA_ARGS__)
#define WEIR_PTRS_32(T, a, ...) WEIR_PTR_(T, a) WEIR_PTRS_31(T, __VA_ARGS__)

WEIR_DECLS_END

#endif
