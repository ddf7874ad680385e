/* A mutex in a sandbox that was closed after the start: the fence of all threads, which the kernel
 * granted, is refused from then on. The mutex threw at that. */
#include "check.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool refuse_membarrier(void)
{
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { .len = sizeof code / sizeof code[0], .filter = code };

        return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
               !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

weir_task(count_up, my, { weir_mutex *m; long *n; int rounds; })
{
        for (int i = 0; i < my->rounds; i++) {
                weir_mutex_lock(my->m);
                ++*my->n;
                if (i % 64 == 0)
                        weir_yield();
                weir_mutex_unlock(my->m);
        }
}

static void count(weir_mutex *m, long *n)
{
        weir_wg wg = { 0 };

        for (int i = 0; i < 8; i++)
                weir_wg_go(&wg, count_up, .m = m, .n = n, .rounds = 2000);
        weir_wg_wait(&wg);
}

WEIR_TEST_WITH(a_sandbox_that_refuses_the_fence_stops_no_mutex, .procs = 4, .timeout = 60)
{
        weir_mutex before = { 0 }, after = { 0 };
        long       n = 0;

        count(&before, &n);
        if (refuse_membarrier())        /* else there is no seccomp: nothing to be refused by */
                ck_assert_int_eq(syscall(SYS_membarrier, 0, 0, 0), -1);
        count(&before, &n);
        count(&after, &n);
        ck_assert_int_eq(n, 3 * 16000);
}
