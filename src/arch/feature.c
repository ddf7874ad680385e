/* The features of the processor: found once, then read-only.
 *
 * What    The first constructor asks the processor (weir__arch_ask, a file per processor), takes
 *         away what WEIR_DEBUG=cpu.NAME=off names and what cannot be used without it, and makes the
 *         page of the answer read-only.
 * Order   Before every other constructor of weir, so before any thread: plain words, no atomics.
 *         The allocator may have served the loader before; it does not look at features. Until then
 *         all words are 0, and everybody uses the code that needs nothing.
 * Cost    A reader loads a word that no core writes. At start: a dozen of CPUID, which on a virtual
 *         machine are exits of some microseconds each, and one mprotect.
 * Not     ifunc: its resolvers run while the program is being relocated, before the environment can
 *         be read. libgcc's __builtin_cpu_supports: cannot be told to do without something. */
#include "arch/arch.h"
#include "base/debug.h"
#include "os/os.h"
#include <weir/cpu.h>

union cpu_page weir__arch_cpu_page __attribute__((aligned(4096)));

static const struct {
        const char *name, *what;
        uint64_t    needs;
} table[FEATURES] = {
#define FEATURE(name, needs, what) { #name, what, needs },
#include "arch/feature.def"
#undef FEATURE
};

static bool is(const char *name, const char *s, size_t n)
{
        return strlen(name) == n && !strncmp(name, s, n);
}

/* The features that `NAME=VALUE` of n bytes speaks of, 0 when it is neither name nor value. */
static uint64_t parse(const char *item, size_t n, bool *ret_off)
{
        const char *eq = memchr(item, '=', n);
        size_t      name = eq ? (size_t)(eq - item) : n, value = eq ? n - name - 1 : 0;

        if (!eq)
                return 0;
        *ret_off = is("off", eq + 1, value) || is("0", eq + 1, value);
        if (!*ret_off && !is("on", eq + 1, value) && !is("1", eq + 1, value))
                return 0;
        if (is("all", item, name))
                return (UINT64_C(1) << FEATURES) - 1;
        for (unsigned i = 0; i < FEATURES; i++)
                if (is(table[i].name, item, name))
                        return UINT64_C(1) << i;
        return 0;
}

static bool known(const char *item, size_t n)
{
        bool off;

        return parse(item, n, &off) != 0;
}

uint64_t weir__arch_choose(uint64_t has, const char *debug)
{
        uint64_t use = has;

        while (debug && *debug) {
                size_t   n = strcspn(debug, ",");
                bool     off = false;
                uint64_t some = n > 4 && !strncmp(debug, "cpu.", 4) ? parse(debug + 4, n - 4, &off)
                                                                    : 0;

                use = off ? use & ~some : use | (some & has);
                debug += n + (debug[n] == ',');
        }
        for (unsigned i = 0; i < FEATURES; i++)         /* each stands behind what it needs */
                if ((use & table[i].needs) != table[i].needs)
                        use &= ~(UINT64_C(1) << i);
        return use;
}

void weir__arch_detect(void)
{
        static bool done;
        struct cpu *cpu = &weir__arch_cpu_page.cpu;

        if (done)
                return;
        done = true;
        weir__debug_cpu = known;
        cpu->has = weir__arch_ask();
        cpu->use = weir__arch_choose(cpu->has, weir__debug_early_env("WEIR_DEBUG"));
        weir__os_freeze(&weir__arch_cpu_page, sizeof weir__arch_cpu_page);
}

/* Of its own: gcc forgets the priority of a function that was declared before. */
__attribute__((constructor(101))) static void detect_first(void)
{
        weir__arch_detect();
}

bool weir_cpu_has(const char *feature)
{
        for (unsigned i = 0; feature && i < FEATURES; i++)
                if (!strcmp(table[i].name, feature))
                        return weir__arch_uses((enum feature)i);
        return false;
}

const char *weir__arch_feature(enum feature f, const char **ret_what)
{
        *ret_what = table[f].what;
        return table[f].name;
}
