/* A program: from the words of the command line to an executable file.
 *
 * What      program_read sorts flags from files, program_make looks into the cache, and otherwise
 *           compiles each source, links, and leaves the result in the cache.
 *
 * Order     Ours first, then CPPFLAGS, CFLAGS and the command line, so that whoever comes later has
 *           the last word: -O0 after our -O2, -g0 after our -g.
 *
 * Cost      A hit is some hundred microseconds for reading what the key and the deps name, headers
 *           included; no process is started but the program itself.
 *
 * Not       One compiler call for everything would be as fast for one source, but -MF holds one
 *           source's headers. */
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <weir/version.h>

extern char **environ;

struct program {
        struct tree  tree;
        struct words cc;
        struct words compile_flags;     /* CPPFLAGS and CFLAGS */
        struct words link_flags;        /* LDFLAGS */
        struct words libs;              /* LDLIBS */
        struct words args;              /* of the command line, flags and files in their order */
        struct words sources;           /* those of args that are compiled */
        struct words objects;           /* those that are linked as they are */
        char        *name;
};

/* ---- reading the command line ---- */

static bool is_source(const char *path)
{
        return has_suffix(path, ".c") || has_suffix(path, ".i") || has_suffix(path, ".S") ||
               has_suffix(path, ".s");
}

static bool is_object(const char *path)
{
        return has_suffix(path, ".o") || has_suffix(path, ".a") || has_suffix(path, ".so") ||
               strstr(base_name(path), ".so.");
}

/* True for flags whose value may be the next word. */
static bool wants_value(const char *flag)
{
        static const char *const flags[] = {
                "-I", "-L", "-l", "-D", "-U", "-u", "-x", "-z", "-T", "-include", "-imacros",
                "-isystem", "-iquote", "-idirafter", "-isysroot", "--sysroot", "--param",
                "-Xlinker", "-Xpreprocessor", "-Xassembler", "-Xclang", "-mllvm", "-target",
        };

        for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
                if (strcmp(flag, flags[i]) == 0)
                        return true;
        return false;
}

/* True for flags that mean nothing while compiling, of which clang would say so. */
static bool is_for_linker(const char *flag)
{
        static const char *const prefixes[] = { "-l", "-L", "-Wl,", "-fuse-ld=" };
        static const char *const flags[] = {
                "-Xlinker", "-u", "-z", "-T", "-s", "-static", "-static-pie", "-static-libgcc",
                "-shared-libgcc", "-rdynamic", "-pie", "-no-pie", "-nostdlib", "-nodefaultlibs",
                "-nostartfiles",
        };

        for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
                if (strncmp(flag, prefixes[i], strlen(prefixes[i])) == 0)
                        return true;
        for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
                if (strcmp(flag, flags[i]) == 0)
                        return true;
        return false;
}

/* Refuses what would make something else than a program. */
static void refuse_flag(const char *flag)
{
        static const char *const flags[] = {
                "-c", "-S", "-E", "-M", "-MM", "-shared", "-", "-fsyntax-only",
        };

        for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
                if (strcmp(flag, flags[i]) == 0)
                        fail("%s makes no program", flag);
}

static void read_file_name(struct program *p, const char *path)
{
        struct stat st;

        if (!is_source(path) && !is_object(path))
                fail("%s is neither a C file nor a flag (arguments of the program come after --)",
                     path);
        if (stat(path, &st) < 0)
                fail("%s: %s", path, strerror(errno));
        if (S_ISDIR(st.st_mode))
                fail("%s: %s", path, strerror(EISDIR));
        words_add(is_source(path) ? &p->sources : &p->objects, path);
        words_add(&p->args, path);
}

/* Reads -o FILE or -oFILE; returns how many words that was, 0 if it is something else. */
static int read_output(char **argv, const char **ret_output)
{
        if (strncmp(argv[0], "-o", 2) != 0)
                return 0;
        if (!ret_output)
                fail("-o is for weir build; weir run keeps the program in its cache");
        if (*ret_output)
                fail("-o is given twice");
        *ret_output = argv[0][2] ? argv[0] + 2 : argv[1];
        if (!*ret_output || !**ret_output)
                fail("-o needs the name of a file");
        return argv[0][2] ? 1 : 2;
}

static void read_environment(struct program *p)
{
        words_split(&p->cc, getenv("CC"));
        if (!p->cc.n)
                words_add(&p->cc, "cc");
        words_split(&p->compile_flags, getenv("CPPFLAGS"));
        words_split(&p->compile_flags, getenv("CFLAGS"));
        words_split(&p->link_flags, getenv("LDFLAGS"));
        words_split(&p->libs, getenv("LDLIBS"));
}

