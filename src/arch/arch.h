/* All that weir asks of a CPU: the stack switch, its register picture, the thread pointer of the
 * runtime, the unwinder that walks a C stack by the compiler's own tables, the features of the
 * processor and the routines on bytes that are written for them. */
#ifndef WEIR_ARCH_ARCH_H
#define WEIR_ARCH_ARCH_H

#include "base/base.h"

/* The one that every processor of its kind has. */
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* ---- switch.S ---- */

/* A stack that is not running.
 *
 *   on_cpu 1   the thread that runs (or is leaving) this context owns it; sp means nothing
 *   on_cpu 0   saved: whoever took its goroutine from a queue may switch to it
 *
 *   0 -> 1  the thread that switches to it, before it does      1 -> 0  the switch itself, after
 *   the last register is saved (release; pairs with the acquire in weir__sched_switch()) */
struct context {
        void    *sp;            /* only the owner, by on_cpu */
        uint32_t on_cpu;        /* atomic */
        uint32_t flags;         /* atomic; whose context it is says what they mean; see g.h */
};

/* Leaves the running context, saving it in *from, and resumes *to. Comes back when somebody
 * switches to *from, possibly on another thread. */
void weir__arch_switch(struct context *from, struct context *to);

/* Makes *c a context that calls fn(arg) on the stack that ends at top (16-aligned), with the
 * floating-point control words of the caller. fn must not return. */
void weir__arch_context_init(struct context *c, void *top, void (*fn)(void *), void *arg);

/* ---- the thread pointer ---- */

/* This thread's struct m, NULL on threads that are not the runtime's. Read by an instruction that
 * no compiler may move over a switch or cache, unlike a variable declared __thread. */
#ifdef __x86_64__
static inline void *weir__arch_self(void)
{
        void *m;

        __asm__ volatile("movq weir__arch_m@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0"
                         : "=&r"(m) : : "memory");
        return m;
}
#endif

void weir__arch_set_self(void *m);

/* Where the C library keeps this thread: its thread-local variables lie just below. */
static inline uintptr_t weir__arch_tcb(void)
{
        uintptr_t tcb;

        __asm__ volatile("movq %%fs:0, %0" : "=r"(tcb));
        return tcb;
}

/* ---- registers and unwinding ---- */

enum { ARCH_REGS = 17 };                /* DWARF numbers; 16 is the return address */
enum { ARCH_SP = 7, ARCH_PC = 16 };

struct regs {
        uint64_t r[ARCH_REGS];
};

/* The registers of the caller at its call of this function. */
void weir__arch_capture(struct regs *ret);

/* The registers of a context that is not running, read through weir__os_peek. */
bool weir__arch_context_regs(const struct context *c, struct regs *ret);

/* The registers in a ucontext that a signal handler was given. */
void weir__arch_signal_regs(const void *ucontext, struct regs *ret);

/* Makes the interrupted code, when the signal handler that was given ucontext returns, call fn(arg)
 * on the stack below sp, as if the interrupted instruction had done so: unwinders and dumps go from
 * fn to it, and know it for interrupted. fn must not return. Needs 256 bytes at sp. */
void weir__arch_signal_call(void *ucontext, uintptr_t sp, void (*fn)(void *), void *arg);

/* A walk up one C stack. Memory of the stack is read only through weir__os_peek, some at a time, so
 * that the stack may belong to a goroutine that runs on meanwhile: the walk then ends early or
 * tells nonsense, and never faults. */
struct walk {
        struct regs regs;
        bool        after_call; /* regs' address follows a call; else it is the interrupted one */
        uintptr_t   seen_at;    /* what of the stack is in seen[] */
        size_t      seen_size;
        char        seen[1024];
};

static inline void weir__arch_walk_start(struct walk *w, const struct regs *r, bool after_call)
{
        w->regs = *r;
        w->after_call = after_call;
        w->seen_size = 0;
}

/* Goes on to the caller's frame. False: outermost, or no table knows the way. Takes no lock but the
 * loader's, needs no malloc. */
bool weir__arch_walk_next(struct walk *w);

/* An address inside the instruction that the frame is at, for looking up its symbol and line. */
static inline const void *weir__arch_walk_pc(const struct walk *w)
{
        return (const void *)(uintptr_t)(w->regs.r[ARCH_PC] - w->after_call);
}

/* ---- features: feature.c, and ask.c of the processor ---- */

/* What code can be chosen by. The names are those of WEIR_DEBUG=cpu.NAME=off. */
enum feature {
#define FEATURE(name, needs, what) FEATURE_##name,
#include "arch/feature.def"
#undef FEATURE
        FEATURES
};

/* The features of a word, bit by bit. What the processor and the kernel have, and what of it is
 * used. Const after start: on a page that is read-only from the first constructor on. */
struct cpu {
        uint64_t has;
        uint64_t use;
};

union cpu_page {
        struct cpu cpu;
        char       page[4096];
};
extern union cpu_page weir__arch_cpu_page;

static inline bool weir__arch_uses(enum feature f)
{
        return weir__arch_cpu_page.cpu.use >> f & 1;
}

/* Asks the processor, once; by the constructor before all others. Later calls do nothing. */
void weir__arch_detect(void);

/* What of these features, by the rules of feature.def and the text of WEIR_DEBUG, may be used. */
uint64_t weir__arch_choose(uint64_t has, const char *debug);

/* The name of a feature, and a sentence on it. */
const char *weir__arch_feature(enum feature f, const char **ret_what);

