# Text files inside the program. hotaru_embed(TARGET FILE FUNCTION) adds a generated source that defines
# `std::string_view hotaru::FUNCTION()` over the file's bytes. Run as a script (cmake -P, with INPUT, OUTPUT and FUNCTION)
# this same file writes it.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ ${INPUT} bytes HEX)
  string(LENGTH "${bytes}" digits)
  math(EXPR count "${digits} / 2")
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${bytes}")
  file(WRITE ${OUTPUT} "#include <string_view>\nnamespace hotaru {\nstd::string_view ${FUNCTION}();\nstatic const char kBytes[] = {${bytes}};\n"
       "std::string_view ${FUNCTION}() { return {kBytes, ${count}}; }\n}\n")
  return()
endif()

function(hotaru_embed target file function)
  get_filename_component(name ${file} NAME_WE)
  set(source ${CMAKE_BINARY_DIR}/generated/${name}.cc)
  add_custom_command(OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -DINPUT=${file} -DOUTPUT=${source} -DFUNCTION=${function} -P ${CMAKE_SOURCE_DIR}/cmake/HotaruEmbed.cmake
    DEPENDS ${file} ${CMAKE_SOURCE_DIR}/cmake/HotaruEmbed.cmake VERBATIM)
  target_sources(${target} PRIVATE ${source})
endfunction()
