/* What is chosen by the features. A file of its own: a program that is linked statically and uses
 * no routine on bytes shall not have them all. */
#include "arch/arch.h"
#include <weir/cpu.h>

const struct bytes_ops *weir__arch_bytes_best(void)
{
        for (const struct bytes_ops *const *o = weir__arch_bytes; *o; o++)
                if (((*o)->needs & ~weir__arch_cpu_page.cpu.use) == 0)
                        return *o;
        return NULL;
}

const struct words_ops *weir__arch_words_best(void)
{
        for (const struct words_ops *const *o = weir__arch_words; *o; o++)
                if (((*o)->needs & ~weir__arch_cpu_page.cpu.use) == 0)
                        return *o;
        return NULL;
}

void weir_cpu_write(FILE *out)
{
        const struct bytes_ops *best = weir__arch_bytes_best();
        const struct words_ops *words = weir__arch_words_best();

        for (unsigned i = 0; i < FEATURES; i++) {
                uint64_t    bit = UINT64_C(1) << i;
                const char *what, *name = weir__arch_feature((enum feature)i, &what);

                fprintf(out, "%-8s %-8s %s\n", name,
                        weir__arch_cpu_page.cpu.use & bit   ? "used"
                        : weir__arch_cpu_page.cpu.has & bit ? "unused"
                                                            : "-",
                        what);
        }
        fprintf(out, "\nbytes: %s\nmaps, many at once: %s\ncache line: %d bytes\n",
                best ? best->name : "plain", words ? words->name : "plain", WEIR_CACHE_LINE);
}
