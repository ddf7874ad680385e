/* The first n < 16 bytes at p as two words, the rest zero, by loads inside of them. */
#ifndef WEIR_ARCH_BYTES_PART_H
#define WEIR_ARCH_BYTES_PART_H

#include "arch/arch.h"

static inline uint64_t part_load8(const uint8_t *p)
{
        uint64_t w;

        memcpy(&w, p, 8);
        return w;
}

static inline uint32_t part_load4(const uint8_t *p)
{
        uint32_t w;

        memcpy(&w, p, 4);
        return w;
}

static inline void part_load(const uint8_t *p, size_t n, uint64_t ret[2])
{
        ret[0] = ret[1] = 0;
        if (n >= 8) {
                ret[0] = part_load8(p);
                if (n > 8)
                        ret[1] = part_load8(p + n - 8) >> (8 * (16 - n));
        } else if (n >= 4) {
                ret[0] = part_load4(p) | (uint64_t)part_load4(p + n - 4) << (8 * (n - 4));
        } else if (n) {
                ret[0] = p[0] | (uint64_t)p[n / 2] << (8 * (n / 2)) |
                         (uint64_t)p[n - 1] << (8 * (n - 1));
        }
}

#endif