/* Without a source, it makes no program. */
static struct program *read_words(int argc, char **argv, int *ret_rest, const char **ret_output)
{
        struct program *p = allocate(sizeof *p);
        int             i, n;

        for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
                n = read_output(argv + i, ret_output);
                if (n) {
                        i += n - 1;
                        continue;
                }
                if (argv[i][0] != '-') {
                        read_file_name(p, argv[i]);
                        continue;
                }
                refuse_flag(argv[i]);
                words_add(&p->args, argv[i]);
                if (wants_value(argv[i])) {
                        if (i + 1 == argc)
                                fail("%s needs a value", argv[i]);
                        words_add(&p->args, argv[++i]);
                }
        }
        *ret_rest = i < argc ? i + 1 : argc;
        read_environment(p);
        tree_find(&p->tree);
        return p;
}

struct program *program_read(int argc, char **argv, int *ret_rest, const char **ret_output)
{
        struct program *p = read_words(argc, argv, ret_rest, ret_output);
        const char     *dot;

        if (!p->sources.n)
                fail("no C file given (see weir help %s)", argv[0]);
        p->name = format("%s", base_name(p->sources.v[0]));
        dot = strrchr(p->name, '.');
        p->name[dot - p->name] = '\0';
        if (p->name[0] == '.')
                p->name = "program";
        return p;
}

bool program_has_source(const struct program *p, const char *path)
{
        struct stat a, b;

        if (stat(path, &a) < 0)
                return false;
        for (size_t i = 0; i < p->args.n; i++)
                if (p->args.v[i][0] != '-' && stat(p->args.v[i], &b) == 0 && a.st_dev == b.st_dev &&
                    a.st_ino == b.st_ino)
                        return true;
        return false;
}

/* ---- the key ---- */

/* The compiler counts by the files behind the words of CC ("ccache gcc" are two), not by what it
 * says about itself: asking would cost a process. */
static void hash_compiler(struct hasher *h, const struct words *cc)
{
        char *path = find_command(cc->v[0]);

        if (!path)
                fail("no C compiler: \"%s\" is not there; install gcc or clang, or set CC",
                     cc->v[0]);
        hasher_words(h, cc);
        hasher_stat(h, path);
        for (size_t i = 1; i < cc->n; i++)
                if (cc->v[i][0] != '-')
                        hasher_stat(h, find_command(cc->v[i]));
}

static void hash_environment(struct hasher *h)
{
        static const char *const names[] = {
                "CPATH", "C_INCLUDE_PATH", "LIBRARY_PATH", "LD_RUN_PATH", "COMPILER_PATH",
                "GCC_EXEC_PREFIX", "SOURCE_DATE_EPOCH", "DEPENDENCIES_OUTPUT",
        };

        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
                hasher_string(h, getenv(names[i]));
}

static void hash_files(struct hasher *h, const struct words *files, bool *timed)
{
        struct hash content;

        for (size_t i = 0; i < files->n; i++) {
                if (!hash_file(files->v[i], &content, timed))
                        fail("%s: %s", files->v[i], strerror(errno));
                hasher_hash(h, content);
        }
}

/* Hashes all that is known before compiling. *timed: a source asks for the time of its compilation,
 * so that the program must be compiled each time. */
static struct hash program_key(const struct program *p, bool *timed)
{
        struct hasher *h = hasher_new();
        char          *cwd = getcwd(NULL, 0);

        hasher_string(h, WEIR_VERSION_STRING);
        hasher_string(h, cwd ? cwd : ".");
        hash_compiler(h, &p->cc);
        hash_environment(h);
        hasher_words(h, &p->compile_flags);
        hasher_words(h, &p->link_flags);
        hasher_words(h, &p->libs);
        hasher_words(h, &p->args);
        hasher_string(h, p->tree.include);
        hasher_stat(h, p->tree.library);
        hasher_stat(h, p->tree.symbols);
        hash_files(h, &p->sources, timed);
        hash_files(h, &p->objects, NULL);
        free(cwd);
        return hasher_result(h);
}

/* ---- messages of the compiler ---- */

/* Writes the text of fd from *at on to standard error; without its colours if that is no
 * terminal. */
static void show(int fd, off_t *at)
{
        bool    plain = !isatty(STDERR_FILENO), escape = false;
        char    buf[4096];
        ssize_t n;

        while ((n = pread(fd, buf, sizeof buf, *at)) > 0) {
                *at += n;
                for (ssize_t i = 0; i < n; i++) {
                        if (plain && buf[i] == '\033')
                                escape = true;
                        if (!escape)
                                fputc(buf[i], stderr);
                        else if (strchr("mK", buf[i]))
                                escape = false;
                }
        }
        fflush(stderr);
}

