/* weir/sync.h: mutex, rwmutex, cond, semaphore, wait group, latch, barrier, once.
 *
 * All are plain structs that work when zero: static ones need no initialisation, and there is
 * nothing to destroy. They park goroutines and never block a thread. A copy of one in use is
 * useless; share its address.
 *
 * What waits until a moment takes that moment, not a duration: weir_now() + WEIR_SECOND.
 *
 * Example (run):
 *
 *         #include <weir.h>
 *
 *         static weir_mutex lock;
 *         static int        total;
 *
 *         weir_task(add, my, { int n; })
 *         {
 *                 weir_mutex_lock(&lock);
 *                 total += my->n;
 *                 weir_mutex_unlock(&lock);
 *         }
 *
 *         WEIR_MAIN(argc, argv)
 *         {
 *                 weir_wg wg = { 0 };
 *
 *                 for (int i = 1; i <= 100; i++)
 *                         weir_wg_go(&wg, add, .n = i);
 *                 weir_wg_wait(&wg);
 *                 printf("%d\n", total);
 *                 return total != 5050;
 *         }
 */
#ifndef WEIR_SYNC_H
#define WEIR_SYNC_H

#include <weir/base.h>
#include <weir/go.h>
#include <weir/time.h>

WEIR_DECLS_BEGIN

typedef struct weir_mutex   { uint64_t state_[2]; } weir_mutex;
typedef struct weir_rwmutex { uint64_t state_[6]; } weir_rwmutex;
typedef struct weir_cond    { uint64_t state_[3]; } weir_cond;
typedef struct weir_sema    { uint64_t state_[4]; } weir_sema;
typedef struct weir_wg      { uint64_t state_[2]; } weir_wg;
typedef struct weir_latch   { uint64_t state_[3]; } weir_latch;
typedef struct weir_barrier { uint64_t state_[5]; } weir_barrier;
typedef struct weir_once    { uint64_t state_[2]; } weir_once;
typedef struct weir_once_value { weir_once once_; void *value_; uint64_t known_; } weir_once_value;

/* ---- mutex ---- */

/* Locks m.
 *
 * Not recursive: a goroutine that locks twice waits for itself.
 *
 * Parks: until m is free.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API void weir_mutex_lock(weir_mutex *m);

/* Locks m if it is free; false: it is not.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API bool weir_mutex_try_lock(weir_mutex *m);

/* Locks m, but waits for it no longer than until the moment `deadline` (weir_now() + d).
 *
 * Where m is free it is locked, even when that moment has passed.
 *
 * Parks: until m is free or the deadline.  From: goroutine.  Fails: WEIR_ETIMEOUT.
 * Panics: never. */
WEIR_API int weir_mutex_lock_until(weir_mutex *m, weir_time deadline);

/* Unlocks m, which another goroutine may have locked.
 *
 * The memory of m must outlast every unlock that is under way: who unlocks may still look at it
 * when the next one has locked already. Two unlocks of what was locked once are a mistake that is
 * found, unless they happen within the same nanoseconds.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: m is not locked; it stays as it is. */
WEIR_API void weir_mutex_unlock(weir_mutex *m);

/* An uncontended mutex is taken and given back without a call. To lock it, its first 16 bits go
 * from 0 to 1, and its bytes 6 and 7 note bits 16 to 31 of where the caller's stack is, by which a
 * report of a deadlock tells who holds it. To unlock it, if its first 16 bits are 1 and the next 16
 * are 0, the first become 0; and if then the next are not 0, weir_mutex_unlocked_ is called. That
 * is part of the binary interface; all else in a mutex is not. The functions do the same and remain
 * for who takes their address. */
typedef uint16_t WEIR_MAY_ALIAS weir_mutex_half_;

WEIR_API void weir_mutex_unlocked_(weir_mutex *m);

/* Not 0 with WEIR_DEBUG=lockcheck: then each call goes to the library. */
WEIR_API extern uint32_t weir__lock_watch;

