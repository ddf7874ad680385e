/* weir version */
#include "cmd.h"

#include <stdio.h>
#include <weir/version.h>

static int version(int argc, char **argv)
{
        if (argc > 1)
                fail("takes no argument: %s", argv[1]);
        puts("weir " WEIR_VERSION_STRING);
        return 0;
}

const struct verb verb_version = {
        .name  = "version",
        .usage = "",
        .line  = "print the version",
        .text  = "Prints the version of the command, which is that of the libweir beside it.\n",
        .run   = version,
};
