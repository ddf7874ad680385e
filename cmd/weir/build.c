/* weir build: make the program, then put a copy where the user wants it. */
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A regular file appears complete or not at all, and one that runs at the moment is replaced rather
 * than written into. Anything else (a pipe, /dev/null) is written to. */
static void put(const char *program, const char *output)
{
        struct stat st;
        bool        exists = stat(output, &st) == 0;
        char       *path = NULL;
        mode_t      mask;
        int         fd;

        if (exists && S_ISDIR(st.st_mode))
                fail("-o %s: is a directory", output);
        if (exists && !S_ISREG(st.st_mode)) {
                fd = open(output, O_WRONLY | O_CLOEXEC);
        } else {
                path = format("%s.XXXXXX", output);
                fd = mkostemp(path, O_CLOEXEC);
        }
        if (fd < 0)
                fail("-o %s: %s", output, strerror(errno));
        if (!copy_file(program, fd))
                goto failed;
        if (path) {
                mask = umask(0);
                umask(mask);
                if (fchmod(fd, 0777 & ~mask) < 0 || rename(path, output) < 0)
                        goto failed;
        }
        if (close(fd) < 0)
                fail("-o %s: %s", output, strerror(errno));
        return;
failed:
        exists = errno;
        if (path)
                unlink(path);
        fail("-o %s: %s", output, strerror(exists));
}

static int build(int argc, char **argv)
{
        const char     *output = NULL;
        struct program *p;
        int             rest;

        p = program_read(argc, argv, &rest, &output);
        if (rest < argc)
                fail("\"--\" and arguments are for weir run: %s", argv[rest]);
        if (!output)
                fail("say where the program goes: -o FILE");
        if (program_has_source(p, output))
                fail("-o %s would overwrite that source", output);
        put(program_make(p), output);
        return 0;
}

const struct verb verb_build = {
        .name  = "build",
        .usage = "-o FILE [FLAGS] FILE.c...",
        .line  = "compile C files with libweir into a program",
        .text  =
"Compiles the files, links them with libweir and writes the program to FILE.\n"
"\n"
"  weir build -o hello -O3 hello.c\n"
"\n"
"Flags, environment and cache are those of weir run: see weir help run.\n"
"\n"
"Exit status: 0; 1 if the compiler complained; 2 if there is nothing to compile,\n"
"nothing to compile with or FILE cannot be written.\n",
        .run   = build,
};
