# Installation, pkg-config files and CMake package. All of them find the rest relative to where they
# are, so that `cmake --install --prefix` and moved trees work.

include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/weir")
set(pkgconfig_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

set(targets weir_static weir_shared)
if(TARGET weir_symbols_static)
        list(APPEND targets weir_symbols_static weir_symbols_shared)
endif()
install(TARGETS ${targets} EXPORT weir ARCHIVE LIBRARY)
install(TARGETS weir_command RUNTIME)
install(TARGETS weir_lockcheck LIBRARY)
if(TARGET weir_malloc)
        install(TARGETS weir_malloc LIBRARY)
endif()
install(FILES include/weir.h TYPE INCLUDE)
install(FILES tools/gdb/weir-gdb.py DESTINATION "${CMAKE_INSTALL_DATADIR}/weir")
install(DIRECTORY include/weir TYPE INCLUDE FILES_MATCHING PATTERN "*.h")
install(FILES LICENSE README.md CHANGES.md TYPE DOC OPTIONAL)

install(EXPORT weir NAMESPACE weir:: FILE weirTargets.cmake DESTINATION "${package_dir}")
configure_package_config_file(cmake/weirConfig.cmake.in weirConfig.cmake
        INSTALL_DESTINATION "${package_dir}")
# Before 1.0 a new minor version may break programs.
write_basic_package_version_file(weirConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
        "${PROJECT_BINARY_DIR}/weirConfig.cmake"
        "${PROJECT_BINARY_DIR}/weirConfigVersion.cmake"
        DESTINATION "${package_dir}")

file(RELATIVE_PATH prefix_from_pc "/${pkgconfig_dir}" "/")
file(RELATIVE_PATH libdir_from_pc "/${pkgconfig_dir}" "/${CMAKE_INSTALL_LIBDIR}")
configure_file(cmake/weir.pc.in weir.pc @ONLY)
configure_file(cmake/weir-symbols.pc.in weir-symbols.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/weir.pc" DESTINATION "${pkgconfig_dir}")
if(TARGET weir_symbols_static)
        install(FILES "${PROJECT_BINARY_DIR}/weir-symbols.pc" DESTINATION "${pkgconfig_dir}")
endif()