static void show_again(const char *entry)
{
        char *path = entry_messages(entry);
        off_t at = 0;
        int   fd;

        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
                show(fd, &at);
                close(fd);
        }
        free(path);
}

static bool wants_colour(void)
{
        const char *term = getenv("TERM");

        return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0 && !getenv("NO_COLOR");
}

/* ---- compiling ---- */

struct work {
        const struct program *p;
        char                 *dir;              /* where the entry is built */
        struct words          more;             /* flags after all others */
        int                   messages;         /* what the compiler said */
        off_t                 shown;            /* how much of it was */
        struct words          objects;          /* one per source */
        struct words          contents;         /* sources and headers */
        struct words          versions;         /* what the linker took */
};

static _Noreturn void give_up(struct work *w)
{
        remove_tree(w->dir);
        exit(STATUS_COMPILE);
}

/* Runs one command; its complaints are shown and kept. Does not return if it fails. */
static void command(struct work *w, const struct words *words)
{
        posix_spawn_file_actions_t actions;
        pid_t                      pid;
        int                        r, status;
        off_t                      before = w->shown;

        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, w->messages, STDERR_FILENO);
        r = posix_spawnp(&pid, words->v[0], &actions, NULL, words->v, environ);
        posix_spawn_file_actions_destroy(&actions);
        if (r) {
                remove_tree(w->dir);
                fail("cannot start the compiler: %s: %s", words->v[0], strerror(r));
        }
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        show(w->messages, &w->shown);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return;
        if (WIFSIGNALED(status))
                fprintf(stderr, "weir: %s was ended by signal %d (%s)\n", words->v[0],
                        WTERMSIG(status), strsignal(WTERMSIG(status)));
        else if (w->shown == before)
                fprintf(stderr, "weir: %s ended with status %d and no message\n", words->v[0],
                        WEXITSTATUS(status));
        give_up(w);
}

static void add_our_flags(struct words *c, const struct program *p)
{
        /* What a panic needs to unwind through user code; clang takes the second for granted. */
        static const char *const flags[] = { "-g", "-O2", "-fexceptions", "-fnon-call-exceptions" };

        for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
                words_add(c, flags[i]);
        words_add(c, format("-I%s", p->tree.include));
        if (wants_colour())
                words_add(c, "-fdiagnostics-color=always");
}

static void compile(struct work *w, size_t i)
{
        const struct program *p = w->p;
        struct words          c = { 0 };
        char                 *deps = format("%s/%zu.d", w->dir, i);

        words_add_all(&c, &p->cc);
        add_our_flags(&c, p);
        words_add_all(&c, &p->compile_flags);
        for (size_t k = 0; k < p->args.n; k++) {
                const char *arg = p->args.v[k];
                bool        value = wants_value(arg);

                if (arg[0] == '-' && !is_for_linker(arg)) {
                        words_add(&c, arg);
                        if (value)
                                words_add(&c, p->args.v[k + 1]);
                }
                k += value;
        }
        words_add_all(&c, &w->more);
        words_add(&c, "-MD");
        words_add(&c, "-MF");
        words_add(&c, deps);
        words_add(&c, "-MT");
        words_add(&c, "program");
        words_add(&c, "-c");
        words_add(&c, p->sources.v[i]);
        words_add(&c, "-o");
        words_add(&w->objects, format("%s/%zu.o", w->dir, i));
        words_add(&c, w->objects.v[i]);
        command(w, &c);
        words_add(&w->contents, p->sources.v[i]);
        deps_parse(deps, &w->contents);
}

static bool has_flag(const struct program *p, const char *flag)
{
        const struct words *lists[] = { &p->compile_flags, &p->link_flags, &p->args };

        for (size_t i = 0; i < 3; i++)
                for (size_t k = 0; k < lists[i]->n; k++)
                        if (strcmp(lists[i]->v[k], flag) == 0)
                                return true;
        return false;
}

/* A static program cannot load libdw, which libweir-symbols does. */
static void add_our_libraries(struct words *c, const struct program *p)
{
        if (p->tree.symbols && !has_flag(p, "-static") && !has_flag(p, "-static-pie")) {
                words_add(c, "-Wl,-u,weir_symbols_install");
                words_add(c, p->tree.symbols);
        }
        words_add(c, p->tree.library);
}

/* Adds what the linker took that is still there: not our own objects, nor its scratch files. */
static void add_versions(struct work *w, const char *file)
{
        struct words all = { 0 };

        deps_parse(file, &all);
        for (size_t i = 0; i < all.n; i++)
                if (strncmp(all.v[i], w->dir, strlen(w->dir)) != 0 && access(all.v[i], F_OK) == 0)
                        words_add(&w->versions, all.v[i]);
}

