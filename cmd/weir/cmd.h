/* What the files of the command share.
 *
 * The command lives for milliseconds and ends in exec or exit: what it allocates is never freed. */
#ifndef CMD_H
#define CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#ifdef __GNUC__
#define PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#endif

/* Exit statuses of the command itself. */
enum { STATUS_COMPILE = 1, STATUS_USAGE = 2, STATUS_WASTE = 3 };

/* ---- verbs (main.c and one file each) ---- */

struct verb {
        const char *name;
        const char *usage;      /* what follows the name */
        const char *line;       /* for the list of verbs */
        const char *text;       /* for weir help NAME */
        int       (*run)(int argc, char **argv);        /* argv[0] is the verb's name */
};

extern const struct verb verb_run, verb_build, verb_layout, verb_cpu, verb_version, verb_help;
extern const struct verb *const verbs[];        /* ends with NULL */

const struct verb *verb_find(const char *name);
int                help_print(const struct verb *v);

/* ---- util.c ---- */

struct words {
        char **v;       /* ends with NULL once anything was added */
        size_t n;
};

/* Prints "weir VERB: message" and ends with STATUS_USAGE. */
_Noreturn void fail(const char *fmt, ...) PRINTF(1, 2);
void  fail_as(const char *verb);        /* which VERB that is */
char *format(const char *fmt, ...) PRINTF(1, 2);
void *allocate(size_t size);

void words_add(struct words *w, const char *word);
void words_add_all(struct words *w, const struct words *more);
void words_split(struct words *w, const char *text);    /* as a shell would, quotes included */

const char *base_name(const char *path);
bool        has_suffix(const char *s, const char *suffix);
char       *find_command(const char *name);     /* on the PATH; NULL: not there */
bool        copy_file(const char *from, int to);        /* false: errno says why */
void        remove_tree(const char *dir);       /* two levels deep, as cache entries are */

/* ---- tree.c: where weir itself is installed ---- */

struct tree {
        char *include;
        char *library;          /* libweir.a */
        char *symbols;          /* libweir-symbols.a, or NULL */
};

void tree_find(struct tree *ret);

/* ---- hash.c ---- */

struct hash {
        uint64_t low, high;
};

struct hasher;

struct hasher *hasher_new(void);
void           hasher_string(struct hasher *h, const char *s);  /* NULL differs from "" */
void           hasher_words(struct hasher *h, const struct words *w);
void           hasher_hash(struct hasher *h, struct hash value);
void           hasher_stat(struct hasher *h, const char *path); /* name, size and times */
struct hash    hasher_result(struct hasher *h);

/* Hashes what is in the file; false: errno says why. *timed, unless NULL, tells whether the text
 * asks for the time of its compilation. */
bool hash_file(const char *path, struct hash *ret, bool *timed);

/* ---- deps.c: what a program was made of ---- */

/* Adds the prerequisites that the make rule in file names. */
void deps_parse(const char *file, struct words *w);

/* Writes to file which contents (sources and headers) and which versions (everything that was
 * linked) the program depends on; false: one of them changed after start, or cannot be told. */
bool deps_write(const char *file, const struct words *contents, const struct words *versions,
                struct timespec start);

/* True if nothing in file has changed since it was written. */
bool deps_hold(const char *file);

/* ---- cache.c ---- */

/* Returns the directory of cached programs, made if need be. */
char *cache_directory(void);

/* Where the parts of an entry are. */
char *cache_entry(struct hash key);
char *entry_deps(const char *entry);
char *entry_messages(const char *entry);

/* Marks the entry as used now. */
void cache_touch(const char *entry);

/* Makes a directory in which an entry can be built. */
char *cache_prepare(const char *entry);

/* Puts what was built in the place of entry; false: it stays where it was built. */
bool cache_publish(const char *built, const char *entry);

/* Removes what is old or too much. */
void cache_trim(void);

/* ---- program.c ---- */

/* Reads the flags and files of run and build from argv[1] on, until "--" or the end. Returns the
 * index of what comes after. With an output, accepts -o FILE and stores it. */
struct program;

struct program *program_read(int argc, char **argv, int *ret_rest, const char **ret_output);

/* Compiles, unless that was done before, and returns the path of the executable. Does not return if
 * the compiler complains. */
char *program_make(struct program *p);
bool  program_has_source(const struct program *p, const char *path);

/* Reads flags and files as those of run, compiles each source with these flags at the end, and
 * calls fn for each object that results, then for those given. fn may end the command, which leaves
 * the folder behind that cache_trim removes one day. */
void program_objects(int argc, char **argv, const char *flags,
                     void (*fn)(const char *object, void *arg), void *arg);

#endif
