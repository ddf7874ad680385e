/* A collector that runs beside the program loses nothing that the program hides from it.
 *
 * A victim is in exactly one place at a time, and moves from place to place while cycles run: out
 * of what is not scanned yet into what is. Places lie along what takes the marker long. Each of the
 * collector's means is then taken away by the test itself, and victims must get lost: so it is that
 * which kept them. */
#include "check.h"
#include "gc/gc.h"
#include "mem/mem.h"
#include "os/os.h"
#include "sched/state.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
        PLACES = 40,            /* of each kind */
        BALLAST = 4000,         /* nodes from one place in a list to the next */
        IDLERS = 150,           /* goroutines from one on whose stack a place is to the next */
        CYCLES = WEIR_TSAN || WEIR_ASAN ? 6 : 40,
        CYCLES_MOST = 500,      /* until a mutant must have been seen */
};

typedef struct victim {
        uint64_t seed, check[5];
} victim;
WEIR_TYPE_PLAIN(victim);

typedef struct holder {
        struct holder *next;
        victim        *victim;
        uint64_t       number[4];
} holder;
WEIR_TYPE(holder, next, victim);

__attribute__((constructor)) static void collect_anyway(void)
{
        const char *more = getenv("WEIR_DEBUG");
        char        debug[100];

        snprintf(debug, sizeof debug, "gcforeign=1%s%s", more ? "," : "", more ? more : "");
        setenv("WEIR_DEBUG", debug, 1);
        setenv("WEIR_GC", "off", 1);            /* only when a test says so */
}

/* Whether malloc is another's, whose blocks are not looked at. */
static bool foreign(void)
{
        void *p = calloc(1, 1);
        bool  own = weir__mem_own(p);

        free(p);
        return !own;
}

/* With a sanitizer all is scanned in one stop. */
static void need_control(void)
{
        if (WEIR_ASAN || WEIR_TSAN)
                test_skip("there is but one stop");
}

enum kind { TYPED, PLAIN, MALLOCED, GLOBAL, NAMED, STACK, KINDS_OF_PLACES };
enum mutant { NONE, NO_BARRIER, NO_RESCAN, NO_TOUCHED };

struct place {
        enum kind kind;
        bool      full;
        uint64_t  seed;         /* of the victim there */
        void     *filler;       /* the marker is busy with it, between blocks */
        victim  **at;           /* in malloc'd, global or named memory */
        uintptr_t hidden;       /* a node of the list, which alone leads there */
        weir_chan *give, *take; /* of the goroutine whose stack it is on */
};

static victim        *globals[PLACES];
static struct place   place[KINDS_OF_PLACES * PLACES];  /* of the test itself: no victim in it */
static uint32_t       moving, lost, stop_all;
static unsigned       taking_part;      /* bits of enum kind */
static enum mutant    mutant;

static uint64_t mix(uint64_t x)
{
        x ^= x >> 31;
        x *= UINT64_C(0x9E3779B97F4A7C15);
        return x ^ x >> 29;
}

static noinline victim *make(uint64_t seed)
{
        victim *v = weir_new(victim);

        v->seed = seed;
        for (int i = 0; i < 5; i++)
                v->check[i] = mix(seed + (uint64_t)i);
        return v;
}

static noinline bool whole(const victim *v, uint64_t seed)
{
        for (int i = 0; i < 5; i++)
                if (v->check[i] != mix(seed + (uint64_t)i))
                        return false;
        return v->seed == seed;
}

/* Holds one on its stack, in a frame of its own, while it is parked. */
static noinline void hold(weir_chan *give, weir_chan *take)
{
        victim *volatile v;
        victim          *one;

        if (!weir_recv(give, &one))
                return;
        v = one;
        one = NULL;
        one = v;
        v = NULL;
        weir_send(take, &one);
}

weir_task(holds, my, { weir_chan *give, *take; })
{
        while (!load_seq(&stop_all))
                hold(my->give, my->take);
}

static noinline void put(struct place *p, victim *v)
{
        switch (p->kind) {
        case TYPED:
                if (p->seed & 1)
                        weir_set(((holder *)~p->hidden)->victim, v);
                else
                        weir_gc_move(&((holder *)~p->hidden)->victim, &v, sizeof(void *));
                break;
        case PLAIN:
                ((holder *)~p->hidden)->victim = v;
                break;
        case STACK:
                weir_send(p->give, &v);
                break;
        default:
                *p->at = v;
        }
}

