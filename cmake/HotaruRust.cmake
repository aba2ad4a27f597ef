# rust/hotaru_text -> one static library, built by cargo with the committed lock file.
find_program(HOTARU_CARGO cargo REQUIRED)
set(crate ${CMAKE_SOURCE_DIR}/rust/hotaru_text)
set(HOTARU_RUST_TARGET_DIR ${CMAKE_BINARY_DIR}/rust CACHE PATH "where cargo builds; share it between presets to build once")
set(cargo_arguments build --release --locked --manifest-path ${crate}/Cargo.toml --target-dir ${HOTARU_RUST_TARGET_DIR})
set(archive ${HOTARU_RUST_TARGET_DIR}/release/libhotaru_text.a)
if(CMAKE_CROSSCOMPILING)
  set(triple ${CMAKE_SYSTEM_PROCESSOR}-unknown-linux-gnu)
  list(APPEND cargo_arguments --target ${triple})
  set(archive ${HOTARU_RUST_TARGET_DIR}/${triple}/release/libhotaru_text.a)
endif()
file(GLOB_RECURSE rust_sources CONFIGURE_DEPENDS ${crate}/src/*.rs ${crate}/Cargo.toml ${crate}/Cargo.lock)
# cargo leaves an archive that is up to date untouched; ninja would run it again every time.
add_custom_command(OUTPUT ${archive}
  COMMAND ${HOTARU_CARGO} ${cargo_arguments}
  COMMAND ${CMAKE_COMMAND} -E touch ${archive}
  DEPENDS ${rust_sources} USES_TERMINAL VERBATIM)
add_custom_target(hotaru_text_cargo DEPENDS ${archive})
add_library(hotaru_text_rust INTERFACE)
add_dependencies(hotaru_text_rust hotaru_text_cargo)
target_link_libraries(hotaru_text_rust INTERFACE ${archive} dl m)
target_include_directories(hotaru_text_rust INTERFACE ${crate}/include)
set(HOTARU_RUST_ARCHIVE ${archive})
