# SPDX-License-Identifier: Apache-2.0
# What is installed where, in three components: library, development, command. The Debian packages are these.

set(libdir ${CMAKE_INSTALL_LIBDIR})
install(TARGETS lauter EXPORT lauterTargets
        LIBRARY DESTINATION ${libdir} COMPONENT library NAMELINK_COMPONENT development
        PUBLIC_HEADER DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
# Beside the library, where it looks for them: one rule for every prefix, also one that is moved.
install(PROGRAMS ${LAUTER_INIT} DESTINATION ${libdir}/lauter COMPONENT library)
install(DIRECTORY ${runtime_dir}/ DESTINATION ${libdir}/lauter/runtime/python COMPONENT library)

install(EXPORT lauterTargets NAMESPACE lauter:: DESTINATION ${libdir}/cmake/lauter COMPONENT development)
configure_package_config_file(
  cmake/lauterConfig.cmake.in ${CMAKE_BINARY_DIR}/lauterConfig.cmake INSTALL_DESTINATION ${libdir}/cmake/lauter)
write_basic_package_version_file(lauterConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/lauterConfig.cmake ${CMAKE_BINARY_DIR}/lauterConfigVersion.cmake
        DESTINATION ${libdir}/cmake/lauter COMPONENT development)
file(RELATIVE_PATH LAUTER_PC_PREFIX /x/${libdir}/pkgconfig /x)
configure_file(cmake/lauter.pc.in lauter.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/lauter.pc DESTINATION ${libdir}/pkgconfig COMPONENT development)

install(DIRECTORY ${manual}/man3 DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT development)
set(docs ${CMAKE_SOURCE_DIR}/docs)
# What README and the manual pages point to, and what these do.
install(FILES ${docs}/architecture.md ${docs}/cpp.md ${docs}/escapes.md ${docs}/hosting.md ${docs}/performance.md
              ${docs}/policy.md ${docs}/profile.md ${docs}/protocol.md ${docs}/threat-model.md ${docs}/values.md ${docs}/worker.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT development)
install(FILES ${docs}/tour/host.c ${docs}/tour/host.cpp ${docs}/tour/worker.c
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT development)
# Ours, and what is linked into what ships.
install(FILES cmake/debian/copyright LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT library)

if(LAUTER_COMMAND)
  install(PROGRAMS ${CMAKE_BINARY_DIR}/bin/lauter DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT command)
  # It finds the library from where it lies itself, so that both may be moved.
  file(RELATIVE_PATH to_library /x/${CMAKE_INSTALL_BINDIR} /x/${libdir})
  install(CODE "file(RPATH_SET FILE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/lauter\"
                     NEW_RPATH \"\\\$ORIGIN/${to_library}\")" COMPONENT command)
  install(DIRECTORY ${manual}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT command)
  install(FILES ${docs}/tour/tour.ipynb DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT command)
endif()

# ---------------------------------------------------------------- Debian packages: configure with the prefix /usr, then cpack
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR Lauter)
set(LAUTER_CONTACT "The Lauter contributors <lauter@localhost>" CACHE STRING "Maintainer named in packages")
set(CPACK_PACKAGE_CONTACT "${LAUTER_CONTACT}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL library development)
if(LAUTER_COMMAND)
  list(APPEND CPACK_COMPONENTS_ALL command)
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SOURCE lauter)
# What a program that was linked with this library depends on: at least this version of it.
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY >=)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_BINARY_DIR}/lib)
# Compressed manuals, changelogs, copyright, no search path: what Debian wants and a plain installation does not.
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/cmake/debian/finish.cmake)

set(says "worker processes that cannot hurt their host")
set(what "Lauter starts a worker in a sandbox of namespaces, mounts, Landlock and
seccomp, hands it code, brings back results and output, interrupts it, stops
it, and says why it ended. It is made for whatever runs notebooks.
")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME liblauter${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SUGGESTS python3)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/cmake/debian/triggers) # ldconfig
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION "${says} - library
${what}
This package has the shared library and the runtime of its Python workers.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME liblauter-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_DEVELOPMENT_DEPENDS library)
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "${says} - development files
${what}
This package has the headers for C and C++, and what pkg-config and CMake read.")

set(CPACK_DEBIAN_COMMAND_PACKAGE_NAME lauter)
set(CPACK_DEBIAN_COMMAND_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_COMMAND_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_COMMAND_PACKAGE_RECOMMENDS python3)
set(CPACK_COMPONENT_COMMAND_DEPENDS library)
set(CPACK_DEBIAN_COMMAND_DESCRIPTION "${says} - command
${what}
This package has the command, which runs programs and notebooks in it.")
include(CPack)
