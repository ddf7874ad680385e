/* Asks an x86-64 processor for its features.
 *
 * A feature with wider registers counts only if the kernel saves them (OSXSAVE and the bits of
 * XCR0): bits 1 and 2 for AVX, 5 to 7 for AVX-512. By bits alone, never by maker or model. */
#include "arch/arch.h"
#include <cpuid.h>

static uint64_t xcr0(void)
{
        uint32_t low, high;

        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        return (uint64_t)high << 32 | low;
}

uint64_t weir__arch_ask(void)
{
        uint32_t a, b, c = 0, d, leaf7b = 0, c7, ext_c = 0;
        uint64_t saved = 0, has = 0;

        if (__get_cpuid(1, &a, &b, &c, &d) && c & bit_OSXSAVE)
                saved = xcr0();
        __get_cpuid_count(7, 0, &a, &leaf7b, &c7, &d);
        __get_cpuid(0x80000001, &a, &b, &ext_c, &d);

#define HAS(name, cond) has |= (uint64_t)((cond) != 0) << FEATURE_##name
        HAS(sse2, 1);
        HAS(sse41, c & bit_SSE4_1 && c & bit_SSSE3);
        HAS(popcnt, c & bit_POPCNT);
        HAS(bmi2, leaf7b & bit_BMI && leaf7b & bit_BMI2 && ext_c & 1u << 5);    /* LZCNT */
        HAS(avx2, c & bit_AVX && leaf7b & bit_AVX2 && (saved & 0x06) == 0x06);
        HAS(avx512, leaf7b & bit_AVX512F && leaf7b & bit_AVX512BW && leaf7b & bit_AVX512VL &&
                    (saved & 0xe6) == 0xe6);
#undef HAS
        return has;
}
