/* malloc and its kin, on the page heap.
 *
 * What    The fast paths, which touch the thread's cache and nothing else, and their slow paths.
 *         The public names are aliases of the weir__ ones when the build says so (WEIR_MALLOC), all
 *         in this one object, so that a static program gets all of them or none.
 * Shape   malloc(size):  class by table -> bin of this thread -> pop
 *         free(p):       page -> class by table of bytes -> bin of this thread -> push
 *         The table of bytes (one per 8 KiB, 0 for whatever is not a small malloc block) is small
 *         enough to stay in the cache: 25 KB for a million objects of 200 bytes. Class 0 has a bin
 *         that is always full, so that NULL, foreign addresses and large blocks take the slow path
 *         without a test of their own.
 * Order   Another thread's object goes into the cache of the thread that frees it, and from there
 *         in batches to the central list. There is nothing remote about it.
 * Cost    One counter in malloc, none in free; see cache.c for what was measured.
 * Not     Sampling in the fast path: while somebody samples, each thread's cache is swapped for one
 *         whose bins are always empty, and the slow path counts. Hardening, tracing and sanitizers
 *         use the same door, so that they cost nothing where they are off.
 *
 * A sanitizer in the process has interceptors that allocate by its own malloc and are freed by the
 * program's free; a program that is built with one and linked with weir therefore must get the
 * sanitizer's malloc throughout. The slow paths forward to it. */
#include "mem/heap.h"
#include "os/os.h"
#include <errno.h>
#include <stdlib.h>
#include <weir/gc.h>

/* Functions in which a thread may be interrupted between reading its cache and writing it. */
#define FAST __attribute__((section("weir_mem_text"), __noinline__))

extern const char __start_weir_mem_text[] __attribute__((weak, visibility("hidden")));
extern const char __stop_weir_mem_text[] __attribute__((weak, visibility("hidden")));

/* Slow paths that this thread is in. */
static __thread uint32_t busy __attribute__((tls_model("initial-exec")));

/* Exported by the run-time libraries of gcc's and clang's sanitizers when they serve malloc. */
extern void  *__interceptor_malloc(size_t) __attribute__((weak));
extern void  *__interceptor_calloc(size_t, size_t) __attribute__((weak));
extern void  *__interceptor_realloc(void *, size_t) __attribute__((weak));
extern void  *__interceptor_memalign(size_t, size_t) __attribute__((weak));
extern void   __interceptor_free(void *) __attribute__((weak));
extern size_t __interceptor_malloc_usable_size(void *) __attribute__((weak));

bool weir__mem_interrupted(const void *pc)
{
        const char *at = pc;

        return busy || (at >= __start_weir_mem_text && at < __stop_weir_mem_text);
}

/* What the slow paths have to look at. The very first allocation must see it too; a sanitizer may
 * make that one while half of its own interceptors are not there yet, so nothing is started for
 * it. */
static uint32_t mode(void)
{
        if (WEIR_MALLOC && &__interceptor_malloc)
                return MODE_SANITIZER;
        weir__mem_start();
        return load_relaxed(&weir__mem_mode);
}

/* ---- allocate ---- */

static void *pop(struct cache *c, unsigned class)
{
        struct bin *b = &c->bin[class];
        void       *p = b->top[-1];

        if (!p)
                return NULL;
        store_relaxed(&b->top, b->top - 1);
        owner_add(&b->mallocs, 1);
        return p;
}

static void *alloc_small(struct cache *c, unsigned class)
{
        void *p;

        if (c == &weir__cache_closed) {                 /* at the end of memory or of the thread */
                return weir__central_take(class, &p, 1) ? p : NULL;
        }
        if (load_relaxed(&c->trim))
                weir__cache_trim(c);
        p = pop(c, class);
        return p ? p : weir__cache_refill(c, class);
}

static void *alloc_large(struct cache *c, size_t size, size_t align, bool plain, bool *ret_zero)
{
        struct span *s = NULL;

        if (size <= PTRDIFF_MAX)
                s = weir__span_new_large(MEM_MANUAL, size, align, ret_zero);
        if (!s)
                return NULL;
        if (plain)
                weir__span_unscanned(s);
        if (c != &weir__cache_closed) {
                owner_add(&c->large, 1);
                owner_add(&c->large_bytes, span_bytes(s));
        }
        return (void *)s->start;
}

