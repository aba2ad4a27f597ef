# Tests run every x86 kernel on every x86 machine: each kernels/<op>/<isa>.cc is compiled a second time, for the plain
# target, with emulated intrinsics, inside `namespace emulated` (src/kernels/emulation/tested_kernels.h).

# Appends the generated sources to the variable `out`.
function(hotaru_emulated_kernels out)
  set(sources ${${out}})
  foreach(file ${ARGN})
    get_filename_component(isa ${file} NAME_WE)
    get_filename_component(path ${file} DIRECTORY)
    get_filename_component(op ${path} NAME)
    if(isa MATCHES "^(avx|amx)" AND NOT op MATCHES "^(tile_config|peak)$")
      set(source ${CMAKE_BINARY_DIR}/generated/emulated/${op}_${isa}.cc)
      file(CONFIGURE OUTPUT ${source} @ONLY CONTENT [=[
#define HOTARU_EMULATE_ISA
#include "kernels/emulation/emulated_kernels.h"
namespace emulated {
#include "kernels/@op@/@isa@.cc"
}
]=])
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-Wno-psabi;-O1" OBJECT_DEPENDS ${file})
      list(APPEND sources ${source})
    endif()
  endforeach()
  set(${out} ${sources} PARENT_SCOPE)
endfunction()
