/* The ways to do routines on bytes on aarch64. */
#include "arch/arch.h"

extern const struct bytes_ops weir__arch_bytes_neon;

const struct bytes_ops *const weir__arch_bytes[] = { &weir__arch_bytes_neon, NULL };

/* Many look-ups at once have no way of their own here. */
const struct words_ops *const weir__arch_words[] = { NULL };
