#!/bin/bash
# An installed weir works for those who use pkg-config, CMake, or the command, wherever it is.
#
#       install.sh CMAKE BUILD PACKAGE  PACKAGE: a project that does find_package(weir)
set -eu

cmake=$1 build=$2 package=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset CC CFLAGS CPPFLAGS LDFLAGS LDLIBS DESTDIR
export XDG_CACHE_HOME=$dir

step() {
        echo "-- $*"
}

says_hello() {
        [ "$("$@")" = "hello from 1" ]
}

step "installation under DESTDIR"
DESTDIR=$dir/stage "$cmake" --install "$build" --prefix /usr >/dev/null
[ -x "$dir/stage/usr/bin/weir" ]
[ ! -e "$dir/usr" ]

# Moved after the installation: nothing may remember the way there.
"$cmake" --install "$build" --prefix "$dir/first" >/dev/null
mv "$dir/first" "$dir/prefix"
prefix=$dir/prefix
lib=$(dirname "$(find "$prefix" -name libweir.a)")
export PKG_CONFIG_PATH=$lib/pkgconfig

step "no path of the source tree in what others read"
if grep -rl -e "$(dirname "$package")" -e "$dir/first" "$prefix/include" "$lib/pkgconfig" "$lib/cmake"
then
        exit 1
fi

step "pkg-config, shared"
flags=$(pkg-config --cflags --libs weir)
# shellcheck disable=SC2086
cc "$package/hello.c" $flags -o "$dir/shared"
ldd "$dir/shared" >"$dir/ldd" || :
grep -q libweir.so.0 "$dir/ldd"
LD_LIBRARY_PATH=$lib says_hello "$dir/shared"

step "pkg-config, static"
# shellcheck disable=SC2046
cc "$package/hello.c" $(pkg-config --cflags weir) "$lib/libweir.a" -o "$dir/static"
says_hello "$dir/static"

step "wholly static, in an empty root"
# shellcheck disable=SC2046
cc -static "$package/hello.c" $(pkg-config --cflags weir) "$lib/libweir.a" -o "$dir/alone"
says_hello "$dir/alone"
if [ "$(id -u)" = 0 ] && command -v chroot >/dev/null; then
        mkdir "$dir/root"
        cp "$dir/alone" "$dir/root/"
        says_hello chroot "$dir/root" /alone
fi

if [ -e "$lib/libweir-symbols.a" ]; then
        step "pkg-config, with symbols"
        # shellcheck disable=SC2046
        cc -g "$package/hello.c" $(pkg-config --cflags --libs weir-symbols) -o "$dir/symbols"
        LD_LIBRARY_PATH=$lib says_hello "$dir/symbols"
        ldd "$dir/symbols" | grep -q libweir-symbols.so.0
fi

step "CMake package"
"$cmake" -S "$package" -B "$dir/cmake" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" >"$dir/log" 2>&1 ||
        { cat "$dir/log"; exit 1; }
"$cmake" --build "$dir/cmake" >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
says_hello "$dir/cmake/hello-shared"
says_hello "$dir/cmake/hello-static"
if [ -e "$lib/libweir-symbols.a" ]; then
        says_hello "$dir/cmake/hello-symbols"
        ldd "$dir/cmake/hello-symbols" | grep -q libweir-symbols.so.0
        says_hello "$dir/cmake/hello-symbols-static"
        nm "$dir/cmake/hello-symbols-static" | grep -q weir_symbols_install
fi

step "the installed command"
says_hello "$prefix/bin/weir" run "$package/hello.c"
"$prefix/bin/weir" build -o "$dir/built" "$package/hello.c"
says_hello "$dir/built"
