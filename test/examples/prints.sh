#!/bin/bash
# A program prints what it should and ends well.
#
#       prints.sh PROGRAM EXPECTED [sorted]     sorted: in whatever order
set -uo pipefail

actual=$("$1" | if [ "${3-}" = sorted ]; then sort; else cat; fi) || {
        echo "$1: exit status $?"
        exit 1
}
diff <(echo "$actual") "$2"
