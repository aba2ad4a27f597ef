#!/usr/bin/env bash
# One HEF plays the same tokens and logits everywhere: tests/data/hef/demo-v1.hef (the demo model, compiled once and kept, so that
# this also shows that files of format 1 stay playable) against one golden, over instruction sets, threads and prefill chunks.
# And the compiler gives the same bytes for any number of threads. `golden.sh --update` writes the golden anew.
set -euo pipefail
cd "$(dirname "$0")/.."
hotaru=${HOTARU:-build/release/hotaru}
golden=tests/golden/demo_tokens.json
hef=tests/data/hef/demo-v1.hef
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

source tests/shell/cases.sh

for run in 1 2; do
  "$hotaru" optimize models/demo -o "$work/$run.har" --recipe rtn --samples 4 --threads $run --quiet >"$work/log"
  "$hotaru" compile "$work/$run.har" -o "$work/$run.hef" --threads $run --quiet >"$work/log"
done
status=0; cmp "$work/1.har" "$work/2.har" || status=1
report $status "optimize gives the same bytes with 1 and 2 threads"
status=0; cmp "$work/1.hef" "$work/2.hef" || status=1
report $status "compile gives the same bytes with 1 and 2 threads"

# Greedy and sampled, one short prompt and one longer than a prefill chunk.
long_prompt=$(for i in $(seq 40); do printf 'The road went on over hill number %d. ' "$i"; done)
answers() {  # answers OPTION... -> one JSON line: token ids and hash of each request
  local request
  for request in greedy sampled long; do
    case $request in
      greedy) "$hotaru" run "$hef" "Tell me a story." --temperature 0 -n 48 --json --hash-logits --quiet "$@" ;;
      sampled) "$hotaru" run "$hef" "Tell me a story." --seed 7 -n 48 --json --hash-logits --quiet "$@" ;;
      long) "$hotaru" run "$hef" "$long_prompt" --seed 1 -n 16 --json --hash-logits --quiet "$@" ;;
    esac
  done | python3 -c 'import json, sys
print(json.dumps([{k: json.loads(line)[k] for k in ("token_ids", "logits_sha256")} for line in sys.stdin]))'
}

if [[ ${1:-} == --update ]]; then
  answers --isa ref --threads 1 >"$golden"
  echo "updated $golden"
fi
for isa in $("$hotaru" --version | sed -n 's/^available here: //p'); do
  for threads in 1 2 3; do
    for chunk in 1 7 128; do
      [[ $isa == ref && $threads$chunk != 17 && $threads$chunk != 2128 ]] && continue  # ref is slow: two of nine
      status=0
      diff <(answers --isa "$isa" --threads $threads --prefill-chunk $chunk) "$golden" || status=1
      report $status "golden tokens and logits: isa $isa, $threads threads, chunk $chunk"
    done
  done
done

# What the compiler writes now: rows alone, and many together (gate, up and SwiGLU as one).
hef=$work/1.hef
alone=$(answers --prefill-chunk 1)
for isa in $("$hotaru" --version | sed -n 's/^available here: //p'); do
  for chunk in 128 256; do
    status=0
    diff <(answers --isa "$isa" --threads 2 --prefill-chunk $chunk) <(echo "$alone") || status=1
    report $status "a new HEF gives the same tokens and logits in chunks of 1 and of $chunk: isa $isa"
  done
done
exit $((failures > 0))
