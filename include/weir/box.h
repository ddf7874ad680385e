/* weir/box.h: a pointer that goroutines exchange without a lock, of one type for life.
 *
 * What is read often and replaced as a whole now and then: a configuration, a table. Who loads gets
 * one that was stored, whole, without waiting; who changes it makes a new one and stores that. The
 * first store fixes the type; to store or load another one later is a panic, as is to store NULL.
 *
 * Types are those of WEIR_TYPE and WEIR_TYPE_PLAIN, and are the same when name and size are. The
 *       box
 * keeps what it points to alive where the collector finds it: in a variable, in malloc's memory, in
 * an object without a declared type; in one with, it is to be named as the others are:
 *
 *         typedef struct server { weir_box config; int port; } server;
 *         WEIR_TYPE(server, config.held);
 *
 * Example (run):
 *
 *         #include <weir.h>
 *         #include <stdlib.h>
 *
 *         typedef struct config { int limit; } config;
 *         WEIR_TYPE_PLAIN(config);
 *
 *         static weir_box current;
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 config *c = weir_new(config);
 *
 *                 c->limit = 10;
 *                 weir_box_store(&current, config, c);
 *                 return weir_box_load(&current, config)->limit == 10 ? EXIT_SUCCESS :
 *                 EXIT_FAILURE;
 *         }
 */
#ifndef WEIR_BOX_H
#define WEIR_BOX_H

#include <weir/base.h>
#include <weir/gc.h>

WEIR_DECLS_BEGIN

/* Zero is an empty one. `held` is to be named to WEIR_TYPE, not to be touched. */
typedef struct weir_box {
        const weir_type *type_;
        void            *held;
} weir_box;

/* What the macros below call. T is a name that WEIR_TYPE or WEIR_TYPE_PLAIN has declared.
 *
 * All of them: Parks: no. From: any thread. Fails: never. Panics: the box is of another type; what
 * is to be stored is NULL. */
WEIR_API void  weir_box_store_type(weir_box *b, const weir_type *t, void *value);
WEIR_API void *weir_box_swap_type(weir_box *b, const weir_type *t, void *value);
WEIR_API bool  weir_box_cas_type(weir_box *b, const weir_type *t, void *old, void *value);
WEIR_API void  weir_box_check_(const weir_box *b, const weir_type *t, const char *call);

static inline void *weir_box_load_type(const weir_box *b, const weir_type *t)
{
        void *held = __atomic_load_n(&b->held, __ATOMIC_ACQUIRE);

        if (__builtin_expect(held && __atomic_load_n(&b->type_, __ATOMIC_RELAXED) != t, 0))
                weir_box_check_(b, t, "weir_box_load");
        return held;
}

/* What is in the box, a T *; NULL: nothing was stored. What its storer did before is seen. */
#define weir_box_load(b, T) ((T *)weir_box_load_type((b), &WEIR_CAT(weir_type_, T)))

/* Stores value, a T *. */
#define weir_box_store(b, T, value)                                                     \
        weir_box_store_type((b), &WEIR_CAT(weir_type_, T), 1 ? (value) : (T *)0)

/* Stores value and returns what was there before, NULL in an empty box. */
#define weir_box_swap(b, T, value)                                                      \
        ((T *)weir_box_swap_type((b), &WEIR_CAT(weir_type_, T), 1 ? (value) : (T *)0))

/* Stores value if `old` is there, NULL for an empty box; whether it did. */
#define weir_box_cas(b, T, old, value)                                                  \
        weir_box_cas_type((b), &WEIR_CAT(weir_type_, T), 1 ? (old) : (T *)0,            \
                          1 ? (value) : (T *)0)

WEIR_DECLS_END

#endif
