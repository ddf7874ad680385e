/* weir layout: how the structs of a program lie in memory. */
#include "layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
        bool        all, check;
        const char *only;
};

static const char *plural(uint64_t n)
{
        return n == 1 ? "" : "s";
}

static void print_number(const char *what, uint64_t n)
{
        printf("%llu %s%s", (unsigned long long)n, what, plural(n));
}

static void print_fields(const struct layout *l)
{
        uint64_t end = 0;

        for (size_t i = 0; i < l->n; i++) {
                const struct field *f = &l->fields[i];

                if (f->offset > end)
                        printf("  %6llu %6llu  -\n", (unsigned long long)end,
                               (unsigned long long)(f->offset - end));
                printf("  %6llu %6llu  %s %s%s\n", (unsigned long long)f->offset,
                       (unsigned long long)f->size, f->type, f->name, f->hot ? "  (hot)" : "");
                if (f->offset + f->size > end)
                        end = f->offset + f->size;
        }
        if (l->size > end)
                printf("  %6llu %6llu  -\n", (unsigned long long)end,
                       (unsigned long long)(l->size - end));
}

static void print_lines(const struct order *o)
{
        if (!o->lines_worst)
                return;
        printf(", hot fields in %llu", (unsigned long long)o->lines_best);
        if (o->lines_worst > o->lines_best)
                printf(" to %llu", (unsigned long long)o->lines_worst);
        printf(" cache line%s", plural(o->lines_worst));
}

static void print_order(const struct layout *l, const char *what, const struct order *o)
{
        printf("  %s: ", what);
        print_number("byte", o->size);
        print_lines(o);
        putchar('\n');
        for (size_t i = 0; i < l->n; i++)
                printf("%s%s", i ? ", " : "    ", l->fields[o->at[i]].name);
        putchar('\n');
}

static bool same_order(const struct layout *l, const struct order *a, const struct order *b)
{
        return memcmp(a->at, b->at, l->n * sizeof *a->at) == 0;
}

/* The file as somebody here would type it. */
static const char *short_name(const char *file)
{
        static char *here;
        size_t       n;

        if (!here)
                here = getcwd(NULL, 0);
        n = here ? strlen(here) : 0;
        return n && strncmp(file, here, n) == 0 && file[n] == '/' ? file + n + 1 : file;
}

/* Prints one struct; whether another order would be smaller. */
static bool print(const struct layout *l)
{
        struct order now, best, hot;

        order_now(l, &now);
        order_best(l, false, &best);
        order_best(l, true, &hot);
        printf("%s (%s:%u): ", l->name, short_name(l->file), l->line);
        print_number("byte", l->size);
        printf(", %llu of padding, aligned to %llu", (unsigned long long)order_padding(l, l->size),
               (unsigned long long)l->align);
        print_lines(&now);
        putchar('\n');
        print_fields(l);
        if (l->packed) {
                puts("  packed: there is no better order");
                return false;
        }
        if (best.size >= now.size)
                best = now;
        if (now.lines_worst && hot.size <= best.size &&
            (hot.lines_worst < best.lines_worst ||
             (hot.lines_worst == best.lines_worst && hot.lines_best < best.lines_best)))
                best = hot;
        if (same_order(l, &now, &best))
                puts("  no order is smaller");
        else
                print_order(l, "best order", &best);
        if (hot.size > best.size && hot.lines_worst < best.lines_worst)
                print_order(l, "with the hot fields together", &hot);
        return best.size < now.size;
}

static bool is_wanted(const struct layout *l, const struct options *o, const char *include)
{
        if (o->only)
                return strcmp(l->name, o->only) == 0 ||
                       (strncmp(l->name, "struct ", 7) == 0 && strcmp(l->name + 7, o->only) == 0);
        return o->all || (strncmp(l->file, "/usr/", 5) != 0 &&
                          strncmp(l->file, include, strlen(include)) != 0);
}

static int by_place(const void *a, const void *b)
{
        const struct layout *l = a, *m = b;
        int                  r = strcmp(l->file, m->file);

        return r ? r : (l->line > m->line) - (l->line < m->line);
}

/* Takes our own options out of argv. */
static int read_options(int argc, char **argv, struct options *ret)
{
        int n = 1;

        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "--all") == 0)
                        ret->all = true;
                else if (strcmp(argv[i], "--check") == 0)
                        ret->check = true;
                else if (strncmp(argv[i], "--only=", 7) == 0)
                        ret->only = argv[i] + 7;
                else
                        argv[n++] = argv[i];
        }
        argv[n] = NULL;
        return n;
}

static void read_object(const char *file, void *arg)
{
        dwarf_read(file, arg);
}

static int layout(int argc, char **argv)
{
        struct options  o = { 0 };
        struct layouts  found = { 0 };
        struct tree     tree;
        size_t          shown = 0, wasteful = 0;

        argc = read_options(argc, argv, &o);
        /* Types that no variable has must be in the debugging information, too. */
        program_objects(argc, argv, "-g -fno-eliminate-unused-debug-types -fno-lto", read_object,
                        &found);
        tree_find(&tree);
        if (found.n)
                qsort(found.v, found.n, sizeof *found.v, by_place);
        for (size_t i = 0; i < found.n; i++) {
                if (!is_wanted(&found.v[i], &o, tree.include))
                        continue;
                if (shown++)
                        putchar('\n');
                wasteful += print(&found.v[i]);
        }
        if (!shown && o.only)
                fail("there is no struct %s", o.only);
        if (!shown)
                puts("no structs");
        return o.check && wasteful ? STATUS_WASTE : 0;
}

const struct verb verb_layout = {
        .name  = "layout",
        .usage = "[--all] [--only=NAME] [--check] [FLAGS] FILE...",
        .line  = "print where the structs of a program waste memory",
        .text  =
"Compiles the C files and prints of each struct that they declare: its fields\n"
"with their offsets and sizes, the padding between them (-), and the order of\n"
"fields that takes least memory, if that is another one.\n"
"\n"
"  weir layout server.c\n"
"  weir layout --check --only=session -Iinclude server.c\n"
"\n"
"A field is marked as often used by a comment on its line that begins with the\n"
"word hot: /* hot */ or // hot: per packet. For structs with such fields the number\n"
"of cache lines (64 bytes) is printed that they touch, from the luckiest place of\n"
"an object in memory to the unluckiest, and the order that is proposed has them\n"
"together.\n"
"\n"
"FILE may also be an object or a library with debugging information (.o .a .so).\n"
"Whether an order may be changed the command cannot know: what is written to a\n"
"file or a connection, or begins with what another type begins with, keeps its\n"
"order. A packed struct is told from the places of its fields alone.\n"
"\n"
"  --all        those of system headers and of libweir, too\n"
"  --only=NAME  the struct of this name, wherever it is declared\n"
"  --check      exit status 3 if a struct could be smaller\n"
"\n"
"FLAGS and environment are those of weir run. Needs libdw (Debian: libdw1).\n"
"\n"
"Exit status: 0; 1 if the compiler complained; 2 if a file cannot be read; 3, see\n"
"above.\n",
        .run   = layout,
};
