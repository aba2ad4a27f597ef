# Warnings and floating-point rules for every C++ file of the project.
add_library(hotaru_flags INTERFACE)
target_compile_options(hotaru_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
  -ffp-contract=off  # NUMERICS: letting the compiler fuse changes results from machine to machine.
)
target_include_directories(hotaru_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include ${CMAKE_BINARY_DIR}/generated)

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
target_link_libraries(hotaru_flags INTERFACE Threads::Threads fmt::fmt nlohmann_json::nlohmann_json)

set(HOTARU_SANITIZE "" CACHE STRING "address, thread or empty")
if(HOTARU_SANITIZE STREQUAL "address")
  target_compile_options(hotaru_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(hotaru_flags INTERFACE -fsanitize=address,undefined)
elseif(HOTARU_SANITIZE STREQUAL "thread")
  target_compile_options(hotaru_flags INTERFACE -fsanitize=thread)
  target_link_options(hotaru_flags INTERFACE -fsanitize=thread)
  # The sanitizer does not understand Asio's fences; its queues' mutexes order the same.
  target_compile_definitions(hotaru_flags INTERFACE BOOST_ASIO_DISABLE_FENCED_BLOCK)
endif()
option(HOTARU_COVERAGE "gcov counters" OFF)
if(HOTARU_COVERAGE)
  target_compile_options(hotaru_flags INTERFACE --coverage)
  target_link_options(hotaru_flags INTERFACE --coverage)
endif()
option(HOTARU_FUZZ "build the *_fuzz.cc files as libFuzzer programs (clang only)" OFF)
if(HOTARU_FUZZ)
  target_compile_options(hotaru_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  target_link_options(hotaru_flags INTERFACE -fsanitize=address,undefined)
endif()
