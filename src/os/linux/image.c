/* The images that the loader has mapped: unwind tables and function names.
 *
 * Names come from .symtab of the file on disk (static functions are there too), else .dynsym; the
 * file is mapped for good at the first question about it. No malloc anywhere, so a dump from a
 * fault handler may ask. */
#include "os/os.h"
#include "base/lock.h"
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct search {
        uintptr_t        pc;
        struct os_image *ret;
        bool             found;
};

static int visit(struct dl_phdr_info *info, size_t size, void *arg)
{
        struct search *s = arg;
        const void    *hdr = NULL;
        uintptr_t      low = 0, high = 0;

        (void)size;
        for (int i = 0; i < info->dlpi_phnum; i++) {
                const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
                uintptr_t         at = info->dlpi_addr + ph->p_vaddr;

                if (ph->p_type == PT_GNU_EH_FRAME)
                        hdr = (const void *)at;
                if (ph->p_type == PT_LOAD && s->pc >= at && s->pc < at + ph->p_memsz) {
                        low = at;
                        high = at + ph->p_memsz;
                }
        }
        if (!high)
                return 0;
        *s->ret = (struct os_image){ .base = info->dlpi_addr,
                                     .path = info->dlpi_name ? info->dlpi_name : "",
                                     .eh_frame_hdr = hdr, .text_low = low, .text_high = high };
        s->found = true;
        return 1;
}

/* Since glibc 2.35: finds an image without a lock, so that a thread may ask that faulted in the
 * loader, or while another holds its lock. */
#pragma weak _dl_find_object

bool weir__os_image_find(const void *pc, struct os_image *ret)
{
        struct search s = { .pc = (uintptr_t)pc, .ret = ret };

#ifdef DLFO_STRUCT_HAS_EH_DBASE                         /* glibc's headers know it */
        struct dl_find_object o;

        if (_dl_find_object) {
                if (_dl_find_object((void *)(uintptr_t)pc, &o) != 0)
                        return false;
                *ret = (struct os_image){ .base = o.dlfo_link_map->l_addr,
                                          .path = o.dlfo_link_map->l_name,
                                          .eh_frame_hdr = o.dlfo_eh_frame,
                                          .text_low = (uintptr_t)o.dlfo_map_start,
                                          .text_high = (uintptr_t)o.dlfo_map_end };
                return true;
        }
#endif
        (void)dl_iterate_phdr(visit, &s);
        return s.found;
}

/* ---- whose code ---- */

struct range {
        uintptr_t    low, high;
        enum os_text text;
};

static struct range ranges[16];         /* const after init; the first one counts */
static unsigned     nranges;            /* the same */

/* The runtime's text in a program that was linked with libweir.a (CMakeLists.txt). */
extern const char __start_weir_text[] __attribute__((weak, visibility("hidden")));
extern const char __stop_weir_text[] __attribute__((weak, visibility("hidden")));

/* What libweir provides in place of libc (sched/libc.c). */
extern const char __start_weir_libc[] __attribute__((weak, visibility("hidden")));
extern const char __stop_weir_libc[] __attribute__((weak, visibility("hidden")));

static bool is_system(const char *path)
{
        static const char *const names[] = { "libc.so", "ld-linux", "libm.so", "libgcc_s",
                                             "libstdc++", "libc++", "libpthread", "linux-vdso",
                                             "libasan", "libubsan" };
        const char              *name = strrchr(path, '/');

        name = name ? name + 1 : path;
        for (size_t i = 0; i < COUNT(names); i++)
                if (!strncmp(name, names[i], strlen(names[i])))
                        return true;
        return false;
}

static void add_range(uintptr_t low, uintptr_t high, enum os_text text)
{
        if (nranges < COUNT(ranges))
                ranges[nranges++] = (struct range){ low, high, text };
}

static int add_image(struct dl_phdr_info *info, size_t size, void *arg)
{
        const char  *path = info->dlpi_name ? info->dlpi_name : "";
        enum os_text text = is_system(path) ? OS_TEXT_SYSTEM : OS_TEXT_PROGRAM;

        (void)size;
        (void)arg;
        if (text == OS_TEXT_PROGRAM && *path)
                return 0;               /* only the program itself has no name */
        for (int i = 0; i < info->dlpi_phnum; i++) {
                const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
                uintptr_t         at = info->dlpi_addr + ph->p_vaddr;

                if (ph->p_type == PT_LOAD && (ph->p_flags & PF_X))
                        add_range(at, at + ph->p_memsz, text);
        }
        return 0;
}

