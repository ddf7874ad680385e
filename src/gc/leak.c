/* Leaks: goroutines that nothing can wake, and blocks of malloc that nothing points to.
 *
 * What    A collection with the world stopped in which stacks of goroutines that may be stuck are
 *         left to the end (sched/stuck.c) finds the goroutines; the marks of the collector tell
 *         what the others reach. Blocks of malloc are roots there, so a second look that does
 *         without marks follows pointers through them: from globals, stacks, registers,
 *         thread-local variables and named memory, by blocks and collected objects alike.
 * Shape   A bit per 8 bytes of the heap tells that the block or object that begins there was found;
 *         those found and not yet read are on a stack of addresses, which is address space for all
 *         that there can be.
 * States  Of a goroutine: told once; its number then is in g->leak_told.
 * Order   All of it with the world stopped; what was found is printed afterwards. A goroutine that
 *         is stuck does not run again, so what is said of it then is still so.
 * Cost    The program stands while everything is marked. For looking, not for each day.
 * Not     A word that looks like a pointer counts as one, so some leaks are not told; none is told
 *         that is not one, but where the program keeps an address where nobody looks: in memory of
 *         mmap's that was not named, or changed (by exclusive or, say). */
#include "gc/leak.h"
#include "base/debug.h"
#include "os/os.h"
#include "sched/sched.h"
#include <unistd.h>

enum { ROWS = 100, SHOWN = 8, GRANULE_SHIFT = 3, SIZES = 256 };

struct stuck {
        struct g *g;
        uint64_t  id;
};

/* Blocks of one size. */
struct size_row {
        size_t   size;
        uint64_t count;
        uintptr_t first[SHOWN];         /* their complements: this is memory that is looked at */
};

static struct {
        struct marker *marker;
        void         (*drain)(void);
        uint32_t       nstuck, nsizes;
        struct stuck   stuck[ROWS];
        struct size_row size[SIZES];
        uint64_t       all_stuck, all_blocks, all_bytes;
} found;                                /* whoever runs the cycle */

/* ---- goroutines ---- */

/* A word on a stack also keeps what it is the end of (mark.c), a neighbour most often: not here, or
 * each channel would be reached by who has the next one. */
static void visit(struct world_range r, void *arg)
{
        (void)arg;
        weir__mark_range(found.marker, r.low, r.high);
}

static void visit_all(struct world_range r, void *arg)
{
        weir__mark_stack(arg, r.low, r.high);
}

static bool reached(const void *obj, void *arg)
{
        struct mem_object o;

        (void)arg;
        return !weir__mem_find(obj, &o) || o.kind == MEM_MANUAL || weir__mark_is(obj);
}

static void follow(void *arg)
{
        (void)arg;
        weir__mark_settle(found.marker);
        found.drain();
}

static void note_stuck(struct g *g, void *arg)
{
        (void)arg;
        found.all_stuck++;
        if (found.nstuck < ROWS)
                found.stuck[found.nstuck++] = (struct stuck){ g, load_relaxed(&g->id) };
}

void weir__leak_roots(struct marker *m, void (*drain)(void))
{
        static const struct stuck_ops ops = {
                .visit = visit, .reached = reached, .follow = follow, .stuck = note_stuck,
        };

        found.marker = m;
        found.drain = drain;
        found.nstuck = 0;
        found.all_stuck = 0;
        weir__roots_mark_but_stacks(m);
        weir__world_threads(visit, NULL);
        (void)weir__stuck_find(&ops);
        weir__world_each(visit_all, m);
}

/* ---- blocks ---- */

static uint64_t  *seen;                 /* whoever runs the cycle: a bit per granule */
static uintptr_t *work;                 /* found, and to be read */
static size_t     nwork;
static uintptr_t  heap_low, heap_high;

static bool see(uintptr_t base)
{
        size_t   at = (base - heap_low) >> GRANULE_SHIFT;
        uint64_t bit = UINT64_C(1) << (at % 64);

        if (seen[at / 64] & bit)
                return false;
        seen[at / 64] |= bit;
        return true;
}

static inline void look_at(uintptr_t word)
{
        struct mem_object o;

        /* An address one past the end counts for both that meet there. */
        for (int past = 0; past < 2; past++, word--) {
                if (word - heap_low >= heap_high - heap_low)
                        continue;
                if (weir__mem_find((const void *)word, &o) && see((uintptr_t)o.base) &&
                    o.kind != MEM_NOSCAN)
                        work[nwork++] = (uintptr_t)o.base;
                if (word % 8)
                        return;
        }
}

static no_sanitize void read_range(uintptr_t low, uintptr_t high)
{
        low = ALIGN_UP(low, (uintptr_t)8);
        for (; low + 8 <= high; low += 8)
                look_at(*(const volatile uintptr_t *)low);
}

static void read_all(void)
{
        while (nwork) {
                uintptr_t         base = work[--nwork];
                struct mem_object o;

                if (weir__mem_find((const void *)base, &o))
                        read_range(base, base + o.size);
        }
}

static void read_variables(uintptr_t low, uintptr_t high, void *arg)
{
        (void)arg;
        read_range(low, high);
}

