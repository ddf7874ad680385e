/* A pointer moves, at the worst moment of a collection, from what is not scanned yet into what has
 * been: into a register, a stack, a thread-local variable, a global, a block of malloc, an object.
 * Each such place has one means that finds it there. With that the object lives; without it, it is
 * lost: so it is that means which finds it.
 *
 * The test stands between the steps of the collector, by the linker (--wrap, test/CMakeLists.txt):
 * there it has the program move the pointer while the collector waits, and there it leaves a step
 * out. */
/* run: WEIR_DEBUG=gcgen=0 */
#include "unit/gc/heap.h"
#include "base/debug.h"
#include "gc/gc.h"
#include "sched/state.h"
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

/* The moments. */
enum when { NEVER, AFTER_FIRST_STOP, BEFORE_MALLOC, BEFORE_MARKING };

/* The means. */
enum means {
        NEW_VALUES = 1,         /* weir_set tells what it stores */
        OLD_VALUES = 2,         /* and what it overwrites */
        THREADS = 4,            /* registers, running stacks, thread-local variables, at the end */
        GLOBALS = 8,            /* globals and named memory, at the end */
        WRITTEN = 16,           /* pages that were written, again */
        TOUCHED = 32,           /* stacks of goroutines that ran, again */
        SHARED = 64,            /* stacks that others may have written to, again */
};

static unsigned     broken;             /* means that are left out */
static enum when    when;
static unsigned     begins;             /* of marking in this cycle */
static unsigned     shades;             /* of the store that is under way */
static uint32_t     asked, moved, done; /* atomic: the mover's turns */
static uint32_t     took;               /* atomic: the one that parks has it */

/* The collector's thread waits while the program moves what there is to move. */
static void let_move(enum when now)
{
        if (now != when)
                return;
        when = NEVER;
        store_seq(&asked, 1);
        while (!load_seq(&moved))
                ;
}

/* ---- the steps ---- */

void   __real_weir__roots_mark_beside(struct marker *m);
void   __wrap_weir__roots_mark_beside(struct marker *m);
void   __real_weir__watch_begin(struct marker *m, bool minor);
void   __wrap_weir__watch_begin(struct marker *m, bool minor);
bool   __real_weir__mark_begin(struct marker *markers, uint32_t n);
bool   __wrap_weir__mark_begin(struct marker *markers, uint32_t n);
size_t __real_weir__watch_round(struct marker *m);
size_t __wrap_weir__watch_round(struct marker *m);
size_t __real_weir__watch_end(struct marker *m);
size_t __wrap_weir__watch_end(struct marker *m);
void   __real_weir__roots_mark_threads(struct marker *m);
void   __wrap_weir__roots_mark_threads(struct marker *m);
void   __real_weir__roots_mark_last(struct marker *m);
void   __wrap_weir__roots_mark_last(struct marker *m);
size_t __real_weir__roots_mark_touched(struct marker *m, bool stopped);
size_t __wrap_weir__roots_mark_touched(struct marker *m, bool stopped);
size_t __real_weir__roots_mark_shared(struct marker *m);
size_t __wrap_weir__roots_mark_shared(struct marker *m);
void   __real_weir__mem_shade(const void *p);
void   __wrap_weir__mem_shade(const void *p);

void __wrap_weir__roots_mark_beside(struct marker *m)
{
        let_move(AFTER_FIRST_STOP);
        __real_weir__roots_mark_beside(m);
}

void __wrap_weir__watch_begin(struct marker *m, bool minor)
{
        let_move(BEFORE_MALLOC);
        __real_weir__watch_begin(m, minor);
}

/* Once when all is prepared, then before what was found is marked, then for each round. */
bool __wrap_weir__mark_begin(struct marker *markers, uint32_t n)
{
        if (begins++ == 1)
                let_move(BEFORE_MARKING);
        return __real_weir__mark_begin(markers, n);
}