static noinline victim *take(struct place *p)
{
        victim *v;

        switch (p->kind) {
        case TYPED:
                v = ((holder *)~p->hidden)->victim;
                weir_set(((holder *)~p->hidden)->victim, NULL);
                break;
        case PLAIN:
                v = ((holder *)~p->hidden)->victim;
                ((holder *)~p->hidden)->victim = NULL;
                break;
        case STACK:
                weir_recv(p->take, &v);
                break;
        default:
                v = *p->at;
                *p->at = NULL;
        }
        return v;
}

/* What is lost is soon something else. */
static noinline void litter(void)
{
        for (int i = 0; i < 4; i++)
                memset(weir_new(victim), 0xA5, sizeof(victim));
}

static noinline void move(uint64_t r)
{
        struct place *from = &place[r % COUNT(place)], *to = &place[(r >> 20) % COUNT(place)];
        victim       *v;

        if (!from->full || to->full || !(taking_part >> to->kind & 1))
                return;
        v = take(from);
        if (!whole(v, from->seed)) {
                fetch_add_seq(&lost, 1);
                v = make(from->seed);
        }
        litter();
        if (r >> 50 & 1)
                weir_yield();
        to->seed = from->seed;
        to->full = true;
        from->full = false;
        put(to, v);
}

static noinline void wipe(void)
{
        char volatile stack[4096];

        for (size_t i = 0; i < sizeof stack; i++)
                stack[i] = 0;
}

weir_task(moves, my, { uint64_t seed; weir_wg *wg; })
{
        uint64_t s = my->seed;

        while (load_seq(&moving)) {
                for (int i = 0; i < 100; i++)
                        move(s = mix(s + 1));
                wipe();
                weir_yield();
        }
        weir_wg_done(my->wg);
}

/* Other means by which the same may be found; the linker puts these before them
 * (test/CMakeLists.txt). */
size_t __real_weir__roots_mark_shared(struct marker *m);
size_t __wrap_weir__roots_mark_shared(struct marker *m);
void   __real_weir__scan_enter(struct g *g);
void   __wrap_weir__scan_enter(struct g *g);

void __wrap_weir__scan_enter(struct g *g)
{
        if (mutant != NO_TOUCHED)
                __real_weir__scan_enter(g);
}

size_t __wrap_weir__roots_mark_shared(struct marker *m)
{
        return mutant == NO_TOUCHED ? 0 : __real_weir__roots_mark_shared(m);
}

static void nothing(uintptr_t low, uintptr_t high, void *arg)
{
        (void)low, (void)high, (void)arg;
}

static void steal(uintptr_t low, uintptr_t high, void *arg)
{
        (void)weir__os_dirty_scan(low, high, true, nothing, arg);
}

/* Takes one of the collector's means away as often as it can. */
static void *sabotage(void *arg)
{
        (void)arg;
        while (load_seq(&moving)) {
                switch (mutant) {
                case NO_BARRIER:
                        store_seq(&weir__gc_barrier, 0u);
                        break;
                case NO_RESCAN:
                        weir__mem_each_watched(steal, NULL);
                        break;
                case NO_TOUCHED:
                        for (struct g *g = exchange_seq(&sched.touched, NULL); g; g = g->scan_next)
                                store_seq(&g->scan_listed, 0);
                        break;
                case NONE:
                        break;
                }
                for (int volatile i = 0; i < 3000; i++) /* outside of the runtime, to be stopped */
                        ;
        }
        return NULL;
}

weir_task(idles, my, { weir_chan *end; })
{
        char volatile much[2000] = { 0 };       /* for the marker to read */
        int           nothing_comes;

        (void)much;
        weir_recv(my->end, &nothing_comes);
}

/* The list, last node first: places of it are far apart. */
static holder *make_places(victim **named, weir_chan *end)
{
        enum { FACTOR = WEIR_TSAN || WEIR_ASAN ? 20 : 1 };
        holder *list = NULL, *h;

        for (size_t i = 0; i < COUNT(place); i++) {
                struct place *p = &place[i];

                *p = (struct place){ .kind = (enum kind)(i % KINDS_OF_PLACES) };
                switch (p->kind) {
                case TYPED:
                case PLAIN:
                        for (int k = 0; k < BALLAST / FACTOR; k++) {
                                h = p->kind == TYPED ? weir_new(holder)
                                                     : weir_new_bytes(sizeof *h);
                                weir_set(h->next, list);
                                list = h;
                        }
                        p->hidden = ~(uintptr_t)list;
                        break;
                case MALLOCED:
                        p->at = calloc(1, 64);
                        p->filler = malloc(256 << 10);
                        memset(p->filler, 1, 256 << 10);
                        break;
                case GLOBAL:
                        p->at = &globals[i / KINDS_OF_PLACES];
                        break;
                case NAMED:
                        p->at = &named[512 * i];
                        break;
                default:
                        p->give = weir_chan_make(victim *, 0);
                        p->take = weir_chan_make(victim *, 0);
                        weir_go(holds, .give = p->give, .take = p->take);
                        for (int k = 0; k < IDLERS / FACTOR; k++)
                                weir_go(idles, .end = end);
                }
        }
        return list;
}

