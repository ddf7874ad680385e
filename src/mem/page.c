/* The page heap: runs of 8 KiB pages in one reserved range of addresses.
 *
 * What    Hands out runs of pages, first fit by address, and takes them back. One range is reserved
 *         at start (1 TiB, less where the system refuses) without any right of access, so that a
 *         wild store beyond what is in use faults; it is opened 64 MiB at a time. That there is one
 *         range makes "is this word a pointer into the heap, and to what" a subtraction, a
 *         comparison and two loads.
 * Shape
 *         range     | arena 64 MiB | arena | arena |    reserved, never touched      |
 *         spans[]   one pointer per page          class_of[]  one byte per page
 *         free      one bit per page              gone        one bit per page: free, and the
 *                                                             kernel has nothing behind it
 *         summary   level 0: per chunk of 512 pages the free run at its start, the longest, and
 *                   the one at its end; level k: the same of eight nodes of level k - 1
 * States  Of a page:  closed  (reserved)            -> released, by growing
 *                     released (free, gone)         -> used, by page_alloc
 *                     used    (a span's)            -> idle, by page_free
 *                     idle    (free, backed)        -> used, or -> leaving -> released by
 *                                                page_release
 *         used + idle + leaving + released = grown; the walker counts the bits.
 * Locks   All of it is guarded by weir__heap_lock; the tables spans and class_of are written by
 *         whoever owns the pages and read by anyone.
 * Order   Pages that are being given back to the kernel are out of everybody's reach for the time
 *         of the call, which is made without the lock. Growing makes its two calls with it: they
 *         are rare, one in 64 MiB.
 * Cost    A search goes down seven levels of eight entries, an update goes up until nothing
 *         changes. 1 TiB takes 1.4 GiB of address space for tables; what is touched of them is 12
 *         bytes per page in use, and the larger part of that goes back with the pages. First fit by
 *         address keeps the heap at its low end, and the high end is what the scavenger finds free.
 * Not     Best fit, which spreads the heap over all its addresses; a tree of free runs, which needs
 *         a node for each and is a walk over scattered memory when there are many; one mapping per
 *         span, of which a process has 65 510 at most, at 4 us each. */
#include "mem/heap.h"
#include "base/counter.h"
#include "base/debug.h"
#include "os/os.h"

enum {
        CHUNK = 512,                            /* pages; 4 MiB */
        CHUNK_WORDS = CHUNK / 64,
        FAN = 8,
        LEVELS_MAX = 8,
        ARENA_PAGES = ARENA_SIZE / PAGE_SIZE,
        PLAIN_BYTES = 4 << 20,                  /* at the low end, without huge pages */
};

struct sum {
        uint32_t start, max, end;               /* pages */
};

struct heap_map   weir__heap;
struct heap_pages weir__heap_pages;
struct lock       weir__heap_lock = LOCK_INIT(heap);

static struct {
        uint64_t   *free, *gone;                /* lock: heap */
        struct sum *sum[LEVELS_MAX];            /* lock: heap */
        size_t      nodes[LEVELS_MAX];          /* const */
        unsigned    levels;                     /* const */
        size_t      fail_at;                    /* lock: heap; WEIR_DEBUG=fail, calls to go */
        bool        lazy, huge, tlb;            /* const: WEIR_DEBUG=madvfree, hugepage, hugetlb */
} h;

/* ---- start ---- */

static size_t tables_bytes(size_t pages)
{
        size_t bytes = pages * (sizeof(struct span *) + 2) + pages / 4;

        for (size_t n = pages / CHUNK; n; n = n > 1 ? (n + FAN - 1) / FAN : 0)
                bytes += ALIGN_UP(n * sizeof(struct sum), (size_t)CACHE_LINE);
        return ALIGN_UP(bytes, (size_t)OS_PAGE);
}

