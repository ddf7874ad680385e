/* Declared types: pointers of all shapes are found, and nothing else; declarations that make no
 * sense are refused. */
#include "unit/gc/heap.h"
#include <string.h>

typedef struct wide {
        void *f[32];
} wide;
WEIR_TYPE(wide, f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], f[10], f[11], f[12],
          f[13], f[14], f[15], f[16], f[17], f[18], f[19], f[20], f[21], f[22], f[23], f[24], f[25], f[26],
          f[27], f[28], f[29], f[30], f[31]);

typedef struct nested {
        int                  a;
        struct { node *n; int b; } inner;
        node                *many[5];
} nested;
WEIR_TYPE(nested, inner.n, many);

WEIR_TEST(fields_of_all_shapes_hold)
{
        static wide *volatile   w;
        static nested *volatile n, *volatile array;

        w = weir_new(wide);
        n = weir_new(nested);
        array = weir_new_array(nested, 3000);
        STAYS_AND_GOES(weir_set(w->f[0], show(h)), weir_set(w->f[0], NULL));
        STAYS_AND_GOES(weir_set(w->f[31], show(h)), weir_set(w->f[31], NULL));
        STAYS_AND_GOES(weir_set(n->inner.n, show(h)), weir_set(n->inner.n, NULL));
        STAYS_AND_GOES(weir_set(n->many[4], show(h)), weir_set(n->many[4], NULL));
        STAYS_AND_GOES(weir_set(array[2999].many[4], show(h)),
                       weir_set(array[2999].many[4], NULL));
        w = NULL;
        n = array = NULL;
}

static void alloc_bad(void *type)
{
        weir_gc_alloc(type, 1);
}

static void refused(const weir_type *t, const char *words)
{
        weir_panic_info info;

        ck_assert_int_eq(weir_protect(alloc_bad, (void *)(uintptr_t)t, &info), WEIR_EPANIC);
        ck_assert_msg(strstr(info.message, words) != NULL, "%s", info.message);
}

static void alloc_too_much(void *n)
{
        weir_new_array(node, *(size_t *)n);
}

WEIR_TEST(types_that_make_no_sense_are_refused)
{
        static const weir_ptrs odd[] = { { 4, 1 } }, outside[] = { { 16, 2 } },
                               over[] = { { 0, 2 }, { 8, 1 } }, none[] = { { 8, 0 } };
        weir_panic_info info;
        size_t          n = SIZE_MAX / 16;

        refused(&(weir_type){ "odd", 24, 1, odd, 0, NULL }, "not aligned");
        refused(&(weir_type){ "outside", 24, 1, outside, 0, NULL }, "outside of its 24 bytes");
        refused(&(weir_type){ "over", 24, 2, over, 0, NULL }, "overlap");
        refused(&(weir_type){ "none", 24, 1, none, 0, NULL }, "smaller than a pointer");
        ck_assert_int_eq(weir_protect(alloc_too_much, &n, &info), WEIR_EPANIC);
        ck_assert_msg(strstr(info.message, "too large") != NULL, "%s", info.message);
        ck_assert_ptr_ne(weir_new_array(node, 0), NULL);
        ck_assert_ptr_ne(weir_new_bytes(0), NULL);
}

typedef struct slot {
        node    *key;
        uint64_t number;
} slot;
WEIR_TYPE(slot, key);

typedef struct row {
        uint64_t number;
        slot     slot[20];
} row;
WEIR_TYPE_PARTS(row, WEIR_PART(row, slot, slot));

typedef struct table {
        node    *owner;
        row      row[10];
        uint32_t n;
        slot     more[];
} table;
WEIR_TYPE_PARTS(table, WEIR_PART(table, owner, weir_any_ptr), WEIR_PART(table, row, row),
                WEIR_TAIL(table, more, slot));

typedef struct vector {
        size_t n;
        node  *item[];
} vector;
WEIR_TYPE_FLEX(vector, item, weir_any_ptr);

typedef struct text {
        node    *owner;
        uint64_t word[];
} text;
typedef uint64_t word;
WEIR_TYPE_PLAIN(word);
WEIR_TYPE_FLEX_WITH(text, word, word, owner);

