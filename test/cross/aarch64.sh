#!/bin/bash
# The routines on bytes for aarch64 against the plain ones, under an emulator.
#
#       aarch64.sh SOURCE
set -eu

cc=aarch64-linux-gnu-gcc
for tool in $cc qemu-aarch64; do
        command -v $tool >/dev/null || { echo "skipped: $tool is not there"; exit 77; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

cd "$1"
$cc -std=gnu11 -O2 -static -D_GNU_SOURCE -DWEIR_KEEP_ERRNO -Wall -Wextra -Wpedantic -Wshadow -Werror \
        -Isrc -Iinclude -Itest test/cross/bytes.c src/arch/aarch64/*.c src/arch/feature.c src/arch/choice.c \
        src/data/bytes_plain.c src/base/debug.c src/base/fmt.c -o "$dir/bytes"
qemu-aarch64 "$dir/bytes"
WEIR_DEBUG=cpu.neon=off qemu-aarch64 "$dir/bytes" plain