/* The smallest class from that of size on whose objects are all aligned so; 0: none. */
static unsigned aligned_class(size_t align, size_t size)
{
        unsigned class;

        if (size > SMALL_MAX || align > PAGE_SIZE)
                return 0;
        if (align <= 8)
                return class_of_size(size);
        for (class = class_of_size(MAX(size, align)); class < CLASSES; class++)
                if (!(weir__class[class].size & (align - 1)))
                        return class;
        return 0;
}

/* Any request. *ret_zero: it reads as zero. */
void *weir__block_alloc(struct cache *c, size_t size, size_t align, bool *ret_zero)
{
        unsigned class = aligned_class(align, size);

        *ret_zero = false;
        return class ? alloc_small(c, class) : alloc_large(c, size, align, false, ret_zero);
}

static void *plain_alloc(struct cache *c, size_t size)
{
        bool zero;

        return size <= SMALL_MAX ? alloc_small(c, plain_class(class_of_size(size)))
                                 : alloc_large(c, size, 1, true, &zero);
}

/* With everything that slow paths have to look at. zero: the caller wants zeroes. */
static void *alloc_slow(size_t size, size_t align, bool zero, bool plain)
{
        struct cache *c;
        bool          is_zero = false;
        void         *p;

        if (unlikely(mode() & MODE_SANITIZER)) {
                p = align > 16 ? __interceptor_memalign(align, size) : __interceptor_malloc(size);
                return p && zero ? memset(p, 0, size) : p;
        }
        busy++;
        c = weir__cache_get();
        if (unlikely(mode() & MODE_HARDEN))
                p = weir__harden_alloc(size, align, &is_zero);
        else if (unlikely(mode() & MODE_SAMPLE) && weir__sample_due(c, size))
                p = weir__sample_alloc(c, size, align, &is_zero);
        else if (plain)
                p = plain_alloc(c, size);
        else
                p = weir__block_alloc(c, size, align, &is_zero);
        if (unlikely(mode() & MODE_TRACE))
                weir__memtrace(align > 16 ? "memalign" : zero ? "calloc" : "malloc", p, size);
        busy--;
        weir__mem_check_maybe();
        if (unlikely(!p)) {
                weir__os_errno_set(ENOMEM);
                return NULL;
        }
        return zero && !is_zero ? memset(p, 0, size) : p;
}

static FAST void *malloc_slow(size_t size)
{
        return alloc_slow(size, 1, false, false);
}

static FAST void *malloc_plain_slow(size_t size)
{
        return alloc_slow(size, 1, false, true);
}

FAST void *weir__malloc(size_t size)
{
        struct bin *b;
        void       *p;

        if (unlikely(size > SMALL_MAX))
                return malloc_slow(size);
        b = &weir__cache->bin[class_of_size(size)];
        p = b->top[-1];
        if (unlikely(!p))
                return malloc_slow(size);
        store_relaxed(&b->top, b->top - 1);
        owner_add(&b->mallocs, 1);
        return p;
}

/* As weir__malloc, in a class whose spans the collector passes over. */
FAST void *weir__malloc_plain(size_t size)
{
        struct bin *b;
        void       *p;

        if (unlikely(size > SMALL_MAX))
                return malloc_plain_slow(size);
        b = &weir__cache->bin[plain_class(class_of_size(size))];
        p = b->top[-1];
        if (unlikely(!p))
                return malloc_plain_slow(size);
        store_relaxed(&b->top, b->top - 1);
        owner_add(&b->mallocs, 1);
        return p;
}

/* ---- free ---- */

/* The span of a block that is about to be freed or changed; anything else ends the program. */
static struct span *span_of_block(const void *p, const char *what)
{
        struct span *s = weir__span_of((uintptr_t)p);

