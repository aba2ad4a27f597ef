#!/usr/bin/env bash
# The model store through the real program: list, show, cp, rm, run by name; pull from a local registry, cut, killed, resumed,
# with a wrong digest; kill -9 in the middle; names that are paths. KILLS (default 12): pulls that are killed.
set -euo pipefail
cd "$(dirname "$0")/.."
hotaru=$(realpath "${HOTARU:-build/release/hotaru}")
hef=$(realpath tests/data/hef/demo-v1.hef)
kills=${KILLS:-12}
work=$(mktemp -d)
registry=0
trap '[[ $registry == 0 ]] || kill $registry; rm -rf "$work"' EXIT

source tests/shell/cases.sh

export HOTARU_MODELS=$work/models
mkdir -p "$HOTARU_MODELS" "$work/registry"
cp "$hef" "$HOTARU_MODELS/demo.hef"
digest=$(sha256sum "$hef" | cut -d' ' -f1)

says() {  # says PATTERN COMMAND...: exit code 0 and the pattern on stdout
  local pattern=$1
  shift
  "$@" >"$work/stdout" 2>"$work/stderr" </dev/null && grep -q -- "$pattern" "$work/stdout"
}
no_temporaries() { [[ -z $(find "$HOTARU_MODELS" -name '*.tmp') ]]; }
same_file() { [[ $(stat -c %i "$1") == "$(stat -c %i "$2")" ]]; }

check "list: the model, its digest's first digits and size" says "^demo:latest  *${digest:0:12}  *4.56 MiB " "$hotaru" list
check "list --json" says "\"digest\":\"$digest\"" "$hotaru" list --json
check "show: architecture and context" says "architecture  *qwen2" "$hotaru" show demo
check "show --json: details" says '"format":"hef"' "$hotaru" show demo --json
check "show: no such model" refused "model 'nowhere' not found" "$hotaru" show nowhere
check "cp" says "copied" "$hotaru" cp demo sub/copy:v2
check "cp links, it copies no bytes" same_file "$HOTARU_MODELS/demo.hef" "$HOTARU_MODELS/sub/copy:v2.hef"
check "run by name" says . "$hotaru" run sub/copy:v2 "Tell me a story." --seed 7 -n 8
mv "$work/stdout" "$work/by_name"
check "run by file" says . "$hotaru" run "$hef" "Tell me a story." --seed 7 -n 8
check "run by name gives what the file gives" cmp "$work/by_name" "$work/stdout"
check "run: neither file nor model" refused "no model of that name" "$hotaru" run nowhere "hi"
check "rm" says "deleted" "$hotaru" rm sub/copy:v2
check "rm leaves the other name" "$hotaru" inspect "$HOTARU_MODELS/demo.hef" --verify
check "rm takes empty folders away" test ! -e "$HOTARU_MODELS/sub"
for name in ../demo /etc/passwd a/../../b .hidden "a b" ""; do
  check "a name that is a path is no name: '$name'" refused "invalid model name" "$hotaru" cp demo "$name"
done
check "rm: a path is no name" refused "invalid model name" "$hotaru" rm ../models/demo

for name in good slow wrong cut norange gguf; do cp "$hef" "$work/registry/$name.hef"; done
tests/registry.py "$work/registry" >"$work/port" &
registry=$!
for _ in $(seq 100); do [[ -s $work/port ]] && break; sleep 0.05; done
check "pull: no registry" refused HOTARU_REGISTRY "$hotaru" pull good --quiet
export HOTARU_REGISTRY=http://127.0.0.1:$(cat "$work/port")

check "pull" "$hotaru" pull good
check "pull: the bytes" cmp "$hef" "$HOTARU_MODELS/good.hef"
requests=$(grep -c blobs "$work/registry/requests")
check "pull again" "$hotaru" pull good
check "pull again fetches nothing" test "$requests" = "$(grep -c blobs "$work/registry/requests")"
check "pull: no such model" refused "model 'nowhere' not found" "$hotaru" pull nowhere --quiet
check "pull: no such tag" refused "model 'good:v9' not found" "$hotaru" pull good:v9 --quiet
check "pull: another format" refused "no layer is a HEF" "$hotaru" pull gguf --quiet
check "pull: a path is no name" refused "invalid model name" "$hotaru" pull ../good --quiet
check "pull: nobody listens" refused "127.0.0.1:9" "$hotaru" pull other --quiet --registry http://127.0.0.1:9
check "pull: a wrong digest is refused" refused "digest mismatch" "$hotaru" pull wrong --quiet
check "pull: a wrong digest leaves nothing" bash -c "! ls '$HOTARU_MODELS'/wrong* '$HOTARU_MODELS'/blobs/*.partial 2>/dev/null"

fresh() { "$hotaru" rm good >/dev/null 2>&1 || true; rm -f "$HOTARU_MODELS"/demo.hef; }  # no blob of that digest is left
fresh
check "pull: the connection is cut again and again" "$hotaru" pull cut
check "pull: goes on where it was cut" grep -q "library/cut/blobs/.* bytes=1048576-" "$work/registry/requests"
check "pull: the bytes after cuts" cmp "$hef" "$HOTARU_MODELS/cut.hef"
"$hotaru" rm cut >/dev/null

whole=0 resumed=0
for i in $(seq "$kills"); do
  "$hotaru" pull slow --quiet 2>/dev/null & pull=$!
  sleep "0.$((RANDOM % 6 + 1))"
  kill -9 $pull 2>/dev/null || true
  wait $pull 2>/dev/null || true
  "$hotaru" list >"$work/stdout" || whole=1
  if [[ -e $HOTARU_MODELS/slow.hef ]] && ! cmp -s "$hef" "$HOTARU_MODELS/slow.hef"; then whole=1; fi
done
report $whole "pull: killed $kills times, the store is whole each time"
check "pull: goes on to the end after the kills" "$hotaru" pull slow --quiet
grep -q "library/slow/blobs/.* bytes=[1-9]" "$work/registry/requests" || resumed=1
report $resumed "pull: a killed one is resumed"
check "pull: the bytes after kills" cmp "$hef" "$HOTARU_MODELS/slow.hef"
check "no temporary file is left" no_temporaries
"$hotaru" rm slow >/dev/null

blob=$HOTARU_MODELS/blobs/sha256-$digest
head -c 100000 "$hef" >"$blob.partial"
check "pull: a registry without ranges sends all again" "$hotaru" pull norange --quiet
check "pull: the bytes without ranges" cmp "$hef" "$HOTARU_MODELS/norange.hef"
"$hotaru" rm norange >/dev/null
head -c 100000 "$hef" >"$blob.partial"
check "pull: a full disk is said" bash -c "ulimit -f 1024; '$hotaru' pull good 2>&1 | grep -q 'cannot write: File too large'"
check "pull: what had come is kept" test "$(stat -c %s "$blob.partial" 2>/dev/null)" -ge 100000
check "pull: goes on when there is room" "$hotaru" pull good --quiet
check "pull: the bytes then" cmp "$hef" "$HOTARU_MODELS/good.hef"
check "ps: no server" refused "no server answers" "$hotaru" ps --host 127.0.0.1:9
exit $((failures > 0))