WEIR_TEST(parts_and_flexible_arrays_hold)
{
        static row *volatile    r;
        static table *volatile  t;
        static vector *volatile v;
        static text *volatile   x;

        r = weir_new_array(row, 100);
        STAYS_AND_GOES(weir_set(r[99].slot[19].key, show(h)),
                       weir_set(r[99].slot[19].key, NULL));
        for (size_t n = 1; n <= 10000; n *= 10) {
                t = weir_new_flex(table, n);
                STAYS_AND_GOES(weir_set(t->owner, show(h)), weir_set(t->owner, NULL));
                STAYS_AND_GOES(weir_set(t->row[9].slot[19].key, show(h)),
                               weir_set(t->row[9].slot[19].key, NULL));
                STAYS_AND_GOES(weir_set(t->more[0].key, show(h)), weir_set(t->more[0].key, NULL));
                STAYS_AND_GOES(weir_set(t->more[n - 1].key, show(h)),
                               weir_set(t->more[n - 1].key, NULL));
                v = weir_new_flex(vector, n);
                STAYS_AND_GOES(weir_set(v->item[n - 1], show(h)),
                               weir_set(v->item[n - 1], NULL));
                x = weir_new_flex(text, n);
                STAYS_AND_GOES(weir_set(x->owner, show(h)), weir_set(x->owner, NULL));
        }
        r = NULL, t = NULL, v = NULL, x = NULL;
}

/* Numbers beside the pointers, and in a tail without any, hold nothing. */
WEIR_TEST(what_is_between_parts_holds_nothing)
{
        static table *volatile t;
        static text *volatile  x;
        int                    gone = 0;

        need_death();
        t = weir_new_flex(table, 100);
        x = weir_new_flex(text, 1000);
        for (int i = 0; i < 5; i++) {
                hidden h = make_node(1);

                for (int k = 0; k < 100; k++)
                        t->more[k].number = (uint64_t)(uintptr_t)show(h);
                for (int k = 0; k < 10; k++)
                        t->row[k].number = t->row[k].slot[k].number = (uint64_t)(uintptr_t)show(h);
                for (int k = 0; k < 1000; k++)
                        x->word[k] = (uint64_t)(uintptr_t)show(h);
                collect();
                gone += !alive(h);
        }
        ck_assert_int_ge(gone, 4);
        t = NULL, x = NULL;
}

static void many_with_tail(void *arg)
{
        (void)arg;
        (void)weir_new_array(table, 2);
}

static void no_flexible_array(void *arg)
{
        (void)arg;
        (void)weir_new_flex(node, 2);
}

static void far_too_many(void *arg)
{
        (void)arg;
        (void)weir_new_flex(table, SIZE_MAX / 16);
}

WEIR_TEST(parts_that_make_no_sense_are_refused)
{
        static const weir_part odd[] = { { &weir_type_slot, 4, 1 } },
                               outside[] = { { &weir_type_slot, 16, 2 } },
                               over[] = { { &weir_type_slot, 0, 2 }, { &weir_type_slot, 16, 1 } },
                               inner[] = { { &weir_type_slot, 0, 0 }, { &weir_type_slot, 16, 1 } },
                               tail[] = { { &weir_type_table, 0, 1 } },
                               both[] = { { &weir_type_slot, 8, 1 } };
        static const weir_ptrs ptr[] = { { 8, 1 } };
        static weir_part       self[1];
        static const weir_type loop = { "loop", 16, 0, NULL, 1, self };

        self[0] = (weir_part){ &loop, 0, 1 };
        refused(&(weir_type){ "odd", 40, 0, NULL, 1, odd }, "not aligned");
        refused(&(weir_type){ "outside", 40, 0, NULL, 1, outside }, "outside of its 40 bytes");
        refused(&(weir_type){ "over", 48, 0, NULL, 2, over }, "bytes 0 and 16 overlap");
        refused(&(weir_type){ "inner", 48, 0, NULL, 2, inner }, "not its end");
        refused(&(weir_type){ "tail", 4096, 0, NULL, 1, tail }, "only be at the end");
        refused(&(weir_type){ "both", 48, 1, ptr, 1, both }, "overlap");
        refused(&loop, "deep");
        ck_assert_int_eq(weir_protect(many_with_tail, NULL, NULL), WEIR_EPANIC);
        ck_assert_int_eq(weir_protect(no_flexible_array, NULL, NULL), WEIR_EPANIC);
        ck_assert_int_eq(weir_protect(far_too_many, NULL, NULL), WEIR_EPANIC);
}

WEIR_TEST(memory_is_zero_and_aligned)
{
        size_t wrong = 0;

        for (size_t size = 1; size < 100000; size += size / 3 + 1)
                for (int i = 0; i < 3; i++) {
                        unsigned char *p = weir_new_bytes(size);

                        ck_assert_uint_eq((uintptr_t)p % (size < 16 ? 8 : 16), 0);
                        for (size_t k = 0; k < size; k++)
                                wrong += p[k] != 0;
                        memset(p, 0xff, size);
                        if (i == 1)
                                collect();
                }
        ck_assert_uint_eq(wrong, 0);
}
