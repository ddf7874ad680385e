/* What bench/gc.c measures of binary trees and requests, with the collector of Boehm, Demers and
 * Weiser (libgc), one marker and one program thread as there are two cores. Not linked with weir.
 *
 *      build/bench/peers/gc_boehm [binary_trees|requests]
 *
 * Prints ns per op as bench/gc.c does; of requests besides the longest but one in a thousand, and
 * the longest collection. */
#define _GNU_SOURCE
#include <gc/gc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEPTH = 20, LEAST = 4, LIVE_DEPTH = 24, REQUEST = 1 << 20, REQUESTS = 2000 };

typedef struct node {
        struct node *left, *right;
} node;

typedef struct item {
        struct item *left, *right;
        uint64_t     value[6];
} item;

static int64_t now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static node *bottom_up(int depth)
{
        node *n = GC_MALLOC(sizeof *n);

        if (depth > 0) {
                n->left = bottom_up(depth - 1);
                n->right = bottom_up(depth - 1);
        }
        return n;
}

static int64_t count(const node *n)
{
        return n->left ? 1 + count(n->left) + count(n->right) : 1;
}

static void binary_trees(void)
{
        int64_t begin = now();
        node   *lasting;

        if (count(bottom_up(DEPTH + 1)) != (2 << (DEPTH + 1)) - 1)
                abort();
        lasting = bottom_up(DEPTH);
        for (int depth = LEAST; depth <= DEPTH; depth += 2)
                for (int64_t k = 0; k < INT64_C(1) << (DEPTH - depth + LEAST); k++)
                        if (count(bottom_up(depth)) != (2 << depth) - 1)
                                abort();
        if (count(lasting) != (2 << DEPTH) - 1)
                abort();
        printf("binary_trees_20 %lld ns/op %lld heap-bytes\n", (long long)(now() - begin),
               (long long)GC_get_heap_size());
}

static item *item_tree(int depth)
{
        item *n = GC_MALLOC(sizeof *n);

        if (depth > 0) {
                n->left = item_tree(depth - 1);
                n->right = item_tree(depth - 1);
        }
        return n;
}

static item   *live;
static int64_t stop_begin, stop_max, took[REQUESTS];

static void on_event(GC_EventType e)
{
        if (e == GC_EVENT_PRE_STOP_WORLD)
                stop_begin = now();
        else if (e == GC_EVENT_POST_START_WORLD && now() - stop_begin > stop_max)
                stop_max = now() - stop_begin;
}

static uint64_t request(uint64_t seed)
{
        item    *list = NULL;
        uint64_t sum = 0;

        for (size_t i = 0; i < REQUEST / sizeof *list; i++) {
                item *n = GC_MALLOC(sizeof *n);

                n->left = list;
                n->value[0] = i;
                list = n;
        }
        for (const item *n = live; n; seed /= 2) {
                sum += n->value[0];
                n = seed & 1 ? n->left : n->right;
        }
        for (; list; list = list->left)
                sum += list->value[0];
        return sum;
}

static int compare(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return (x > y) - (x < y);
}

static void requests(void)
{
        uint64_t sum = 0;
        int64_t  begin;

        live = item_tree(LIVE_DEPTH);
        GC_gcollect();
        GC_set_free_space_divisor(20);          /* collections each 10 % of growth, about */
        GC_set_on_collection_event(on_event);
        begin = now();
        for (int i = 0; i < REQUESTS; i++) {
                int64_t one = now();

                sum += request((uint64_t)i * 2654435761u);
                took[i] = now() - one;
        }
        begin = now() - begin;
        qsort(took, REQUESTS, sizeof *took, compare);
        if (!sum)
                abort();
        printf("requests_2g %lld ns/op %lld p999-ns %lld stop-max-ns\n", (long long)(begin / REQUESTS),
               (long long)took[REQUESTS * 999 / 1000], (long long)stop_max);
}

int main(int argc, char **argv)
{
        GC_INIT();
        if (argc < 2 || !strcmp(argv[1], "binary_trees"))
                binary_trees();
        if (argc < 2 || !strcmp(argv[1], "requests"))
                requests();
        return 0;
}
