# SPDX-License-Identifier: Apache-2.0
# lauter-init: Embedded Swift on musl, one module, static. Defines the target `lauter_init`, which makes
# ${LAUTER_INIT} and, packed, ${LAUTER_INIT_PACKED}. CLaunch embeds the packed one:
#
#   set_source_files_properties(Sources/CLaunch/image.c PROPERTIES
#     OBJECT_DEPENDS ${LAUTER_INIT_PACKED} COMPILE_DEFINITIONS LAUTER_INIT_FILE="${LAUTER_INIT_PACKED}"
#     COMPILE_OPTIONS -Wno-c23-extensions)

set(LAUTER_INIT ${CMAKE_BINARY_DIR}/lauter-init)
set(LAUTER_INIT_PACKED ${LAUTER_INIT}.lz4)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(init_architecture x86_64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(init_architecture aarch64)
else()
  message(FATAL_ERROR "lauter-init knows x86_64 and aarch64, not ${CMAKE_SYSTEM_PROCESSOR}")
endif()

# The toolchain's own libraries, beside the compiler that CMake found.
file(REAL_PATH ${CMAKE_Swift_COMPILER} init_swiftc)
cmake_path(GET init_swiftc PARENT_PATH init_toolchain_bin)
cmake_path(GET init_toolchain_bin PARENT_PATH init_toolchain)
set(init_embedded ${init_toolchain}/lib/swift/embedded/${init_architecture}-unknown-linux-gnu)
find_program(LAUTER_MUSL_GCC musl-gcc REQUIRED)
find_program(LAUTER_LZ4 lz4 REQUIRED)
find_path(LAUTER_MUSL_INCLUDE features.h PATHS /usr/include/${init_architecture}-linux-musl
  NO_DEFAULT_PATH REQUIRED)

file(GLOB init_swift CONFIGURE_DEPENDS
  ${CMAKE_SOURCE_DIR}/Sources/LauterPlan/*.swift
  ${CMAKE_SOURCE_DIR}/Sources/LauterLinux/*.swift
  ${CMAKE_SOURCE_DIR}/Sources/LauterInit/*.swift)
file(GLOB init_c CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/Sources/CInit/*.c)
file(GLOB init_headers CONFIGURE_DEPENDS
  ${CMAKE_SOURCE_DIR}/Sources/CInit/include/*
  ${CMAKE_SOURCE_DIR}/Sources/CLinux/include/*.h
  ${CMAKE_SOURCE_DIR}/Sources/CLinux/include/module.modulemap)

# Each function in a section of its own: the linker drops what init does not use (the plan's writer, comparison of
# strings with its Unicode tables).
add_custom_command(
  OUTPUT ${LAUTER_INIT}
  DEPENDS ${init_swift} ${init_headers} ${init_c}
  COMMAND ${CMAKE_Swift_COMPILER} -enable-experimental-feature Embedded -wmo -Osize -parse-as-library
    -swift-version 6 -enable-upcoming-feature InternalImportsByDefault
    -package-name lauter -module-name LauterInit
    # Its own: the cache does not tell musl's headers from glibc's.
    -module-cache-path ${CMAKE_BINARY_DIR}/module-cache-musl
    -I ${CMAKE_SOURCE_DIR}/Sources/CLinux/include -I ${CMAKE_SOURCE_DIR}/Sources/CInit/include
    -Xcc -nostdlibinc -Xcc -isystem -Xcc ${LAUTER_MUSL_INCLUDE} -Xcc -fno-stack-protector
    -Xfrontend -function-sections -c ${init_swift} -o lauter-init.o
  COMMAND ${LAUTER_MUSL_GCC} -Os -fno-builtin -fno-asynchronous-unwind-tables -static -s -Wl,--gc-sections -Wl,-z,noseparate-code -Wl,-z,noexecstack
    -I ${CMAKE_SOURCE_DIR}/Sources/CInit/include ${init_c} lauter-init.o -L${init_embedded} -lswiftUnicodeDataTables -lm -o ${LAUTER_INIT}
  WORKING_DIRECTORY ${CMAKE_BINARY_DIR}
  COMMENT "Building lauter-init (Embedded Swift, static musl)"
  VERBATIM)
# One block and its size in front, which is what Sources/CLaunch/unpack.c reads.
add_custom_command(
  OUTPUT ${LAUTER_INIT_PACKED}
  DEPENDS ${LAUTER_INIT}
  COMMAND ${LAUTER_LZ4} -12 --favor-decSpeed -B7 --content-size -f -qq ${LAUTER_INIT} ${LAUTER_INIT_PACKED}
  VERBATIM)
add_custom_target(lauter_init DEPENDS ${LAUTER_INIT} ${LAUTER_INIT_PACKED})
