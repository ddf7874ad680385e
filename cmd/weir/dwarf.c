/* Structs, from the debugging information of an object file, by libdw.
 *
 * What    Each unit's entries are walked; a struct with members becomes a struct layout. A struct
 *         without a name takes that of the typedef that names it. The alignment of a type is not in
 *         the debugging information unless the source asked for one: it is derived, as the System V
 *         ABI has it for 64-bit processors.
 * Shape   Bit-fields that follow each other are one field: what they share is theirs to divide.
 * Not     clang's tree of the source: it knows what DWARF leaves out, the attribute packed above
 *         all, but needs clang, in the version of its output that one is made for, and cannot look
 *         into a library that is there already. Being linked with libdw, which takes a millisecond
 *         to load: weir run would wait for it. */
#include "layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Set by: cmake, where libdw's headers are. */
#ifdef HAVE_LIBDW
#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdwfl.h>

/* What is used of libdw, called as dw.NAME. */
#define FUNCTIONS(X)                                                            \
        X(dwarf_aggregate_size)                                                 \
        X(dwarf_attr)                                                           \
        X(dwarf_attr_integrate)                                                 \
        X(dwarf_child)                                                          \
        X(dwarf_decl_file)                                                      \
        X(dwarf_decl_line)                                                      \
        X(dwarf_diename)                                                        \
        X(dwarf_dieoffset)                                                      \
        X(dwarf_formref_die)                                                    \
        X(dwarf_formstring)                                                     \
        X(dwarf_formudata)                                                      \
        X(dwarf_siblingof)                                                      \
        X(dwarf_tag)                                                            \
        X(dwfl_begin)                                                           \
        X(dwfl_build_id_find_elf)                                               \
        X(dwfl_end)                                                             \
        X(dwfl_errmsg)                                                          \
        X(dwfl_getmodules)                                                      \
        X(dwfl_module_nextcu)                                                   \
        X(dwfl_offline_section_address)                                         \
        X(dwfl_report_begin)                                                    \
        X(dwfl_report_end)                                                      \
        X(dwfl_report_offline)

static struct {
#define DECLARE(name) __typeof__(name) *name;
        FUNCTIONS(DECLARE)
} dw;

