#!/usr/bin/env bash
# optimize, killed without warning when two layers are done, goes on with --resume and ends in the same bytes as one that nobody
# disturbed; with other options it refuses.
set -euo pipefail
cd "$(dirname "$0")/.."
hotaru=${HOTARU:-build/release/hotaru}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

source tests/shell/cases.sh

optimise=("$hotaru" optimize models/demo --recipe gptq --samples 2 --sequence 256)
whole=$work/whole.har cut=$work/cut.har
"${optimise[@]}" -o "$whole" --quiet >"$work/log"

"${optimise[@]}" -o "$cut" >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 6000); do
  [[ -e $cut.resume/layer-0001 ]] && break
  kill -0 $pid 2>/dev/null || break
  sleep 0.01
done
kill -9 $pid 2>/dev/null || true
wait $pid 2>/dev/null || true
status=0; [[ -e $cut.resume/layer-0001 && ! -e $cut.resume/layer-0007 && ! -e $cut ]] || status=1
report $status "a killed optimize leaves its finished layers and no HAR"

status=0; "${optimise[@]}" -o "$cut" --resume --seed 1 >"$work/out" 2>"$work/err" || status=$?
[[ $status == 1 ]] && grep -q "belongs to another checkpoint, text or other options; run without --resume" "$work/err" &&
  [[ -e $cut.resume/layer-0001 ]] && status=0 || status=1
report $status "--resume with other options is refused"

status=0; "${optimise[@]}" -o "$cut" --resume --threads 1 >"$work/out" 2>"$work/err" || status=1
grep -q "going on behind layer" "$work/err" || status=1
cmp "$whole" "$cut" || status=1
report $status "--resume gives the bytes of an undisturbed run"
status=0; [[ ! -e $cut.resume ]] || status=1
report $status "the folder of finished layers is gone"
exit $((failures > 0))
