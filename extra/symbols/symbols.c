/* libweir-symbols: function, file and line of a code address, from the debug information of the
 * running program and its shared objects, read by libdw.
 *
 * What      Being linked is all that a program does: the constructor hands lookup() to libweir. The
 *           static library needs -u weir_symbols_install, or the linker leaves it out.
 *
 *           libdw itself is loaded by dlopen: a program built here also runs where there is none and
 *           then knows no lines. That happens in the constructor, not at the first question, which
 *           may come from a program with little health left; it takes 0.2 ms.
 *
 * Shape     One Dwfl, the view of libdw on our own /proc/self/maps, made at the first question. An
 *           address outside of what it knows may lie in an object that was loaded since: it looks
 *           again. In front of it a small table of answers, because a dump of ten thousand
 *           goroutines asks for the same few addresses all the time.
 *
 * Locks     lock guards everything; it is held over the calls of libdw.
 *
 * Not       dwfl_standard_find_debuginfo, which goes to the network where DEBUGINFOD_URLS is set:
 *           not something that a dying program should do. */
#include <weir/run.h>

#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

WEIR_API void weir_symbols_install(void);

/* What is used of libdw, called as dw.NAME. */
#define FUNCTIONS(X)                                                            \
        X(dwarf_diename)                                                        \
        X(dwarf_getscopes)                                                      \
        X(dwarf_getscopes_die)                                                  \
        X(dwarf_getsrc_die)                                                     \
        X(dwarf_haspc)                                                          \
        X(dwarf_lineno)                                                         \
        X(dwarf_linesrc)                                                        \
        X(dwarf_tag)                                                            \
        X(dwfl_addrmodule)                                                      \
        X(dwfl_begin)                                                           \
        X(dwfl_build_id_find_debuginfo)                                         \
        X(dwfl_linux_proc_find_elf)                                             \
        X(dwfl_linux_proc_report)                                               \
        X(dwfl_module_addrdie)                                                  \
        X(dwfl_module_addrname)                                                 \
        X(dwfl_module_nextcu)                                                   \
        X(dwfl_report_begin)                                                    \
        X(dwfl_report_end)

static struct {
#define DECLARE(name) __typeof__(name) *name;
        FUNCTIONS(DECLARE)
} dw;   /* const after the constructor */

enum { ANSWERS = 256 };

static struct {
        pthread_mutex_t lock;
        Dwfl           *dwfl;           /* lock; NULL until the first question */
        struct {
                const void *pc;         /* NULL: free */
                weir_symbol symbol;
        } answers[ANSWERS];             /* lock */
} state = { .lock = PTHREAD_MUTEX_INITIALIZER };

static Dwfl_Callbacks callbacks;        /* const after the constructor; libdw keeps its address */

/* Reads /proc/self/maps, for the first time or again. */
static bool read_maps(void)
{
        if (!state.dwfl)
                state.dwfl = dw.dwfl_begin(&callbacks);
        if (!state.dwfl)
                return false;
        dw.dwfl_report_begin(state.dwfl);
        return dw.dwfl_linux_proc_report(state.dwfl, getpid()) == 0 &&
               dw.dwfl_report_end(state.dwfl, NULL, NULL) == 0;
}

static Dwfl_Module *find_module(Dwarf_Addr pc)
{
        Dwfl_Module *m;

        m = state.dwfl ? dw.dwfl_addrmodule(state.dwfl, pc) : NULL;
        if (!m && read_maps())
                m = dw.dwfl_addrmodule(state.dwfl, pc);
        return m;
}

/* Returns the compilation unit that holds pc; *ret_bias is what to take off addresses inside it.
 *
 * gcc writes an index of addresses, clang does not, and where objects of both are linked libdwfl
 * takes what lies between two ranges of a unit for that unit's. So its answer is checked, and if it
 * is none, every unit is asked. */
static Dwarf_Die *find_unit(Dwfl_Module *m, Dwarf_Addr pc, Dwarf_Addr *ret_bias)
{
        Dwarf_Die *cu;

        cu = dw.dwfl_module_addrdie(m, pc, ret_bias);
        if (cu && dw.dwarf_haspc(cu, pc - *ret_bias) > 0)
                return cu;
        for (cu = NULL; (cu = dw.dwfl_module_nextcu(m, cu, ret_bias)); )
                if (dw.dwarf_haspc(cu, pc - *ret_bias) > 0)
                        return cu;
        return NULL;
}

/* ---- function ---- */

/* Returns the name of the function, or of the innermost function inlined at pc; *ret_outer is then
 * the name of the one it was inlined into. The names live as long as the module. */
