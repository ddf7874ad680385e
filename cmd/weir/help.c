/* weir help [VERB] */
#include "cmd.h"

#include <stdio.h>

int help_print(const struct verb *v)
{
        printf("usage: weir %s%s%s\n\n%s", v->name, *v->usage ? " " : "", v->usage, v->text);
        return 0;
}

static int help(int argc, char **argv)
{
        const struct verb *v;

        if (argc > 2)
                fail("takes one verb: %s", argv[2]);
        if (argc == 2) {
                v = verb_find(argv[1]);
                if (!v)
                        fail("no verb \"%s\" (weir help lists them)", argv[1]);
                return help_print(v);
        }
        puts("weir runs C programs on goroutines.\n");
        for (const struct verb *const *p = verbs; *p; p++)
                printf("  weir %-8s  %s\n", (*p)->name, (*p)->line);
        puts("\nweir help VERB tells more.");
        return 0;
}

const struct verb verb_help = {
        .name  = "help",
        .usage = "[VERB]",
        .line  = "list the verbs, or explain one",
        .text  = "Lists the verbs, or explains one of them.\n",
        .run   = help,
};
