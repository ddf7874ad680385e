/* The atomic operations that weir uses, under names that say the ordering.
 *
 * They are thin wraps of the compiler's __atomic builtins, so that plain fields of shared structs
 * need no _Atomic qualifier (which C++ and gdb handle badly) and every access to a shared word
 * shows its ordering at the place of use. A model test can replace this one header. */
#ifndef WEIR_BASE_ATOMIC_H
#define WEIR_BASE_ATOMIC_H

#define load_relaxed(p)            __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p)            __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define load_seq(p)                __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store_relaxed(p, v)        __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v)        __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define store_seq(p, v)            __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define exchange_acquire(p, v)     __atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE)
#define exchange_release(p, v)     __atomic_exchange_n((p), (v), __ATOMIC_RELEASE)
#define exchange_seq(p, v)         __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define fetch_add_relaxed(p, v)    __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define fetch_add_seq(p, v)        __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define fetch_sub_seq(p, v)        __atomic_fetch_sub((p), (v), __ATOMIC_SEQ_CST)
#define fetch_or_relaxed(p, v)     __atomic_fetch_or((p), (v), __ATOMIC_RELAXED)
#define fetch_and_seq(p, v)        __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)
#define fetch_sub_release(p, v)    __atomic_fetch_sub((p), (v), __ATOMIC_RELEASE)
#define fetch_and_relaxed(p, v)    __atomic_fetch_and((p), (v), __ATOMIC_RELAXED)
#define fetch_or_seq(p, v)         __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)

/* Each answers whether the exchange was made; *e is left with what was found when it was not. */
#define cas_acquire(p, e, v) \
        __atomic_compare_exchange_n((p), (e), (v), 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)
#define cas_release(p, e, v) \
        __atomic_compare_exchange_n((p), (e), (v), 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
#define cas_seq(p, e, v) \
        __atomic_compare_exchange_n((p), (e), (v), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
#define cas_relaxed(p, e, v) \
        __atomic_compare_exchange_n((p), (e), (v), 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)

/* Keeps the compiler from moving accesses across: for what a signal handler on this thread, or a
 * child of fork, finds of what the thread was doing. */
#define fence_compiler()           __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* A hint to the core that this is a spin loop. Provided by src/arch. */
void weir__spin_pause(void);

/* Adds to a word that one thread writes and any thread reads: no locked instruction. */
#define owner_add(p, v) store_relaxed((p), load_relaxed(p) + (v))

#endif
