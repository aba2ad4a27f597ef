#!/usr/bin/env bash
# The library as other programs see it: install to a fresh prefix, build the examples out of tree against libhotaru.so and
# libhotaru.a (find_package), and one by pkg-config, run each, and look at what the shared library shows.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${HOTARU_BUILD:-build/release}
hotaru=${HOTARU:-$build/hotaru}
hef=tests/data/hef/demo-v1.hef
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

source tests/shell/cases.sh
check() {  # check NAME COMMAND...: its output alone stays in the log, and is shown where it fails
  local name=$1 status=0
  shift
  "$@" >"$work/log" 2>&1 || status=1
  [[ $status == 0 ]] || tail -n 20 "$work/log"
  report $status "$name"
}

check "install" cmake --install "$build" --prefix "$prefix"
# Moved, so that nothing can lead back to where it was installed first.
mv "$prefix" "$work/elsewhere"
prefix=$work/elsewhere
check "the installed program answers" "$prefix/bin/hotaru" run "$hef" "Hello" -n 4 --temperature 0
check "headers include the standard library and each other only" \
  bash -c '! grep -rhE "^#include" "$1" | grep -vE "^#include (<[a-z_]+>|\"hotaru/[a-z_/]+\.h\")$"' - "$prefix/include/hotaru"
library=$(find "$prefix" -name 'libhotaru.so')
pkgconfig=$(dirname "$library")/pkgconfig
check "the shared library shows its public classes only" bash -c '
  nm -DC --defined-only "$1" | cut -d" " -f3- | grep -vE "^(HOTARU_[0-9.]+$|hotaru::(VDevice|genai::LLM[A-Za-z]*)::)" | tee /dev/stderr | wc -l | grep -qx 0' \
  - "$library"
hidden() { ! nm -DC --defined-only "$library" | grep -E '::Impl::|hotaru_text|std::vector<.*>::_M'; }
check "and nothing of what is inside" hidden

# A HEF with two adapters.
"$hotaru" optimize models/demo -o "$work/demo.har" --recipe rtn --quiet
for adapter in tests/data/lora/*/; do "$hotaru" lora add "$work/demo.har" "$adapter" --quiet; done >"$work/log"
"$hotaru" compile "$work/demo.har" -o "$work/adapters.hef" --quiet >"$work/log"

try_examples() {  # try_examples NAME DIRECTORY
  local name=$1 directory=$2 code=0
  answer() { "$hotaru" run "$hef" "$1" --temperature 0 --quiet "${@:2}"; }
  check "$name: hello" "$directory/hello" "$hef"
  check "$name: hello says how many tokens it wrote" test "$(grep -cE '^[1-9][0-9]* tokens, [1-9][0-9]* bytes' "$work/log")" == 1
  "$directory/hello" "$work/nothing.hef" 2>"$work/log" || code=$?
  check "$name: hello says what is missing: $(cat "$work/log")" test $code == 1 -a "$(grep -c "nothing.hef: No such file" "$work/log")" == 1
  printf 'Hello "you".\nAnd then?\n' | "$directory/chat" "$hef" 5 >"$work/chat" 2>"$work/chat.log"
  check "$name: chat answers twice" test "$(grep -c '^> .' "$work/chat")" == 2
  check "$name: chat counts its context" test "$(grep -c 'of 2048 tokens' "$work/chat.log")" == 2
  check "$name: adapters" "$directory/adapters" "$work/adapters.hef"
  check "$name: base and two adapters, then two switches" test "$(grep -c '^\[' "$work/log")" == 5
  check "$name: contexts" "$directory/contexts" "$hef" "$work/chat.context"
  check "$name: a cut reply goes on as if it had not been cut" test "$(grep -c ': the same$' "$work/log")" == 2
}

for kind in shared static; do
  [[ $kind == static ]] && static=ON || static=OFF
  check "$kind: find_package" cmake -S examples -B "$work/$kind" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" \
    -DHotaru_USE_STATIC_LIBS=$static -DCMAKE_BUILD_TYPE=Release
  check "$kind: build" cmake --build "$work/$kind"
  linked=$(readelf -d "$work/$kind/hello" | grep -c 'libhotaru.so' || true)
  check "$kind: links libhotaru.so $linked times" test "$linked" == "$([[ $kind == static ]] && echo 0 || echo 1)"
  try_examples "$kind" "$work/$kind"
done

export PKG_CONFIG_PATH=$pkgconfig
check "pkg-config: shared" bash -c \
  'g++ examples/hello.cc -o "$1/hello_pc" $(pkg-config --cflags --libs hotaru) -Wl,-rpath,"$(dirname "$2")" && "$1/hello_pc" "$3"' \
  - "$work" "$library" "$hef"
check "pkg-config: static" bash -c \
  'g++ examples/hello.cc -o "$1/hello_pc" $(pkg-config --static --cflags --libs hotaru | sed s/-lhotaru/-l:libhotaru.a/) && "$1/hello_pc" "$2"' \
  - "$work" "$hef"
check "another minor version is refused" bash -c '! cmake -S "$1" -B "$1/build" -DCMAKE_PREFIX_PATH="$2"' - \
  "$(mkdir "$work/other" && printf 'cmake_minimum_required(VERSION 3.25)\nproject(other CXX)\nfind_package(Hotaru 0.2 REQUIRED)\n' \
    >"$work/other/CMakeLists.txt" && echo "$work/other")" "$prefix"
exit $((failures > 0))
