/* A ring between two threads, one that puts and one that takes, by where the two sides keep their
 * indices: next to each other in a line, or each in lines of its own.
 *
 *      build/bench/figures/ring [MILLIONS]             20
 *
 * Each side looks at the other's index only when by the copy that it keeps there is nothing to do,
 * so that the line of its own index is its alone, if nothing else is in it. Who finds nothing to do
 * looks away for a microsecond, or the two would meet at each element. Prints ns per element, the
 * median of some runs that take turns, and the ratio. */
#include <weir.h>
#include <pthread.h>
#include <stdlib.h>

enum { SIZE = 1024, RUNS = 7 };

struct side {
        uint64_t at;                    /* this side's index */
        uint64_t other;                 /* what the other one's was */
};
struct packed {
        struct side put, take;
};
struct apart {
        weir_padded_to(struct side, WEIR_CACHE_PAIR) put, take;
};
_Static_assert(offsetof(struct apart, take) - offsetof(struct apart, put) >= WEIR_CACHE_LINE,
               "the indices are in lines of their own");

static __attribute__((aligned(WEIR_CACHE_PAIR))) struct packed packed;
static struct apart apart;
static struct side *volatile putter, *volatile taker;
static uint64_t     slots[SIZE], many;

static void look_away(void)
{
        for (volatile int i = 0; i < 500; i++)
                ;
}

static void *put(void *arg)
{
        struct side *my = putter, *other = taker;

        for (uint64_t i = 0; i < many; i++) {
                while (i - *(volatile uint64_t *)&my->other >= SIZE) {
                        my->other = __atomic_load_n(&other->at, __ATOMIC_ACQUIRE);
                        if (i - my->other >= SIZE)
                                look_away();
                }
                slots[i % SIZE] = i;
                __atomic_store_n(&my->at, i + 1, __ATOMIC_RELEASE);
        }
        return arg;
}

static double run(struct side *put_side, struct side *take_side)
{
        struct side *my = taker = take_side, *other = putter = put_side;
        pthread_t    t;
        weir_time    start;
        uint64_t     got = 0;

        *my = *other = (struct side){ 0 };
        start = weir_now();
        if (pthread_create(&t, NULL, put, NULL))
                abort();
        for (uint64_t i = 0; i < many; i++) {
                while (*(volatile uint64_t *)&my->other == i) {
                        my->other = __atomic_load_n(&other->at, __ATOMIC_ACQUIRE);
                        if (my->other == i)
                                look_away();
                }
                got += slots[i % SIZE];
                __atomic_store_n(&my->at, i + 1, __ATOMIC_RELEASE);
        }
        pthread_join(t, NULL);
        if (got != many * (many - 1) / 2)
                abort();
        return (double)(weir_now() - start) / (double)many;
}

static int by_value(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
        double one[RUNS], two[RUNS];

        many = (argc > 1 ? strtoull(argv[1], NULL, 10) : 20) * 1000000;
        for (int i = 0; i < RUNS; i++) {
                one[i] = run(&packed.put, &packed.take);
                two[i] = run(&apart.put.value, &apart.take.value);
        }
        qsort(one, RUNS, sizeof *one, by_value);
        qsort(two, RUNS, sizeof *two, by_value);
        printf("side by side    %6.2f ns per element\n", one[RUNS / 2]);
        printf("lines apart     %6.2f ns per element\n", two[RUNS / 2]);
        printf("ratio           %6.2f\n", one[RUNS / 2] / two[RUNS / 2]);
        return 0;
}
