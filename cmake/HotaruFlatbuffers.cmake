# src/format/*.fbs -> ${CMAKE_BINARY_DIR}/generated/format/*_generated.h (with the object API).
find_program(HOTARU_FLATC flatc REQUIRED)
file(GLOB schemas CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/format/*.fbs)
set(generated)
foreach(schema ${schemas})
  get_filename_component(stem ${schema} NAME_WE)
  set(header ${CMAKE_BINARY_DIR}/generated/format/${stem}_generated.h)
  add_custom_command(OUTPUT ${header}
    COMMAND ${HOTARU_FLATC} --cpp --cpp-std c++17 --gen-object-api --gen-compare --scoped-enums --reflect-names
            --filename-suffix _generated -o ${CMAKE_BINARY_DIR}/generated/format ${schema}
    DEPENDS ${schemas} VERBATIM)
  list(APPEND generated ${header})
endforeach()
add_custom_target(hotaru_schemas DEPENDS ${generated})