static void load(void)
{
        void *lib = dlopen("libdw.so.1", RTLD_NOW | RTLD_LOCAL);

        if (!lib)
                fail("libdw is not there (Debian: libdw1)");
#define FIND(name)                                              \
        *(void **)(void *)&dw.name = dlsym(lib, #name);         \
        if (!dw.name)                                           \
                fail("libdw has no %s", #name);
        FUNCTIONS(FIND)
}

/* ---- small questions ---- */

static bool number(Dwarf_Die *die, unsigned name, uint64_t *ret)
{
        Dwarf_Attribute a;
        Dwarf_Word      w;

        if (!dw.dwarf_attr_integrate(die, name, &a) || dw.dwarf_formudata(&a, &w) != 0)
                return false;
        *ret = w;
        return true;
}

static bool has(Dwarf_Die *die, unsigned name)
{
        Dwarf_Attribute a;

        return dw.dwarf_attr(die, name, &a) != NULL;
}

static bool type_of(Dwarf_Die *die, Dwarf_Die *ret)
{
        Dwarf_Attribute a;

        return dw.dwarf_attr_integrate(die, DW_AT_type, &a) && dw.dwarf_formref_die(&a, ret);
}

/* The source file of the unit that is read. */
static const char *unit_file;

static void enter_unit(Dwarf_Die *cu)
{
        const char     *name = dw.dwarf_diename(cu), *dir = NULL;
        Dwarf_Attribute a;

        if (dw.dwarf_attr(cu, DW_AT_comp_dir, &a))
                dir = dw.dwarf_formstring(&a);
        unit_file = !name || *name == '/' || !dir ? name : format("%s/%s", dir, name);
}

/* libdw 0.188 takes file 0 for none, which since DWARF 5 is the unit's own. */
static const char *file_of(Dwarf_Die *die)
{
        uint64_t n;

        return number(die, DW_AT_decl_file, &n) && !n ? unit_file : dw.dwarf_decl_file(die);
}

static uint64_t size_of(Dwarf_Die *type)
{
        Dwarf_Word size;

        return dw.dwarf_aggregate_size(type, &size) == 0 ? size : 0;
}

static uint64_t up(uint64_t n, uint64_t align)
{
        return (n + align - 1) / align * align;
}

static bool is_record(int tag)
{
        return tag == DW_TAG_structure_type || tag == DW_TAG_union_type;
}

/* A typedef or a qualifier: something in front of the type itself. */
static bool is_front(int tag)
{
        return tag == DW_TAG_typedef || tag == DW_TAG_const_type || tag == DW_TAG_volatile_type ||
               tag == DW_TAG_restrict_type || tag == DW_TAG_atomic_type;
}

static uint64_t align_of(Dwarf_Die *type);

static uint64_t member_align(Dwarf_Die *member)
{
        Dwarf_Die type;
        uint64_t  align;

        if (number(member, DW_AT_alignment, &align) && align)
                return align;
        return type_of(member, &type) ? align_of(&type) : 1;
}

/* That of the members; 1, if one lies where it should not: then the record is packed. */
static uint64_t record_align(Dwarf_Die *record)
{
        uint64_t  most = 1, at, align;
        Dwarf_Die d;

        if (dw.dwarf_child(record, &d) != 0)
                return 1;
        do {
                if (dw.dwarf_tag(&d) != DW_TAG_member)
                        continue;
                align = member_align(&d);
                at = 0;
                (void)number(&d, DW_AT_data_member_location, &at);
                if (!has(&d, DW_AT_bit_size) && at % align)
                        return 1;
                most = align > most ? align : most;
        } while (dw.dwarf_siblingof(&d, &d) == 0);
        return size_of(record) % most ? 1 : most;
}

static uint64_t align_of(Dwarf_Die *type)
{
        uint64_t  align, size = size_of(type), kind = 0;
        int       tag = dw.dwarf_tag(type);
        Dwarf_Die inner;

        if (number(type, DW_AT_alignment, &align) && align)
                return align;
        if (is_front(tag))
                return type_of(type, &inner) ? align_of(&inner) : 1;
        if (tag == DW_TAG_array_type && !has(type, DW_AT_GNU_vector))
                return type_of(type, &inner) ? align_of(&inner) : 1;
        if (is_record(tag))
                return record_align(type);
        if (number(type, DW_AT_encoding, &kind) && kind == DW_ATE_complex_float)
                size /= 2;
        return size ? size & -size : 1;
}

/* What the source calls the type, more or less. */
static char *type_name(Dwarf_Die *type)
{
        Dwarf_Die   inner;
        int         tag = dw.dwarf_tag(type);
        bool        more = type_of(type, &inner);
        const char *name = dw.dwarf_diename(type);
        uint64_t    size, each;

        switch (tag) {
        case DW_TAG_pointer_type:
                if (!more)
                        return format("void *");
                if (dw.dwarf_tag(&inner) == DW_TAG_subroutine_type)
                        return format("function *");
                return format("%s%s*", type_name(&inner),
                              dw.dwarf_tag(&inner) == DW_TAG_pointer_type ? "" : " ");
        case DW_TAG_array_type:
                size = size_of(type);
                each = more ? size_of(&inner) : 0;
                return each && size ? format("%s[%llu]", type_name(&inner),
                                             (unsigned long long)(size / each))
                                    : format("%s[]", more ? type_name(&inner) : "?");
        case DW_TAG_const_type:
                return more ? format("const %s", type_name(&inner)) : format("const void");
        case DW_TAG_volatile_type:
        case DW_TAG_restrict_type:
                return more ? type_name(&inner) : format("void");
        case DW_TAG_atomic_type:
                return more ? format("_Atomic %s", type_name(&inner)) : format("_Atomic");
        case DW_TAG_structure_type:
                return format("struct %s", name ? name : "{...}");
        case DW_TAG_union_type:
                return format("union %s", name ? name : "{...}");
        case DW_TAG_enumeration_type:
                return format("enum %s", name ? name : "{...}");
        default:
                return format("%s", name ? name : "?");
        }
}

/* ---- marks in the source ---- */

/* Whether the line holds a comment that begins with the word hot. The last file is kept. */
static bool line_is_hot(const char *file, int line)
{
        static char  *kept;
        static struct words lines;
        const char   *s;

        if (!file || line <= 0)
                return false;
        if (!kept || strcmp(kept, file) != 0) {
                FILE  *f = fopen(file, "r");
                char  *text = NULL;
                size_t room = 0;

                kept = format("%s", file);
                lines = (struct words){ 0 };
                while (f && getline(&text, &room, f) >= 0)
                        words_add(&lines, text);
                if (f)
                        fclose(f);
                free(text);
        }
        if ((size_t)line > lines.n)
                return false;
        for (s = lines.v[line - 1]; (s = strchr(s, '/')); s++)
                if (s[1] == '*' || s[1] == '/') {
                        const char *word = s + 2 + strspn(s + 2, " \t*");

                        if (strncmp(word, "hot", 3) == 0 && !strchr("abcdefghijklmnopqrstuvwxyz_-",
                                                                    word[3] ? word[3] : ' '))
                                return true;
                }
        return false;
}

static bool is_hot(Dwarf_Die *member)
{
        int line = 0;

        (void)dw.dwarf_decl_line(member, &line);
        return line_is_hot(file_of(member), line);
}

/* ---- members ---- */

static struct field *add_field(struct layout *l)
{
        struct field *f;

        l->fields = realloc(l->fields, (l->n + 1) * sizeof *l->fields);
        if (!l->fields)
                fail("out of memory");
        f = &l->fields[l->n++];
        memset(f, 0, sizeof *f);
        f->align = 1;
        return f;
}

/* The run of bit-fields that is being read. */
struct run {
        uint64_t first, end;            /* bits of the struct; end 0: there is none */
        uint64_t at;                    /* bits, if it began at a multiple of its alignment */
        bool     plain;                 /* at agrees with where the fields are */
};

static void run_end(struct layout *l, struct run *r)
{
        struct field *f = &l->fields[l->n - 1];

        if (r->end)
                f->size = ((r->plain || f->offset % f->align ? r->at : r->end - r->first) + 7) / 8;
        *r = (struct run){ 0 };
}

static void add_bits(struct layout *l, struct run *r, Dwarf_Die *member, uint64_t width)
{
        const char   *name = dw.dwarf_diename(member);
        uint64_t      at, byte = 0, storage, align;
        struct field *f;
        Dwarf_Die     type;

        if (!type_of(member, &type))
                return;
        storage = 8 * size_of(&type);
        align = align_of(&type);
        if (!number(member, DW_AT_data_bit_offset, &at)) {
                uint64_t from_top = 0;

                (void)number(member, DW_AT_data_member_location, &byte);
                (void)number(member, DW_AT_bit_offset, &from_top);
                at = byte * 8 + storage - from_top - width;
        }
        if (r->end) {
                f = &l->fields[l->n - 1];
                f->name = format("%s %s:%llu", f->name, name ? name : "",
                                 (unsigned long long)width);
                f->type = format("bits");
        } else {
                f = add_field(l);
                f->name = format("%s:%llu", name ? name : "", (unsigned long long)width);
                f->type = type_name(&type);
                f->offset = at / 8;
                *r = (struct run){ .first = at / 8 * 8, .plain = true };
        }
        if (storage && r->at / storage != (r->at + width - 1) / storage)
                r->at = up(r->at, storage);
        r->plain = r->plain && r->at == at - r->first;
        r->at += width;
        r->end = at + width;
        f->align = align > f->align ? align : f->align;
        f->hot = f->hot || is_hot(member);
}

static void add_member(struct layout *l, struct run *r, Dwarf_Die *member)
{
        const char   *name = dw.dwarf_diename(member);
        uint64_t      width;
        struct field *f;
        Dwarf_Die     type;

        if (number(member, DW_AT_bit_size, &width)) {
                add_bits(l, r, member, width);
                return;
        }
        run_end(l, r);
        if (!type_of(member, &type))
                return;
        f = add_field(l);
        f->type = type_name(&type);
        f->name = name ? format("%s", name) : format("(%s)", f->type);
        (void)number(member, DW_AT_data_member_location, &f->offset);
        f->size = size_of(&type);
        f->align = member_align(member);
        f->hot = is_hot(member);
        l->packed = l->packed || f->offset % f->align;
}

/* ---- structs ---- */

/* Names of structs that only a typedef has: by offset of the entry, within one unit. */
struct alias {
        Dwarf_Off   of;
        const char *name;
};

struct aliases {
        struct alias *v;
        size_t        n;
};

static const char *alias_of(const struct aliases *a, Dwarf_Off of)
{
        for (size_t i = 0; i < a->n; i++)
                if (a->v[i].of == of)
                        return a->v[i].name;
        return NULL;
}

static bool is_known(const struct layouts *to, const struct layout *l)
{
        for (size_t i = 0; i < to->n; i++)
                if (to->v[i].line == l->line && strcmp(to->v[i].name, l->name) == 0 &&
                    strcmp(to->v[i].file, l->file) == 0)
                        return true;
        return false;
}

static void add_struct(struct layouts *to, Dwarf_Die *die, const struct aliases *aliases)
{
        const char   *name = dw.dwarf_diename(die), *file = file_of(die);
        const char   *alias = alias_of(aliases, dw.dwarf_dieoffset(die));
        struct layout l = { 0 };
        struct run    r = { 0 };
        int           line = 0;
        Dwarf_Die     d;

        if (!file || base_name(file)[0] == '<' || dw.dwarf_decl_line(die, &line) != 0)
                return;                         /* the compiler's own */
        l.name = name ? format("struct %s", name) : format("%s", alias ? alias : "struct {...}");
        l.file = format("%s", file);
        l.line = (unsigned)line;
        if (is_known(to, &l) || dw.dwarf_child(die, &d) != 0)
                return;
        l.size = size_of(die);
        do {
                if (dw.dwarf_tag(&d) == DW_TAG_member)
                        add_member(&l, &r, &d);
        } while (dw.dwarf_siblingof(&d, &d) == 0);
        if (!l.n)
                return;
        run_end(&l, &r);
        l.align = 1;
        for (size_t i = 0; i < l.n; i++)
                l.align = l.fields[i].align > l.align ? l.fields[i].align : l.align;
        if (number(die, DW_AT_alignment, &l.align))
                ;                               /* the source asked for it */
        else if (l.size % l.align)
                l.packed = true;
        l.fields[l.n - 1].last = !l.fields[l.n - 1].size;
        if (l.packed)
                l.align = 1;
        to->v = realloc(to->v, (to->n + 1) * sizeof *to->v);
        if (!to->v)
                fail("out of memory");
        to->v[to->n++] = l;
}

/* Calls one of the two for every typedef, or struct, below an entry. */
static void walk(Dwarf_Die *parent, struct aliases *aliases, struct layouts *to)
{
        Dwarf_Die d, inner;

        if (dw.dwarf_child(parent, &d) != 0)
                return;
        do {
                int tag = dw.dwarf_tag(&d);

                if (!to && tag == DW_TAG_typedef && type_of(&d, &inner) &&
                    dw.dwarf_tag(&inner) == DW_TAG_structure_type && !dw.dwarf_diename(&inner)) {
                        aliases->v = realloc(aliases->v, (aliases->n + 1) * sizeof *aliases->v);
                        if (!aliases->v)
                                fail("out of memory");
                        aliases->v[aliases->n++] = (struct alias){ dw.dwarf_dieoffset(&inner),
                                                                   dw.dwarf_diename(&d) };
                }
                if (to && tag == DW_TAG_structure_type && !has(&d, DW_AT_declaration))
                        add_struct(to, &d, aliases);
                if (is_record(tag) || tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block)
                        walk(&d, aliases, to);
        } while (dw.dwarf_siblingof(&d, &d) == 0);
}

static int read_module(Dwfl_Module *m, void **user, const char *name, Dwarf_Addr start, void *arg)
{
        struct layouts *to = arg;
        Dwarf_Die      *cu = NULL;
        Dwarf_Addr      bias;

        (void)user;
        (void)name;
        (void)start;
        while ((cu = dw.dwfl_module_nextcu(m, cu, &bias))) {
                struct aliases aliases = { 0 };

                enter_unit(cu);
                walk(cu, &aliases, NULL);
                walk(cu, &aliases, to);
                free(aliases.v);
        }
        return DWARF_CB_OK;
}

static int no_debuginfo(Dwfl_Module *m, void **user, const char *name, Dwarf_Addr base,
                        const char *file, const char *link, GElf_Word crc, char **ret)
{
        (void)m, (void)user, (void)name, (void)base, (void)file, (void)link, (void)crc, (void)ret;
        return -1;
}

void dwarf_read(const char *file, struct layouts *to)
{
        static Dwfl_Callbacks callbacks;
        Dwfl                 *dwfl;

        if (!dw.dwarf_attr)
                load();
        callbacks.find_elf = dw.dwfl_build_id_find_elf;
        callbacks.find_debuginfo = no_debuginfo;
        callbacks.section_address = dw.dwfl_offline_section_address;
        dwfl = dw.dwfl_begin(&callbacks);
        if (!dwfl)
                fail("libdw: %s", dw.dwfl_errmsg(-1));
        dw.dwfl_report_begin(dwfl);
        if (!dw.dwfl_report_offline(dwfl, file, file, -1))
                fail("%s: %s", file, dw.dwfl_errmsg(-1));
        dw.dwfl_report_end(dwfl, NULL, NULL);
        if (dw.dwfl_getmodules(dwfl, read_module, to, 0) < 0)
                fail("%s: %s", file, dw.dwfl_errmsg(-1));
        dw.dwfl_end(dwfl);
}

#else

void dwarf_read(const char *file, struct layouts *to)
{
        (void)to;
        fail("%s: this weir was built without libdw (Debian: libdw-dev)", file);
}

#endif