/* Adds the arguments with objects in the place of their sources. A library named before the sources
 * that need it would be passed over by the linker, so it goes behind the last of them. */
static void add_inputs(struct words *c, const struct work *w)
{
        const struct words *args = &w->p->args;
        struct words        libraries = { 0 };
        size_t              source = 0;

        for (size_t i = 0; i < args->n; i++) {
                const char   *arg = args->v[i];
                bool          ahead = source < w->objects.n && strncmp(arg, "-l", 2) == 0;
                struct words *to = ahead ? &libraries : c;

                if (arg[0] != '-' && is_source(arg))
                        words_add(to, w->objects.v[source++]);
                else
                        words_add(to, arg);
                if (wants_value(arg))
                        words_add(to, args->v[++i]);
                if (source == w->objects.n) {
                        words_add_all(c, &libraries);
                        libraries.n = 0;
                }
        }
}

static void link_program(struct work *w)
{
        const struct program *p = w->p;
        struct words          c = { 0 };
        char                 *deps = format("%s/link.d", w->dir);

        words_add_all(&c, &p->cc);
        words_add_all(&c, &p->compile_flags);
        words_add_all(&c, &p->link_flags);
        add_inputs(&c, w);
        words_add_all(&c, &p->libs);
        add_our_libraries(&c, p);
        /* -Xlinker, not -Wl: the path may hold a comma. */
        words_add(&c, "-Xlinker");
        words_add(&c, format("--dependency-file=%s", deps));
        words_add(&c, "-o");
        words_add(&c, format("%s/%s", w->dir, p->name));
        command(w, &c);
        add_versions(w, deps);
        unlink(deps);
}

static void tidy(struct work *w)
{
        for (size_t i = 0; i < w->objects.n; i++) {
                unlink(w->objects.v[i]);
                unlink(format("%s/%zu.d", w->dir, i));
        }
        if (w->shown == 0)
                unlink(entry_messages(w->dir));
}

/* Compiles and links into a new folder. *complete: it can become the entry. */
static char *work(const struct program *p, const char *entry, bool *ret_complete)
{
        struct work     w = { .p = p, .dir = cache_prepare(entry) };
        struct timespec start;

        clock_gettime(CLOCK_REALTIME, &start);
        w.messages = open(entry_messages(w.dir), O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC,
                          0600);
        if (w.messages < 0)
                fail("%s: %s", w.dir, strerror(errno));
        for (size_t i = 0; i < p->sources.n; i++)
                compile(&w, i);
        link_program(&w);
        close(w.messages);
        tidy(&w);
        *ret_complete = deps_write(entry_deps(w.dir), &w.contents, &w.versions, start);
        return w.dir;
}

/* True if the program is there and up to date. */
static bool entry_holds(const char *entry, const char *program)
{
        char *deps = entry_deps(entry);

        if (access(program, X_OK) < 0) {
                unlink(deps);   /* somebody took the program away: the entry is none */
                return false;
        }
        return deps_hold(deps);
}

char *program_make(struct program *p)
{
        bool  timed = false, complete;
        char *entry = cache_entry(program_key(p, &timed)), *dir;
        char *path = format("%s/%s", entry, p->name);

        if (!timed && entry_holds(entry, path)) {
                cache_touch(entry);
                show_again(entry);
                return path;
        }
        dir = work(p, entry, &complete);
        if (!timed && complete && cache_publish(dir, entry))
                dir = entry;
        cache_trim();
        return format("%s/%s", dir, p->name);
}

/* In a folder of its own beside the cached programs, which is gone afterwards. */
void program_objects(int argc, char **argv, const char *flags,
                     void (*fn)(const char *object, void *arg), void *arg)
{
        int             rest;
        struct program *p = read_words(argc, argv, &rest, NULL);
        struct work     w = { .p = p };

        if (rest < argc)
                fail("\"--\" and arguments are for weir run: %s", argv[rest]);
        if (!p->sources.n && !p->objects.n)
                fail("no file given (see weir help %s)", argv[0]);
        if (p->sources.n) {
                w.dir = cache_prepare(cache_entry((struct hash){ 0 }));
                w.messages = open(entry_messages(w.dir),
                                  O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
                if (w.messages < 0)
                        fail("%s: %s", w.dir, strerror(errno));
                words_split(&w.more, flags);
                for (size_t i = 0; i < p->sources.n; i++)
                        compile(&w, i);
                close(w.messages);
                for (size_t i = 0; i < w.objects.n; i++)
                        fn(w.objects.v[i], arg);
                remove_tree(w.dir);
        }
        for (size_t i = 0; i < p->objects.n; i++)
                fn(p->objects.v[i], arg);
}