enum os_text weir__os_text_of(const void *pc)
{
        for (unsigned i = 0; i < nranges; i++)
                if ((uintptr_t)pc >= ranges[i].low && (uintptr_t)pc < ranges[i].high)
                        return ranges[i].text;
        return OS_TEXT_OTHER;
}

bool weir__os_text_init(void)
{
        struct os_image own;

        nranges = 0;
        if (__start_weir_libc)          /* before the range around it in libweir.so */
                add_range((uintptr_t)__start_weir_libc, (uintptr_t)__stop_weir_libc,
                          OS_TEXT_SYSTEM);
        if (__start_weir_text)
                add_range((uintptr_t)__start_weir_text, (uintptr_t)__stop_weir_text,
                          OS_TEXT_RUNTIME);
        else if (weir__os_image_find((const void *)(uintptr_t)&weir__os_text_init, &own) &&
                 *own.path)
                add_range(own.text_low, own.text_high, OS_TEXT_RUNTIME);        /* libweir.so */
        else
                return false;
        (void)dl_iterate_phdr(add_image, NULL);
        /* libc in the program's own text: nothing tells one from the other. */
        return weir__os_text_of((const void *)(uintptr_t)&weir__os_text_init) == OS_TEXT_RUNTIME &&
               weir__os_text_of((const void *)(uintptr_t)&getpid) == OS_TEXT_SYSTEM;
}

/* ---- memory of the program ---- */

static struct tls {
        uintptr_t below;                /* its distance from the thread control block */
        size_t    size;
} tls[256];                             /* whoever calls weir__os_globals, one at a time */
static unsigned ntls;

/* What lies above a thread's pointer, at least: struct pthread of the C library has 2304 bytes. */
enum { CONTROL_BLOCK = 2048 };

struct globals {
        void (*locked)(void *arg);
        void (*fn)(uintptr_t low, uintptr_t high, void *arg);
        void  *arg;
};

/* A block further away is not part of the thread's own memory. */
static noinline void add_tls(uintptr_t block, size_t size)
{
        uintptr_t tcb = (uintptr_t)__builtin_thread_pointer();

        if (block && block < tcb && tcb - block < 1 << 20 && ntls < COUNT(tls))
                tls[ntls++] = (struct tls){ tcb - block, size };
}

static int visit_globals(struct dl_phdr_info *info, size_t size, void *arg)
{
        struct globals *g = arg;

        if (g->locked)
                g->locked(g->arg);
        g->locked = NULL;
        for (int i = 0; i < info->dlpi_phnum; i++) {
                const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
                uintptr_t         at = info->dlpi_addr + ph->p_vaddr;

                if (ph->p_type == PT_LOAD && (ph->p_flags & PF_W))
                        g->fn(at, at + ph->p_memsz, g->arg);
                if (ph->p_type != PT_TLS ||
                    size < offsetof(struct dl_phdr_info, dlpi_tls_data) + sizeof(void *))
                        continue;
                add_tls((uintptr_t)info->dlpi_tls_data, ph->p_memsz);
        }
        return 0;
}

void weir__os_globals(void (*locked)(void *arg), void (*fn)(uintptr_t low, uintptr_t high, void *arg),
                      void *arg)
{
        struct globals g = { locked, fn, arg };

        ntls = 0;
        (void)dl_iterate_phdr(visit_globals, &g);
}

void weir__os_tls(uintptr_t tcb, void (*fn)(uintptr_t low, uintptr_t high, void *arg), void *arg)
{
        for (unsigned i = 0; i < ntls; i++)
                fn(tcb - tls[i].below, tcb - tls[i].below + tls[i].size, arg);
        /* What pthread_setspecific holds, and the way to blocks of libraries that came later. */
        fn(tcb, tcb + CONTROL_BLOCK, arg);
}

/* ---- symbol tables on disk ---- */

struct file {
        char            path[256];
        const char     *map;            /* the whole file, or NULL: could not be read */
        size_t          size;
        const Elf64_Sym *sym;
        size_t          count;
        const char     *str;
        size_t          str_size;
};

static struct lock files_lock;         /* taken by try alone, also where a fault left a lock held */
static struct file files[32];           /* lock: files_lock */
static unsigned    nfiles;              /* lock: files_lock */

