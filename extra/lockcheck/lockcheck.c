/* libweir-lockcheck: the locks of pthread, and of C11's threads, as seen by WEIR_DEBUG=lockcheck.
 *
 * What    LD_PRELOAD=libweir-lockcheck.so provides the calls that lock and unlock again. Each goes
 *         on to libc's own; before and after it tells libweir, which asked for that at its start
 *         (src/sched/watch.c). Without WEIR_DEBUG=lockcheck, or without libweir, nobody asks, and
 *         the calls pass through.
 * Order   What is asked for is stored with release: other threads may lock already. libc's
 *         functions are looked up by the constructor, or by who locks before that.
 * Cost    None where the library is not loaded.
 * Not     A part of libweir: then each lock in a program would cost a test, and malloc's and every
 *         library's with it. pthread_cond_wait: it gives the mutex up and takes it again before it
 *         returns, and meanwhile the goroutine blocks its thread; it cannot park. Locks that libc
 *         takes itself, of stdio for instance, do not come by here, nor do those of a program that
 *         is linked statically with libc. */
#include "sched/foreign.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <threads.h>
#include <time.h>

#define EXPORTED __attribute__((visibility("default")))

typedef pthread_mutex_t       mutex;
typedef pthread_rwlock_t      rwlock;
typedef pthread_spinlock_t    spin;
typedef const struct timespec when;

/* LOCK(function, which kind of lock, whether it can wait, parameters, arguments)
 * UNLOCK(function, type) */
#define CALLS \
        LOCK(pthread_mutex_lock, "pthread mutex", true, (mutex *l), (l)) \
        LOCK(pthread_mutex_trylock, "pthread mutex", false, (mutex *l), (l)) \
        LOCK(pthread_mutex_timedlock, "pthread mutex", true, (mutex *l, when *t), (l, t)) \
        LOCK(pthread_mutex_clocklock, "pthread mutex", true, (mutex *l, clockid_t c, when *t), \
             (l, c, t)) \
        UNLOCK(pthread_mutex_unlock, mutex) \
        LOCK(pthread_rwlock_rdlock, "pthread rwlock", true, (rwlock *l), (l)) \
        LOCK(pthread_rwlock_wrlock, "pthread rwlock", true, (rwlock *l), (l)) \
        LOCK(pthread_rwlock_tryrdlock, "pthread rwlock", false, (rwlock *l), (l)) \
        LOCK(pthread_rwlock_trywrlock, "pthread rwlock", false, (rwlock *l), (l)) \
        LOCK(pthread_rwlock_timedrdlock, "pthread rwlock", true, (rwlock *l, when *t), (l, t)) \
        LOCK(pthread_rwlock_timedwrlock, "pthread rwlock", true, (rwlock *l, when *t), (l, t)) \
        LOCK(pthread_rwlock_clockrdlock, "pthread rwlock", true, \
             (rwlock *l, clockid_t c, when *t), (l, c, t)) \
        LOCK(pthread_rwlock_clockwrlock, "pthread rwlock", true, \
             (rwlock *l, clockid_t c, when *t), (l, c, t)) \
        UNLOCK(pthread_rwlock_unlock, rwlock) \
        LOCK(pthread_spin_lock, "pthread spinlock", true, (spin *l), (l)) \
        LOCK(pthread_spin_trylock, "pthread spinlock", false, (spin *l), (l)) \
        UNLOCK(pthread_spin_unlock, spin) \
        LOCK(mtx_lock, "mtx", true, (mtx_t *l), (l)) \
        LOCK(mtx_trylock, "mtx", false, (mtx_t *l), (l)) \
        LOCK(mtx_timedlock, "mtx", true, (mtx_t *l, when *t), (l, t)) \
        UNLOCK(mtx_unlock, mtx_t)

/* libc's own. */
static struct {
#define LOCK(name, what, waits, params, args) __typeof__(&name) name;
#define UNLOCK(name, type)                    __typeof__(&name) name;
        CALLS
#undef LOCK
#undef UNLOCK
} libc;                         /* const after the constructor below, or the first use before it */

static const struct foreign_locks *told;        /* atomic */

static __attribute__((constructor)) void find_all(void)
{
        void *fn;

#define FIND(name) \
        fn = dlsym(RTLD_NEXT, #name); \
        memcpy(&libc.name, &fn, sizeof fn);
#define LOCK(name, what, waits, params, args) FIND(name)
#define UNLOCK(name, type)                    FIND(name)
        CALLS
#undef LOCK
#undef UNLOCK
}

#define LIBC(name) (*(__builtin_expect(!libc.name, 0) ? find_all() : (void)0, libc.name))

/* A robust mutex whose owner died is locked all the same. */
static bool took(int r)
{
        return r == 0 || r == EOWNERDEAD;
}

#define ADDRESS(l) ((const void *)(uintptr_t)(l))       /* a spinlock is volatile */
#define SITE       __builtin_return_address(0)

#define LOCK(name, what, waits, params, args) \
        EXPORTED int name params \
        { \
                const struct foreign_locks *to = __atomic_load_n(&told, __ATOMIC_ACQUIRE); \
                int                         r; \
\
                if ((waits) && to) \
                        to->locks(ADDRESS(l), what, SITE); \
                r = LIBC(name) args; \
                if (to && took(r)) \
                        to->locked(ADDRESS(l), what, SITE); \
                return r; \
        }

/* Told before: after it another one may have it. */
#define UNLOCK(name, type) \
        EXPORTED int name(type *l) \
        { \
                const struct foreign_locks *to = __atomic_load_n(&told, __ATOMIC_ACQUIRE); \
\
                if (to) \
                        to->unlocks(ADDRESS(l), SITE); \
                return LIBC(name)(l); \
        }

CALLS

EXPORTED foreign_locks_watch FOREIGN_LOCKS_WATCH;

bool FOREIGN_LOCKS_WATCH(unsigned version, const struct foreign_locks *to)
{
        if (version != FOREIGN_LOCKS_VERSION)
                return false;
        __atomic_store_n(&told, to, __ATOMIC_RELEASE);  /* pairs with the acquire of each call */
        return true;
}