static void play(enum mutant m, unsigned kinds)
{
        weir_chan     *end = weir_chan_make(int, 0);
        holder        *keep;
        size_t         size = 2 << 20;
        victim       **named = mmap(NULL, size, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        weir_wg        wg = { 0 };
        pthread_t      t;
        int            cycles = 0;

        if (foreign())
                kinds &= ~(1u << MALLOCED);
        taking_part = kinds;
        ck_assert_int_eq(weir_gc_root_add(named, size), 0);
        keep = make_places(named, end);
        for (size_t i = 0; i < COUNT(place); i++)
                if (kinds >> place[i].kind & 1 && i / KINDS_OF_PLACES % 2) {
                        place[i].seed = mix(i + 1);
                        place[i].full = true;
                        put(&place[i], make(place[i].seed));
                }
        mutant = m;
        store_seq(&lost, 0);
        store_seq(&moving, 1);
        if (m)
                ck_assert_int_eq(pthread_create(&t, NULL, sabotage, NULL), 0);
        weir_wg_add(&wg, 1);
        weir_go(moves, .seed = 7, .wg = &wg);
        while (cycles < (m ? CYCLES_MOST : CYCLES) && !(m && load_seq(&lost))) {
                weir_gc_run();
                cycles++;
        }
        store_seq(&moving, 0);
        weir_wg_wait(&wg);
        if (m)
                ck_assert_int_eq(pthread_join(t, NULL), 0);
        for (size_t i = 0; i < COUNT(place); i++)
                if (place[i].full && !m)
                        ck_assert(whole(take(&place[i]), place[i].seed));
        if (m)
                ck_assert_uint_ne(load_seq(&lost), 0);
        else
                ck_assert_uint_eq(load_seq(&lost), 0);
        store_seq(&stop_all, 1);
        weir_chan_close(end);
        for (size_t i = 0; i < COUNT(place); i++) {
                if (place[i].kind == STACK)
                        weir_chan_close(place[i].give);
                if (place[i].kind == MALLOCED)
                        free(place[i].at);
                free(place[i].filler);
        }
        ck_assert_int_eq(weir_gc_root_remove(named, size), 0);
        weir_keep_alive(keep);
}

enum { ALL = (1 << KINDS_OF_PLACES) - 1 };

WEIR_TEST_WITH(what_moves_while_a_cycle_runs_is_kept, .procs = 2, .timeout = 60)
{
        play(NONE, ALL);
}

WEIR_TEST_WITH(the_same_with_all_of_plain_memory_scanned_in_the_stop, .procs = 2, .timeout = 60)
{
        weir__debug.gcwatch = 0;
        play(NONE, ALL);
}

WEIR_TEST_WITH(the_same_in_one_stop, .procs = 2, .timeout = 60)
{
        weir__debug.gcstop = 1;
        play(NONE, ALL);
}

WEIR_TEST_WITH(the_same_when_weir_set_tells_of_new_values_alone, .procs = 2, .timeout = 60)
{
        weir__debug.gcbarrier = 1;
        play(NONE, ALL);
}

/* The stores that weir_set does not tell of lose what they move. */
WEIR_TEST_WITH(without_the_barrier_victims_are_lost, .procs = 2, .timeout = 120)
{
        need_control();
        play(NO_BARRIER, 1 << TYPED);
}

WEIR_TEST_WITH(without_a_second_scan_of_written_pages_victims_are_lost, .procs = 2, .timeout = 120)
{
        need_control();
        if (weir__os_dirty_open() < 0)
                test_skip("the kernel does not tell which pages were written");
        weir__os_dirty_close();
        play(NO_RESCAN, 1 << PLAIN | 1 << MALLOCED);
}

WEIR_TEST_WITH(without_a_second_look_at_stacks_victims_are_lost, .procs = 2, .timeout = 120)
{
        need_control();
        play(NO_TOUCHED, 1 << STACK);
}
