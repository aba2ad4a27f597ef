#!/usr/bin/env bash
# A checkpoint of random weights is one that hotaru reads, in every family's spelling, and the same for the same seed.
set -euo pipefail
cd "$(dirname "$0")/.."
hotaru=${HOTARU:-build/release/hotaru}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

source tests/shell/cases.sh

for config in models/demo tests/data/models/random-mistral tests/data/models/random-llama3; do
  status=0
  tools/make_checkpoint.py $config/config.json "$work/a" --seed 3 2>"$work/log" || status=1
  "$hotaru" inspect "$work/a" --tensors >"$work/got" 2>>"$work/log" || status=1
  "$hotaru" inspect $config --tensors >"$work/want" 2>>"$work/log" || status=1
  # Names and shapes.
  diff <(awk '{print $1, $3}' "$work/want") <(awk '{print $1, $3}' "$work/got") || status=1
  report $status "make_checkpoint.py: the tensors of $config"
done
tools/make_checkpoint.py models/demo/config.json "$work/b" --seed 3 --layers 1 --tokenizer models/demo 2>"$work/log"
tools/make_checkpoint.py models/demo/config.json "$work/c" --seed 3 --layers 1 2>"$work/log"
status=0; cmp "$work/b/model.safetensors" "$work/c/model.safetensors" || status=1
cmp models/demo/tokenizer.json "$work/b/tokenizer.json" || status=1
[[ ! -e $work/c/tokenizer.json ]] || status=1
report $status "make_checkpoint.py: the same bytes for the same seed; the tokenizer on request"
exit $((failures > 0))
