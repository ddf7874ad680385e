/* A duel of the routines on bytes of the processor that this is compiled for. */
#include "../duel.h"
#include "data/bytes.h"
#include "os/os.h"

/* The one thing that feature.c asks of the system. */
void weir__os_freeze(void *addr, size_t size)
{
        if (mprotect(addr, size, PROT_READ))
                abort();
}

int main(int argc, char **argv)
{
        const struct bytes_ops *best = weir__arch_bytes_best();
        const char             *name = best ? best->name : "plain";

        if (strcmp(name, argc > 1 ? argv[1] : "neon")) {
                printf("the best way is %s\n", name);
                return 1;
        }
        for (const struct bytes_ops *const *o = weir__arch_bytes; *o; o++) {
                struct duel d = { .one = *o, .plain = &weir__bytes_plain, .seed = 88172645463325252u };

                if ((*o)->needs & ~weir__arch_ask())
                        continue;
                if (!duel(&d, 5000)) {
                        puts(d.what);
                        return 1;
                }
                printf("%s answers as plain\n", (*o)->name);
        }
        return 0;
}
