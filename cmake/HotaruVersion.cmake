# generated_version.h: the version of project() and the commit, refreshed at every build.
add_custom_target(hotaru_version
  COMMAND ${CMAKE_COMMAND} -DVERSION=${PROJECT_VERSION} -DSOURCE=${CMAKE_SOURCE_DIR}
          -DOUTPUT=${CMAKE_BINARY_DIR}/generated/generated_version.h -P ${CMAKE_SOURCE_DIR}/cmake/WriteVersion.cmake
  BYPRODUCTS ${CMAKE_BINARY_DIR}/generated/generated_version.h VERBATIM)
add_dependencies(hotaru_schemas hotaru_version)
