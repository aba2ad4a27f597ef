#!/usr/bin/env bash
# The recipes on the demo model as it is, and on one with outliers that change nothing in float: rounding fails on these, the full
# recipe does not see them. A small part of what `./dev accuracy` measures (docs/accuracy.md); little text and little calibration.
set -euo pipefail
cd "$(dirname "$0")/.."
hotaru=${HOTARU:-build/release/hotaru}
text=tests/data/text/novels.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

source tests/shell/cases.sh

expect() {  # expect NAME PYTHON-EXPRESSION over dicts named after what was compared
  local status=0
  python3 - "$work" "$2" <<'PY' || status=1
import json, pathlib, sys
found = {f.stem: json.loads(f.read_text()) for f in pathlib.Path(sys.argv[1]).glob("*.json")}
sys.exit(not eval(sys.argv[2], found))
PY
  report $status "$1"
}

few=(--samples 8 --sequence 256)
compared() {  # compared NAME CHECKPOINT RECIPE [OPTION...]
  local name=$1 checkpoint=$2 recipe=$3
  shift 3
  "$hotaru" optimize "$checkpoint" -o "$work/a.har" --recipe "$recipe" --quiet "$@" >"$work/log" 2>&1
  "$hotaru" compile "$work/a.har" -o "$work/a.hef" --context 256 --quiet >"$work/log" 2>&1
  "$hotaru" eval compare models/demo "$work/a.hef" --text $text --segment 256 --limit-segments 4 --json --quiet >"$work/$name.json"
  echo "# $name: $(cut -c 1-200 "$work/$name.json")"
}

for kinds in "norm up-down" "value-output query-key"; do
  tools/inject_outliers.py models/demo "$work/model" $kinds
  "$hotaru" eval ppl "$work/model" --text $text --segment 256 --limit-segments 1 --json --quiet >"$work/float_injected.json"
  "$hotaru" eval ppl models/demo --text $text --segment 256 --limit-segments 1 --json --quiet >"$work/float_clean.json"
  expect "$kinds: the same model in float" "abs(float_injected['mean_nll'] - float_clean['mean_nll']) < 1e-4"
done
tools/inject_outliers.py models/demo "$work/model" norm up-down value-output query-key
compared rtn models/demo rtn "${few[@]}"
compared gptq models/demo gptq "${few[@]}"
compared full models/demo full "${few[@]}"
compared injected_naive "$work/model" rtn --skip fold-norms "${few[@]}"
compared injected_full "$work/model" full "${few[@]}"
compared left_out "$work/model" full --skip rotate-values "${few[@]}"
expect "KL: gptq < rtn, full no worse than gptq" "gptq['mean_kl'] < rtn['mean_kl'] and full['mean_kl'] < 1.05 * gptq['mean_kl']"
expect "outliers break rounding" "injected_naive['perplexity'] > 1.5 * injected_naive['reference_perplexity']"
expect "full with outliers is full without" "abs(injected_full['perplexity'] / full['perplexity'] - 1) < 0.01"
expect "full less one remedy fails again" "left_out['mean_kl'] > 5 * injected_full['mean_kl']"
exit $((failures > 0))