static bool reserve(size_t bytes)
{
        size_t pages = bytes >> PAGE_SHIFT, tables = tables_bytes(pages);
        char  *range = weir__os_reserve(bytes + ARENA_SIZE), *t;

        if (!range)
                return false;
        t = weir__os_map(tables);
        if (!t) {
                weir__os_unmap(range, bytes + ARENA_SIZE);
                return false;
        }
        store_relaxed(&weir__heap.base, ALIGN_UP((uintptr_t)range, (uintptr_t)ARENA_SIZE));
        weir__heap.spans = (struct span **)(void *)t;
        t += pages * sizeof(struct span *);
        h.free = (uint64_t *)(void *)t;
        t += pages / 8;
        h.gone = (uint64_t *)(void *)t;
        t += pages / 8;
        for (size_t n = pages / CHUNK; n; n = n > 1 ? (n + FAN - 1) / FAN : 0) {
                h.sum[h.levels] = (struct sum *)(void *)t;
                h.nodes[h.levels++] = n;
                t += ALIGN_UP(n * sizeof(struct sum), (size_t)CACHE_LINE);
        }
        weir__heap.class_of = (uint8_t *)t;
        weir__heap.watch = (uint8_t *)t + pages;
        /* Last: another thread may just be freeing NULL. Pairs with weir__free(). */
        store_release(&weir__heap.pages, pages);
        return true;
}

bool weir__page_init(void)
{
        /* TSan keeps a shadow of all that is mapped; valgrind refuses 64 GiB and more. */
        static const size_t gib[] = { WEIR_TSAN || WEIR_ASAN ? 16 : 1024, 256, 64, 32, 8, 2 };

        h.fail_at = (size_t)weir__debug_early("fail", weir__debug.fail);
        h.lazy = weir__debug_early("madvfree", weir__debug.madvfree);
        h.huge = weir__debug_early("hugepage", weir__debug.hugepage);
        /* Guards of single pages cannot be put into huge ones. */
        h.tlb = weir__debug_early("hugetlb", weir__debug.hugetlb) &&
                !weir__debug_early("harden", weir__debug.harden);
        for (size_t i = 0; i < COUNT(gib); i++)
                if (reserve(gib[i] << 30))
                        return true;
        return reserve((size_t)512 << 20);
}

/* ---- bits ---- */

static bool bit_get(const uint64_t *map, size_t i)
{
        return map[i / 64] >> (i % 64) & 1;
}

/* Sets or clears n bits from i on; answers how many changed. */
static size_t bits_put(uint64_t *map, size_t i, size_t n, bool on)
{
        size_t changed = 0;

        while (n) {
                size_t   first = i % 64, k = MIN(n, 64 - first);
                uint64_t mask = (k == 64 ? ~UINT64_C(0) : (UINT64_C(1) << k) - 1) << first;
                uint64_t old = map[i / 64], new = on ? old | mask : old & ~mask;

                changed += popcount(old ^ new);
                map[i / 64] = new;
                i += k;
                n -= k;
        }
        return changed;
}

static size_t bits_count(const uint64_t *map, size_t i, size_t n)
{
        size_t found = 0;

        while (n) {
                size_t   first = i % 64, k = MIN(n, 64 - first);
                uint64_t mask = (k == 64 ? ~UINT64_C(0) : (UINT64_C(1) << k) - 1) << first;

                found += popcount(map[i / 64] & mask);
                i += k;
                n -= k;
        }
        return found;
}

/* ---- summary ---- */

/* A bit for each place where n ones in a row begin; 1 <= n <= 64. */
static uint64_t runs_of(uint64_t w, unsigned n)
{
        while (n > 1) {
                w &= w >> (n / 2);
                n -= n / 2;
        }
        return w;
}

static struct sum sum_chunk(size_t chunk)
{
        const uint64_t *word = h.free + chunk * CHUNK_WORDS;
        struct sum      s = { 0 };
        uint32_t        run = 0;
        bool            whole = true;           /* all so far is free */

        for (unsigned i = 0; i < CHUNK_WORDS; i++) {
                uint64_t w = word[i];

                if (!~w) {
                        run += 64;
                        continue;
                }
                run += (uint32_t)__builtin_ctzll(~w);
                s.max = MAX(s.max, run);
                if (whole)
                        s.start = run;
                whole = false;
                while (s.max < 63 && runs_of(w, s.max + 1))
                        s.max++;
                run = (uint32_t)__builtin_clzll(~w);
        }
        s.max = MAX(s.max, run);
        if (whole)
                s.start = run;
        s.end = run;
        return s;
}

static uint32_t covers(unsigned level)
{
        return CHUNK << (3 * level);
}

static struct sum sum_node(unsigned level, size_t node)
{
        size_t     first = node * FAN, end = MIN(first + FAN, h.nodes[level - 1]);
        uint32_t   full = covers(level - 1), run = 0;
        struct sum s = { 0 };
        bool       whole = true;                /* all so far is free */

