# SPDX-License-Identifier: Apache-2.0
# Run by CPack on the files of each package, before it is made: what Debian wants and a plain installation does not.
cmake_minimum_required(VERSION 3.25)
# Reproducible where SOURCE_DATE_EPOCH says when.
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)

foreach(component IN LISTS CPACK_COMPONENTS_ALL)
  string(TOUPPER ${component} upper)
  set(package ${CPACK_DEBIAN_${upper}_PACKAGE_NAME})
  set(root ${CPACK_TEMPORARY_DIRECTORY}/${component})
  if(NOT IS_DIRECTORY ${root}/usr)
    message(FATAL_ERROR "finish.cmake: there is nothing of ${package} in ${root}")
  endif()

  set(doc ${root}/usr/share/doc/${package})
  file(MAKE_DIRECTORY ${doc})
  file(COPY ${CMAKE_CURRENT_LIST_DIR}/copyright DESTINATION ${doc})
  if(component STREQUAL library)
    file(REMOVE_RECURSE ${root}/usr/share/doc/lauter)
  elseif(component STREQUAL development)
    file(GLOB documents ${root}/usr/share/doc/lauter/*)
    file(COPY ${documents} DESTINATION ${doc})
    file(REMOVE_RECURSE ${root}/usr/share/doc/lauter)
  endif()

  set(version ${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})
  file(WRITE ${doc}/changelog.Debian
       "lauter (${version}) unstable; urgency=medium\n\n  * Version ${CPACK_PACKAGE_VERSION}.\n\n"
       " -- ${CPACK_PACKAGE_CONTACT}  ${date}\n")
  file(GLOB_RECURSE compress ${doc}/changelog.Debian ${root}/usr/share/man/*)
  list(REMOVE_DUPLICATES compress)
  execute_process(COMMAND gzip -9n ${compress} COMMAND_ERROR_IS_FATAL ANY)

  file(GLOB_RECURSE programs ${root}/usr/bin/*)
  foreach(program IN LISTS programs)
    file(RPATH_REMOVE FILE ${program}) # /usr/bin needs none.
  endforeach()
  if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/${package}.lintian-overrides)
    file(MAKE_DIRECTORY ${root}/usr/share/lintian/overrides)
    file(COPY_FILE ${CMAKE_CURRENT_LIST_DIR}/${package}.lintian-overrides ${root}/usr/share/lintian/overrides/${package})
  endif()
  execute_process(COMMAND chmod -R u=rwX,go=rX ${root} COMMAND_ERROR_IS_FATAL ANY) # Whatever the umask.
endforeach()