static const char *name_by_scopes(Dwarf_Die *scopes, int n, const char **ret_outer)
{
        const char *inner = NULL;

        for (int i = 0; i < n; i++) {
                int tag = dw.dwarf_tag(&scopes[i]);

                if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
                        continue;
                if (!inner)
                        inner = dw.dwarf_diename(&scopes[i]);
                else if (tag == DW_TAG_subprogram)
                        *ret_outer = dw.dwarf_diename(&scopes[i]);
                if (tag == DW_TAG_subprogram)
                        break;
        }
        return inner;
}

/* Length of name without the "_entry_" that weir_task appends for the function behind a task. */
static int task_length(const char *name)
{
        static const char suffix[] = "_entry_";
        size_t            n = strlen(name), m = sizeof suffix - 1;

        return (int)(n > m && strcmp(name + n - m, suffix) == 0 ? n - m : n);
}

/* cu is NULL, or the unit that holds address. */
static void fill_function(Dwfl_Module *m, Dwarf_Addr pc, Dwarf_Die *cu, Dwarf_Addr address,
                          weir_symbol *ret)
{
        const char *inner = NULL, *outer = NULL;
        Dwarf_Die  *scopes = NULL, *chain = NULL;
        int         n;

        n = cu ? dw.dwarf_getscopes(cu, address, &scopes) : 0;
        if (n > 0) {
                /* The lexical scopes of the innermost function end at its abstract instance; from
                 * the concrete one outwards they lead to where it was inlined. */
                n = dw.dwarf_getscopes_die(&scopes[0], &chain);
                inner = name_by_scopes(n > 0 ? chain : scopes, n > 0 ? n : 1, &outer);
        }
        if (!inner)
                inner = dw.dwfl_module_addrname(m, pc);

        if (inner && outer && strncmp(inner, outer, (size_t)task_length(outer)) != 0)
                snprintf(ret->function, sizeof ret->function, "%s (in %.*s)", inner,
                         task_length(outer), outer);
        else if (inner)
                snprintf(ret->function, sizeof ret->function, "%.*s", task_length(inner), inner);
        free(chain);
        free(scopes);
}

/* ---- file and line ---- */

/* Keeps what tells most: the path as seen from the working directory, and its end if it is long. */
static void fill_file(const char *path, weir_symbol *ret)
{
        char   cwd[512];
        size_t n, room = sizeof ret->file - 1;

        if (getcwd(cwd, sizeof cwd)) {
                n = strlen(cwd);
                if (strncmp(path, cwd, n) == 0 && path[n] == '/')
                        path += n + 1;
        }
        n = strlen(path);
        if (n > room)
                snprintf(ret->file, sizeof ret->file, "...%s", path + n - (room - 3));
        else
                memcpy(ret->file, path, n + 1);
}

static void fill_line(Dwarf_Die *cu, Dwarf_Addr address, weir_symbol *ret)
{
        Dwarf_Line *line;
        const char *path;

        line = dw.dwarf_getsrc_die(cu, address);
        path = line ? dw.dwarf_linesrc(line, NULL, NULL) : NULL;
        if (!path || dw.dwarf_lineno(line, &ret->line) != 0)
                return;
        fill_file(path, ret);
}

static bool look_up(const void *pc, weir_symbol *ret)
{
        Dwarf_Addr   addr = (uintptr_t)pc, bias = 0;
        Dwfl_Module *m = find_module(addr);
        Dwarf_Die   *cu;

        if (!m)
                return false;
        memset(ret, 0, sizeof *ret);
        cu = find_unit(m, addr, &bias);
        fill_function(m, addr, cu, addr - bias, ret);
        if (cu)
                fill_line(cu, addr - bias, ret);
        return ret->function[0] || ret->file[0];
}

static bool lookup(const void *pc, weir_symbol *ret)
{
        size_t      i = ((uintptr_t)pc * UINT64_C(0x9e3779b97f4a7c15) >> 32) % ANSWERS;
        weir_symbol found;
        bool        ok = true;

        if (!pc)
                return false;
        pthread_mutex_lock(&state.lock);
        if (state.answers[i].pc != pc) {
                ok = look_up(pc, &found);
                if (ok) {
                        state.answers[i].symbol = found;
                        state.answers[i].pc = pc;
                }
        }
        if (ok)
                *ret = state.answers[i].symbol;
        pthread_mutex_unlock(&state.lock);
        return ok;
}

/* Loads libdw; false: it is not there, or lacks something. */
static bool load(void)
{
        void *lib = dlopen("libdw.so.1", RTLD_NOW | RTLD_LOCAL);

        if (!lib)
                return false;
#define LOAD(name)                                                              \
        *(void **)&dw.name = dlsym(lib, #name);                                 \
        if (!dw.name)                                                           \
                return false;
        FUNCTIONS(LOAD)
        callbacks.find_elf = dw.dwfl_linux_proc_find_elf;
        callbacks.find_debuginfo = dw.dwfl_build_id_find_debuginfo;
        return true;
}

__attribute__((constructor)) void weir_symbols_install(void)
{
        if (load())
                weir_symbolizer_set(lookup);
}