        for (size_t i = first; i < end; i++) {
                const struct sum *c = &h.sum[level - 1][i];

                s.max = MAX(s.max, run + c->start);
                s.max = MAX(s.max, c->max);
                if (whole)
                        s.start += c->start;
                whole = whole && c->start == full;
                run = c->start == full ? run + full : c->end;
        }
        s.end = end - first == FAN ? run : 0;
        return s;
}

static bool sum_equal(const struct sum *a, const struct sum *b)
{
        return a->start == b->start && a->max == b->max && a->end == b->end;
}

/* After the free bits of [page, page + n) changed. */
static void sum_update(size_t page, size_t n)
{
        size_t first = page / CHUNK, last = (page + n - 1) / CHUNK;
        bool   changed = false;

        for (size_t i = first; i <= last; i++) {
                struct sum s = sum_chunk(i);

                changed |= !sum_equal(&s, &h.sum[0][i]);
                h.sum[0][i] = s;
        }
        for (unsigned level = 1; changed && level < h.levels; level++) {
                changed = false;
                first /= FAN;
                last /= FAN;
                for (size_t i = first; i <= last; i++) {
                        struct sum s = sum_node(level, i);

                        changed |= !sum_equal(&s, &h.sum[level][i]);
                        h.sum[level][i] = s;
                }
        }
}

/* The first free run of n pages inside a chunk whose max says that there is one. */
static size_t find_in_chunk(size_t chunk, size_t n)
{
        const uint64_t *word = h.free + chunk * CHUNK_WORDS;
        size_t          run = 0;

        for (size_t i = 0; i < CHUNK_WORDS; i++) {
                uint64_t w = word[i], y;

                if (run + (~w ? (size_t)__builtin_ctzll(~w) : 64) >= n)
                        return chunk * CHUNK + i * 64 - run;
                if (!~w) {
                        run += 64;
                        continue;
                }
                y = n < 64 ? runs_of(w, (unsigned)n) : 0;
                if (y)
                        return chunk * CHUNK + i * 64 + (size_t)__builtin_ctzll(y);
                run = (size_t)__builtin_clzll(~w);
        }
        weir__throw("chunk %zu has no %zu free pages in a row", chunk, n);
}

/* The first free run of n pages, or -1. */
static ptrdiff_t find(size_t n)
{
        unsigned level = h.levels - 1;
        size_t   node = 0;

        if (h.sum[level][0].max < n)
                return -1;
        while (level > 0) {
                size_t   first = node * FAN, end = MIN(first + FAN, h.nodes[level - 1]), i;
                uint32_t full = covers(level - 1);
                size_t   run = 0;

                for (i = first; i < end; i++) {
                        const struct sum *c = &h.sum[level - 1][i];

                        if (run + c->start >= n && run)
                                return (ptrdiff_t)(i * full - run);
                        if (c->max >= n)
                                break;
                        run = c->start == full ? run + full : c->end;
                }
                check(i < end);
                node = i;
                level--;
        }
        return (ptrdiff_t)find_in_chunk(node, n);
}

/* ---- allocate and free ---- */

/* Opens size bytes at addr, of the administrator's huge pages as far as there are any. What is not
 * of those is to become huge where the kernel likes. */
static bool open_pages(char *addr, size_t size)
{
        size_t step = (size_t)ARENA_SIZE, huge = (size_t)HUGE_PAGES << PAGE_SHIFT, done = 0, plain;

        while (h.tlb && size - done >= huge && step >= huge) {
                size_t n = MIN(step, ALIGN_DOWN(size - done, huge));

                if (weir__os_commit_huge(addr + done, n) < 0)
                        step /= 2;
                else
                        done += n;
        }
        if (done < size && weir__os_commit(addr + done, size - done) < 0)
                return false;
        owner_add(&weir__heap_pages.tlb, done >> PAGE_SHIFT);
        plain = (uintptr_t)addr == weir__heap.base ? PLAIN_BYTES : 0;
        done = MAX(done, MIN(plain, size));
        if (h.huge && done < size)
                weir__os_huge(addr + done, size - done);
        return true;
}