static inline void weir_mutex_lock_(weir_mutex *m)
{
        weir_mutex_half_ free_ = 0;
        char             here_;

        if (__builtin_expect(!__atomic_load_n(&weir__lock_watch, __ATOMIC_RELAXED) &&
                             !__atomic_load_n((weir_mutex_half_ *)m, __ATOMIC_RELAXED) &&
                             __atomic_compare_exchange_n((weir_mutex_half_ *)m, &free_, 1, 0,
                                                         __ATOMIC_ACQUIRE, __ATOMIC_RELAXED), 1))
                __atomic_store_n((weir_mutex_half_ *)m + 3,
                                 (weir_mutex_half_)((uintptr_t)&here_ >> 16), __ATOMIC_RELAXED);
        else
                weir_mutex_lock(m);
}

static inline void weir_mutex_unlock_(weir_mutex *m)
{
        weir_mutex_half_ *half = (weir_mutex_half_ *)m;

        if (__builtin_expect(!__atomic_load_n(&weir__lock_watch, __ATOMIC_RELAXED) &&
                             __atomic_load_n(half, __ATOMIC_RELAXED) == 1 &&
                             !__atomic_load_n(half + 1, __ATOMIC_RELAXED), 1)) {
                __atomic_store_n(half, (weir_mutex_half_)0, __ATOMIC_RELEASE);
                __atomic_signal_fence(__ATOMIC_SEQ_CST);
                if (__builtin_expect(__atomic_load_n(half + 1, __ATOMIC_RELAXED), 0))
                        weir_mutex_unlocked_(m);
        } else {
                weir_mutex_unlock(m);
        }
}

#define weir_mutex_lock(m)   weir_mutex_lock_(m)
#define weir_mutex_unlock(m) weir_mutex_unlock_(m)

/* ---- rwmutex: many readers or one writer ---- */

/* Where most only read, on several processors, an rwmutex is cheaper than a mutex: readers do not
 * meet. A writer that comes keeps new readers out, and those that wait when it unlocks go before
 * the next writer: neither side starves. A goroutine that reads must not lock to read again: when a
 * writer came in between, each waits for the other. */

/* Locks m to write.
 *
 * Parks: until nobody else reads or writes.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API void weir_rwmutex_lock(weir_rwmutex *m);

/* Locks m to write if nobody reads or writes; false: somebody does.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API bool weir_rwmutex_try_lock(weir_rwmutex *m);

/* Locks m to write, but waits no longer than until the moment `deadline`.
 *
 * Parks: until nobody else reads or writes, or the deadline.  From: goroutine.
 * Fails: WEIR_ETIMEOUT.  Panics: never. */
WEIR_API int weir_rwmutex_lock_until(weir_rwmutex *m, weir_time deadline);

/* Unlocks m, which is locked to write; another goroutine may have done that.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: m is not locked to write. */
WEIR_API void weir_rwmutex_unlock(weir_rwmutex *m);

/* Locks m to read, together with any number of others.
 *
 * Parks: while somebody writes or waits to.  From: goroutine.  Fails: never.
 * Panics: never; builds with checks, the caller reads already. */
WEIR_API void weir_rwmutex_rlock(weir_rwmutex *m);

/* Locks m to read if nobody writes or waits to; false: somebody does.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API bool weir_rwmutex_try_rlock(weir_rwmutex *m);

/* Locks m to read, but waits no longer than until the moment `deadline`.
 *
 * Parks: while somebody writes or waits to, or until the deadline.  From: goroutine.
 * Fails: WEIR_ETIMEOUT.  Panics: never. */
WEIR_API int weir_rwmutex_rlock_until(weir_rwmutex *m, weir_time deadline);

/* Unlocks m, which is locked to read; another goroutine may have done that.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: nobody has locked m to read. */
WEIR_API void weir_rwmutex_runlock(weir_rwmutex *m);

/* ---- cond: waiting for what a mutex guards to change ---- */