size_t __wrap_weir__watch_round(struct marker *m)
{
        return broken & WRITTEN ? 0 : __real_weir__watch_round(m);
}

size_t __wrap_weir__watch_end(struct marker *m)
{
        return broken & WRITTEN ? 0 : __real_weir__watch_end(m);
}

/* In the first stop, when begins is 1, and in the last. */
void __wrap_weir__roots_mark_threads(struct marker *m)
{
        if (begins == 1 || !(broken & THREADS))
                __real_weir__roots_mark_threads(m);
}

void __wrap_weir__roots_mark_last(struct marker *m)
{
        if (!(broken & GLOBALS))
                __real_weir__roots_mark_last(m);
}

size_t __wrap_weir__roots_mark_touched(struct marker *m, bool stopped)
{
        if (!(broken & TOUCHED))
                return __real_weir__roots_mark_touched(m, stopped);
        for (struct g *g = exchange_seq(&sched.touched, NULL), *next; g; g = next) {
                next = g->scan_next;
                store_seq(&g->scan_listed, 0);
        }
        if (stopped)
                store_relaxed(&sched.scanning, 0);
        return 0;
}

size_t __wrap_weir__roots_mark_shared(struct marker *m)
{
        return broken & SHARED ? 0 : __real_weir__roots_mark_shared(m);
}

/* A store tells the old value first, then the new one. */
void __wrap_weir__mem_shade(const void *p)
{
        if (!(broken & (shades++ % 2 ? NEW_VALUES : OLD_VALUES)))
                __real_weir__mem_shade(p);
}

/* ---- the places ---- */

typedef struct pair {
        struct pair *next;
        node        *n;
} pair;
WEIR_TYPE(pair, next, n);

static node *volatile          global;
static __thread node *volatile in_thread;
static node                  **block;           /* of malloc */
static node                  **named;
static node                  **library;
static pair                   *typed;           /* declared */
static pair                   *plain;           /* not declared */
static hidden                  victim;

/* Where it is before; then where it goes. Both without a trace in between: the address is in one
 * register until it is where it goes. */
static noinline void take_and_put(node **from, node **to)
{
        __asm__ volatile("mov (%0), %%rax\n\t"
                         "movq $0, (%0)\n\t"
                         "mov %%rax, (%1)\n\t"
                         "xor %%eax, %%eax"
                         : : "r"(from), "r"(to) : "rax", "memory", "cc");
}

static void wait_for_turn(void)
{
        while (!load_seq(&asked))
                ;
}

static void stay(void)
{
        store_seq(&moved, 1);
        while (!load_seq(&done))
                ;
}

/* Into a register, where it stays. */
#define INTO(reg, clobber) \
        static noinline void into_##reg(node **from) \
        { \
                __asm__ volatile("1:\tcmpl $0, (%1)\n\t" \
                                 "je 1b\n\t" \
                                 "mov (%0), %%" #reg "\n\t" \
                                 "movq $0, (%0)\n\t" \
                                 "movl $1, (%2)\n" \
                                 "2:\tcmpl $0, (%3)\n\t" \
                                 "je 2b\n\t" \
                                 "xor %%" #reg ", %%" #reg \
                                 : : "D"(from), "d"(&asked), "c"(&moved), "S"(&done) \
                                 : clobber, "memory", "cc"); \
        }
INTO(rax, "rax")
INTO(rbx, "rbx")
INTO(r8, "r8")
INTO(r9, "r9")
INTO(r10, "r10")
INTO(r11, "r11")
INTO(r12, "r12")
INTO(r13, "r13")
INTO(r14, "r14")
INTO(r15, "r15")