static const Elf64_Shdr *section(const struct file *f, const Elf64_Ehdr *eh, uint32_t type)
{
        const Elf64_Shdr *sh;

        if (eh->e_shoff + (uint64_t)eh->e_shnum * sizeof *sh > f->size)
                return NULL;
        sh = (const Elf64_Shdr *)(const void *)(f->map + eh->e_shoff);
        for (int i = 0; i < eh->e_shnum; i++)
                if (sh[i].sh_type == type && sh[i].sh_link < eh->e_shnum &&
                    sh[i].sh_offset + sh[i].sh_size <= f->size &&
                    sh[sh[i].sh_link].sh_offset + sh[sh[i].sh_link].sh_size <= f->size)
                        return &sh[i];
        return NULL;
}

static void read_symbols(struct file *f)
{
        const Elf64_Ehdr *eh = (const void *)f->map;
        const Elf64_Shdr *sh, *all;

        if (f->size < sizeof *eh || memcmp(eh->e_ident, ELFMAG, SELFMAG) ||
            eh->e_ident[EI_CLASS] != ELFCLASS64)
                return;
        sh = section(f, eh, SHT_SYMTAB);
        if (!sh)
                sh = section(f, eh, SHT_DYNSYM);
        if (!sh)
                return;
        all = (const Elf64_Shdr *)(const void *)(f->map + eh->e_shoff);
        f->sym = (const Elf64_Sym *)(const void *)(f->map + sh->sh_offset);
        f->count = sh->sh_size / sizeof *f->sym;
        f->str = f->map + all[sh->sh_link].sh_offset;
        f->str_size = all[sh->sh_link].sh_size;
}

static const struct file *open_file(const char *path)
{
        struct stat  st;
        struct file *f;
        void        *map;
        int          fd;

        for (unsigned i = 0; i < nfiles; i++)
                if (!strcmp(files[i].path, path))
                        return &files[i];
        if (nfiles == COUNT(files) || strlen(path) >= sizeof f->path)
                return NULL;
        f = &files[nfiles++];
        memcpy(f->path, path, strlen(path) + 1);
        fd = open(*path ? path : "/proc/self/exe", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return f;
        if (!fstat(fd, &st) && st.st_size > 0) {
                map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
                if (map != MAP_FAILED) {
                        f->map = map;
                        f->size = (size_t)st.st_size;
                        read_symbols(f);
                }
        }
        close(fd);
        return f;
}

/* The holder may be this very thread, when it faulted inside: then a name stays unknown. */
static bool files_take(void)
{
        for (int i = 0; i < 200; i++) {
                if (lock_try(&files_lock))
                        return true;
                if (i < 100)
                        weir__os_yield();
                else
                        weir__os_sleep(1000000);
        }
        return false;
}

bool weir__os_symbol_find(const void *pc, char *ret_name, size_t size, size_t *ret_offset)
{
        int                keep = weir__os_errno_get();
        const struct file *f;
        const Elf64_Sym   *best = NULL;
        struct os_image    image;
        uint64_t           at;
        bool               found = false;

        if (!size || !weir__os_image_find(pc, &image))
                return false;
        at = (uintptr_t)pc - image.base;
        if (!files_take()) {
                weir__os_errno_set(keep);
                return false;
        }
        f = open_file(image.path);
        for (size_t i = 0; f && i < f->count; i++) {
                const Elf64_Sym *s = &f->sym[i];

                if (ELF64_ST_TYPE(s->st_info) != STT_FUNC &&
                    ELF64_ST_TYPE(s->st_info) != STT_NOTYPE)
                        continue;
                if (s->st_shndx == SHN_UNDEF || s->st_value > at || s->st_name >= f->str_size)
                        continue;
                if (s->st_size ? at < s->st_value + s->st_size
                               : ELF64_ST_TYPE(s->st_info) == STT_FUNC && at == s->st_value) {
                        best = s;
                        break;
                }
        }
        if (best) {
                const char *name = f->str + best->st_name;
                size_t      n = strnlen(name, MIN(size - 1, f->str_size - best->st_name));

                memcpy(ret_name, name, n);
                ret_name[n] = 0;
                *ret_offset = at - best->st_value;
                found = true;
        }
        lock_drop(&files_lock);
        weir__os_errno_set(keep);
        return found;
}

void weir__os_symbol_forked(void)
{
        files_lock = (struct lock){ 0 };
}
