/* weir: the command. Each verb is a file of its own; here one is chosen. */
#include "cmd.h"

#include <stdio.h>
#include <string.h>

const struct verb *const verbs[] = { &verb_run, &verb_build,   &verb_layout,
                                      &verb_cpu, &verb_version, &verb_help, NULL };

const struct verb *verb_find(const char *name)
{
        for (const struct verb *const *v = verbs; *v; v++)
                if (strcmp((*v)->name, name) == 0)
                        return *v;
        return NULL;
}

/* What other commands taught people to type. */
static const char *plain_name(const char *arg)
{
        if (strcmp(arg, "--version") == 0 || strcmp(arg, "-V") == 0)
                return "version";
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
                return "help";
        return arg;
}

int main(int argc, char **argv)
{
        const struct verb *v;

        if (argc < 2)
                fail("say what to do, for instance: weir run hello.c (weir help lists the verbs)");
        v = verb_find(plain_name(argv[1]));
        if (!v)
                fail("no verb \"%s\" (weir help lists them)", argv[1]);
        fail_as(v->name);
        if (argc > 2 && strcmp(plain_name(argv[2]), "help") == 0 && argv[2][0] == '-')
                return help_print(v);
        return v->run(argc - 1, argv + 1);
}
