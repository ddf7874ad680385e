/* Memory of the Linux kernel: reserve, guard, forget, and a look at what may not be there. */
#include "base/debug.h"
#include "os/os.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif
#ifndef PIDFD_SELF_THREAD
#define PIDFD_SELF_THREAD -10000        /* this process, where a pidfd is asked for; Linux 6.14 */
#endif

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24                 /* from Linux 5.18 on */
#endif

enum { MAPPINGS_DEFAULT = 65530 };      /* of the kernel, where /proc does not tell */

/* WEIR_DEBUG=failmap. */
static bool is_to_fail(void)
{
        static int64_t at = INT64_MIN, n;       /* atomic */
        int64_t        fails = load_relaxed(&at), mine;

        if (unlikely(fails == INT64_MIN)) {
                fails = weir__debug_early("failmap", 0);
                store_relaxed(&at, fails);
        }
        if (likely(!fails))
                return false;
        mine = fetch_add_relaxed(&n, 1) + 1;
        return mine == fails || (fails < 0 && mine >= -fails);
}

void *weir__os_map(size_t size)
{
        int   keep = weir__os_errno_get();
        void *p = MAP_FAILED;

        if (likely(!is_to_fail()))
                p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
                p = NULL;
        else
                (void)madvise(p, size, MADV_NOHUGEPAGE);
        weir__os_errno_set(keep);
        return p;
}

void weir__os_unmap(void *addr, size_t size)
{
        int keep = weir__os_errno_get();

        (void)munmap(addr, size);
        weir__os_errno_set(keep);
}

void *weir__os_reserve(size_t size)
{
        int   keep = weir__os_errno_get();
        void *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        weir__os_errno_set(keep);
        return p == MAP_FAILED ? NULL : p;
}

int weir__os_commit(void *addr, size_t size)
{
        return weir__os_protect(addr, size, false);
}

/* First elsewhere: a mapping at a fixed address that fails may have removed what was there. */
int weir__os_commit_huge(void *addr, size_t size)
{
        int   keep = weir__os_errno_get(), r = 0;
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << MAP_HUGE_SHIFT, -1, 0);

        if (p == MAP_FAILED) {
                r = -weir__os_errno_get();
        } else if (mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, addr) == MAP_FAILED) {
                r = -weir__os_errno_get();
                (void)munmap(p, size);
        }
        weir__os_errno_set(keep);
        return r;
}

void weir__os_huge(void *addr, size_t size)
{
        int keep = weir__os_errno_get();

        (void)madvise(addr, size, MADV_HUGEPAGE);
        weir__os_errno_set(keep);
}

void weir__os_forget_lazily(void *addr, size_t size)
{
        int keep = weir__os_errno_get();

        if (madvise(addr, size, MADV_FREE) < 0)
                (void)madvise(addr, size, MADV_DONTNEED);
        weir__os_errno_set(keep);
}

size_t weir__os_resident(void)
{
        int     keep = weir__os_errno_get();
        int     fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
        char    buf[128];
        ssize_t n = fd < 0 ? 0 : read(fd, buf, sizeof buf - 1);
        size_t  pages = 0;

        if (fd >= 0)
                close(fd);
        weir__os_errno_set(keep);
        buf[MAX(n, 0)] = 0;
        for (const char *s = strchr(buf, ' '); s && *++s >= '0' && *s <= '9';)
                pages = pages * 10 + (size_t)(*s - '0');
        return pages * OS_PAGE;
}

uint64_t weir__os_random(void)
{
        int      keep = weir__os_errno_get();
        uint64_t v = 0;

        if (getrandom(&v, sizeof v, GRND_NONBLOCK) != sizeof v)
                v = (uint64_t)weir__os_now() * UINT64_C(0x9E3779B97F4A7C15) ^ (uintptr_t)&v;
        weir__os_errno_set(keep);
        return v;
}

/* 1: known to work, -1: the kernel has no such advice. Both only ever learned once; atomic. */
static int guard_state;

int weir__os_guard(void *addr, size_t size)
{
        int keep = weir__os_errno_get(), r = 0;

        if (load_relaxed(&guard_state) < 0)
                return -EINVAL;
        if (madvise(addr, size, MADV_GUARD_INSTALL) == 0) {
                store_relaxed(&guard_state, 1);
        } else {
                r = -weir__os_errno_get();
                if (r == -EINVAL && !load_relaxed(&guard_state))
                        store_relaxed(&guard_state, -1);
        }
        weir__os_errno_set(keep);
        return r;
}