/* Opens at least n more pages. First what the arenas come in, then what is needed. */
static bool grow(size_t n)
{
        size_t at = weir__heap_pages.grown, want = ALIGN_UP(at + n, (size_t)ARENA_PAGES) - at;
        char  *addr = (char *)weir__heap.base + (at << PAGE_SHIFT);

        if (at + n > weir__heap.pages)
                return false;
        want = MIN(want, weir__heap.pages - at);
        if (!open_pages(addr, want << PAGE_SHIFT)) {
                want = MIN(ALIGN_UP(n, (size_t)CHUNK), weir__heap.pages - at);
                if (!open_pages(addr, want << PAGE_SHIFT))
                        return false;
        }
        bits_put(h.free, at, want, true);
        bits_put(h.gone, at, want, true);
        sum_update(at, want);
        store_relaxed(&weir__heap_pages.grown, at + want);
        owner_add(&weir__heap_pages.released, want);
        return true;
}

static void take(size_t page, size_t n, bool *ret_zero)
{
        size_t fresh;

        check(bits_count(h.free, page, n) == n);
        bits_put(h.free, page, n, false);
        fresh = bits_put(h.gone, page, n, false);
        sum_update(page, n);
        owner_add(&weir__heap_pages.used, n);
        owner_add(&weir__heap_pages.released, -fresh);
        owner_add(&weir__heap_pages.idle, -(n - fresh));
        *ret_zero = fresh == n && !h.lazy;
}

ptrdiff_t weir__page_alloc(size_t n, size_t align, size_t room, bool *ret_zero)
{
        size_t    more = align > 1 ? align - 1 : 0;
        ptrdiff_t page = -1;

        if (n + more < n || n + more > weir__heap.pages)
                return -1;
        if (unlikely(h.fail_at) && !--h.fail_at)
                return -1;
        if (room && n + more + room <= weir__heap.pages) {
                page = find(n + more + room);
                if (page < 0 && grow(n + more + room))
                        page = find(n + more + room);
        }
        if (page < 0)
                page = find(n + more);
        if (page < 0 && more && (page = find(n)) >= 0 && (size_t)page & (align - 1))
                page = -1;
        if (page < 0) {
                if (!grow(n + more))
                        return -1;
                page = find(n + more);
        }
        page = (ptrdiff_t)ALIGN_UP((size_t)page, align);
        take((size_t)page, n, ret_zero);
        return page;
}

bool weir__page_extend(size_t page, size_t n, bool *ret_zero)
{
        if (page + n > weir__heap_pages.grown || bits_count(h.free, page, n) != n)
                return false;
        take(page, n, ret_zero);
        return true;
}

void weir__page_free(size_t page, size_t n, bool gone)
{
        check(bits_count(h.free, page, n) == 0);
        bits_put(h.free, page, n, true);
        if (gone)
                bits_put(h.gone, page, n, true);
        sum_update(page, n);
        owner_add(&weir__heap_pages.used, -n);
        owner_add(gone ? &weir__heap_pages.released : &weir__heap_pages.idle, n);
}

/* ---- give back ---- */

/* The highest run of idle pages below `below`, at most n of them. Answers its length; 0: none. */
static size_t find_idle(size_t below, size_t n, size_t *ret_page)
{
        size_t i = below;

        while (i) {
                size_t   w = (i - 1) / 64, k = 0;
                uint64_t idle = h.free[w] & ~h.gone[w];

                if (i % 64)
                        idle &= (UINT64_C(1) << i % 64) - 1;
                if (!idle) {
                        i = w * 64;
                        continue;
                }
                i = w * 64 + 64 - (size_t)__builtin_clzll(idle);
                while (k < n && i - k && bit_get(h.free, i - k - 1) && !bit_get(h.gone, i - k - 1))
                        k++;
                *ret_page = i - k;
                return k;
        }
        return 0;
}

/* A chunk of the heap has 4 KiB of the table of spans: when all of the chunk is gone, so may they.
 * The chunk is out of everybody's reach meanwhile. lock: heap is held, but for the time of the
 * call. */