        if (!s)
                weir__mem_abort("%s of %p, which is no address of the heap", what, p);
        if (s->kind != MEM_MANUAL)
                weir__mem_abort("%s of %p, which belongs to the collector", what, p);
        if (s->class ? span_object(s, span_index(s, (uintptr_t)p)) != (uintptr_t)p
                     : s->start != (uintptr_t)p)
                weir__mem_abort("%s of %p, which is inside of a block", what, p);
        return s;
}

void weir__block_free(struct cache *c, void *p)
{
        struct span *s = span_of_block(p, "free");

        if (s->class) {
                struct bin *b = &c->bin[s->class];

                if (c == &weir__cache_closed) {
                        weir__central_give(s->class, &p, 1);
                } else if (b->top < b->high) {
                        *b->top = p;
                        store_release(&b->top, b->top + 1);
                } else {
                        weir__cache_spill(c, s->class, p);
                }
                return;
        }
        if (s->sampled)
                weir__sample_freed(p);
        if (c != &weir__cache_closed)
                owner_add(&c->large_frees, 1);
        weir__span_release(s);
}

static FAST void free_slow(void *p)
{
        struct cache *c;

        if (!p)
                return;
        if (unlikely(mode() & MODE_SANITIZER)) {
                __interceptor_free(p);
                return;
        }
        busy++;
        c = weir__cache_get();
        if (c != &weir__cache_closed && unlikely(load_relaxed(&c->trim)))
                weir__cache_trim(c);
        if (unlikely(mode() & MODE_TRACE))
                weir__memtrace("free", p, 0);
        if (unlikely(mode() & MODE_HARDEN))
                weir__harden_free(p);
        else
                weir__block_free(c, p);
        busy--;
        weir__mem_check_maybe();
}

FAST void weir__free(void *p)
{
        size_t      pages = load_acquire(&weir__heap.pages);    /* pairs with reserve()'s release */
        size_t      page = ((uintptr_t)p - load_relaxed(&weir__heap.base)) >> PAGE_SHIFT;
        struct bin *b;
        void      **top;

        if (unlikely(page >= pages)) {
                free_slow(p);
                return;
        }
        b = &weir__cache->bin[load_relaxed(&weir__heap.class_of[page])];
        top = b->top;
        if (unlikely(top == b->high)) {
                free_slow(p);
                return;
        }
        *top = p;
        store_release(&b->top, top + 1);                /* a child of fork reads it */
}

/* ---- the rest of the family ---- */

void *weir__calloc(size_t n, size_t size)
{
        size_t bytes;
        void  *p;

        if (__builtin_mul_overflow(n, size, &bytes)) {
                weir__os_errno_set(ENOMEM);
                return NULL;
        }
        if (unlikely(bytes > SMALL_MAX))
                return alloc_slow(bytes, 1, true, false);
        p = weir__malloc(bytes);
        return likely(p) ? memset(p, 0, bytes) : NULL;
}

size_t weir__malloc_usable_size(const void *p)
{
        struct span *s;

        if (!p)
                return 0;
        if (unlikely(mode() & MODE_SANITIZER))
                return __interceptor_malloc_usable_size((void *)(uintptr_t)p);
        if (unlikely(mode() & MODE_HARDEN))
                return weir__harden_size(p);
        s = span_of_block(p, "malloc_usable_size");
        return s->size;
}

/* A block that shrinks a little, or grows within its class, stays where it is. */
static bool resize_in_place(void *p, size_t size, size_t *ret_old)
{
        struct span *s = span_of_block(p, "realloc");
        bool         done;

        *ret_old = s->size;
        if (s->class)
                return size <= s->size && size > s->size / 2;
        if (size <= SMALL_MAX || s->sampled)
                return size <= s->size && size > s->size / 2;
        busy++;
        done = weir__span_resize(s, size);
        busy--;
        weir__mem_check_maybe();
        return done;
}

