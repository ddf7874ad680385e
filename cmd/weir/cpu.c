/* weir cpu */
#include "cmd.h"

#include <stdio.h>
#include <weir/cpu.h>

static int cpu(int argc, char **argv)
{
        if (argc > 1)
                fail("takes no argument: %s", argv[1]);
        weir_cpu_write(stdout);
        return 0;
}

const struct verb verb_cpu = {
        .name  = "cpu",
        .usage = "",
        .line  = "print the processor's features and what is chosen by them",
        .text  = "Prints each feature that libweir looks for, whether this processor has it and\n"
                 "whether it is used, and which code that chooses. WEIR_DEBUG=cpu.NAME=off takes a\n"
                 "feature away, cpu.all=off all, in programs as here.\n",
        .run   = cpu,
};
