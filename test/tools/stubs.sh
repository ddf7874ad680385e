#!/bin/bash
# The runtime calls other libraries without stubs of the linker, and nothing of the compiler's own
# library. Both would lie in the program's text, where a signal that interrupts them takes the thread
# for one outside of the runtime, which may be stopped. Run one, or all in turn:
#
#       stubs.sh LIBWEIR.A [NAME]

set -u

library=$(realpath "$1")
# shellcheck source=../shell.sh
. "$(dirname "$0")/../shell.sh"
[ $# = 1 ] && run_all "$library"
command -v objdump >/dev/null || skip "there is no objdump"

# The functions that the library calls and does not define, in each section of code but weir_libc, which
# stands for libc.
test_calls_go_by_the_table_of_addresses() {
        objdump -h "$library" | grep -q ' weir_text ' || skip "the runtime's text has no section of its own"
        nm "$library" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u >"$scratch/defined"
        objdump -r "$library" | awk '/^RELOCATION RECORDS FOR/ { in_libc = /weir_libc/ }
                !in_libc && $2 == "R_X86_64_PLT32" { sub(/[-+]0x.*/, "", $3); print $3 }' |
                sort -u | comm -23 - "$scratch/defined" | grep -v '^\.\|^weir_text$' >"$scratch/stubs"
        same "what is called by a stub" "$(tr '\n' ' ' <"$scratch/stubs")" ""
}

test_nothing_of_the_compilers_library_is_called() {
        same "what is called of libgcc" "$(nm -u "$library" 2>/dev/null |
                awk '$1 == "U" && $2 ~ /^__[a-z]+[sdtx][ifc][0-9]?$/ { print $2 }' | sort -u)" ""
}

enter_scratch
"test_$2"
