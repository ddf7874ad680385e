/* weir run: make the program, then become it. */
#include "cmd.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int run(int argc, char **argv)
{
        struct program *p;
        char           *path;
        int             rest;

        p = program_read(argc, argv, &rest, NULL);
        /* Between the look at the cache and exec another weir may tidy up or publish: once more. */
        for (int tries = 0; tries < 3; tries++) {
                path = program_make(p);
                argv[rest - 1] = path;
                execv(path, argv + rest - 1);
                if (errno != ENOENT)
                        break;
        }
        if (errno == EACCES)
                fail("%s: %s (if that file system allows no programs, set XDG_CACHE_HOME)", path,
                     strerror(errno));
        fail("%s: %s", path, strerror(errno));
}

const struct verb verb_run = {
        .name  = "run",
        .usage = "[FLAGS] FILE.c... [-- ARGUMENTS]",
        .line  = "compile C files with libweir and run the program",
        .text  =
"Compiles the files, links them with libweir and runs the program, whose exit\n"
"status becomes that of weir. What follows -- goes to the program.\n"
"\n"
"  weir run hello.c\n"
"  weir run -O3 -Iinclude main.c parse.c -lz -- --port 8080\n"
"\n"
"FLAGS are the compiler's: -I -D -O -g -W -f -m -std -pthread, and -L -l for\n"
"linking. Without an -O there is -O2, without a -g there is -g. Objects and\n"
"libraries (.o .a .so) may stand among the files.\n"
"\n"
"The environment chooses the compiler as for make: CC (which may hold arguments),\n"
"CPPFLAGS, CFLAGS, LDFLAGS, LDLIBS.\n"
"\n"
"Programs are kept in $XDG_CACHE_HOME/weir, else ~/.cache/weir, and used again\n"
"while sources, headers, flags, compiler and libweir are the same. It is always\n"
"safe to delete that folder; unused programs leave it after 30 days.\n"
"\n"
"Exit status: the program's; 1 if the compiler complained; 2 if there is nothing\n"
"to compile or nothing to compile with.\n",
        .run   = run,
};
