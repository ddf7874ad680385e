/* run: WEIR_DEBUG=tiny=1 */
/* Dumps that find more goroutines than there is room for, `tiny` makes the room one for eight; and
 * files with less room than the dump. */
#include "check.h"
#include <stdlib.h>
#include <string.h>

enum { MANY = 100, IDS_MAX = 1000 };

struct ids {
        uint64_t id[MANY];
        int      n;
};

weir_task(wait_on, my, { weir_chan *c; struct ids *ids; })
{
        my->ids->id[my->ids->n++] = weir_go_id();
        weir_chan_recv(my->c, NULL, 0);
}

/* How often each number is the head of a goroutine, by itself or in a group. */
static void count_heads(char *text, unsigned *ret)
{
        char *line;

        while ((line = strsep(&text, "\n"))) {
                unsigned long long id;
                char               state;
                char              *at = strstr(line, "]:");

                /* Not who held its processor: "goroutine 1 computed for 12345 us". */
                if (sscanf(line, "goroutine %llu [%c", &id, &state) == 2) {
                        ck_assert_uint_lt(id, IDS_MAX);
                        ret[id]++;
                } else if (at && strstr(line, " goroutines [")) {
                        for (at += 2; (id = strtoull(at, &at, 10)); ) {
                                ck_assert_uint_lt(id, IDS_MAX);
                                ret[id]++;
                        }
                }
        }
}

/* Stacks that were made between the count and the look once took the room of older ones, the root
 * goroutine's first of all. */
WEIR_TEST_WITH(who_finds_no_room_is_in_the_dump_all_the_same, .procs = 1)
{
        static unsigned   seen[IDS_MAX];
        weir_go_options   larger = { .stack_size = 512 * 1024 };
        struct ids        ids = { .n = 0 };
        weir_chan        *c = weir_chan_make(int, 0);
        char             *text = NULL;
        size_t            n = 0;
        FILE             *f;

        for (int i = 0; i < MANY; i++)
                weir_go_with(i % 3 ? NULL : &larger, wait_on, .c = c, .ids = &ids);
        while (ids.n < MANY)
                weir_yield();
        f = open_memstream(&text, &n);
        weir_dump(f);
        fclose(f);
        count_heads(text, seen);
        ck_assert_uint_eq(seen[1], 1);
        for (int i = 0; i < MANY; i++)
                ck_assert_msg(seen[ids.id[i]] == 1, "%llu is there %u times",
                              (unsigned long long)ids.id[i], seen[ids.id[i]]);
        free(text);
        weir_chan_close(c);
}

WEIR_TEST_WITH(a_dump_into_a_small_buffer_is_cut_and_nothing_else, .procs = 1)
{
        struct ids ids = { .n = 0 };
        weir_chan *c = weir_chan_make(int, 0);
        char       small[1024 + 64], name[16];
        FILE      *f;

        for (int i = 0; i < MANY; i++) {        /* of different names, so that each is printed */
                snprintf(name, sizeof name, "waiter %d", i);
                weir_go_with(&(weir_go_options){ .name = name }, wait_on, .c = c, .ids = &ids);
        }
        while (ids.n < MANY)
                weir_yield();
        memset(small, '#', sizeof small);
        f = fmemopen(small, 1024, "w");
        ck_assert_ptr_nonnull(f);
        weir_dump(f);
        fclose(f);
        ck_assert_int_eq(strncmp(small, "goroutine ", 10), 0);
        ck_assert_uint_ge(strnlen(small, sizeof small), 1000);
        for (size_t i = 1024; i < sizeof small; i++)
                ck_assert_int_eq(small[i], '#');
        weir_chan_close(c);
}
