/* The concurrent map (src/data/cmap.c): a reader finds whole entries, and always what stays, while
 * tables are replaced; an iteration meets no key twice. */
#include "base/debug.h"
#include "fake.h"
/* For its mutexes, whose halves are written apart. */
#include "../../src/data/cmap.c"

enum { KEYS = 8 };

static weir_cmap *m;
static uint64_t   key[KEYS];    /* of one part of the map */

/* ---- what the map uses of others ---- */

uint32_t weir__gc_wanted;

void weir__gc_poll(void)
{
}

uint64_t weir__map_random(void)
{
        return 12345;
}

static uint64_t hash_no(const void *k, size_t n, uint64_t seed)
{
        (void)k;
        (void)n;
        return seed;
}

static bool equal_no(const void *a, const void *b, size_t n)
{
        (void)a;
        (void)b;
        (void)n;
        return false;
}

/* Known by their names alone: keys of 8 bytes are words. */
const weir_hasher weir_hash_bytes = { weir_hash, equal_no };
const weir_hasher weir_hash_cstr = { hash_no, equal_no };

uint64_t weir_hash(const void *p, size_t n, uint64_t seed)
{
        return hash_no(p, n, seed);
}

void weir_panic(const char *fmt, ...)
{
        model_fail("panic: %s", fmt);
}

/* ---- the scenarios ---- */

static void find_keys(void)
{
        uint64_t k = 0;

        for (int n = 0; n < KEYS; k++)
                if (part_of(m, hash_of(m, &k)) == 1)
                        key[n++] = k;
}

static void make(size_t n)
{
        fake_init();
        weir__debug.membarrier = 1;
        m = weir_cmap_new(&weir_hash_bytes, 8, 8, 0, 0);
        find_keys();
        model_split(&m->parts[1].lock);
        for (size_t i = 0; i < n; i++)
                weir_cmap_put(m, &key[i], &(uint64_t){ i + 1 });
}

static void make_empty(void)
{
        make(0);
}

/* One more and the table is replaced. */
static void make_full(void)
{
        make(5);
}

static void put_0(void)
{
        weir_cmap_put(m, &key[0], &(uint64_t){ 1 });
}

static void get_0(void)
{
        uint64_t v = 0;

        if (weir_cmap_get(m, &key[0], &v))
                must(v == 1);
}

static void put_5(void)
{
        weir_cmap_put(m, &key[5], &(uint64_t){ 6 });
}

static void get_3(void)
{
        uint64_t v = 0;

        must(weir_cmap_get(m, &key[3], &v) && v == 4);
}

static void come_and_go(void)
{
        weir_cmap_del(m, &key[1]);
        weir_cmap_put(m, &key[6], &(uint64_t){ 7 });
        weir_cmap_put(m, &key[1], &(uint64_t){ 2 });
}

static void walk_all(void)
{
        weir_cmap_iter it = { .map = m };
        unsigned       met = 0;
        uint64_t       k, v;

        while (weir_cmap_next(&it, &k, &v)) {
                must(v >= 1 && v <= KEYS && key[v - 1] == k);
                must(!(met >> v & 1));
                met |= 1u << v;
        }
        must(met >> 1 & met >> 3 & met >> 4 & 1);
}

static bool one_more(void *val, bool there, void *arg)
{
        (void)there;
        (void)arg;
        ++*(uint64_t *)val;
        return true;
}

static void add(void)
{
        weir_cmap_update(m, &key[0], one_more, NULL);
}

static void added(void)
{
        uint64_t v = 0;

        must(weir_cmap_get(m, &key[0], &v) && v == 2 && weir_cmap_len(m) == 1);
}

static void here_or_there(void)
{
        uint64_t v = 0;
        bool     there = weir_cmap_get_or_put(m, &key[0], &(uint64_t){ 1 }, &v);

        must(v == 1);
        (void)there;
}

int main(int argc, char **argv)
{
        static const struct scenario all[] = {
                { .name = "cmap/put and get", .setup = make_empty, .bound = 4,
                  .thread = { put_0, get_0, get_0 },
                  .mutants = {
                          { "fill_slot:store_release(&s->entry)", MUTATE_RELAX },
                          { "find:load_acquire(&s->entry)", MUTATE_RELAX } } },
                { .name = "cmap/replaced", .setup = make_full, .bound = 4,
                  .thread = { put_5, get_3 },
                  .mutants = {
                          { "replace_table:store_release(&m->tables[part])", MUTATE_RELAX },
                          { "table_of:load_acquire(&m->tables[part])", MUTATE_RELAX },
                          { "fill_slot:store_release(&s->entry)", MUTATE_SKIP } } },
                { .name = "cmap/walk", .setup = make_full, .bound = 3,
                  .thread = { come_and_go, walk_all },
                  .mutants = {
                          { "weir_cmap_next:load_acquire(&t->slot[it->at_++].entry)",
                            MUTATE_RELAX } } },
                { .name = "cmap/update", .setup = make_empty, .finish = added, .bound = 3,
                  .thread = { add, add } },
                { .name = "cmap/first", .setup = make_empty, .bound = 3,
                  .thread = { here_or_there, here_or_there } },
        };

        return model_main(argc, argv, all, COUNT(all));
}
