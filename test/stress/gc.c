/* Goroutines build, change and drop graphs of typed and plain objects in common, while garbage
 * forces collections: each node reachable must be whole at every look, however it is held at the
 * moment. WEIR_GC_CYCLES=N: one collection after the other, until there were so many, in place of a
 * time. */
#include "stress.h"

enum { SLOTS = 64, GOROUTINES = 12, DEPTH = 6 };

typedef struct node {
        struct node *left, *right;
        uint64_t     seed, check;
} node;
WEIR_TYPE(node, left, right);

static struct {
        weir_mutex lock;
        node      *root;
} slot[SLOTS];

static uint64_t mix(uint64_t x)
{
        x ^= x >> 31;
        x *= UINT64_C(0x9E3779B97F4A7C15);
        return x ^ x >> 29;
}

static node *grow(uint64_t seed, int depth)
{
        node *n = seed % 3 ? weir_new(node) : weir_new_bytes(sizeof *n + seed % 200);

        n->seed = seed;
        n->check = mix(seed);
        if (depth && seed % 7) {
                /* The new one may be nowhere but in a register until it is stored. */
                weir_set(n->left, grow(mix(seed + 1), depth - 1));
                if (seed % 11 == 0)
                        weir_yield();
                weir_set(n->right, grow(mix(seed + 2), depth - 1));
        }
        return n;
}

static uint64_t look(const node *n)
{
        if (!n)
                return 0;
        must_say(n->check == mix(n->seed), "a node is broken: seed %#llx, check %#llx",
                     (unsigned long long)n->seed, (unsigned long long)n->check);
        return 1 + look(n->left) + look(n->right);
}

static uint64_t cycles, wanted;         /* atomic: collections; const once set */

static bool more(void)
{
        return wanted ? __atomic_load_n(&cycles, __ATOMIC_RELAXED) < wanted : stress_more();
}

weir_task(watch, my, { weir_wg *wg; })
{
        weir_mem_stats s;

        while (more()) {
                weir_sleep(10 * WEIR_MILLISECOND);
                weir_mem_read(&s);
                __atomic_store_n(&cycles, s.gc_cycles, __ATOMIC_RELAXED);
        }
        weir_wg_done(my->wg);
}

weir_task(mutate, my, { uint64_t seed; weir_chan *pass; weir_wg *wg; })
{
        uint64_t s = my->seed;

        while (more()) {
                unsigned a = (unsigned)((s = mix(s + 1)) % SLOTS), b = (unsigned)(mix(s) % SLOTS);
                node    *n, *held;

                switch (s >> 20 & 7) {
                case 0:                         /* a fresh graph */
                case 1:
                        n = grow(s, DEPTH);
                        weir_mutex_lock(&slot[a].lock);
                        slot[a].root = n;
                        weir_mutex_unlock(&slot[a].lock);
                        break;
                case 2:                         /* from one place to another: never in both */
                        weir_mutex_lock(&slot[a].lock);
                        n = slot[a].root;
                        slot[a].root = NULL;
                        weir_mutex_unlock(&slot[a].lock);
                        weir_yield();
                        look(n);
                        weir_mutex_lock(&slot[b].lock);
                        slot[b].root = n;
                        weir_mutex_unlock(&slot[b].lock);
                        break;
                case 3:                         /* a part of one becomes a part of another */
                        weir_mutex_lock(&slot[a].lock);
                        held = slot[a].root ? slot[a].root->left : NULL;
                        if (slot[a].root)
                                weir_set(slot[a].root->left, NULL);
                        weir_mutex_unlock(&slot[a].lock);
                        n = grow(s, 1);
                        weir_set(n->right, held);
                        held = NULL;
                        look(n);
                        weir_mutex_lock(&slot[b].lock);
                        slot[b].root = n;
                        weir_mutex_unlock(&slot[b].lock);
                        break;
                case 4:                         /* held by a channel alone */
                        n = grow(s, 3);
                        if (weir_chan_try_send(my->pass, &n, sizeof n))
                                break;
                        if (weir_chan_len(my->pass) && weir_recv(my->pass, &n))
                                look(n);
                        break;
                case 5:                         /* by a block of malloc alone */
                {
                        node **block = malloc(3 * sizeof *block);
                        bool   seen = WEIR_PATIENCE == 1;       /* not a sanitizer's malloc */

                        n = grow(s, 3);
                        block[1] = n;
                        if (seen)
                                n = NULL;
                        weir_yield();
                        look(block[1]);
                        weir_keep_alive(n);
                        free(block);
                        break;
                }
                default:
                        weir_mutex_lock(&slot[a].lock);
                        look(slot[a].root);
                        weir_mutex_unlock(&slot[a].lock);
                }
        }
        weir_wg_done(my->wg);
}

__attribute__((constructor)) static void collect_anyway(void)
{
        setenv("WEIR_DEBUG", "gcforeign=1", 0);
}

WEIR_MAIN(argc, argv)
{
        weir_wg        wg = { 0 };
        weir_chan     *pass = weir_chan_make(node *, 8);
        weir_mem_stats s;

        stress_begin(argc, argv);
        if (getenv("WEIR_GC_CYCLES")) {
                wanted = strtoull(getenv("WEIR_GC_CYCLES"), NULL, 10);
                weir_gc_percent(1);
                weir_wg_add(&wg, 1);
                weir_go(watch, .wg = &wg);
        }
        weir_wg_add(&wg, GOROUTINES);
        for (uint64_t i = 0; i < GOROUTINES; i++)
                weir_go(mutate, .seed = stress_rand(&stress_state), .pass = pass, .wg = &wg);
        weir_wg_wait(&wg);
        weir_mem_read(&s);
        printf("%llu collections, longest stop %llu us\n", (unsigned long long)s.gc_cycles,
               (unsigned long long)s.gc_pause_max_ns / 1000);
        return 0;
}
