/* The atomic operations of weir for a model test: each is a call of the explorer (test/model),
 * which decides who runs next and which of the values that the memory model allows is read.
 *
 * Found before src/base/atomic.h on the include path of model builds; the sources are the shipped
 * ones. Each place is a record in a section of its own, by which mutations find it: its name is
 * FUNCTION:OPERATION(OPERAND), spelled as in the source. */
#ifndef WEIR_BASE_ATOMIC_H
#define WEIR_BASE_ATOMIC_H

#include "explore.h"

#define SITE_(text) \
        static struct site site_ __attribute__((section("model_sites"), used)) = { \
                .file = __FILE__, .func = __func__, .op = text, .line = __LINE__ }

#define MODEL_WORD(v)       ((uint64_t)(uintptr_t)(v))
#define MODEL_BACK(p, word) ((__typeof__(*(p)))(uintptr_t)(word))

#define MODEL_LOAD(p, order, text) \
        __extension__({ \
                SITE_(text); \
                MODEL_BACK(p, model_load((p), sizeof *(p), order, &site_)); \
        })
#define MODEL_STORE(p, v, order, text) \
        __extension__({ \
                SITE_(text); \
                __typeof__(*(p)) model_v_ = (v); \
                model_store((p), sizeof *(p), MODEL_WORD(model_v_), order, &site_); \
        })
#define MODEL_RMW(p, v, what, order, text) \
        __extension__({ \
                SITE_(text); \
                __typeof__(*(p)) model_v_ = (__typeof__(*(p)))(v); \
                MODEL_BACK(p, model_rmw((p), sizeof *(p), what, MODEL_WORD(model_v_), order, \
                                        &site_)); \
        })
#define MODEL_CAS(p, e, v, order, failed, text) \
        __extension__({ \
                SITE_(text); \
                uint64_t model_e_ = MODEL_WORD(*(e)); \
                bool     model_ok_ = model_cas((p), sizeof *(p), &model_e_, \
                                               MODEL_WORD((__typeof__(*(p)))(v)), order, failed, \
                                               &site_); \
                if (!model_ok_) \
                        *(e) = MODEL_BACK(p, model_e_); \
                model_ok_; \
        })

#define load_relaxed(p)         MODEL_LOAD(p, MODEL_RELAXED, "load_relaxed(" #p ")")
#define load_acquire(p)         MODEL_LOAD(p, MODEL_ACQUIRE, "load_acquire(" #p ")")
#define load_seq(p)             MODEL_LOAD(p, MODEL_SEQ, "load_seq(" #p ")")
#define store_relaxed(p, v)     MODEL_STORE(p, v, MODEL_RELAXED, "store_relaxed(" #p ")")
#define store_release(p, v)     MODEL_STORE(p, v, MODEL_RELEASE, "store_release(" #p ")")
#define store_seq(p, v)         MODEL_STORE(p, v, MODEL_SEQ, "store_seq(" #p ")")

#define exchange_acquire(p, v) \
        MODEL_RMW(p, v, MODEL_XCHG, MODEL_ACQUIRE, "exchange_acquire(" #p ")")
#define exchange_release(p, v) \
        MODEL_RMW(p, v, MODEL_XCHG, MODEL_RELEASE, "exchange_release(" #p ")")
#define exchange_seq(p, v)      MODEL_RMW(p, v, MODEL_XCHG, MODEL_SEQ, "exchange_seq(" #p ")")
#define fetch_add_relaxed(p, v) \
        MODEL_RMW(p, v, MODEL_ADD, MODEL_RELAXED, "fetch_add_relaxed(" #p ")")
#define fetch_add_seq(p, v)     MODEL_RMW(p, v, MODEL_ADD, MODEL_SEQ, "fetch_add_seq(" #p ")")
#define fetch_sub_seq(p, v)     MODEL_RMW(p, v, MODEL_SUB, MODEL_SEQ, "fetch_sub_seq(" #p ")")
#define fetch_sub_release(p, v) \
        MODEL_RMW(p, v, MODEL_SUB, MODEL_RELEASE, "fetch_sub_release(" #p ")")
#define fetch_or_seq(p, v)      MODEL_RMW(p, v, MODEL_OR, MODEL_SEQ, "fetch_or_seq(" #p ")")
#define fetch_or_relaxed(p, v) \
        MODEL_RMW(p, v, MODEL_OR, MODEL_RELAXED, "fetch_or_relaxed(" #p ")")
#define fetch_and_seq(p, v)     MODEL_RMW(p, v, MODEL_AND, MODEL_SEQ, "fetch_and_seq(" #p ")")
#define fetch_and_relaxed(p, v) \
        MODEL_RMW(p, v, MODEL_AND, MODEL_RELAXED, "fetch_and_relaxed(" #p ")")

#define cas_acquire(p, e, v) \
        MODEL_CAS(p, e, v, MODEL_ACQUIRE, MODEL_RELAXED, "cas_acquire(" #p ")")
#define cas_release(p, e, v) \
        MODEL_CAS(p, e, v, MODEL_RELEASE, MODEL_RELAXED, "cas_release(" #p ")")
#define cas_seq(p, e, v)        MODEL_CAS(p, e, v, MODEL_SEQ, MODEL_SEQ, "cas_seq(" #p ")")
#define cas_relaxed(p, e, v) \
        MODEL_CAS(p, e, v, MODEL_RELAXED, MODEL_RELAXED, "cas_relaxed(" #p ")")

#define fence_compiler()        ((void)0)       /* each operation is a call */

void weir__spin_pause(void);

/* Counters are read for people; who reads one may see any value, and nobody waits for one. */
#define owner_add(p, v) model_count((p), sizeof *(p), MODEL_WORD(v))

#endif
