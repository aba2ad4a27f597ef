#!/usr/bin/env bash
# The chat page in headless Chromium against `hotaru serve`: tests/browser/*.mjs. Needs the network once, for playwright-core and axe-core under
# build/clients. `tests/browser.sh NAME...` runs the cases whose name has NAME in it. Screenshots: build/browser. CHROMIUM: the
# browser. HOTARU_PAGE=src/server/page/index.html takes the page from there and not from the program.
set -euo pipefail
cd "$(dirname "$0")/.."
hotaru=$(realpath "${HOTARU:-build/release/hotaru}")
source tests/shell/packages.sh
install_once browser with_npm "${browser_packages[@]}"

work=$(mktemp -d)
servers=()
trap '((${#servers[@]} == 0)) || kill "${servers[@]}" 2>/dev/null; wait; rm -rf "$work"' EXIT
mkdir "$work/models"
cp tests/data/hef/demo-v1.hef "$work/models/demo.hef"
# Adapters that the page can choose; how well they are quantised is another test's matter.
head -c 2000 tests/data/lora/holmes.txt >"$work/few.txt"
{
  "$hotaru" optimize models/demo -o "$work/tales.har" --recipe rtn --calibration "$work/few.txt" --samples 1 --quiet
  for adapter in holmes fairytale; do
    "$hotaru" lora add "$work/tales.har" "tests/data/lora/$adapter" --calibration "$work/few.txt" --samples 1 --quiet
  done
  "$hotaru" compile "$work/tales.har" -o "$work/models/tales.hef" --quiet
} >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }

start() {  # start LOG OPTION...: leaves `url`
  local log=$1
  shift
  # The slowest kernels: a long reply takes seconds on every machine, so that a reader can do something meanwhile.
  "$hotaru" serve --port 0 --models "$work/models" --isa ref --threads 1 "$@" 2>"$log" &
  servers+=($!)
  for _ in $(seq 100); do
    url=$(grep -o 'http://127[^" ]*' "$log" | head -n 1) && return
    sleep 0.1
  done
  cat "$log"
  exit 1
}
printf 'secret\n' >"$work/keys"
start "$work/locked" --api-key-file "$work/keys"
export HOTARU_LOCKED_URL=$url
start "$work/server"
export HOTARU_URL=$url HOTARU_LOG=$work/server HOTARU_PACKAGES=$packages_home HOTARU_SCREENSHOTS=$PWD/build/browser
mkdir -p "$HOTARU_SCREENSHOTS"
node tests/browser/run.mjs "$@" || { tail -n 5 "$work/server"; exit 1; }