/* Those that hold the addresses of the others; and the frame pointer. */
#define INTO_OTHER(reg, from, asked, moved, done) \
        static noinline void into_##reg(node **place) \
        { \
                __asm__ volatile("push %%rbp\n\t" \
                                 "mov %0, %%" #from "\n\t" \
                                 "mov %1, %%" #asked "\n\t" \
                                 "mov %2, %%" #moved "\n\t" \
                                 "mov %3, %%" #done "\n" \
                                 "1:\tcmpl $0, (%%" #asked ")\n\t" \
                                 "je 1b\n\t" \
                                 "mov (%%" #from "), %%" #reg "\n\t" \
                                 "movq $0, (%%" #from ")\n\t" \
                                 "movl $1, (%%" #moved ")\n" \
                                 "2:\tcmpl $0, (%%" #done ")\n\t" \
                                 "je 2b\n\t" \
                                 "xor %%" #reg ", %%" #reg "\n\t" \
                                 "pop %%rbp" \
                                 : : "r"(place), "r"(wait_words[0]), "r"(wait_words[1]), \
                                     "r"(wait_words[2]) \
                                 : "rcx", "rdx", "rsi", "rdi", "r12", "r13", "r14", "r15", \
                                   "memory", "cc"); \
        }
static uint32_t *const wait_words[3] = { &asked, &moved, &done };
INTO_OTHER(rcx, r12, r13, r14, r15)
INTO_OTHER(rdx, r12, r13, r14, r15)
INTO_OTHER(rsi, r12, r13, r14, r15)
INTO_OTHER(rdi, r12, r13, r14, r15)
INTO_OTHER(rbp, r12, r13, r14, r15)

static noinline void into_xmm(node **from)
{
        wait_for_turn();
        __asm__ volatile("movq (%0), %%xmm9\n\t"
                         "movq $0, (%0)\n\t"
                         "movl $1, (%1)\n"
                         "1:\tcmpl $0, (%2)\n\t"
                         "je 1b\n\t"
                         "pxor %%xmm9, %%xmm9"
                         : : "r"(from), "r"(&moved), "r"(&done) : "xmm9", "memory", "cc");
}

static noinline void into_stack(node **from)
{
        node *here = NULL;

        wait_for_turn();
        take_and_put(from, &here);
        stay();
        __asm__ volatile("" : : "r"(&here) : "memory");
}

static noinline void into_thread_local(node **from)
{
        wait_for_turn();
        take_and_put(from, (node **)(uintptr_t)&in_thread);
        stay();
        in_thread = NULL;
}

static noinline void into_global(node **from)
{
        wait_for_turn();
        take_and_put(from, (node **)(uintptr_t)&global);
        stay();
}

static noinline void into_library(node **from)
{
        wait_for_turn();
        take_and_put(from, library);
        stay();
}

static noinline void into_named(node **from)
{
        wait_for_turn();
        take_and_put(from, named);
        stay();
}

static noinline void into_block(node **from)
{
        wait_for_turn();
        take_and_put(from, &block[100]);
        stay();
}

static noinline void set_in_new(node **from)
{
        pair *p = weir_new(pair);

        global = (node *)(void *)p;
        shades = 0;
        weir_set(p->n, *from);
        *from = NULL;
}

