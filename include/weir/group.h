/* weir/group.h: goroutines that work on one thing, and calls that several share.
 *
 * A group starts members, waits for all of them and returns the first error; that error also
 * cancels the group's context, so that the others can give up. A flight lets those who ask for the
 * same thing at the same time share one call.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *
 *         weir_group_task(fetch, my, { weir_ctx *ctx; int part; })
 *         {
 *                 if (my->part == 3)
 *                         return -ENOENT;
 *                 return weir_ctx_sleep(my->ctx, 10 * WEIR_SECOND);
 *         }
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_group group = { 0 };
 *                 weir_ctx  *ctx = weir_group_init(&group, NULL);
 *                 int        r;
 *
 *                 for (int i = 0; i < 8; i++)
 *                         weir_group_go(&group, fetch, .ctx = ctx, .part = i);
 *                 r = weir_group_wait(&group);
 *                 printf("%s\n", weir_strerror(r));
 *                 return r != -ENOENT;
 *         }
 */
#ifndef WEIR_GROUP_H
#define WEIR_GROUP_H

#include <weir/base.h>
#include <weir/go.h>

WEIR_DECLS_BEGIN

/* Works when zero: without a context and without a limit. A copy of one in use is useless. In an
 * object declared by WEIR_TYPE the members ctx_ and panic_ are pointers to be declared. */
typedef struct weir_group {
        weir_ctx *ctx_;
        void     *panic_;
        uint64_t  state_[9];
} weir_group;

/* Makes *g an empty group, and returns a context of its own, derived from parent: cancelled by the
 * first error, with that as its cause, and when weir_group_wait returns.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: a parent that weir did not make. */
WEIR_API weir_ctx *weir_group_init(weir_group *g, weir_ctx *parent);

/* Lets at most n members run at the same time; 0: as many as there are.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: members are running. */
WEIR_API void weir_group_limit(weir_group *g, size_t n);

/* Is the head of a function that members run, as weir_task, but for the result: 0, or an error,
 * which is negative. */
#define weir_group_task(name, my, ...)                                                  \
        __extension__ struct name##_args __VA_ARGS__;                                   \
        static int name(struct name##_args *my);                                        \
        WEIR_UNUSED static int name##_member_(void *p_)                                 \
        {                                                                               \
                return name((struct name##_args *)p_);                                  \
        }                                                                               \
        static int name(WEIR_UNUSED struct name##_args *my)

/* On by: a C compiler. C++ calls weir_group_go_copy. */
#ifndef __cplusplus

/* Starts a member that runs a weir_group_task with the arguments given by name:
 *
 *         weir_group_go(&group, fetch, .ctx = ctx, .part = 1);
 *
 * A member that panics ends with the error WEIR_EPANIC, and its panic goes on in weir_group_wait.
 *
 * Parks: while as many run as the limit allows.  From: goroutine, members too.  Fails: never.
 * Panics: as weir_go. */
#define weir_group_go(g, ...)                                                           \
        WEIR_CAT_(WEIR_GROUP_GO_, WEIR_MANY_(__VA_ARGS__))(weir_group_go_copy, (g), __VA_ARGS__)

/* The same if that is possible without waiting; false: as many run as the limit allows. */
#define weir_group_try_go(g, ...)                                                       \
        WEIR_CAT_(WEIR_GROUP_GO_, WEIR_MANY_(__VA_ARGS__))(weir_group_try_go_copy, (g),  \
                                                           __VA_ARGS__)

#define WEIR_GROUP_GO_0(how, g, name) \
        how(g, name##_member_, WEIR_ARGS_(name, ), sizeof(struct name##_args))
#define WEIR_GROUP_GO_1(how, g, name, ...)                                              \
        how(g, name##_member_, WEIR_ARGS_(name, __VA_ARGS__), sizeof(struct name##_args))

#endif

/* What these expand to: size bytes at args are copied, as by weir_go_copy.
 *
 * Parks, From, Fails, Panics: as above; fn is NULL. */
WEIR_API void weir_group_go_copy(weir_group *g, int (*fn)(void *args), const void *args,
                                 size_t size);
WEIR_API bool weir_group_try_go_copy(weir_group *g, int (*fn)(void *args), const void *args,
                                     size_t size);

/* Waits until all members are done, cancels the group's context, and returns the first error, or 0.
 *
 * Parks: until then.  From: goroutine.  Fails: what a member returned.
 * Panics: a member panicked; the first one's message is told. */
WEIR_API int weir_group_wait(weir_group *g);

/* ---- flights ---- */

/* Works when zero; nothing to destroy. In an object declared by WEIR_TYPE the member table_ is a
 * pointer to be declared. */
typedef struct weir_flight {
        void    *table_;
        uint64_t state_[7];
} weir_flight;

/* Calls fn(arg, &value) unless a call for the same key is under way: then waits for that one.
 * Returns what the call returned, and stores its value in *ret, unless ret is NULL, also when that
 *         is an
 * error. *ret_shared, unless ret_shared is NULL, tells whether several get this result.
 *
 * The key is compared by its bytes, which must stay as they are until the return. A panic of fn, or
 * its weir_go_exit, is a panic or exit of all who wait for it.
 *
 * Parks: while the call is under way.  From: goroutine.  Fails: what fn returns.
 * Panics: fn is NULL; fn panicked. */
WEIR_API int weir_flight_do(weir_flight *f, const void *key, size_t key_size,
                            int (*fn)(void *arg, void **ret), void *arg, void **ret,
                            bool *ret_shared);

/* Makes the next weir_flight_do for this key call its function, whether or not a call is under way.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API void weir_flight_forget(weir_flight *f, const void *key, size_t key_size);

WEIR_DECLS_END

#endif
