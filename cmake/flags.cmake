# Compiler flags that hold for everything in the tree.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Assertions of the C library stay on: weir has its own levels (WEIR_CHECK).
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O0 -g")

set(WEIR_WARNINGS -Wall -Wextra -Wpedantic -Wshadow)

# -fexceptions: panics unwind through C frames.
add_compile_options(-fexceptions)

# With -flto among the user's flags, libweir.a keeps machine code beside gcc's own format, so that
# any compiler can link it.
if(CMAKE_C_FLAGS MATCHES "-flto" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
        add_compile_options(-ffat-lto-objects)
endif()

if(WEIR_FUZZ)
        if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
                message(FATAL_ERROR "WEIR_FUZZ needs clang (CC=clang)")
        endif()
        add_compile_options(-fsanitize=fuzzer-no-link)
        add_link_options(-fsanitize=fuzzer-no-link)
endif()

if(WEIR_SANITIZE)
        if(NOT WEIR_SANITIZE MATCHES "^(address|thread|undefined)$")
                message(FATAL_ERROR "WEIR_SANITIZE is address, thread or undefined, "
                        "not \"${WEIR_SANITIZE}\"")
        endif()
        # gcc's thread sanitizer ends at 8128 live fibers, fewer than the tests have goroutines.
        if(WEIR_SANITIZE STREQUAL "thread" AND NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
                message(FATAL_ERROR "The thread sanitizer needs clang (CC=clang)")
        endif()
        add_compile_options(-fsanitize=${WEIR_SANITIZE} -fno-sanitize-recover=all
                -fno-omit-frame-pointer)
        add_link_options(-fsanitize=${WEIR_SANITIZE})
endif()