/* One that is born in this cycle, and not scanned in it. */
static noinline void into_new_declared(node **from)
{
        wait_for_turn();
        set_in_new(from);
        forget();
        __asm__ volatile("xor %%eax, %%eax\n\txor %%ecx, %%ecx\n\txor %%edx, %%edx\n\t"
                         "xor %%esi, %%esi\n\txor %%edi, %%edi\n\txor %%r8d, %%r8d\n\t"
                         "xor %%r9d, %%r9d\n\txor %%r10d, %%r10d\n\txor %%r11d, %%r11d"
                         : : : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc");
        stay();
}

static noinline void into_new_plain(node **from)
{
        wait_for_turn();
        global = weir_new_bytes(sizeof(pair));
        take_and_put(from, &((pair *)(void *)global)->n);
        stay();
}

/* Out of a declared object onto the stack. */
static noinline void out_of_declared(node **from)
{
        node *here;

        wait_for_turn();
        here = *from;
        shades = 0;
        weir_gc_write(from, NULL);
        stay();
        __asm__ volatile("" : : "r"(&here) : "memory");
}

weir_task(moves, my, { void (*into)(node **from); node **from; weir_wg *wg; })
{
        my->into(my->from);
        weir_wg_done(my->wg);
}

/* A goroutine that was parked when its stack was scanned, and is parked when the end comes. */
static struct g *parker;                /* atomic */

static bool is_parked(void)
{
        struct g *g = load_acquire(&parker);

        return g && load_acquire(&g->state) == G_PARKED && !load_acquire(&g->ctx.on_cpu);
}

weir_task(parks, my, { weir_chan *wake, *sleep; node **from; weir_wg *wg; })
{
        node *here = NULL;
        int   v;

        store_release(&parker, weir__sched_g());
        weir_recv(my->wake, &v);
        take_and_put(my->from, &here);
        store_seq(&took, 1);
        weir_recv(my->sleep, &v);
        __asm__ volatile("" : : "r"(&here) : "memory");
        here = NULL;
        weir_wg_done(my->wg);
}

/* Waits all the time, and has handed out where its variable is. */
static node **volatile variable;

weir_task(lends, my, { weir_chan *sleep; weir_wg *wg; })
{
        node *here = NULL;
        int   v;

        variable = &here;
        store_release(&parker, weir__sched_g());
        weir_recv(my->sleep, &v);
        __asm__ volatile("" : : "r"(&here) : "memory");
        here = NULL;
        weir_wg_done(my->wg);
}

/* The address is in a register alone, then nowhere. */
static noinline void into_variable(node **from)
{
        node **to = variable;

        variable = NULL;
        wait_for_turn();
        take_and_put(from, to);
        to = NULL;
        stay();
        __asm__ volatile("" : : "r"(to));
}

/* The same from a block of malloc that goes then. */
static node ***lent;

static noinline void into_lent(node **from)
{
        wait_for_turn();
        take_and_put(from, *lent);
        *lent = NULL;
        stay();
}

static noinline void into_variable_long(node **from)
{
        into_variable(from);
}

static noinline void into_lent_long(node **from)
{
        into_lent(from);
}

weir_task(wakes, my, { weir_chan *wake, *sleep; weir_wg *wg; })
{
        int v = 0;

        wait_for_turn();
        weir_send(my->wake, &v);
        while (!load_seq(&took) || !is_parked())
                weir_yield();
        stay();
        weir_wg_done(my->wg);
}

/* ---- a case ---- */

weir_task(makes, my, { node **at; bool declared; weir_wg *wg; })
{
        node *n = weir_new(node);

        n->key = 4711;
        victim = hide(n);
        if (my->declared)
                weir_set(*my->at, n);
        else
                *my->at = n;
        weir_wg_done(my->wg);
}

static void put_victim(node **at, bool declared)
{
        weir_wg wg = { 0 };

        weir_wg_add(&wg, 1);
        weir_go(makes, .at = at, .declared = declared, .wg = &wg);
        weir_wg_wait(&wg);
}

struct move {
        const char *name;
        void      (*into)(node **from); /* NULL: onto the stack of a parked goroutine */
        enum { FROM_GLOBAL, FROM_BLOCK, FROM_PLAIN, FROM_DECLARED } from;
        enum when   when;
        unsigned    found_by;           /* all of them left out, it is lost */
};

static node **place_of(const struct move *m)
{
        switch (m->from) {
        case FROM_GLOBAL:
                return (node **)(uintptr_t)&global;
        case FROM_BLOCK:
                return &block[0];
        case FROM_PLAIN:
                return &plain->n;
        default:
                return &typed->n;
        }
}

/* The lender has waited through some collections. */
static bool is_long(const struct move *m)
{
        return m->into == into_variable_long || m->into == into_lent_long;
}

static bool is_loan(const struct move *m)
{
        return m->into == into_variable || m->into == into_lent || is_long(m);
}

/* Moves it in the middle of a collection, and answers whether it is there afterwards. */
static bool survives(const struct move *m, unsigned without)
{
        node    **from = place_of(m);
        weir_chan *wake = weir_chan_make(int, 0), *sleep = weir_chan_make(int, 0);
        weir_wg   wg = { 0 };
        bool      lives;

        global = NULL;
        memset(block, 0, 2048);
        *named = *library = NULL;
        store_seq(&asked, 0);
        store_seq(&moved, 0);
        store_seq(&done, 0);
        store_seq(&took, 0);
        store_release(&parker, NULL);
        put_victim(from, m->from == FROM_DECLARED);
        weir_wg_add(&wg, m->into && !is_loan(m) ? 1 : 2);
        if (is_loan(m)) {
                weir_go(lends, .sleep = sleep, .wg = &wg);
                while (!is_parked())
                        weir_yield();
                *lent = variable;
                if (m->into == into_lent || m->into == into_lent_long)
                        variable = NULL;
                for (int i = 0; i < 3 && is_long(m); i++)
                        weir_gc_run();
        }
        if (m->into) {
                weir_go(moves, .into = m->into, .from = from, .wg = &wg);
        } else {
                weir_go(parks, .wake = wake, .sleep = sleep, .from = from, .wg = &wg);
                while (!is_parked())
                        weir_yield();
                weir_go(wakes, .wake = wake, .sleep = sleep, .wg = &wg);
        }
        forget();
        begins = 0;
        broken = without;
        when = m->when;
        weir_gc_run();
        broken = 0;
        ck_assert_msg(load_seq(&moved), "%s: the moment did not come", m->name);
        lives = alive(victim) && key_of(victim) == 4711;
        store_seq(&done, 1);
        weir_chan_close(sleep);
        weir_wg_wait(&wg);
        if (m->from == FROM_DECLARED)
                weir_set(*from, NULL);
        else
                *from = NULL;
        return lives;
}

/* It is kept each time; and without what finds it there lost, but where a stale word on some stack
 * keeps it. */
static void check_move(const struct move *m)
{
        enum { TIMES = 5, TRIES = 20 };
        bool lost = false;

        for (int i = 0; i < TIMES; i++)
                ck_assert_msg(survives(m, 0), "%s: was lost", m->name);
        for (unsigned means = 1; means <= SHARED; means *= 2)
                if (m->found_by != means)
                        ck_assert_msg(survives(m, means), "%s: was lost without means %u", m->name,
                                      means);
        for (int i = 0; i < TRIES && !lost; i++)
                lost = !survives(m, m->found_by);
        ck_assert_msg(lost, "%s: is kept without what should have found it", m->name);
}

static void prepare(void)
{
        void *dl;

        if (WEIR_ASAN || WEIR_TSAN)
                test_skip("there is but one stop");
        if (!sched.can_ask)
                test_skip("no signal tells here where a thread is");
        if (weir__debug.gcgen)
                test_skip("minor collections do not mark what is old");
        block = calloc(1, 2048);
        named = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ck_assert_int_eq(weir_gc_root_add(named, 4096), 0);
        dl = dlopen(TEST_LIBRARY, RTLD_NOW);
        ck_assert_msg(dl != NULL, "%s", dlerror());
        library = dlsym(dl, "test_library_word");
        ck_assert_ptr_nonnull(library);
        lent = calloc(1, 2048);
        typed = weir_new(pair);
        plain = weir_new_bytes(sizeof *plain);
}

static void check_all(const struct move *m, size_t n)
{
        prepare();
        for (size_t i = 0; i < n; i++)
                check_move(&m[i]);
}

#define REGISTER(reg) { #reg, into_##reg, FROM_GLOBAL, AFTER_FIRST_STOP, THREADS }

WEIR_TEST_WITH(a_register_that_took_it_after_the_first_stop_is_seen_in_the_last, .procs = 3,
               .timeout = 60)
{
        static const struct move m[] = {
                REGISTER(rax), REGISTER(rbx), REGISTER(rcx), REGISTER(rdx), REGISTER(rsi),
                REGISTER(rdi), REGISTER(rbp), REGISTER(r8), REGISTER(r9), REGISTER(r10),
                REGISTER(r11), REGISTER(r12), REGISTER(r13), REGISTER(r14), REGISTER(r15),
                REGISTER(xmm),
        };

        check_all(m, COUNT(m));
}

WEIR_TEST_WITH(so_are_a_running_stack_and_thread_local_variables, .procs = 3, .timeout = 60)
{
        static const struct move m[] = {
                { "a running stack", into_stack, FROM_GLOBAL, AFTER_FIRST_STOP, THREADS },
                { "a thread-local variable", into_thread_local, FROM_GLOBAL, AFTER_FIRST_STOP,
                  THREADS },
        };

        check_all(m, COUNT(m));
}

WEIR_TEST_WITH(the_stack_of_one_that_ran_and_parked_again_is_read_again, .procs = 3,
               .timeout = 60)
{
        static const struct move m[] = {
                { "a parked stack", NULL, FROM_BLOCK, BEFORE_MALLOC, TOUCHED | SHARED },
        };

        if (foreign())
                test_skip("malloc is another's");
        check_all(m, COUNT(m));
}

/* By a plain store of another goroutine, which has its address. */
WEIR_TEST_WITH(the_stack_of_one_that_waits_is_read_again_if_others_may_write_there, .procs = 3,
               .timeout = 60)
{
        static const struct move m[] = {
                { "of one that waits since a moment", into_variable, FROM_BLOCK, BEFORE_MALLOC,
                  SHARED },
                { "of one that waits long", into_variable_long, FROM_BLOCK, BEFORE_MALLOC, SHARED },
                { "known to a block alone", into_lent, FROM_BLOCK, BEFORE_MALLOC, SHARED },
                { "known to a block alone for long", into_lent_long, FROM_BLOCK, BEFORE_MALLOC,
                  SHARED },
        };

        if (foreign())
                test_skip("malloc is another's");
        check_all(m, COUNT(m));
}

WEIR_TEST_WITH(globals_and_named_memory_are_read_again_in_the_last_stop, .procs = 3,
               .timeout = 60)
{
        static const struct move m[] = {
                { "a global", into_global, FROM_BLOCK, BEFORE_MALLOC, GLOBALS },
                { "a library's global", into_library, FROM_BLOCK, BEFORE_MALLOC, GLOBALS },
                { "named memory", into_named, FROM_BLOCK, BEFORE_MALLOC, GLOBALS },
        };

        if (foreign())
                test_skip("malloc is another's");
        check_all(m, COUNT(m));
}

WEIR_TEST_WITH(what_plain_c_wrote_into_blocks_and_objects_is_read_again, .procs = 3,
               .timeout = 60)
{
        static const struct move m[] = {
                { "a block of malloc", into_block, FROM_PLAIN, BEFORE_MARKING, WRITTEN },
                { "a new plain object", into_new_plain, FROM_PLAIN, BEFORE_MARKING, WRITTEN },
        };

        if (foreign())
                test_skip("malloc is another's");
        check_all(m, COUNT(m));
}

WEIR_TEST_WITH(what_weir_set_stores_into_a_new_object_is_told, .procs = 3, .timeout = 60)
{
        static const struct move m[] = {
                { "a new declared object", into_new_declared, FROM_PLAIN, BEFORE_MARKING,
                  NEW_VALUES },
        };

        check_all(m, COUNT(m));
}

/* Twice: by the old value, and by the stack that took it. */
WEIR_TEST_WITH(what_weir_set_overwrites_is_told_and_its_stack_is_seen_too, .procs = 3,
               .timeout = 60)
{
        static const struct move m[] = {
                { "out of a declared object", out_of_declared, FROM_DECLARED, AFTER_FIRST_STOP,
                  OLD_VALUES | THREADS },
        };

        check_all(m, COUNT(m));
}
