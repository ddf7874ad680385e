#!/bin/bash
# The shared library exports what symbols.txt lists, no more and no less, and the headers declare it.
#
#       symbols.sh NM LIBRARY LIST INCLUDE
#
# A new line in the list is a promise: whoever adds one says so in CHANGES.md.
set -u
export LC_ALL=C

exported=$("$1" -D --defined-only "$2" | awk '$2 != "A" { sub("@.*", "", $3); print $3 }' | sort)
diff -u --label symbols.txt "$3" --label "$(basename "$2")" <(echo "$exported") || {
        echo "the exported symbols are not those of $3"
        exit 1
}

status=0
while read -r symbol; do
        grep -qrw "$symbol" "$4" || { echo "$symbol is in no header"; status=1; }
done <"$3"
exit $status
