# The library that other programs link: libhotaru.so, which shows the public classes only, and libhotaru.a, one archive
# of every floor below src/api and the Rust crate (docs/decisions/0015). Both with headers, program, CMake package and
# pkg-config file are what `cmake --install` installs.
#
# Run as a script (cmake -P, with AR, OUTPUT and ARCHIVES) this same file joins archives.
if(CMAKE_SCRIPT_MODE_FILE)
  # In a folder of links with plain names: ar's script language has no quoting, and two archives may have one name.
  set(folder ${OUTPUT}.parts)
  file(REMOVE_RECURSE ${folder})
  file(MAKE_DIRECTORY ${folder})
  set(script "create joined.a\n")
  set(count 0)
  foreach(archive ${ARCHIVES})
    math(EXPR count "${count} + 1")
    file(CREATE_LINK ${archive} ${folder}/part${count}.a SYMBOLIC)
    string(APPEND script "addlib part${count}.a\n")
  endforeach()
  file(WRITE ${folder}/script "${script}save\nend\n")
  execute_process(COMMAND ${AR} -M INPUT_FILE ${folder}/script WORKING_DIRECTORY ${folder} COMMAND_ERROR_IS_FATAL ANY)
  file(RENAME ${folder}/joined.a ${OUTPUT})
  file(REMOVE_RECURSE ${folder})
  return()
endif()

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Before 1.0 a minor version may change the classes.
set(HOTARU_SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
# Libraries of the system that libhotaru.a leaves to the program.
set(HOTARU_STATIC_DEPENDENCIES fmt xxhash nettle)

# `below` and all floors under it that have code.
function(hotaru_floors_below table floor out)
  file(STRINGS ${table} line REGEX "^${floor}:")
  string(REGEX MATCHALL "[a-z]+" floors "${line}")
  set(found)
  foreach(name ${floors})
    get_target_property(type hotaru_${name} TYPE)
    if(type STREQUAL "STATIC_LIBRARY")
      list(APPEND found ${name})
    endif()
    if(NOT name STREQUAL floor)
      hotaru_floors_below(${table} ${name} below)
      list(APPEND found ${below})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES found)
  set(${out} ${found} PARENT_SCOPE)
endfunction()

set_target_properties(hotaru_api PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
configure_file(cmake/hotaru.map.in ${CMAKE_BINARY_DIR}/hotaru.map @ONLY)
get_target_property(below hotaru_api LINK_LIBRARIES)
add_library(hotaru_shared SHARED $<TARGET_OBJECTS:hotaru_api>)
target_link_libraries(hotaru_shared PRIVATE ${below})
target_link_options(hotaru_shared PRIVATE -Wl,--exclude-libs,ALL -Wl,--version-script=${CMAKE_BINARY_DIR}/hotaru.map)
set_target_properties(hotaru_shared PROPERTIES OUTPUT_NAME hotaru VERSION ${PROJECT_VERSION} SOVERSION ${HOTARU_SOVERSION}
  LINK_DEPENDS ${CMAKE_BINARY_DIR}/hotaru.map)
add_dependencies(hotaru_shared hotaru_api)

hotaru_floors_below(${CMAKE_SOURCE_DIR}/floors.txt api floors)
set(archives)
set(targets)
foreach(floor ${floors})
  list(APPEND archives $<TARGET_FILE:hotaru_${floor}>)
  list(APPEND targets hotaru_${floor})
endforeach()
set(joined ${CMAKE_BINARY_DIR}/libhotaru.a)
# The compiler's own ar: a plain one tries every plugin of the machine on the bitcode that Rust's objects carry.
set(ar ${CMAKE_CXX_COMPILER_AR})
if(NOT ar)
  set(ar ${CMAKE_AR})
endif()
add_custom_command(OUTPUT ${joined}
  COMMAND ${CMAKE_COMMAND} -DAR=${ar} -DOUTPUT=${joined} "-DARCHIVES=${archives};${HOTARU_RUST_ARCHIVE}"
          -P ${CMAKE_SOURCE_DIR}/cmake/HotaruPackage.cmake
  DEPENDS ${targets} ${archives} ${HOTARU_RUST_ARCHIVE} ${CMAKE_SOURCE_DIR}/cmake/HotaruPackage.cmake VERBATIM)
add_custom_target(hotaru_static ALL DEPENDS ${joined})

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/Hotaru)
configure_package_config_file(cmake/HotaruConfig.cmake.in ${CMAKE_BINARY_DIR}/HotaruConfig.cmake
  INSTALL_DESTINATION ${package_folder} PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/HotaruConfigVersion.cmake COMPATIBILITY SameMinorVersion)
file(RELATIVE_PATH HOTARU_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" HOTARU_PREFIX_FROM_PC ${HOTARU_PREFIX_FROM_PC})
list(TRANSFORM HOTARU_STATIC_DEPENDENCIES PREPEND "-l" OUTPUT_VARIABLE HOTARU_PC_STATIC_LIBS)
list(JOIN HOTARU_PC_STATIC_LIBS " " HOTARU_PC_STATIC_LIBS)
configure_file(cmake/hotaru.pc.in ${CMAKE_BINARY_DIR}/hotaru.pc @ONLY)

install(TARGETS hotaru RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS hotaru_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${joined} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/hotaru DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES ${CMAKE_BINARY_DIR}/HotaruConfig.cmake ${CMAKE_BINARY_DIR}/HotaruConfigVersion.cmake DESTINATION ${package_folder})
install(FILES ${CMAKE_BINARY_DIR}/hotaru.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
