/* What libweir-symbols answers about addresses of this very program. Its source is included, since
 * what it answers by is not exported. */
#include "check.h"

#include "../../../extra/symbols/symbols.c"

#include <dlfcn.h>

/* Looks up the call from which here() returns. */
static __attribute__((noinline)) weir_symbol here(void)
{
        weir_symbol s = { .line = -1 };

        ck_assert(lookup((char *)__builtin_return_address(0) - 1, &s));
        return s;
}

static void is_in_this_file(const weir_symbol *s, int line)
{
        const char *name = strrchr(s->file, '/');

        ck_assert_str_eq(name ? name + 1 : s->file, "symbols.c");
        ck_assert_int_eq(s->line, line);
}

WEIR_TEST(names_function_file_and_line)
{
        weir_symbol s = here(); int line = __LINE__;

        ck_assert_str_eq(s.function, "names_function_file_and_line");
        is_in_this_file(&s, line);
}

static int inlined_line;

static inline __attribute__((always_inline)) weir_symbol inlined(void)
{
        inlined_line = __LINE__ + 1;
        return here();
}

WEIR_TEST(names_the_inlined_function_and_where_it_went)
{
        weir_symbol s = inlined();

        ck_assert_str_eq(s.function, "inlined (in names_the_inlined_function_and_where_it_went)");
        is_in_this_file(&s, inlined_line);
}

weir_task(tell, my, { weir_chan *to; })
{
        weir_symbol s = here();

        weir_send(my->to, &s);
}

WEIR_TEST(calls_a_task_by_its_name)
{
        weir_chan  *c = weir_chan_make(weir_symbol, 0);
        weir_symbol s;

        weir_go(tell, .to = c);
        weir_recv(c, &s);
        ck_assert_str_eq(s.function, "tell");
}

WEIR_TEST(finds_what_was_loaded_since)
{
        weir_symbol s;
        void       *lib, *fn;

        (void)here();
        if (dlopen("libresolv.so.2", RTLD_NOW | RTLD_NOLOAD))
                test_skip("libresolv is there from the start");
        lib = dlopen("libresolv.so.2", RTLD_NOW);
        fn = lib ? dlsym(lib, "ns_get32") : NULL;
        if (!fn)
                test_skip("there is no library to load");
        ck_assert(lookup(fn, &s));
        ck_assert_msg(strstr(s.function, "ns_get32"), "it is called %s", s.function);
}

WEIR_TEST(knows_nothing_of_what_is_no_code)
{
        weir_symbol s, before;

        memset(&before, 0x5a, sizeof before);
        s = before;
        ck_assert(!lookup(NULL, &s));
        ck_assert(!lookup((void *)64, &s));
        ck_assert(!lookup((void *)UINTPTR_MAX, &s));
        ck_assert_mem_eq(&s, &before, sizeof s);
}

static void *ask_often(void *ret)
{
        weir_symbol *s = ret;

        for (int i = 0; i < 2000; i++)
                if (!lookup((char *)(uintptr_t)ask_often + i % 16, s))
                        return NULL;
        return s;
}

PLAIN_TEST(answers_several_threads)
{
        enum { THREADS = 4 };
        pthread_t   threads[THREADS];
        weir_symbol s[THREADS];
        void       *ok;

        for (int i = 0; i < THREADS; i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_often, &s[i]), 0);
        for (int i = 0; i < THREADS; i++) {
                ck_assert_int_eq(pthread_join(threads[i], &ok), 0);
                ck_assert_ptr_nonnull(ok);
                ck_assert_str_eq(s[i].function, "ask_often");
        }
}
