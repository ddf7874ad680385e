/* Code that fills the registers of the processor and looks whether any changes under it. */
#ifndef TEST_REGISTERS_H
#define TEST_REGISTERS_H

#include <stdbool.h>
#include <stdint.h>

/* Fills the registers that a function may use, the red zone and the flags, and looks whether any of
 * them changes while it counts down. Answers how often one did. */
static __attribute__((noinline)) uint64_t watch_registers(uint64_t pattern)
{
        uint64_t bad = 0;

        __asm__ volatile(
                "movl $100000, %%ecx\n\t"
                "leaq -256(%%rsp), %%rsp\n\t"         /* the compiler's own red zone */
                "movq %%rax, %%rsi\n\tmovq %%rax, %%rdi\n\t"
                "movq %%rax, %%r8\n\tmovq %%rax, %%r9\n\tmovq %%rax, %%r10\n\t"
                "movq %%rax, %%r11\n\tmovq %%rax, %%r12\n\tmovq %%rax, %%r13\n\t"
                "movq %%rax, %%r14\n\tmovq %%rax, %%r15\n\t"
                "movq %%rax, -8(%%rsp)\n\tmovq %%rax, -128(%%rsp)\n\t"
                "movq %%rax, %%xmm0\n\tmovq %%rax, %%xmm7\n\tmovq %%rax, %%xmm15\n\t"
                "std\n\t"
                "1: cmpq %%rax, %%rsi\n\tjne 2f\n\tcmpq %%rax, %%rdi\n\tjne 2f\n\t"
                "cmpq %%rax, %%r8\n\tjne 2f\n\tcmpq %%rax, %%r9\n\tjne 2f\n\t"
                "cmpq %%rax, %%r10\n\tjne 2f\n\tcmpq %%rax, %%r11\n\tjne 2f\n\t"
                "cmpq %%rax, %%r12\n\tjne 2f\n\tcmpq %%rax, %%r13\n\tjne 2f\n\t"
                "cmpq %%rax, %%r14\n\tjne 2f\n\tcmpq %%rax, %%r15\n\tjne 2f\n\t"
                "cmpq %%rax, -8(%%rsp)\n\tjne 2f\n\tcmpq %%rax, -128(%%rsp)\n\tjne 2f\n\t"
                "movq %%xmm0, %%rdx\n\tcmpq %%rax, %%rdx\n\tjne 2f\n\t"
                "movq %%xmm7, %%rdx\n\tcmpq %%rax, %%rdx\n\tjne 2f\n\t"
                "movq %%xmm15, %%rdx\n\tcmpq %%rax, %%rdx\n\tjne 2f\n\t"
                "pushfq\n\tpopq %%rdx\n\tmovq %%rax, -8(%%rsp)\n\t"
                "testl $0x400, %%edx\n\tjz 2f\n\t"          /* the direction flag */
                "decl %%ecx\n\tjnz 1b\n\tjmp 3f\n\t"
                "2: incq %0\n\t3: cld\n\tleaq 256(%%rsp), %%rsp"
                : "+b"(bad)
                : "a"(pattern)
                : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
                  "r15", "xmm0", "xmm7", "xmm15", "memory", "cc");
        return bad;
}

/* The same for the widest vector and mask registers. */
__attribute__((noinline, target("avx512f,avx512bw"))) static uint64_t watch_vectors(uint64_t pattern)
{
        uint64_t bad = 0;

        __asm__ volatile(
                "movl $100000, %%ecx\n\t"
                "vpbroadcastq %1, %%zmm0\n\tvpbroadcastq %1, %%zmm15\n\t"
                "vpbroadcastq %1, %%zmm16\n\tvpbroadcastq %1, %%zmm31\n\t"
                "kmovq %1, %%k1\n\tkmovq %1, %%k7\n\t"
                "1: vpcmpeqq %%zmm0, %%zmm15, %%k2\n\tvpcmpeqq %%zmm16, %%zmm31, %%k3\n\t"
                "vpcmpeqq %%zmm0, %%zmm31, %%k4\n\t"
                "kandw %%k2, %%k3, %%k2\n\tkandw %%k2, %%k4, %%k2\n\t"
                "kmovw %%k2, %%edx\n\tcmpb $-1, %%dl\n\tjne 2f\n\t"
                "kmovq %%k1, %%rdx\n\tcmpq %1, %%rdx\n\tjne 2f\n\t"
                "kmovq %%k7, %%rdx\n\tcmpq %1, %%rdx\n\tjne 2f\n\t"
                "decl %%ecx\n\tjnz 1b\n\tjmp 3f\n\t"
                "2: incq %0\n\t3: vzeroupper"
                : "+m"(bad)
                : "r"(pattern)
                : "rcx", "rdx", "memory", "cc", "xmm0", "xmm15", "xmm16", "xmm31", "k1", "k2", "k3",
                  "k4", "k7");
        return bad;
}

static bool can_watch_vectors(void)
{
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

#endif
