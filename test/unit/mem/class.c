/* The table of size classes. */
#include "check.h"
#include "mem/heap.h"

PLAIN_TEST_WITH(every_small_size_gets_the_smallest_class_that_holds_it, .timeout = 60)
{
        ck_assert(weir__mem_start());
        for (size_t size = 0; size <= SMALL_MAX; size++) {
                unsigned i = class_of_size(size);

                ck_assert_uint_ge(i, 1);
                ck_assert_uint_lt(i, CLASSES);
                ck_assert_uint_ge(weir__class[i].size, size);
                if (i > 1)
                        ck_assert_uint_lt(weir__class[i - 1].size, size);
        }
}

PLAIN_TEST(twenty_seven_bytes_take_thirty_two)
{
        ck_assert(weir__mem_start());
        ck_assert_uint_eq(weir__class[class_of_size(27)].size, 32);
        ck_assert_uint_eq(weir__class[class_of_size(24)].size, 32);
        ck_assert_uint_eq(weir__class[class_of_size(128)].size, 128);
        ck_assert_uint_eq(weir__class[class_of_size(257)].size, 288);
        ck_assert_uint_eq(weir__class[1].size, 8);
}

PLAIN_TEST(every_class_but_eight_is_a_multiple_of_sixteen)
{
        for (unsigned i = 2; i < CLASSES; i++)
                ck_assert_uint_eq(weir__class[i].size % 16, 0);
}

PLAIN_TEST(every_power_of_two_is_a_class)
{
        ck_assert(weir__mem_start());
        for (size_t size = 8; size <= SMALL_MAX; size *= 2)
                ck_assert_uint_eq(weir__class[class_of_size(size)].size, size);
}

PLAIN_TEST(the_span_header_takes_no_room_from_the_objects)
{
        for (unsigned i = 1; i < CLASSES; i++)
                ck_assert_uint_eq(weir__class[i].objects,
                                  weir__class[i].pages * PAGE_SIZE / weir__class[i].size);
        ck_assert_uint_eq(weir__class[CLASS_16].objects, 512);
        ck_assert_uint_eq(weir__class[CLASS_128].objects, 64);
}

PLAIN_TEST_WITH(above_one_kibibyte_at_most_an_eighth_is_wasted, .timeout = 60)
{
        ck_assert(weir__mem_start());
        for (size_t size = FINE_MAX + 1; size <= 4 * SMALL_MAX; size++) {
                size_t used = size, taken = ALIGN_UP(size, (size_t)PAGE_SIZE);

                if (size <= SMALL_MAX) {
                        const struct class *c = &weir__class[class_of_size(size)];

                        used = size * c->objects;
                        taken = (size_t)c->pages * PAGE_SIZE;
                }
                ck_assert_uint_le((taken - used) * 8, taken);
        }
}

PLAIN_TEST_WITH(the_magic_number_divides, .timeout = 60)
{
        for (unsigned i = 1; i < CLASSES; i++) {
                struct span s = { .start = 0, .magic = weir__class[i].magic };

                for (uintptr_t at = 0; at < (uintptr_t)weir__class[i].pages * PAGE_SIZE; at += 7)
                        ck_assert_uint_eq(span_index(&s, at), at / weir__class[i].size);
        }
}
