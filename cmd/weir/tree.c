/* Where weir itself is. Headers and library are found relative to the executable, so that a build
 * tree, an installation and a moved installation all work: bin/weir, include/weir.h and
 * lib/libweir.a side by side (or in the library folder of the distribution, from CMake). */
#include "cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Set by: CMake, if the installation has another library folder than lib. */
#ifndef WEIR_LIBDIR
#define WEIR_LIBDIR "../lib"
#endif

static char *existing(const char *dir, const char *sub, const char *name)
{
        char *path = format("%s/%s/%s", dir, sub, name), *real;

        real = realpath(path, NULL);
        free(path);
        return real;
}

static char *library(const char *dir, const char *name)
{
        char *path = existing(dir, "../lib", name);

        return path ? path : existing(dir, WEIR_LIBDIR, name);
}

void tree_find(struct tree *ret)
{
        char *self = realpath("/proc/self/exe", NULL), *header;

        if (!self)
                fail("cannot tell where this command is: /proc/self/exe: %s", strerror(errno));
        *strrchr(self, '/') = '\0';

        header = existing(self, "../include", "weir.h");
        if (!header)
                fail("weir.h is not in %s/../include: reinstall weir", self);
        *strrchr(header, '/') = '\0';

        ret->include = header;
        ret->library = library(self, "libweir.a");
        ret->symbols = library(self, "libweir-symbols.a");
        if (!ret->library)
                fail("libweir.a is not in %s/../lib: reinstall weir", self);
}