static void read_root(uintptr_t low, uintptr_t high, void *arg)
{
        weir__mem_each_root(low, high, read_variables, arg);
        read_all();
}

static void read_thread(uintptr_t tcb, void *arg)
{
        weir__os_tls(tcb, read_root, arg);
}

static void read_stack(struct world_range r, void *arg)
{
        (void)arg;
        read_range(r.low, r.high);
        read_all();
}

/* The table of a thread's variables, which the C library keeps also of threads that have ended and
 * of those about to begin: how many slots, and at first nothing in them. */
static no_sanitize bool is_thread_table(const void *p, size_t size)
{
        const uint64_t *word = p;

        return size >= 288 && word[0] >= 16 && word[0] < size && !word[1] &&
               weir__mem_round((word[0] + 2) * 16) == size;
}

static void note_block(void *p, size_t size, void *arg)
{
        struct size_row *row = NULL;

        (void)arg;
        if (is_thread_table(p, size))
                return;
        if (seen[(((uintptr_t)p - heap_low) >> GRANULE_SHIFT) / 64] >>
                    (((uintptr_t)p - heap_low) >> GRANULE_SHIFT) % 64 & 1)
                return;
        found.all_blocks++;
        found.all_bytes += size;
        for (uint32_t i = 0; i < found.nsizes && !row; i++)
                if (found.size[i].size == size)
                        row = &found.size[i];
        if (!row && found.nsizes < SIZES) {
                row = &found.size[found.nsizes++];
                *row = (struct size_row){ .size = size };
        }
        if (!row)
                return;
        if (row->count < SHOWN)
                row->first[row->count] = ~(uintptr_t)p;
        row->count++;
}

void weir__leak_blocks(void)
{
        size_t bits, words;

        found.nsizes = 0;
        found.all_blocks = found.all_bytes = 0;
        weir__mem_extent(&heap_low, &heap_high);
        bits = (heap_high - heap_low) >> (GRANULE_SHIFT + 3);
        words = (heap_high - heap_low) >> GRANULE_SHIFT;
        seen = weir__os_map(MAX(bits, (size_t)OS_PAGE));
        work = weir__os_map(MAX(words * sizeof *work, (size_t)OS_PAGE));
        if (seen && work) {
                nwork = 0;
                weir__roots_each(read_root, NULL);
                weir__world_each(read_stack, NULL);
                weir__os_quiet_each(read_thread, NULL);
                weir__mark_skip_begin();
                weir__mem_each_block(note_block, NULL);
                weir__mark_skip_end();
        }
        if (seen)
                weir__os_unmap(seen, MAX(bits, (size_t)OS_PAGE));
        if (work)
                weir__os_unmap(work, MAX(words * sizeof *work, (size_t)OS_PAGE));
        seen = NULL;
        work = NULL;
}

/* ---- telling ---- */

static void print_bytes(struct out *o, const void *p, size_t size)
{
        unsigned char byte[16];
        size_t        n = weir__os_peek(byte, p, MIN(size, sizeof byte));

        for (size_t i = 0; i < n; i++)
                weir__out_print(o, "%s%x%x", i % 8 ? "" : " ", byte[i] >> 4, byte[i] & 15);
}

static void print_blocks(struct out *o)
{
        for (uint32_t i = 0; i < found.nsizes; i++) {
                const struct size_row *r = &found.size[i];

                weir__out_print(o, "leaked: %llu block%s of malloc of up to %zu bytes\n",
                                (unsigned long long)r->count, r->count == 1 ? "" : "s", r->size);
                for (uint64_t k = 0; k < MIN(r->count, (uint64_t)SHOWN); k++) {
                        const void *p = (const void *)~r->first[k];

                        weir__out_print(o, "        %p:", p);
                        print_bytes(o, p, r->size);
                        weir__out_print(o, "\n");
                }
        }
}

/* What was found, of goroutines only those not told of before where fresh says so. */
static void print(struct out *o, bool fresh)
{
        for (uint32_t i = 0; i < found.nstuck; i++) {
                struct g *g = found.stuck[i].g;

                if (load_relaxed(&g->id) != found.stuck[i].id ||
                    (fresh && g->leak_told == found.stuck[i].id))
                        continue;
                if (g->leak_told != found.stuck[i].id)
                        weir__count(gc_leaked, 1);
                g->leak_told = found.stuck[i].id;
                weir__out_print(o, "leaked: a goroutine that nothing can wake\n");
                weir__dump_parked(o, g);
        }
        if (found.all_stuck > found.nstuck)
                weir__out_print(o, "leaked: %llu more goroutines\n",
                                (unsigned long long)(found.all_stuck - found.nstuck));
        print_blocks(o);
        weir__out_flush(o);
}

void weir__leak_tell(void)
{
        struct out o = { .fd = STDERR_FILENO };

        found.nsizes = 0;
        print(&o, true);
}

size_t weir__leak_print(FILE *out)
{
        struct out o = { .fd = -1, .file = out };

        if (out)
                print(&o, false);
        if (out)
                fflush(out);
        return (size_t)(found.all_stuck + found.all_blocks);
}
