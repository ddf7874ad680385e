/* The ways to do routines on bytes, and many look-ups at once, on x86-64. */
#include "arch/arch.h"

extern const struct bytes_ops weir__arch_bytes_sse2, weir__arch_bytes_avx2,
                              weir__arch_bytes_avx512;

const struct bytes_ops *const weir__arch_bytes[] = {
        &weir__arch_bytes_avx512, &weir__arch_bytes_avx2, &weir__arch_bytes_sse2, NULL,
};

extern const struct words_ops weir__arch_words_sse2, weir__arch_words_avx2,
                              weir__arch_words_avx512;

const struct words_ops *const weir__arch_words[] = {
        &weir__arch_words_avx512, &weir__arch_words_avx2, &weir__arch_words_sse2, NULL,
};