/* Unlocks `held`, waits for a signal, and locks it again.
 *
 * Who comes back looks again whether what it waits for is there:
 *
 *         weir_mutex_lock(&m);
 *         while (!ready)
 *                 weir_cond_wait(&c, &m);
 *
 * Signals wake in the order of waiting, and nobody wakes without one.
 *
 * Parks: until a signal, and then until the mutex is free.  From: goroutine.  Fails: never.
 * Panics: `held` is not locked. */
WEIR_API void weir_cond_wait(weir_cond *c, weir_mutex *held);

/* The same, but waits for the signal no longer than until the moment `deadline`. The mutex is
 * locked again either way.
 *
 * Parks: until a signal or the deadline, and then until the mutex is free.  From: goroutine.
 * Fails: WEIR_ETIMEOUT.  Panics: `held` is not locked. */
WEIR_API int weir_cond_wait_until(weir_cond *c, weir_mutex *held, weir_time deadline);

/* Wakes the goroutine that has waited longest, if any waits. The mutex need not be locked.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API void weir_cond_signal(weir_cond *c);

/* Wakes all that wait.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API void weir_cond_broadcast(weir_cond *c);

/* ---- semaphore: a number of units to be had ---- */

/* One with n units: weir_sema places = WEIR_SEMA(10). A zero one has none until some are
 * released. */
#define WEIR_SEMA(n) { { (n) } }

/* Takes n units of s, in the order of coming: who wants few waits behind who wants many.
 *
 * Parks: until there are so many.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API void weir_sema_acquire(weir_sema *s, uint64_t n);

/* The same, but waits no longer than until the moment `deadline`.
 *
 * Parks: until there are so many, or the deadline.  From: goroutine.  Fails: WEIR_ETIMEOUT.
 * Panics: never. */
WEIR_API int weir_sema_acquire_until(weir_sema *s, uint64_t n, weir_time deadline);

/* Takes n units of s if they are there and nobody waits; false: not so.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API bool weir_sema_try_acquire(weir_sema *s, uint64_t n);

/* The same, but waits no longer than until ctx ends. Where there are so many they are taken, even
 * when it has ended.
 *
 * Parks: until there are so many, or the end.  From: goroutine.
 * Fails: WEIR_ECANCELED, WEIR_ETIMEOUT.  Panics: a context that weir did not make. */
WEIR_API int weir_sema_acquire_ctx(weir_sema *s, uint64_t n, weir_ctx *ctx);

/* Gives s n units, taken before or new ones.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: more than 64 bits can count. */
WEIR_API void weir_sema_release(weir_sema *s, uint64_t n);

/* ---- wait group ---- */

/* Adds delta, which may be negative, to the number of things that wg waits for.
 *
 * Add before the goroutine starts that will call weir_wg_done, or a wait may miss it.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: the number falls below 0. */
WEIR_API void weir_wg_add(weir_wg *wg, int delta);

/* Says that one of the things is done: weir_wg_add(wg, -1).
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: the number falls below 0. */
WEIR_API void weir_wg_done(weir_wg *wg);

/* Waits until the number is 0; at once if it is.
 *
 * Parks: until then.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API void weir_wg_wait(weir_wg *wg);

/* Adds 1 and starts a goroutine that calls entry with its own copy of size bytes at args, and is
 * done when entry returns. weir_wg_go expands to this; wg must outlive the goroutine.
 *
 * Parks: no.  From: goroutine.  Fails: never.
 * Panics: entry is NULL; as weir_go. */
WEIR_API void weir_wg_go_copy(weir_wg *wg, void (*entry)(void *), const void *args, size_t size);

/* On by: a C compiler. C++ has no address of a compound literal: it calls weir_wg_go_copy. */
#ifndef __cplusplus

/* Starts a weir_task as weir_go does and lets wg wait for its end:
 *
 *         weir_wg_go(&wg, add, .n = 7);
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: as weir_go. */
#define weir_wg_go(wg, ...) WEIR_CAT_(WEIR_WG_GO_, WEIR_MANY_(__VA_ARGS__))((wg), __VA_ARGS__)

