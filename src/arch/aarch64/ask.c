/* Asks an aarch64 processor for its features, by the kernel's auxiliary vector. */
#include "arch/arch.h"
#include <sys/auxv.h>

enum { HWCAP_ASIMD_BIT = 1u << 1 };

uint64_t weir__arch_ask(void)
{
        unsigned long hwcap = getauxval(AT_HWCAP);
        uint64_t      has = 0;

        has |= (uint64_t)((hwcap & HWCAP_ASIMD_BIT) != 0) << FEATURE_neon;
        return has;
}
