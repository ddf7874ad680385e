/* Hardening: malloc that finds the program's mistakes. On by WEIR_DEBUG=harden=1, or for good by
 * the build option WEIR_HARDEN.
 *
 * What    Every block carries its exact size and a canary behind it; a freed one is poisoned and
 *         waits in a quarantine; the order of addresses is random; a large block ends at a page
 *         that faults. Found are: a second free, the free of what is no block, writes behind the
 *         end (at once in large blocks past the last page, else at the free), writes after the
 *         free (when the block leaves the quarantine).
 * Shape
 *         small   | size bytes of the program | canary bytes ... | sealed size (8) |   one slot
 *         large   | size bytes | canary bytes ... | sealed size (8) | guard page |     one span
 *         The sealed size is size ^ key ^ address for a live block and its complement for a freed
 *         one; key is random per process.
 * States  live        the program's
 *         quarantine  ours: poisoned, in the ring, at most QUEUE of them and BYTES in sum
 *         free        as without hardening
 * Locks   quarantine: the ring.
 * Cost    Some 100 ns per block and 24 bytes; for large ones two changes of protection.
 * Not     Canaries in front: an underflow hits the canary of the neighbour. Guard pages for small
 *         blocks: 8 KiB each. */
#include "mem/heap.h"
#include "os/os.h"

enum { SEAL = 8, CANARY_LEAST = 8, QUEUE = 1024, BYTES = 4 << 20, POISON_MAX = 64 << 10 };
enum { CANARY = 0xC5, POISON_FREE = 0xDF, POISON_NEW = 0xD0 };

struct lock weir__quarantine_lock = LOCK_INIT(quarantine);

static uint64_t key;                            /* atomic; 0: not chosen yet */
static struct {
        void  *p[QUEUE];                        /* lock: quarantine */
        size_t head, count, bytes;              /* lock: quarantine */
} ring;

static uint64_t secret(void)
{
        uint64_t k = load_relaxed(&key), fresh;

        if (k)
                return k;
        fresh = weir__os_random() | 1;
        return cas_relaxed(&key, &k, fresh) ? fresh : k;
}

/* Where the sealed size is: the end of the slot. */
static uint64_t *seal_of(const struct span *s, const void *p)
{
        size_t room = s->class ? s->size : s->size - (s->guarded ? PAGE_SIZE : 0);

        return (uint64_t *)(void *)((char *)(uintptr_t)p + room - SEAL);
}

static struct span *span_at(const void *p, const char *what)
{
        struct span *s = weir__span_of((uintptr_t)p);

        if (!s || s->kind != MEM_MANUAL)
                weir__mem_abort("%s of %p, which is no block of malloc", what, p);
        if (s->class ? span_object(s, span_index(s, (uintptr_t)p)) != (uintptr_t)p
                     : s->start != (uintptr_t)p)
                weir__mem_abort("%s of %p, which is inside of a block", what, p);
        return s;
}

/* The size that the program asked for; ends the program when the block is not live or its end was
 * written over. */
static size_t size_of_live(const struct span *s, const void *p, const char *what)
{
        const uint64_t *seal = seal_of(s, p);
        uint64_t        mask = secret() ^ (uintptr_t)p;
        size_t          size = *seal ^ mask, room = (size_t)((const char *)seal - (const char *)p);

        if (~*seal == (size ^ mask) || (~*seal ^ mask) <= room)
                weir__mem_abort("%s of %p, which is free already (%zu bytes)", what, p,
                                (size_t)(~*seal ^ mask));
        if (size > room)
                weir__mem_abort("%s of %p, a block of at most %zu bytes: the end of it was "
                                "written over", what, p, room);
        for (const unsigned char *at = (const unsigned char *)p + size;
             at < (const unsigned char *)seal; at++)
                if (*at != CANARY)
                        weir__mem_abort("%s of %p, a block of %zu bytes: byte %zu was written",
                                        what, p, size, (size_t)(at - (const unsigned char *)p));
        return size;
}