/* A large block that grows and cannot where it is: without having it twice. */
static void *move(void *p, size_t size)
{
        struct span  *s = weir__span_of((uintptr_t)p);
        struct cache *c;

        busy++;
        c = weir__cache_get();
        s = weir__span_move(s, size);
        if (s && c != &weir__cache_closed) {
                owner_add(&c->large, 1);
                owner_add(&c->large_bytes, span_bytes(s));
                owner_add(&c->large_frees, 1);
        }
        if (s && unlikely(mode() & MODE_TRACE))
                weir__memtrace("realloc", (void *)s->start, size);
        busy--;
        weir__mem_check_maybe();
        return s ? (void *)s->start : NULL;
}

void *weir__realloc(void *p, size_t size)
{
        bool   plain = false;
        size_t old;
        void  *new;

        if (!p)
                return weir__malloc(size);
        if (unlikely(mode() & MODE_SANITIZER))
                return __interceptor_realloc(p, size);
        if (!size) {
                weir__free(p);
                return NULL;
        }
        if (size > PTRDIFF_MAX) {
                weir__os_errno_set(ENOMEM);
                return NULL;
        }
        if (unlikely(mode() & MODE_HARDEN))
                old = weir__harden_size(p);
        else if (resize_in_place(p, size, &old))
                return p;
        else if (plain = weir__span_of((uintptr_t)p)->unscanned, (new = move(p, size)))
                return new;
        new = plain ? weir__malloc_plain(size) : weir__malloc(size);
        if (!new)
                return NULL;
        memcpy(new, p, MIN(old, size));
        weir__free(p);
        return new;
}

/* align is a power of two. */
void *weir__memalign(size_t align, size_t size)
{
        if (align <= 16 && size >= align)
                return weir__malloc(size);
        if (size > PTRDIFF_MAX - align) {
                weir__os_errno_set(ENOMEM);
                return NULL;
        }
        return alloc_slow(size, align, false, false);
}

/* ---- the public names ---- */

/* Where malloc is another's, its free has to take the block. */
void *weir_malloc_plain(size_t size)
{
        return WEIR_MALLOC ? weir__malloc_plain(size) : malloc(size);
}

#if WEIR_MALLOC

#define PUBLIC(name, target) \
        extern __typeof__(target) name __attribute__((alias(#target), visibility("default")))

PUBLIC(malloc, weir__malloc);
PUBLIC(calloc, weir__calloc);
PUBLIC(realloc, weir__realloc);
PUBLIC(free, weir__free);

static bool power_of_two(size_t n)
{
        return n && !(n & (n - 1));
}

WEIR_API size_t malloc_usable_size(void *p)
{
        return weir__malloc_usable_size(p);
}

WEIR_API void *reallocarray(void *p, size_t n, size_t size)
{
        size_t bytes;

        if (__builtin_mul_overflow(n, size, &bytes)) {
                weir__os_errno_set(ENOMEM);
                return NULL;
        }
        return weir__realloc(p, bytes);
}

WEIR_API void *aligned_alloc(size_t align, size_t size)
{
        if (!power_of_two(align)) {
                weir__os_errno_set(EINVAL);
                return NULL;
        }
        return weir__memalign(align, size);
}

WEIR_API void *memalign(size_t align, size_t size)
{
        size_t power = 1;

        while (power < align && power <= PTRDIFF_MAX)
                power *= 2;
        return weir__memalign(power, size);
}

WEIR_API int posix_memalign(void **ret, size_t align, size_t size)
{
        int   keep = weir__os_errno_get();
        void *p;

        if (!power_of_two(align) || align % sizeof(void *))
                return EINVAL;
        p = weir__memalign(align, size);
        weir__os_errno_set(keep);
        if (!p)
                return ENOMEM;
        *ret = p;
        return 0;
}

WEIR_API void *valloc(size_t size)
{
        return weir__memalign(OS_PAGE, size);
}

WEIR_API void *pvalloc(size_t size)
{
        if (size > PTRDIFF_MAX) {
                weir__os_errno_set(ENOMEM);
                return NULL;
        }
        return weir__memalign(OS_PAGE, MAX(ALIGN_UP(size, (size_t)OS_PAGE), (size_t)OS_PAGE));
}

WEIR_API int malloc_trim(size_t keep)
{
        (void)keep;
        return weir__mem_release(true) > 0;
}

#endif
