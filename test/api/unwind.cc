// Panics through C++: destructors run, in frames of goroutines, of callbacks of libc, and above
// faults; what C++ forbids is forbidden here too.
//
//      unwind          must end with status 0
//      unwind noexcept must end in std::terminate: a destructor is noexcept
//      unwind twice    the same: a destructor that unwinding called panics itself
//      unwind swallow  a catch (...) that does not throw on must end with status 2
#include <weir.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#define MUST(cond) \
        do { \
                if (!(cond)) { \
                        std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
                        std::_Exit(1); \
                } \
        } while (0)

static int alive;

struct Counted {
        std::string text;               // has a destructor of its own, and memory
        Counted() : text(100, 'x') { __atomic_fetch_add(&alive, 1, __ATOMIC_SEQ_CST); }
        ~Counted() { __atomic_fetch_sub(&alive, 1, __ATOMIC_SEQ_CST); }
};

__attribute__((noinline)) static void descend(int depth)
{
        Counted c;

        if (depth % 7 == 3)
                weir_yield();
        if (depth > 0)
                descend(depth - 1);
        else if (depth == 0)
                weir_panic("at the bottom");
}

static void dive(void *arg)
{
        descend(*static_cast<int *>(arg));
}

static int compare(const void *, const void *)
{
        Counted c;

        descend(3);
        return 0;
}

static void sort(void *)
{
        Counted c;
        int     v[] = {3, 2, 1};

        qsort(v, 3, sizeof v[0], compare);
}

// Clang knows no -fnon-call-exceptions: to it no plain store can unwind. The frames above are
// called ones.
#ifdef __clang__
static void store(void *arg)
{
        *static_cast<volatile int *>(arg) = 1;
}

static void (*volatile store_somewhere)(void *) = store;
#else
#define store_somewhere(arg) (*static_cast<volatile int *>(arg) = 1)
#endif

static void fault(void *arg)
{
        Counted c;

        store_somewhere(arg);
}

static void throw_inside(void *)
{
        Counted c;

        try {
                Counted d;

                throw std::runtime_error("of C++");
        } catch (const std::exception &e) {
                MUST(!std::strcmp(e.what(), "of C++"));
                descend(2);
        }
}

static void catch_and_throw_on(void *)
{
        Counted c;

        try {
                descend(2);
        } catch (...) {
                MUST(alive == 2 || alive == 1);
                throw;
        }
}

struct Thrower {
        ~Thrower() noexcept(false) { weir_panic("in a destructor"); }
};

static void panic_in_destructor(void *)
{
        Counted c;
        Thrower t;
        Counted d;
}

static void panic_in_destructor_on_the_way(void *)
{
        Thrower t;

        weir_panic("in the body");
}

struct Forbidden {
        ~Forbidden() { descend(0); }
};

static void panic_in_noexcept(void *)
{
        Forbidden f;

        weir_panic("in the body");
}

static void swallow(void *)
{
        try {
                descend(1);
        } catch (...) {
        }
}

static void leave(void *)
{
        Counted c;

        weir_go_exit();
}

struct args { weir_wg *wg; bool exits; };

static void entry(void *p)
{
        args            *a = static_cast<args *>(p);
        Counted          c;
        weir_panic_info  info;

        for (int i = 0; i < 20; i++) {
                int depth = i;

                MUST(weir_protect(dive, &depth, &info) == WEIR_EPANIC);
                MUST(!std::strcmp(info.message, "at the bottom"));
        }
        if (a->exits)
                leave(nullptr);
}

static int root(int argc, char **argv)
{
        weir_panic_info info;
        weir_wg         wg = {};
        int             depth = 12;

        if (argc > 1 && !std::strcmp(argv[1], "noexcept"))
                return weir_protect(panic_in_noexcept, nullptr, nullptr);
        if (argc > 1 && !std::strcmp(argv[1], "twice"))
                return weir_protect(panic_in_destructor_on_the_way, nullptr, nullptr);
        if (argc > 1 && !std::strcmp(argv[1], "swallow"))
                return weir_protect(swallow, nullptr, nullptr);
        for (int i = 0; i < 20; i++) {
                MUST(weir_protect(dive, &depth, &info) == WEIR_EPANIC && alive == 0);
                MUST(weir_protect(sort, nullptr, &info) == WEIR_EPANIC && alive == 0);
                MUST(weir_protect(throw_inside, nullptr, &info) == WEIR_EPANIC && alive == 0);
                MUST(weir_protect(catch_and_throw_on, nullptr, &info) == WEIR_EPANIC && alive == 0);
                MUST(weir_protect(fault, reinterpret_cast<void *>(0x40), &info) == WEIR_EPANIC);
                MUST(alive == 0);
                MUST(!std::strcmp(info.message, "SIGSEGV: nothing at address 0x40"));
                MUST(weir_protect(panic_in_destructor, nullptr, &info) == WEIR_EPANIC && alive == 0);
                MUST(!std::strcmp(info.message, "in a destructor"));
        }
        for (int i = 0; i < 50; i++) {
                args a = {&wg, i % 2 == 0};

                weir_wg_go_copy(&wg, entry, &a, sizeof a);
        }
        weir_wg_wait(&wg);
        MUST(alive == 0);
        return 0;
}

int main(int argc, char **argv)
{
        return weir_run(root, argc, argv, nullptr);
}
