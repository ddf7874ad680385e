/* Memory of the Linux kernel: reserve, guard, forget, and a look at what may not be there. */
#include "os/os.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

void *weir__os_map(size_t size)
{
        int   keep = weir__os_errno_get();
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
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
        return weir__os_protect(addr, size, true);
}

int weir__os_protect(void *addr, size_t size, bool accessible)
{
        int keep = weir__os_errno_get(), r = 0;

        if (mprotect(addr, size, accessible ? PROT_READ | PROT_WRITE : PROT_NONE) < 0)
                r = -weir__os_errno_get();
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

        if (load_relaxed(&guard_state) >= 0) {
                if (madvise(addr, size, MADV_GUARD_INSTALL) == 0) {
                        store_relaxed(&guard_state, 1);
                        weir__os_errno_set(keep);
                        return 0;
                }
                if (weir__os_errno_get() == EINVAL)
                        store_relaxed(&guard_state, -1);
        }
        if (mprotect(addr, size, PROT_NONE) < 0)
                r = -weir__os_errno_get();
        weir__os_errno_set(keep);
        return r;
}

bool weir__os_guard_is_cheap(void)
{
        return load_relaxed(&guard_state) > 0;
}

void weir__os_forget(void *addr, size_t size)
{
        int keep = weir__os_errno_get();

        (void)madvise(addr, size, MADV_DONTNEED);
        weir__os_errno_set(keep);
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