static void forget_tables(size_t page, size_t n)
{
        size_t first = page / CHUNK, end = (page + n + CHUNK - 1) / CHUNK;

        for (size_t i = first; i < end; i++) {
                size_t at = i * CHUNK;

                if (at + CHUNK > weir__heap_pages.grown || bits_count(h.free, at, CHUNK) < CHUNK ||
                    bits_count(h.gone, at, CHUNK) < CHUNK)
                        continue;
                bits_put(h.free, at, CHUNK, false);
                bits_put(h.gone, at, CHUNK, false);
                sum_update(at, CHUNK);
                owner_add(&weir__heap_pages.released, -(size_t)CHUNK);
                owner_add(&weir__heap_pages.leaving, CHUNK);
                weir__mem_unlock(&weir__heap_lock);
                (void)weir__os_forget(weir__heap.spans + at, CHUNK * sizeof *weir__heap.spans);
                weir__mem_lock(&weir__heap_lock);
                bits_put(h.free, at, CHUNK, true);
                bits_put(h.gone, at, CHUNK, true);
                sum_update(at, CHUNK);
                owner_add(&weir__heap_pages.leaving, -(size_t)CHUNK);
                owner_add(&weir__heap_pages.released, CHUNK);
        }
}

size_t weir__page_release(size_t *cursor, size_t want, bool whole_huge)
{
        size_t done = 0;

        weir__mem_lock(&weir__heap_lock);
        if (!*cursor || *cursor > weir__heap_pages.grown)
                *cursor = weir__heap_pages.grown;
        while (done < want && *cursor) {
                size_t most = whole_huge ? ARENA_PAGES : want - done;
                size_t page, n = find_idle(*cursor, most, &page);
                bool   gone = true;

                if (!n) {
                        *cursor = 0;
                        break;
                }
                *cursor = page;
                if (whole_huge) {
                        size_t first = ALIGN_UP(page, (size_t)HUGE_PAGES);
                        size_t end = ALIGN_DOWN(page + n, (size_t)HUGE_PAGES);

                        if (first >= end)
                                continue;
                        n = MIN(end - first, ALIGN_UP(want - done, (size_t)HUGE_PAGES));
                        *cursor = page = end - n;
                }
                /* Out of everybody's reach while the kernel works. */
                bits_put(h.free, page, n, false);
                sum_update(page, n);
                owner_add(&weir__heap_pages.idle, -n);
                owner_add(&weir__heap_pages.leaving, n);
                weir__mem_unlock(&weir__heap_lock);

                if (h.lazy)
                        weir__os_forget_lazily((char *)weir__heap.base + (page << PAGE_SHIFT),
                                               n << PAGE_SHIFT);
                else
                        gone = weir__os_forget((char *)weir__heap.base + (page << PAGE_SHIFT),
                                               n << PAGE_SHIFT);

                weir__mem_lock(&weir__heap_lock);
                bits_put(h.free, page, n, true);
                bits_put(h.gone, page, n, gone);
                sum_update(page, n);
                owner_add(&weir__heap_pages.leaving, -n);
                owner_add(gone ? &weir__heap_pages.released : &weir__heap_pages.idle, n);
                if (!gone)
                        continue;
                forget_tables(page, n);
                done += n;
        }
        weir__mem_unlock(&weir__heap_lock);
        return done;
}

/* ---- the walker's part ---- */

void weir__page_check(void)
{
        size_t grown = weir__heap_pages.grown, nfree = bits_count(h.free, 0, grown);
        size_t gone = bits_count(h.gone, 0, grown), loose = 0;

        for (size_t w = 0; w < (grown + 63) / 64; w++)
                loose += popcount(h.gone[w] & ~h.free[w]);
        if (loose)
                weir__throw("%zu pages are released and in use", loose);
        if (weir__heap_pages.used + weir__heap_pages.leaving + nfree != grown ||
            weir__heap_pages.released != gone || weir__heap_pages.idle != nfree - gone)
                weir__throw("pages: used %zu, idle %zu, released %zu, grown %zu, "
                            "but by the bits %zu are free and %zu of them released",
                            weir__heap_pages.used, weir__heap_pages.idle,
                            weir__heap_pages.released, grown, nfree, gone);
        for (size_t i = 0; i < (grown + CHUNK - 1) / CHUNK; i++) {
                struct sum s = sum_chunk(i);

                if (!sum_equal(&s, &h.sum[0][i]))
                        weir__throw("the summary of chunk %zu is not what its bits say", i);
        }
        for (unsigned level = 1; level < h.levels; level++)
                for (size_t i = 0; i <= grown / covers(level) && i < h.nodes[level]; i++) {
                        struct sum s = sum_node(level, i);

                        if (!sum_equal(&s, &h.sum[level][i]))
                                weir__throw("the summary of node %zu of level %u is wrong", i,
                                            level);
                }
}

bool weir__page_is_free(size_t page)
{
        return bit_get(h.free, page);
}
