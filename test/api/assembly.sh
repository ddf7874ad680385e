#!/bin/bash
# What the slice macros become: an append without growth and a slice of memory make no call.
#
#       assembly.sh CC INCLUDE
#
# Prints both listings. Skipped without objdump, and where a call has another name.
set -u
command -v objdump >/dev/null || { echo "skipped: there is no objdump"; exit 77; }
[ "$(uname -m)" = x86_64 ] || { echo "skipped: reads the code of x86-64"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

cat >"$dir/slices.c" <<'END'
#include <weir.h>
typedef weir_slice(int) ints;
int append_many(int n)
{
        ints s = {0};
        for (int i = 0; i < n; i++)
                weir_append(s, i);
        return s.ptr[n / 2];
}
long slice_of(long *p, size_t n)
{
        weir_slice(long) s;
        weir_slice_set(s, p, n);
        return s.ptr[s.len / 2];
}
END
"$1" -O2 -std=gnu11 -I"$2" -c "$dir/slices.c" -o "$dir/slices.o" || exit 1

# The calls of a function, its unlikely part aside, by the names of what is called.
calls() {
        objdump -dr --no-show-raw-insn "$dir/slices.o" | awk -v fn="<$1>:" '
                $2 == fn { on = 1; next } /^$/ { on = 0 }
                on && /call/ { called = 1; next }
                on && called && /R_X86_64/ { split($3, name, "[-+]"); print name[1] }
                on { called = 0 }'
}
objdump -dr --no-show-raw-insn "$dir/slices.o"
status=0
for want in "append_many weir_slice_grow_by" "slice_of "; do
        fn=${want%% *} got=$(calls "${want%% *}" | grep -v _fail | grep -v weir_slice_check_object |
                sort -u | paste -sd' ')
        [ "$got" = "${want#* }" ] || { echo "$fn calls '$got', not '${want#* }'"; status=1; }
done

# One call in all: that of the growth.
objdump -d --no-show-raw-insn "$dir/slices.o" | awk '/<append_many>:/ { on = 1 } /^$/ { on = 0 }
        on && /call/ { n++ } END { exit n != 1 }' || { echo "an append has more than one call"; status=1; }
exit $status