unsigned weir__os_guard_many(char *addr, size_t size, size_t stride, unsigned n)
{
        struct iovec at[OS_GUARDS];
        int          keep = weir__os_errno_get();
        long         done;

        for (unsigned i = 0; i < n; i++)
                at[i] = (struct iovec){ addr + i * stride, size };
        done = syscall(SYS_process_madvise, PIDFD_SELF_THREAD, at, n, MADV_GUARD_INSTALL, 0);
        weir__os_errno_set(keep);
        return done > 0 ? (unsigned)((size_t)done / size) : 0;
}

int weir__os_guard_remove(void *addr, size_t size)
{
        int keep = weir__os_errno_get();
        int r = madvise(addr, size, MADV_GUARD_REMOVE) < 0 ? -weir__os_errno_get() : 0;

        weir__os_errno_set(keep);
        return r;
}

int weir__os_protect(void *addr, size_t size, bool deny)
{
        int keep = weir__os_errno_get(), access = deny ? PROT_NONE : PROT_READ | PROT_WRITE;
        int r = mprotect(addr, size, access) < 0 ? -weir__os_errno_get() : 0;

        weir__os_errno_set(keep);
        return r;
}

void weir__os_freeze(void *addr, size_t size)
{
        int keep = weir__os_errno_get();

        (void)mprotect(addr, size, PROT_READ);
        weir__os_errno_set(keep);
}

uint64_t weir__os_mappings_max(void)
{
        int      keep = weir__os_errno_get();
        int      fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
        char     text[32];
        ssize_t  n = fd < 0 ? 0 : read(fd, text, sizeof text);
        uint64_t v = 0;

        if (fd >= 0)
                close(fd);
        for (ssize_t i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
                v = v * 10 + (uint64_t)(text[i] - '0');
        weir__os_errno_set(keep);
        return v ? v : MAPPINGS_DEFAULT;
}

char *weir__os_lowest_resident(char *low, char *high)
{
        enum { PAGES = 512 };
        int           keep = weir__os_errno_get();
        unsigned char in[PAGES];

        for (; low < high; low += (size_t)PAGES * OS_PAGE) {
                size_t n = MIN((size_t)(high - low) / OS_PAGE, (size_t)PAGES);

                if (mincore(low, n * OS_PAGE, in) < 0)
                        break;
                for (size_t i = 0; i < n; i++)
                        if (in[i] & 1) {
                                weir__os_errno_set(keep);
                                return low + i * OS_PAGE;
                        }
        }
        weir__os_errno_set(keep);
        return high;
}

bool weir__os_fence_all_init(void)
{
        int keep = weir__os_errno_get();
        bool ok = !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);

        weir__os_errno_set(keep);
        return ok;
}

bool weir__os_fence_all(void)
{
        int keep = weir__os_errno_get();
        bool ok = !syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);

        weir__os_errno_set(keep);
        return ok;
}

bool weir__os_forget(void *addr, size_t size)
{
        int  keep = weir__os_errno_get();
        bool done = madvise(addr, size, MADV_DONTNEED) == 0 ||
                    madvise(addr, size, MADV_DONTNEED_LOCKED) == 0;

        weir__os_errno_set(keep);
        return done;
}

/* The kernel does the copying, so a bad address is an error code and not a fault, and a sanitizer
 * does not take the look at another goroutine's stack for a race. Page by page, because one bad
 * page would fail the whole request. */
size_t weir__os_peek(void *dst, const void *src, size_t n)
{
        int    keep = weir__os_errno_get();
        size_t done = 0;

        while (done < n) {
                uintptr_t    at = (uintptr_t)src + done;
                size_t       part = MIN(n - done, OS_PAGE - at % OS_PAGE);
                struct iovec to = { (char *)dst + done, part };
                struct iovec from = { (void *)at, part };

                if (syscall(SYS_process_vm_readv, getpid(), &to, 1L, &from, 1L, 0L) != (long)part)
                        break;
                done += part;
        }
        weir__os_errno_set(keep);
        return done;
}
