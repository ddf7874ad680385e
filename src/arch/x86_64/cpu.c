/* The parts of the x86-64 contract that C can say: fresh contexts, register pictures, pause. */
#include "arch/arch.h"
#include "os/os.h"
#include <ucontext.h>

extern void weir__arch_entry(void);

/* What weir__arch_switch leaves on a stack; see the picture in switch.S. */
struct saved {
        uint32_t mxcsr;
        uint16_t fcw, pad;
        uint64_t r15, r14, r13, r12, rbx, rbp;
        uint64_t pc;
};

void weir__spin_pause(void)
{
        __builtin_ia32_pause();
}

void weir__arch_set_self(void *m)
{
        uintptr_t offset;

        __asm__ volatile("movq weir__arch_m@gottpoff(%%rip), %0" : "=r"(offset));
        __asm__ volatile("movq %1, %%fs:(%0)" : : "r"(offset), "r"(m) : "memory");
}

void weir__arch_context_init(struct context *c, void *top, void (*fn)(void *), void *arg)
{
        struct saved *s = (struct saved *)((char *)top - sizeof *s);

        *s = (struct saved){ .r12 = (uintptr_t)fn, .r13 = (uintptr_t)arg,
                             .pc = (uintptr_t)weir__arch_entry };
        __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(s->mxcsr), "=m"(s->fcw));
        store_relaxed(&c->sp, s);
}

bool weir__arch_context_regs(const struct context *c, struct regs *ret)
{
        void        *sp = load_relaxed(&c->sp);
        struct saved s;

        if (weir__os_peek(&s, sp, sizeof s) != sizeof s)
                return false;
        *ret = (struct regs){ { 0 } };
        ret->r[3] = s.rbx;
        ret->r[6] = s.rbp;
        ret->r[ARCH_SP] = (uintptr_t)sp + sizeof s;
        ret->r[12] = s.r12;
        ret->r[13] = s.r13;
        ret->r[14] = s.r14;
        ret->r[15] = s.r15;
        ret->r[ARCH_PC] = s.pc;
        return true;
}

extern void weir__arch_fault_entry(void);

void weir__arch_signal_call(void *ucontext, uintptr_t sp, void (*fn)(void *), void *arg)
{
        ucontext_t  *uc = ucontext;
        greg_t      *gregs = uc->uc_mcontext.gregs;
        struct regs *r = (struct regs *)ALIGN_DOWN(sp - sizeof *r, 64);

        weir__arch_signal_regs(uc, r);
        gregs[REG_RSP] = (greg_t)(uintptr_t)r;
        gregs[REG_RIP] = (greg_t)(uintptr_t)weir__arch_fault_entry;
        gregs[REG_R12] = (greg_t)(uintptr_t)fn;
        gregs[REG_R13] = (greg_t)(uintptr_t)arg;
        gregs[REG_EFL] &= ~(greg_t)0x400;               /* the direction that C expects */
}

void weir__arch_signal_regs(const void *ucontext, struct regs *ret)
{
        static const int order[ARCH_REGS] = {
                REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
                REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP,
        };
        const ucontext_t *uc = ucontext;

        for (int i = 0; i < ARCH_REGS; i++)
                ret->r[i] = (uint64_t)uc->uc_mcontext.gregs[order[i]];
}
