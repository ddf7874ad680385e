/* Figures on how data lies in memory and is worked on.
 *
 *      build/bench/figures/data [NAME...]      index reverse sharing ring headers structs multiply
 *                                              lookup; all
 *      WEIR_DEBUG=cpu.avx512=off build/bench/figures/data index        with AVX2, and so on
 *
 * index     bytes per cycle of weir_bytes_index over 4 KiB, and cycles until a match in the first
 *           16 bytes; cycles are those of the time stamp counter
 * reverse   bytes per cycle of weir_bytes_reverse over 4 KiB, and times a loop over bytes
 * sharing   two goroutines that count: in one cache line, in lines of their own (weir_padded), in
 *           maps of their own that were made one after the other
 * ring      a ring between two goroutines: the ends in one line, in lines of their own
 * headers   a million packet headers of 256 bytes, whose three fields in use lie in three lines, or
 *           in one
 * structs   bytes of ten million objects of a struct in the order of BadLayout and of GoodLayout
 * multiply  the high half of 64 x 64 bits by the processor and by four multiplications of 32 bits:
 *           one, and as part of a hash
 * lookup    hits in a map one by one, and weir_map_at_many, at three sizes */
#include <weir.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include <x86intrin.h>
#define cycles() __rdtsc()
#else
#define cycles() ((uint64_t)weir_now())         /* nanoseconds are as good as any counter's ticks */
#endif

#define hide(x) __asm__ volatile("" : "+r"(x) : : "memory")

enum { ROUNDS = 7 };

static double least(double (*fn)(void *arg), void *arg)
{
        double best = fn(arg);

        for (int i = 1; i < ROUNDS; i++) {
                double d = fn(arg);

                best = d < best ? d : best;
        }
        return best;
}

/* ---- index, reverse ---- */

enum { BLOCK = 4096, TIMES = 20000 };

static char block[BLOCK + 64] __attribute__((aligned(4096)));

static double index_all(void *arg)
{
        char    *s = block;
        uint64_t start = cycles();

        (void)arg;
        for (int i = 0; i < TIMES; i++) {
                hide(s);
                if (weir_bytes_index(s, BLOCK, 'Z') >= 0)
                        abort();
        }
        return (double)(cycles() - start) / TIMES;
}

/* Each search begins where the one before has ended, so that its answer is waited for. */
static double index_first(void *arg)
{
        ptrdiff_t at = 0;
        uint64_t  start = cycles();

        (void)arg;
        block[7] = 'Z';
        for (int i = 0; i < TIMES; i++) {
                char *s = block + (at & 1) - (at == 7);

                hide(s);
                at = weir_bytes_index(s + 1, BLOCK - 1, 'Z') + 1;
        }
        start = cycles() - start;
        block[7] = 'a';
        return (double)start / TIMES;
}

static double reverse_all(void *arg)
{
        char    *s = block;
        uint64_t start = cycles();

        (void)arg;
        for (int i = 0; i < TIMES; i++) {
                hide(s);
                weir_bytes_reverse(s, BLOCK);
        }
        return (double)(cycles() - start) / TIMES;
}

static double reverse_plainly(void *arg)
{
        char    *s = block;
        uint64_t start = cycles();

        (void)arg;
        for (int i = 0; i < TIMES / 10; i++) {
                hide(s);
                for (size_t k = 0; k < BLOCK / 2; k++) {
                        char c = s[k];

                        s[k] = s[BLOCK - 1 - k];
                        s[BLOCK - 1 - k] = c;
                        __asm__ volatile("");           /* not by vectors */
                }
        }
        return (double)(cycles() - start) / (TIMES / 10);
}

static void figure_index(void)
{
        memset(block, 'a', sizeof block);
        printf("index: %.1f bytes per cycle over 4 KiB", BLOCK / least(index_all, NULL));
        printf(", %.1f cycles for a call that finds the 6th byte\n", least(index_first, NULL));
}

static void figure_reverse(void)
{
        double fast = least(reverse_all, NULL), slow = least(reverse_plainly, NULL);

        printf("reverse: %.1f bytes per cycle over 4 KiB, %.1f times a loop over bytes\n",
               BLOCK / fast, slow / fast);
}

/* ---- two goroutines ---- */

enum { COUNTS = 20000000 };