/* The processor's answer, for feature.c. */
uint64_t weir__arch_ask(void);

/* ---- routines on bytes: bytes_*.c of the processor ---- */

/* Short strings, without calls: names are short, and what the calls and their cases take is as much
 * as hashing one. A string is short if it ends within 32 bytes, which its page has. As strlen does
 * these look beyond the end, which what watches memory is not to see: there no string is short. */
#if defined(__SSE2__) && !WEIR_ASAN && !WEIR_TSAN
static inline uint32_t weir__arch_equal_32(const char *a, __m128i low, __m128i high)
{
        const __m128i *p = (const __m128i *)(const void *)a;

        return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(p), low)) |
               (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(p + 1), high)) << 16;
}

/* The length of s, or 32 and more: it is not short. */
static inline size_t weir__arch_short_len(const char *s)
{
        uint32_t ends;

        if (unlikely(((uintptr_t)s & 4095) > 4096 - 32))
                return 32;
        ends = weir__arch_equal_32(s, _mm_setzero_si128(), _mm_setzero_si128());
        return ends ? (unsigned)__builtin_ctz(ends) : 32;
}

/* Whether t is s, which is short and has n bytes: 1, 0; -1: that is not to be told without calls. */
static inline int weir__arch_short_equal(const char *t, const char *s, size_t n)
{
        const __m128i *p = (const __m128i *)(const void *)s;

        if (unlikely(((uintptr_t)t & 4095) > 4096 - 32))
                return -1;
        return !(~weir__arch_equal_32(t, _mm_loadu_si128(p), _mm_loadu_si128(p + 1)) &
                 (((uint32_t)2 << n) - 1));
}
#else
static inline size_t weir__arch_short_len(const char *s)
{
        (void)s;
        return 32;
}

static inline int weir__arch_short_equal(const char *t, const char *s, size_t n)
{
        (void)t;
        (void)s;
        (void)n;
        return -1;
}
#endif

/* A set of bytes: bit `high nibble & 7` of row[high nibble / 8][low nibble]. */
struct bytes_set {
        uint8_t row[2][16];
};

static inline void bytes_set_add(struct bytes_set *set, uint8_t b)
{
        set->row[b >> 7][b & 15] |= (uint8_t)(1u << (b >> 4 & 7));
}

static inline bool bytes_set_has(const struct bytes_set *set, uint8_t b)
{
        return set->row[b >> 7][b & 15] >> (b >> 4 & 7) & 1;
}

/* One way to do them. All take any address and length; with length 0 no address is looked at. */
struct bytes_ops {
        const char *name;
        uint64_t    needs;              /* features, bit by bit */
        ptrdiff_t (*index)(const void *s, size_t n, uint8_t b);
        ptrdiff_t (*last_index)(const void *s, size_t n, uint8_t b);
        size_t    (*count)(const void *s, size_t n, uint8_t b);
        bool      (*equal)(const void *a, const void *b, size_t n);
        int       (*compare)(const void *a, size_t na, const void *b, size_t nb);
        /* Where the needle of m bytes, 2 <= m <= n, is; -1: nowhere. May give up at i, having
         * looked at all before, with -2 - i: when comparing has cost more than looking. */
        ptrdiff_t (*find)(const void *s, size_t n, const void *needle, size_t m);
        /* The first byte that is in the set. */
        ptrdiff_t (*index_set)(const void *s, size_t n, const struct bytes_set *set);
        void      (*lower)(void *to, const void *s, size_t n);
        void      (*upper)(void *to, const void *s, size_t n);
        bool      (*equal_fold)(const void *a, const void *b, size_t n);
        void      (*reverse)(void *s, size_t n);
        /* How many bytes at the start are below 128; may answer less than all of them, but never 0
         * when 16 or more are. */
        size_t    (*ascii)(const void *s, size_t n);
};

/* The ways that this processor could have, best first; the last is NULL. The plain one, which
 * needs nothing, is src/data/bytes_plain.c. */
extern const struct bytes_ops *const weir__arch_bytes[];

/* The best of them that may be used, or NULL. In choice.c. */
const struct bytes_ops *weir__arch_bytes_best(void);

/* ---- many look-ups of words at once: words_*.c of the processor ---- */

/* A map whose keys are 8 bytes, as src/data/map.c has them. */
struct words_map {
        const struct words_ref {
                const uint8_t *ctrl;
                uint64_t       mask;    /* groups less one, times 16 */
        }          *refs;               /* by the first bits of the hash */
        uint64_t    seed;
        unsigned    shift;              /* hash >> shift, without its last 4 bits: where a ref is */
        uint32_t    slot_size, val_offset;
        const void *map;
        /* The slot of a key, or NULL, when its first group does not tell. */
        void     *(*seek)(const void *map, uint64_t hash, const void *key);
};

/* One way to do them: stores in ret the addresses of the values of the n keys at keys, whose
 * alignment is any, NULL where there is none. Answers how many there are. */
struct words_ops {
        const char *name;
        uint64_t    needs;              /* features, bit by bit */
        size_t    (*find)(const struct words_map *m, const void *keys, size_t n, void **ret);
};

/* The ways that this processor could have, best first; the last is NULL. The plain one needs
 * nothing. */
extern const struct words_ops *const weir__arch_words[];
extern const struct words_ops        weir__arch_words_plain;

/* The best of them that may be used, or NULL. In choice.c. */
const struct words_ops *weir__arch_words_best(void);

#endif
