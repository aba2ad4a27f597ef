#!/usr/bin/env bash
# Adapters through the real program, on the demo model: add, list, compile, run, remove; what each does to logits and to the
# perplexity of its author's text beside the float model with the same adapter; and that the base model stays as it was.
# RECIPE (default rtn): of `hotaru optimize`. ADAPTERS, TEXTS: folders with NAME/ and NAME.txt (default: tests/data/lora).
set -euo pipefail
cd "$(dirname "$0")/.."
hotaru=${HOTARU:-build/release/hotaru}
recipe=${RECIPE:-rtn}
adapters=${ADAPTERS:-tests/data/lora}
texts=${TEXTS:-tests/data/lora}
segment=${SEGMENT:-512}
# Rounding alone leaves as much noise as a mild adapter changes.
if [[ $recipe == rtn ]]; then least=0.9; else least=0.95; fi
model=models/demo
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
names=$(find "$adapters" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort)

source tests/shell/cases.sh
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }  # field NAME <json

"$hotaru" optimize "$model" -o "$work/base.har" --recipe "$recipe" --quiet >"$work/log"
"$hotaru" compile "$work/base.har" -o "$work/base.hef" --quiet >"$work/log"
cp "$work/base.har" "$work/all.har"
for name in $names; do
  check "add $name" "$hotaru" lora add "$work/all.har" "$adapters/$name" --quiet
done
"$hotaru" compile "$work/all.har" -o "$work/all.hef" --quiet >"$work/log"
for file in all.har all.hef; do
  listed=$("$hotaru" lora list "$work/$file" --json | python3 -c '
import json, sys
print(*sorted(adapter["name"] for adapter in json.load(sys.stdin)["adapters"]))')
  check "lora list $file: $listed" test "$listed" = "$(echo $names)"
done
check "the memory plan counts adapters" python3 - "$("$hotaru" inspect "$work/all.hef" --json)" <<'TEXT'
import json, sys
found = json.loads(sys.argv[1])
assert found["memory"]["adapters"] >= sum(adapter["bytes"] for adapter in found["adapters"]) > 0
TEXT

# The base model.
answer() {  # answer HEF OPTION...
  "$hotaru" run "$@" "Tell me a story." --seed 7 -n 24 --json --hash-logits --quiet
}
base=$(answer "$work/base.hef" | field logits_sha256)
check "base tokens are unchanged when no adapter is chosen" test "$(answer "$work/all.hef" | field logits_sha256)" = "$base"
first=${names%%$'\n'*}
check "run says which adapter spoke" test "$(answer "$work/all.hef" --lora "$first" | field adapter)" = "$first"
check "an unknown adapter is refused" refused "no adapter 'nobody'; there are: .*$first" \
  "$hotaru" run "$work/all.hef" hi --lora nobody
check "a model without adapters says so" refused "the model has none" "$hotaru" run "$work/base.hef" hi --lora "$first"

# Against float.
cat >"$work/cosine.py" <<'TEXT'
# cosine.py FLOAT FLOAT_ADAPTED BASE ADAPTED: between the changes of the logits, over all positions
import array, json, sys
def logits(path):
    data = open(path, "rb").read()
    header = int.from_bytes(data[:8], "little")
    return array.array("f", data[8 + header:])
a, b, c, d = (logits(path) for path in sys.argv[1:])
dot = left = right = 0.0
for w, x, y, z in zip(a, b, c, d):
    dot += (x - w) * (z - y)
    left += (x - w) ** 2
    right += (z - y) ** 2
print(dot / (left * right) ** 0.5)
TEXT
compare() { python3 -c "import sys; a, b = map(float, sys.argv[1:]); sys.exit(not ($1))" "$2" "$3"; }
logits() { "$hotaru" eval logits "$1" --ids "$ids" -o "$2" --quiet "${@:3}" >>"$work/log"; }
perplexity() {
  "$hotaru" eval ppl "$1" --text "$texts/$2.txt" --segment "$segment" --json --quiet "${@:3}" | field perplexity
}
for name in $names; do
  ids=$("$hotaru" run "$work/base.hef" "$(head -c 900 "$texts/$name.txt")" --raw -n 0 --json --quiet |
    python3 -c 'import json, sys; print(*json.load(sys.stdin)["prompt_token_ids"], sep=",")')
  logits "$model" "$work/float"
  logits "$model" "$work/float_adapted" --lora "$adapters/$name"
  logits "$work/all.hef" "$work/base"
  logits "$work/all.hef" "$work/adapted" --lora "$name"
  cosine=$(python3 "$work/cosine.py" "$work/float" "$work/float_adapted" "$work/base" "$work/adapted")
  check "$name: cosine of the logits' change $cosine, want $least" compare "a >= b" "$cosine" $least
  want=$(perplexity "$model" "$name" --lora "$adapters/$name")
  got=$(perplexity "$work/all.hef" "$name" --lora "$name")
  check "$name: perplexity $got, float with it $want, float without $(perplexity "$model" "$name"), base HEF $(
    perplexity "$work/all.hef" "$name")" compare "a <= 1.03 * b" "$got" "$want"
done

# And back.
for name in $names; do
  check "remove $name" "$hotaru" lora remove "$work/all.har" "$name" --quiet
done
check "without its adapters the HAR has its old bytes" cmp "$work/base.har" "$work/all.har"
check "removing what is not there is refused" refused "no adapter '$first'; there are: none" \
  "$hotaru" lora remove "$work/all.har" "$first"
exit $((failures > 0))