weir_task(counter, my, { volatile uint64_t *at; weir_wg *wg; })
{
        for (int i = 0; i < COUNTS; i++)
                ++*my->at;
        weir_wg_done(my->wg);
}

weir_task(map_counter, my, { weir_map *m; weir_wg *wg; })
{
        for (uint64_t i = 0; i < COUNTS / 10; i++) {
                uint64_t k = i % 8;

                ++*(uint64_t *)weir_map_slot(my->m, &k, NULL);
        }
        weir_wg_done(my->wg);
}

static double two_count(void *arg)
{
        volatile uint64_t **at = arg;
        weir_wg             wg = { 0 };
        weir_time           start = weir_now();

        weir_wg_add(&wg, 2);
        weir_go(counter, .at = at[0], .wg = &wg);
        weir_go(counter, .at = at[1], .wg = &wg);
        weir_wg_wait(&wg);
        return (double)(weir_now() - start) / COUNTS;
}

static double maps_count(void *arg)
{
        weir_map **m = arg;
        weir_wg    wg = { 0 };
        weir_time  start = weir_now();

        weir_wg_add(&wg, m[1] ? 2 : 1);
        weir_go(map_counter, .m = m[0], .wg = &wg);
        if (m[1])
                weir_go(map_counter, .m = m[1], .wg = &wg);
        weir_wg_wait(&wg);
        return (double)(weir_now() - start) / (COUNTS / 10);
}

static void figure_sharing(void)
{
        static struct {
                volatile uint64_t a, b;
        } near __attribute__((aligned(WEIR_CACHE_LINE)));
        static struct {
                _Alignas(2 * WEIR_CACHE_LINE) volatile uint64_t a;
                _Alignas(2 * WEIR_CACHE_LINE) volatile uint64_t b;
        } far;
        weir_map *maps[2] = { weir_map_make(uint64_t, uint64_t, 8),
                              weir_map_make(uint64_t, uint64_t, 8) };
        double    one, two;

        one = least(two_count, (volatile uint64_t *[2]){ &near.a, &near.b });
        two = least(two_count, (volatile uint64_t *[2]){ &far.a, &far.b });
        printf("sharing: %.2f ns per count in one line, %.2f in two: %.1f times\n", one, two,
               one / two);
        one = least(maps_count, (weir_map *[2]){ maps[0], NULL });
        two = least(maps_count, maps);
        printf("sharing: %.2f ns per change of a map alone, %.2f beside another's: %.2f times; "
               "the maps are %td bytes apart\n", one, two, two / one,
               (char *)maps[1] - (char *)maps[0]);
}

/* ---- a ring ---- */

enum { RING = 256, PASSED = 5000000 };

struct ring {
        uint64_t *head, *tail;          /* atomic: the reader's, the writer's */
        uint64_t  slot[RING];
};

weir_task(writer, my, { struct ring *r; weir_wg *wg; })
{
        for (uint64_t i = 0; i < PASSED; i++) {
                while (i - __atomic_load_n(my->r->head, __ATOMIC_ACQUIRE) == RING)
                        ;
                my->r->slot[i % RING] = i;
                __atomic_store_n(my->r->tail, i + 1, __ATOMIC_RELEASE);
        }
        weir_wg_done(my->wg);
}

static double pass(void *arg)
{
        struct ring *r = arg;
        weir_wg      wg = { 0 };
        weir_time    start = weir_now();

        *r->head = *r->tail = 0;
        weir_wg_add(&wg, 1);
        weir_go(writer, .r = r, .wg = &wg);
        for (uint64_t i = 0; i < PASSED; i++) {
                while (__atomic_load_n(r->tail, __ATOMIC_ACQUIRE) == i)
                        ;
                if (r->slot[i % RING] != i)
                        abort();
                __atomic_store_n(r->head, i + 1, __ATOMIC_RELEASE);
        }
        weir_wg_wait(&wg);
        return (double)(weir_now() - start) / PASSED;
}

static void figure_ring(void)
{
        static struct {
                uint64_t head, tail;
        } near __attribute__((aligned(2 * WEIR_CACHE_LINE)));
        static struct {
                _Alignas(2 * WEIR_CACHE_LINE) uint64_t head;
                _Alignas(2 * WEIR_CACHE_LINE) uint64_t tail;
        } far;
        static struct ring a = { .head = &near.head, .tail = &near.tail };
        static struct ring b = { .head = &far.head, .tail = &far.tail };
        double             one, two;

        _Static_assert(offsetof(__typeof__(far), tail) >= WEIR_CACHE_LINE, "in two lines");
        one = least(pass, &a);
        two = least(pass, &b);
        printf("ring: %.1f ns per element with its ends in one line, %.1f in two: %.2f times\n",
               one, two, one / two);
}

