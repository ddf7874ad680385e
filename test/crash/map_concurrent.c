/* Two goroutines change a map at a time: the second is told. */
#include <weir.h>
#include <string.h>

static weir_map  *map;
static weir_chan *inside, *never;

/* Stays in the middle of the first change. */
static uint64_t hash(const void *k, size_t n, uint64_t seed)
{
        int v = 1;

        weir_send(inside, &v);
        weir_recv(never, &v);
        return weir_hash(k, n, seed);
}

static bool equal(const void *a, const void *b, size_t n)
{
        return !memcmp(a, b, n);
}

static const weir_hasher hasher = { hash, equal };

weir_task(writer, my, { int key; })
{
        weir_map_put(map, &my->key, &my->key);
}

WEIR_MAIN(argc, argv)
{
        int v = 2;

        inside = weir_chan_make(int, 0);
        never = weir_chan_make(int, 0);
        map = weir_map_new(&hasher, sizeof(int), sizeof(int), 0);
        weir_go(writer, .key = 1);
        weir_recv(inside, &v);
        weir_map_put(map, &v, &v);
        return 0;
}
