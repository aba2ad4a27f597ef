#!/usr/bin/env bash
# `hotaru run --format`: replies that obey a JSON schema, whatever the model would rather say.
set -euo pipefail
cd "$(dirname "$0")/.."
hotaru=${HOTARU:-build/release/hotaru}
hef=tests/data/hef/demo-v1.hef
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source tests/shell/cases.sh

schema='{"type": "object", "properties": {"mood": {"enum": ["merry", "sad"]}, "age": {"type": "integer", "maximum": 99}},
  "required": ["mood", "age"], "additionalProperties": false}'
printf '%s' "$schema" >"$work/schema.json"
reply() { "$hotaru" run "$hef" "How is the cat?" --seed 7 --quiet "$@"; }
holds() { python3 -c 'import json, sys; reply = json.loads(sys.argv[1]); sys.exit(not eval(sys.argv[2]))' "$@"; }

free=$(reply -n 20)
inline=$(reply --format "$schema")
check "without a format it is no JSON: ${free:0:20}..." test "${free:0:1}" != "{"
check "a schema is obeyed: $(tr -s ' \n' ' ' <<<"$inline")" holds "$inline" 'reply["mood"] in ("merry", "sad") and reply["age"] <= 99 and len(reply) == 2'
check "from a file, too" test "$(reply --format "$work/schema.json")" = "$inline"
check "any JSON object begins as one" test "$(reply --format json -n 1)" = "{"
cut=$(reply --format "$schema" -n 6 --save-context "$work/cut")
rest=$("$hotaru" run "$hef" --load-context "$work/cut" --resume --quiet)
check "a cut reply goes on under its schema" test "$cut$rest" = "$inline"
usage() {  # usage PATTERN FORMAT: exit code 2
  local code=0
  reply --format "$2" >"$work/stdout" 2>"$work/stderr" || code=$?
  [[ $code == 2 ]] && grep -q -- "$1" "$work/stderr"
}
check "a file that is not there" usage none.json none.json
check "half a schema" usage "JSON schema" '{"type": '
check "a schema that cannot be met" refused uniqueItems "$hotaru" run "$hef" hi --format '{"type": "array", "uniqueItems": true}'
exit $((failures > 0))