/* ---- headers ---- */

enum { PACKETS = 1000000 };

struct scattered {
        uint8_t  flags, rest_1[99];
        uint32_t number;
        uint8_t  rest_2[100];
        uint16_t len;
        uint8_t  rest_3[46];
};

struct packed {
        uint32_t number;
        uint16_t len;
        uint8_t  flags, rest[249];
} __attribute__((aligned(64)));

#define PARSE(NAME)                                                                     \
        static double NAME##_parse(void *arg)                                           \
        {                                                                               \
                struct NAME *p = arg;                                                   \
                uint64_t     sum = 0, at = 0;                                           \
                weir_time    start = weir_now();                                        \
                                                                                        \
                for (int i = 0; i < PACKETS; i++) {                                     \
                        at = (at + 611953) % PACKETS;                                   \
                        if (p[at].flags & 1)                                            \
                                sum += p[at].number + p[at].len;                        \
                }                                                                       \
                hide(sum);                                                              \
                return (double)(weir_now() - start) / PACKETS;                          \
        }
PARSE(scattered)
PARSE(packed)

static void figure_headers(void)
{
        struct scattered *s = aligned_alloc(64, PACKETS * sizeof *s);
        struct packed    *p = aligned_alloc(64, PACKETS * sizeof *p);
        double            one, two;

        if (!s || !p)
                exit(1);
        memset(s, 1, PACKETS * sizeof *s);
        memset(p, 1, PACKETS * sizeof *p);
        one = least(scattered_parse, s);
        two = least(packed_parse, p);
        printf("headers: %.1f ns per packet in three lines, %.1f in one: %.2f times\n", one, two,
               one / two);
        free(s);
        free(p);
}

/* ---- structs ---- */

struct bad { char a; double b; int c; };
struct good { double b; int c; char a; };

static size_t grown(size_t size)
{
        enum { OBJECTS = 10000000 };
        weir_mem_stats before, after;
        void         **all = weir_new_bytes(OBJECTS * sizeof *all);

        weir_mem_read(&before);
        for (int i = 0; i < OBJECTS; i++)
                all[i] = weir_new_bytes(size);
        weir_mem_read(&after);
        hide(all);
        return after.heap_in_use - before.heap_in_use;
}

static void figure_structs(void)
{
        size_t one = grown(sizeof(struct bad)), two = grown(sizeof(struct good));

        printf("structs: %zu and %zu bytes; ten million take %.1f and %.1f MB: %.0f %%\n",
               sizeof(struct bad), sizeof(struct good), (double)one / 1e6, (double)two / 1e6,
               100.0 * ((double)two - (double)one) / (double)one);
}

/* ---- multiply ---- */

static inline uint64_t high_wide(uint64_t a, uint64_t b)
{
        __extension__ typedef unsigned __int128 wide;

        return (uint64_t)((wide)a * b >> 64);
}

static inline uint64_t high_narrow(uint64_t a, uint64_t b)
{
        uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
        uint64_t p00 = a0 * b0, p01, p10;

        p01 = a0 * b1;
        p10 = a1 * b0;
        hide(p01);                      /* or the compiler sees what this is */
        p00 = (p00 >> 32) + (uint32_t)p01 + (uint32_t)p10;
        return a1 * b1 + (p01 >> 32) + (p10 >> 32) + (p00 >> 32);
}