#define WEIR_WG_GO_0(wg, name) \
        weir_wg_go_copy(wg, name##_entry_, WEIR_ARGS_(name, ), sizeof(struct name##_args))
#define WEIR_WG_GO_1(wg, name, ...)                                                     \
        weir_wg_go_copy(wg, name##_entry_, WEIR_ARGS_(name, __VA_ARGS__),               \
                        sizeof(struct name##_args))

#endif

/* ---- latch: a count that opens a door for good ---- */

/* One that opens after n: weir_latch started = WEIR_LATCH(3). A zero one is open. */
#define WEIR_LATCH(n) { { (n) } }

/* Takes n from the count; who brings it to 0 lets all go on that wait. What was done before is seen
 * by them.
 *
 * Parks: no.  From: goroutine.  Fails: never.  Panics: the count is less than n; it stays. */
WEIR_API void weir_latch_down(weir_latch *l, uint64_t n);

/* Waits until the count is 0; at once if it is.
 *
 * Parks: until then.  From: goroutine.  Fails: never.  Panics: never. */
WEIR_API void weir_latch_wait(weir_latch *l);

/* The same, but waits no longer than until the moment `deadline`.
 *
 * Parks: until the count is 0 or the deadline.  From: goroutine.  Fails: WEIR_ETIMEOUT.
 * Panics: never. */
WEIR_API int weir_latch_wait_until(weir_latch *l, weir_time deadline);

/* What the count is now.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API uint64_t weir_latch_count(const weir_latch *l);

/* ---- barrier: n goroutines wait for one another, again and again ---- */

/* One for n goroutines: weir_barrier turn = WEIR_BARRIER(4). */
#define WEIR_BARRIER(n) { { (n) } }

/* Waits until n goroutines have called this, and then lets these n go on; the next call begins the
 * next round. True for one of them, the last that came. What each did before is seen by all.
 *
 * Parks: until n are there.  From: goroutine.  Fails: never.  Panics: the barrier is zero. */
WEIR_API bool weir_barrier_wait(weir_barrier *b);

/* The same, but waits no longer than until the moment `deadline`; who fails does not count as
 * having come. 1 for the last that came, 0 for the others.
 *
 * Parks: until n are there, or the deadline.  From: goroutine.  Fails: WEIR_ETIMEOUT.
 * Panics: the barrier is zero. */
WEIR_API int weir_barrier_wait_until(weir_barrier *b, weir_time deadline);

/* How many rounds are over.
 *
 * Parks: no.  From: any thread.  Fails: never.  Panics: never. */
WEIR_API uint64_t weir_barrier_generation(const weir_barrier *b);

/* ---- once ---- */

/* Calls fn(arg) if nobody did so with this o before, and returns when that first call is over.
 *
 * It counts as done also when fn panicked. fn must not use the same o.
 *
 * Parks: while another goroutine runs fn, or if fn does.  From: goroutine.  Fails: never.
 * Panics: fn is NULL. */
WEIR_API void weir_once_do(weir_once *o, void (*fn)(void *arg), void *arg);

/* A once that is done costs a load and no call: its first word is 2 then. That is part of the
 * binary interface, and the function does the same. (A library that looks for copies stores
 * something else, so that each use is a call.) */
static inline void weir_once_do_(weir_once *o, void (*fn)(void *arg), void *arg)
{
        if (__builtin_expect(__atomic_load_n(&o->state_[0], __ATOMIC_ACQUIRE) != 2, 0))
                weir_once_do(o, fn, arg);
}

#define weir_once_do(o, fn, arg) weir_once_do_((o), (fn), (arg))

/* Returns what fn(arg) returned when it was called by the first caller with this o; fn is called
 * once.
 *
 * Parks: while another goroutine runs fn, or if fn does.  From: goroutine.  Fails: never.
 * Panics: fn is NULL; fn panicked, in the first call with its panic and in later ones with
 * another. */
WEIR_API void *weir_once_get(weir_once_value *o, void *(*fn)(void *arg), void *arg);

WEIR_DECLS_END

#endif
