/* The switch itself, without a scheduler: two contexts hand control to and fro. */
/* skip: address,thread because these switches are not announced to the sanitizer */
#include "check.h"
#include "arch/arch.h"
#include "os/os.h"
#include <fenv.h>

enum { SIZE = 64 * 1024 };

struct pair {
        struct context main, other;
        uint64_t       seen[8];
        int            rounds, mode;
        uintptr_t      sp;
};

static void go_back(struct pair *p)
{
        p->other.on_cpu = 0;
        p->main.on_cpu = 1;
        weir__arch_switch(&p->other, &p->main);
}

static void go_over(struct pair *p)
{
        p->other.on_cpu = 1;
        weir__arch_switch(&p->main, &p->other);
}

static void bounce(void *arg)
{
        struct pair *p = arg;

        p->sp = (uintptr_t)__builtin_frame_address(0);
        for (;;) {
                p->rounds++;
                p->mode = fegetround();
                go_back(p);
        }
}

static void start(struct pair *p, void (*fn)(void *))
{
        char *stack = weir__os_map(SIZE);

        *p = (struct pair){ .main.on_cpu = 1 };
        weir__arch_context_init(&p->other, stack + SIZE, fn, p);
}

PLAIN_TEST(control_goes_to_and_fro)
{
        struct pair p;

        start(&p, bounce);
        for (int i = 1; i <= 1000; i++) {
                go_over(&p);
                ck_assert_int_eq(p.rounds, i);
                ck_assert_uint_eq(p.other.on_cpu, 0);
                ck_assert_uint_eq(p.main.on_cpu, 1);
        }
        ck_assert_uint_eq(p.sp % 16, 0);        /* as the ABI wants it after push rbp */
}

/* Calls fn(p) with v, v + 1, ... in the callee-saved registers and stores what they are after
 * it. */
void with_registers(struct pair *p, uint64_t v, uint64_t *ret, void (*fn)(struct pair *p));

__asm__("       .text\n"
        "       .globl  with_registers\n"
        "with_registers:\n"
        "       pushq   %rbx\n"
        "       pushq   %rbp\n"
        "       pushq   %r12\n"
        "       pushq   %r13\n"
        "       pushq   %r14\n"
        "       pushq   %r15\n"
        "       pushq   %rdx\n"
        "       movq    %rsi, %rbx\n"
        "       leaq    1(%rsi), %rbp\n"
        "       leaq    2(%rsi), %r12\n"
        "       leaq    3(%rsi), %r13\n"
        "       leaq    4(%rsi), %r14\n"
        "       leaq    5(%rsi), %r15\n"
        "       callq   *%rcx\n"
        "       popq    %rdx\n"
        "       movq    %rbx, (%rdx)\n"
        "       movq    %rbp, 8(%rdx)\n"
        "       movq    %r12, 16(%rdx)\n"
        "       movq    %r13, 24(%rdx)\n"
        "       movq    %r14, 32(%rdx)\n"
        "       movq    %r15, 40(%rdx)\n"
        "       popq    %r15\n"
        "       popq    %r14\n"
        "       popq    %r13\n"
        "       popq    %r12\n"
        "       popq    %rbp\n"
        "       popq    %rbx\n"
        "       ret\n");

static void other_registers(void *arg)
{
        struct pair *p = arg;

        for (;;) {
                /* Whatever is in them here must not leak over there. */
                __asm__ volatile("movq $-1, %%rbx\n\tmovq $-1, %%r12\n\tmovq $-1, %%r13\n\t"
                                 "movq $-1, %%r14\n\tmovq $-1, %%r15"
                                 : : : "rbx", "r12", "r13", "r14", "r15");
                go_back(p);
        }
}

PLAIN_TEST(callee_saved_registers_survive)
{
        struct pair p;
        uint64_t    r[6];

        start(&p, other_registers);
        for (uint64_t v = 1000; v < 1100; v++) {
                with_registers(&p, v, r, go_over);
                for (uint64_t i = 0; i < 6; i++)
                        ck_assert_uint_eq(r[i], v + i);
        }
}

PLAIN_TEST(control_words_belong_to_the_context)
{
        struct pair p;

        fesetround(FE_UPWARD);
        start(&p, bounce);
        fesetround(FE_TONEAREST);
        for (int i = 0; i < 10; i++) {
                go_over(&p);
                ck_assert_int_eq(p.mode, FE_UPWARD);
                ck_assert_int_eq(fegetround(), FE_TONEAREST);
        }
}

PLAIN_TEST(the_registers_of_a_context_that_waits_can_be_read)
{
        struct pair p;
        struct regs r;

        start(&p, bounce);
        ck_assert(weir__arch_context_regs(&p.other, &r));       /* not even begun */
        go_over(&p);
        ck_assert(weir__arch_context_regs(&p.other, &r));
        ck_assert_uint_gt(r.r[ARCH_SP], p.sp - 4096);
        ck_assert_uint_le(r.r[ARCH_SP], p.sp);
        p.other.sp = (void *)16;
        ck_assert(!weir__arch_context_regs(&p.other, &r));
}

PLAIN_TEST(the_thread_pointer_is_what_was_set)
{
        ck_assert_ptr_null(weir__arch_self());
        weir__arch_set_self(&(int){ 0 });
        ck_assert_ptr_nonnull(weir__arch_self());
        weir__arch_set_self(NULL);
        ck_assert_ptr_null(weir__arch_self());
}