/* The slot below the top of the bin is exchanged with a random one. A child of fork must not find
 * an object twice, so that for the time of it the bin is empty (cache.c). */
static void shuffle(struct cache *c, unsigned class)
{
        struct bin *b = &c->bin[class];
        void      **top = b->top;
        size_t      have = (size_t)(top - b->base);

        if (have > 1) {
                void **one = &b->base[weir__rand_below(&c->rand, (uint32_t)have)], *p = *one;

                store_relaxed(&b->top, b->base);
                fence_compiler();
                *one = top[-1];
                top[-1] = p;
                store_release(&b->top, top);
        }
}

static void guard(struct span *s)
{
        /* In the heap a guard must go again with the span: a change of protection can. */
        if (weir__os_protect((char *)s->start + span_bytes(s) - PAGE_SIZE, PAGE_SIZE, true) == 0)
                s->guarded = 1;
}

void *weir__harden_alloc(size_t size, size_t align, bool *ret_zero)
{
        struct cache *c = weir__cache_get();
        size_t        room = size + CANARY_LEAST + SEAL;
        struct span  *s;
        uint64_t     *seal;
        char         *p;

        if (room < size)
                return NULL;
        if (room > SMALL_MAX || align > PAGE_SIZE)
                room = ALIGN_UP(room, (size_t)PAGE_SIZE) + PAGE_SIZE;
        else if (c != &weir__cache_closed)
                shuffle(c, class_of_size(room));
        p = weir__block_alloc(c, room, align, ret_zero);
        if (!p)
                return NULL;
        s = weir__span_of((uintptr_t)p);
        if (!s->class)
                guard(s);
        seal = seal_of(s, p);
        if (!*ret_zero)
                memset(p, POISON_NEW, MIN(size, (size_t)POISON_MAX));
        memset(p + size, CANARY, (size_t)((char *)seal - (p + size)));
        *seal = size ^ secret() ^ (uintptr_t)p;
        return p;
}

/* On its way out of the quarantine. */
static void let_go(struct cache *c, void *p)
{
        struct span         *s = span_at(p, "release");
        uint64_t             mask = secret() ^ (uintptr_t)p;
        size_t               size = ~*seal_of(s, p) ^ mask;
        const unsigned char *bytes = p;

        if (size > s->size)
                weir__mem_abort("the end of %p was written after it was freed", p);
        for (size_t i = 0; i < MIN(size, (size_t)POISON_MAX); i++)
                if (bytes[i] != POISON_FREE)
                        weir__mem_abort("byte %zu of %p, a block of %zu bytes, was written after "
                                        "it was freed", i, p, size);
        *seal_of(s, p) = 0;
        weir__block_free(c, p);
}

void weir__harden_free(void *p)
{
        struct span *s = span_at(p, "free");
        size_t       size = size_of_live(s, p, "free"), out = 0;
        void        *gone[16];

        memset(p, POISON_FREE, MIN(size, (size_t)POISON_MAX));
        *seal_of(s, p) = ~(size ^ secret() ^ (uintptr_t)p);

        weir__mem_lock(&weir__quarantine_lock);
        while (ring.count && out < COUNT(gone) &&
               (ring.count == QUEUE || ring.bytes + s->size > BYTES)) {
                void *old = ring.p[ring.head];

                ring.head = (ring.head + 1) % QUEUE;
                ring.count--;
                ring.bytes -= weir__span_of((uintptr_t)old)->size;
                gone[out++] = old;
        }
        if (ring.count < QUEUE && ring.bytes + s->size <= BYTES) {
                ring.p[(ring.head + ring.count++) % QUEUE] = p;
                ring.bytes += s->size;
                p = NULL;
        }
        weir__mem_unlock(&weir__quarantine_lock);

        for (size_t i = 0; i < out; i++)
                let_go(weir__cache_get(), gone[i]);
        if (p)
                let_go(weir__cache_get(), p);
}

size_t weir__harden_size(const void *p)
{
        return size_of_live(span_at(p, "malloc_usable_size or realloc"), p,
                            "malloc_usable_size or realloc");
}
