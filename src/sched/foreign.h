/* What libweir-lockcheck.so tells of the locks of pthread; see extra/lockcheck. */
#ifndef WEIR_SCHED_FOREIGN_H
#define WEIR_SCHED_FOREIGN_H

/* Calls of libweir, from site in the program. Each may be made on any thread, and does nothing
 * where there is no goroutine. */
struct foreign_locks {
        void (*locks)(const void *lock, const char *what, const void *site);   /* it may wait */
        void (*locked)(const void *lock, const char *what, const void *site);
        void (*unlocks)(const void *lock, const void *site);
};

enum { FOREIGN_LOCKS_VERSION = 1 };

/* What the library exports: has each lock and unlock told to *to from now on, which stays. False:
 * it is made for another libweir. */
#define FOREIGN_LOCKS_WATCH weir_lockcheck_watch
typedef _Bool foreign_locks_watch(unsigned version, const struct foreign_locks *to);

#endif
