# Which folder of src/os and src/arch is built.

string(TOLOWER "${CMAKE_SYSTEM_NAME}" WEIR_OS)
set(WEIR_ARCH "${CMAKE_SYSTEM_PROCESSOR}")
if(WEIR_ARCH MATCHES "^(amd64|AMD64)$")
        set(WEIR_ARCH x86_64)
endif()

if(NOT WEIR_OS STREQUAL "linux" OR NOT WEIR_ARCH STREQUAL "x86_64")
        message(FATAL_ERROR "weir runs on Linux on x86-64 so far, "
                "not on ${CMAKE_SYSTEM_NAME} on ${CMAKE_SYSTEM_PROCESSOR}")
endif()