#define MULTIPLY(NAME)                                                                  \
        static double NAME##_chain(void *arg)                                           \
        {                                                                               \
                uint64_t x = UINT64_C(0x9e3779b97f4a7c15), start = cycles();            \
                                                                                        \
                (void)arg;                                                              \
                for (int i = 0; i < 1000000; i++)                                       \
                        x = NAME(x, UINT64_C(0xe7037ed1a0b428db)) ^ (x << 1 | 1);       \
                hide(x);                                                                \
                return (double)(cycles() - start) / 1000000;                            \
        }                                                                               \
        static double NAME##_hash(void *arg)                                            \
        {                                                                               \
                uint64_t h = 1, start = cycles();                                       \
                                                                                        \
                (void)arg;                                                              \
                for (int t = 0; t < 200; t++)                                           \
                        for (int i = 0; i < BLOCK; i += 16) {                           \
                                uint64_t a, b;                                          \
                                                                                        \
                                memcpy(&a, block + i, 8);                               \
                                memcpy(&b, block + i + 8, 8);                           \
                                a ^= UINT64_C(0xe7037ed1a0b428db);                      \
                                b ^= h;                                                 \
                                h = NAME(a, b) ^ a * b;                                 \
                        }                                                               \
                hide(h);                                                                \
                return (double)(cycles() - start) / 200 / BLOCK;                        \
        }
MULTIPLY(high_wide)
MULTIPLY(high_narrow)

static void figure_multiply(void)
{
        double one = least(high_wide_chain, NULL), two = least(high_narrow_chain, NULL);
        double fast = least(high_wide_hash, NULL), slow = least(high_narrow_hash, NULL);

        for (uint64_t i = 0, x = 1; i < 1000; i++, x = x * UINT64_C(0x9e3779b97f4a7c15) + i)
                if (high_wide(x, ~x * 3) != high_narrow(x, ~x * 3))
                        abort();
        printf("multiply: %.1f cycles by the processor, %.1f by parts; a hash by it goes at %.2f "
               "and %.2f cycles per byte: %.0f %% of the throughput\n", one, two, fast, slow,
               100 * fast / slow);
}

/* ---- lookup ---- */

struct lookup {
        weir_map *m;
        uint64_t  n;
};

static uint64_t key_of(uint64_t i)
{
        i *= UINT64_C(0x9e3779b97f4a7c15);
        return i ^ i >> 32;
}

enum { LOOKUPS = 1 << 20, AT_ONCE = 256 };

static double look_singly(void *arg)
{
        struct lookup *l = arg;
        uint64_t       sum = 0, v = 0;
        weir_time      start = weir_now();

        for (uint64_t i = 0; i < LOOKUPS; i++) {
                uint64_t k = key_of(i * 7919 % l->n);

                sum += weir_map_get(l->m, &k, &v) ? v : 0;
        }
        hide(sum);
        return (double)(weir_now() - start) / LOOKUPS;
}

static double look_at_once(void *arg)
{
        struct lookup *l = arg;
        uint64_t       sum = 0, k[AT_ONCE];
        void          *at[AT_ONCE];
        weir_time      start = weir_now();

        for (uint64_t i = 0; i < LOOKUPS; i += AT_ONCE) {
                for (uint64_t j = 0; j < AT_ONCE; j++)
                        k[j] = key_of((i + j) * 7919 % l->n);
                weir_map_at_many(l->m, k, AT_ONCE, at);
                for (uint64_t j = 0; j < AT_ONCE; j++)
                        sum += *(uint64_t *)at[j];
        }
        hide(sum);
        return (double)(weir_now() - start) / LOOKUPS;
}

static void figure_lookup(void)
{
        for (uint64_t n = 1000; n <= 10000000; n *= n < 1000000 ? 1000 : 10) {
                struct lookup l = { weir_map_make(uint64_t, uint64_t, n), n };
                double        one, many;

                for (uint64_t i = 0; i < n; i++) {
                        uint64_t k = key_of(i);

                        weir_map_put(l.m, &k, &i);
                }
                one = least(look_singly, &l);
                many = least(look_at_once, &l);
                printf("lookup: %llu entries: %.1f ns singly, %.1f many at once: %.1f times\n",
                       (unsigned long long)n, one, many, one / many);
                weir_map_clear(l.m);
        }
}

WEIR_MAIN(argc, argv)
{
        static const struct {
                const char *name;
                void      (*fn)(void);
        } all[] = {
                { "index", figure_index },       { "reverse", figure_reverse },
                { "sharing", figure_sharing },   { "ring", figure_ring },
                { "headers", figure_headers },   { "structs", figure_structs },
                { "multiply", figure_multiply }, { "lookup", figure_lookup },
        };

        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
                for (int k = argc > 1; k < argc; k++)
                        if (!k || strcmp(argv[k], all[i].name) == 0)
                                all[i].fn();
        return 0;
}
